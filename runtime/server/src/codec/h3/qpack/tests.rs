#![allow(clippy::unwrap_used)]

use super::*;

fn lines(section: &[u8]) -> Result<Vec<(String, String)>, BadSection> {
    let mut all = Vec::new();
    decode(section, |name, value| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        all.push((text(name), text(value)));
        Ok(())
    })?;
    Ok(all)
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

#[test]
fn rfc_9204_appendix_b_1_literal_with_name_reference() {
    let section = [&[0x00, 0x00, 0x51, 0x0b][..], b"/index.html"].concat();
    assert_eq!(lines(&section).unwrap(), pairs(&[(":path", "/index.html")]));
}

#[test]
fn every_representation_of_the_static_table() {
    let section = [
        &[0, 0, 0xc0 | 17, 0xff, 99 - 63 - 1][..],
        &[0x7f, 44 - 15, 1, b'x'],
        &[0x23, b'x', b'-', b'a', 1, b'1'],
        &[0x33, b'x', b'-', b'b', 0],
    ]
    .concat();
    let wanted = pairs(&[
        (":method", "GET"),
        ("x-frame-options", "sameorigin"),
        ("content-type", "x"),
        ("x-a", "1"),
        ("x-b", ""),
    ]);
    assert_eq!(lines(&section).unwrap(), wanted);
}

#[test]
fn huffman_strings_of_rfc_7541_appendix_c() {
    let table: [(&[u8], &str); 5] = [
        (
            &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
            "www.example.com",
        ),
        (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
        (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
        (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], "custom-value"),
        (
            &[
                0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b,
                0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
            ],
            "Mon, 21 Oct 2013 20:13:21 GMT",
        ),
    ];
    for (coded, plain) in table {
        let mut out = Vec::new();
        huffman::decode(coded, &mut out).unwrap();
        assert_eq!(out, plain.as_bytes());
    }
}

#[test]
fn huffman_padding_is_checked() {
    let table: [&[u8]; 5] = [
        // Padding of zeros, of a whole byte, of more than that; the end-of-string code; a cut code.
        &[0b0001_1000],
        &[0xff],
        &[0x07, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0xfe],
    ];
    for coded in table {
        assert_eq!(huffman::decode(coded, &mut Vec::new()), Err(huffman::BadCode), "{coded:x?}");
    }
    // '0' is five zeros, then three ones of padding.
    let mut out = Vec::new();
    huffman::decode(&[0b0000_0111], &mut out).unwrap();
    assert_eq!(out, b"0");
}

#[test]
fn broken_sections_end_the_connection() {
    let table: [(&str, &[u8]); 12] = [
        ("nothing", &[]),
        ("half a prefix", &[0]),
        ("needs the dynamic table", &[1, 0, 0x80]),
        ("dynamic index", &[0, 0, 0x80]),
        ("dynamic name", &[0, 0, 0x40, 0]),
        ("post-base index", &[0, 0, 0x10]),
        ("post-base name", &[0, 0, 0x00, 0]),
        ("static index 99", &[0, 0, 0xff, 99 - 63]),
        ("no end of a number", &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("cut name", &[0, 0, 0x23, b'x']),
        ("cut value", &[0, 0, 0x51, 5, b'/']),
        ("bad Huffman", &[0, 0, 0x51, 0x81, 0xff]),
    ];
    for (name, section) in table {
        assert_eq!(lines(section), Err(BadSection::Encoding), "{name}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let mut head = ResponseHead { status: 200, ..ResponseHead::default() };
    let long = "v".repeat(300);
    for (name, value) in [
        ("Content-Type", "text/plain"),
        ("X-Odd-Name-That-Is-Rather-Long", &long),
        ("connection", "close"),
        ("content-length", "7"),
        ("server", "x"),
        ("location", "/y"),
    ] {
        head.fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    let mut section = Vec::new();
    response(&mut section, &head, Length::Exact(12));
    let wanted = pairs(&[
        (":status", "200"),
        ("content-type", "text/plain"),
        ("x-odd-name-that-is-rather-long", &long),
        ("server", "x"),
        ("location", "/y"),
        ("content-length", "12"),
    ]);
    assert_eq!(lines(&section).unwrap(), wanted);
    for status in [100, 103, 201, 204, 206, 301, 302, 304, 400, 403, 404, 418, 421, 425, 500, 503] {
        let head = ResponseHead { status, ..ResponseHead::default() };
        let mut section = Vec::new();
        response(&mut section, &head, Length::Unknown);
        assert_eq!(lines(&section).unwrap(), pairs(&[(":status", &status.to_string())]));
    }
}

#[test]
fn names_stand_where_the_table_says() {
    for (name, _) in STATIC {
        if let Some(index) = static_name(name.as_bytes()) {
            assert_eq!(STATIC[index as usize].0, name);
        }
    }
}

#[test]
fn a_refused_line_ends_the_reading() {
    let refused = BadHead { status: 400, detail: "no" };
    let ended = decode(&[0, 0, 0xc0 | 17, 0xff], |_, _| Err(refused));
    assert_eq!(ended, Err(BadSection::Line(refused)));
}
