#![allow(clippy::unwrap_used)]

use pilotlight_filter::ResponseHead;

use super::*;

type Lines = Vec<(String, String)>;

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Lines, BadCode> {
    let mut lines = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    decoder.decode(block, |name, value| lines.push((text(name), text(value))))?;
    Ok(lines)
}

fn pairs(list: &[(&str, &str)]) -> Lines {
    list.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

/// RFC 7541 appendices C.3 and C.4: three requests on one connection, without and with Huffman.
#[test]
fn requests_of_the_appendix() {
    let plain = [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
    ];
    let coded = [
        "828684418cf1e3c2e5f23a6ba0ab90f4ff",
        "828684be5886a8eb10649cbf",
        "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
    ];
    let host = (":authority", "www.example.com");
    let wanted = [
        pairs(&[(":method", "GET"), (":scheme", "http"), (":path", "/"), host]),
        pairs(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            host,
            ("cache-control", "no-cache"),
        ]),
        pairs(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            host,
            ("custom-key", "custom-value"),
        ]),
    ];
    for blocks in [plain, coded] {
        let mut decoder = Decoder::default();
        for (block, wanted) in blocks.iter().zip(&wanted) {
            assert_eq!(&read(&mut decoder, &bytes(block)).unwrap(), wanted);
        }
    }
}

/// RFC 7541 appendix C.5: entries leave a table of 256 bytes.
#[test]
fn responses_of_the_appendix() {
    let mut decoder = Decoder::default();
    let first = "3fe101 4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a\
                 323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d";
    let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let place = ("location", "https://www.example.com");
    let rest = [("cache-control", "private"), date, place];
    let with = |status| pairs(&[&[(":status", status)][..], &rest].concat());
    assert_eq!(read(&mut decoder, &bytes(first)).unwrap(), with("302"));
    assert_eq!(read(&mut decoder, &bytes("4803333037c1c0bf")).unwrap(), with("307"));
    // `:status: 302` has left.
    assert_eq!(read(&mut decoder, &bytes("88c1")).unwrap().len(), 2);
    assert_eq!(read(&mut decoder, &bytes("c2")), Err(BadCode));
}

#[test]
fn what_breaks_the_code() {
    let table: [(&str, &[u8]); 11] = [
        ("index 0", &[0x80]),
        ("index of an empty table", &[0xbe]),
        ("name of an empty table", &[0x7e, 1, b'x']),
        ("far index", &[0xff, 0x80, 0x7f]),
        ("no end of a number", &[0xff; 12]),
        ("no value", &[0x00, 1, b'x']),
        ("cut value", &[0x00, 1, b'x', 5, b'y']),
        ("bad Huffman", &[0x00, 0x81, 0xff, 0]),
        ("end of string within", &[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0]),
        ("a table larger than ours", &[0x3f, 0xe2, 0x1f]),
        ("a size behind a line", &[0x82, 0x20]),
    ];
    for (name, block) in table {
        assert_eq!(read(&mut Decoder::default(), block), Err(BadCode), "{name}");
    }
    // Section 4.2: as large as ours, and twice, is fine.
    assert_eq!(read(&mut Decoder::default(), &[0x20, 0x3f, 0xe1, 0x1f, 0x82]).unwrap().len(), 1);
}

#[test]
fn the_table_holds_what_it_may_and_no_more() {
    let mut decoder = Decoder::default();
    let mut model: Vec<(String, String)> = Vec::new();
    for round in 0..500usize {
        let (name, value) = (format!("x-{round}"), "v".repeat(round * 7 % 300));
        let mut block = vec![0x40];
        string(&mut block, name.as_bytes());
        string(&mut block, value.as_bytes());
        read(&mut decoder, &block).unwrap();
        model.insert(0, (name, value));
        let mut size = 0;
        model.retain(|(n, v)| {
            size += n.len() + v.len() + 32;
            size <= 4096
        });
        let mut all = Vec::new();
        (0..model.len()).for_each(|index| number(&mut all, 0x80, 7, 62 + index as u64));
        assert_eq!(read(&mut decoder, &all).unwrap(), model);
        let mut past = Vec::new();
        number(&mut past, 0x80, 7, 62 + model.len() as u64);
        assert_eq!(read(&mut decoder, &past), Err(BadCode));
    }
    // Section 4.4: an entry larger than the table empties it.
    let mut block = vec![0x40];
    string(&mut block, b"x");
    string(&mut block, &[b'v'; 5000]);
    assert_eq!(read(&mut decoder, &block).unwrap().len(), 1);
    assert_eq!(read(&mut decoder, &[0xbe]), Err(BadCode));
}

#[test]
fn a_name_outlives_the_entry_that_gave_it() {
    let mut decoder = Decoder::default();
    let mut block = vec![0x40];
    string(&mut block, b"x-name");
    string(&mut block, &[b'v'; 2000]);
    read(&mut decoder, &block).unwrap();
    let mut block = vec![0x7e];
    string(&mut block, &[b'w'; 4000]);
    read(&mut decoder, &block).unwrap();
    assert_eq!(read(&mut decoder, &[0xbe]).unwrap(), [("x-name".into(), "w".repeat(4000))]);
}

#[test]
fn what_is_written_can_be_read() {
    let long = "v".repeat(300);
    let mut fields = Fields::default();
    for (name, value) in [
        ("Content-Type", "text/plain"),
        ("X-Odd", long.as_str()),
        ("connection", "close"),
        ("content-length", "7"),
        ("set-cookie", "a=b"),
        ("last-modified", "x"),
    ] {
        fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    let wanted = [
        ("content-type", "text/plain"),
        ("x-odd", &long),
        ("set-cookie", "a=b"),
        ("last-modified", "x"),
        ("content-length", "12"),
    ];
    for status in [100, 200, 204, 206, 301, 304, 400, 404, 418, 500, 503] {
        let mut block = vec![NO_TABLE];
        response(&mut block, status, &fields, Length::Exact(12));
        let status = status.to_string();
        let wanted = pairs(&[&[(":status", status.as_str())][..], &wanted].concat());
        assert_eq!(read(&mut Decoder::default(), &block).unwrap(), wanted);
    }
    for (method, path, query) in
        [("GET", "/", None), ("POST", "/a", Some("b=c")), ("PURGE", "/", Some(""))]
    {
        let mut head = RequestHead::default();
        head.set_method(method.as_bytes()).unwrap();
        head.set_authority(b"a.test").unwrap();
        head.set_path(path.as_bytes()).unwrap();
        head.set_query(query.map(str::as_bytes)).unwrap();
        let mut block = Vec::new();
        request(&mut block, &head, true, Length::None);
        let target = query.map_or(path.to_owned(), |query| format!("{path}?{query}"));
        let wanted = pairs(&[
            (":method", method),
            (":scheme", "https"),
            (":authority", "a.test"),
            (":path", &target),
        ]);
        assert_eq!(read(&mut Decoder::default(), &block).unwrap(), wanted);
    }
    assert!(!trailers(&mut Vec::new(), &ResponseHead::default().fields));
}

#[test]
fn names_stand_where_the_table_says() {
    for (index, (name, _)) in table::STATIC.iter().enumerate() {
        if let Some(at) = static_name(Name::of(name.as_bytes()), name.as_bytes()) {
            assert_eq!(at as usize, index + 1, "{name}");
        }
    }
}
