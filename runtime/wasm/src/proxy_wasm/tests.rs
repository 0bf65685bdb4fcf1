#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::maps::{BYTES_MAX, Malformed, PAIRS_MAX, Pair, decode, encode, encoded_len};

fn encoded(pairs: &[Pair<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(pairs.iter().copied(), &mut out);
    assert_eq!(out.len(), encoded_len(pairs.iter().copied()));
    out
}

#[test]
fn the_layout_is_the_abis() {
    let bytes = encoded(&[(b"A", b"1"), (b"bc", b"")]);
    assert_eq!(bytes, b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0a\x001\0bc\0\0");
    assert_eq!(decode(&bytes).unwrap(), [(&b"a"[..], &b"1"[..]), (b"bc", b"")]);
    assert_eq!(decode(b"").unwrap(), []);
    assert_eq!(decode(b"\0").unwrap(), []);
    assert_eq!(decode(b"\0\0\0\0").unwrap(), []);
}

#[test]
fn what_lies_outside_is_refused() {
    let huge = [&(PAIRS_MAX as u32 + 1).to_le_bytes()[..], &vec![0; 1 << 15]].concat();
    let long = [&[0; 4][..], &vec![0; BYTES_MAX]].concat();
    for bytes in [
        &b"\x01"[..],
        b"\x01\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\x001",
        b"\x01\0\0\0\x01\0\0\0\x01\0\0\0aX1\0",
        b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xffa\x001\0",
        &huge,
        &long,
    ] {
        assert_eq!(decode(bytes), Err(Malformed), "{:?}", &bytes[..bytes.len().min(20)]);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        pairs in prop::collection::vec(("[a-z:-]{0,20}", prop::collection::vec(any::<u8>(), 0..40)), 0..40)
    ) {
        let pairs: Vec<Pair<'_>> = pairs.iter().map(|(k, v)| (k.as_bytes(), v.as_slice())).collect();
        let bytes = encoded(&pairs);
        let expected: Vec<Pair<'_>> = if bytes == b"\0" { Vec::new() } else { pairs.clone() };
        prop_assert_eq!(decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_changed_byte_never_breaks_it(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut bytes = encoded(&[(b"name", b"value"), (b"other", b""), (b"", b"x")]);
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(pairs) = decode(&bytes) {
            prop_assert!(pairs.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() < bytes.len());
        }
    }
}

/// Where a call goes: paths that are whole URLs, and what stands for an authority that is not given.
#[test]
fn a_call_has_a_url() {
    let url = |path: &str, authority: Option<&str>, name: &str| {
        let mut fields: Vec<Pair<'_>> = vec![(b":method", b"GET"), (b":path", path.as_bytes())];
        fields.extend(authority.map(|authority| (&b":authority"[..], authority.as_bytes())));
        super::calling::request(&fields, "peer".into(), name.as_bytes(), 0).map(|call| call.url)
    };
    assert_eq!(url("/a?b", Some("h"), "peer").unwrap(), "http://h/a?b");
    assert_eq!(url("https://h/a?b", Some("h"), "peer").unwrap(), "http://h/a?b");
    assert_eq!(url("http://h", Some("h"), "peer").unwrap(), "http://h/");
    assert_eq!(url("/", None, "peer:8080").unwrap(), "http://peer:8080/");
    assert_eq!(url("/", None, "outbound|80||peer").unwrap(), "http://peer/");
    assert!(url("a", Some("h"), "peer").is_err());
    assert!(url("ftp://h/", Some("h"), "peer").is_err());
}
