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
