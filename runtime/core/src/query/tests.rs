#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use proptest::prelude::*;

use super::{decode, has, pairs};

fn texts(query: &str) -> Vec<(String, String)> {
    let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
    pairs(query.as_bytes()).map(|(name, value)| (text(name), text(value))).collect()
}

#[test]
fn decoded() {
    for (query, expected) in [
        ("", &[][..]),
        ("a=1&b=2", &[("a", "1"), ("b", "2")]),
        ("a", &[("a", "")]),
        ("a=", &[("a", "")]),
        ("=1", &[("", "1")]),
        ("&&a=1&", &[("a", "1")]),
        ("a=1=2", &[("a", "1=2")]),
        ("a+b=c+d", &[("a b", "c d")]),
        ("a%3Db=%26%2b", &[("a=b", "&+")]),
        ("a=%", &[("a", "%")]),
        ("a=%4", &[("a", "%4")]),
        ("a=%zz%41", &[("a", "%zzA")]),
        ("a=1&a=2", &[("a", "1"), ("a", "2")]),
    ] {
        let expected: Vec<_> =
            expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(texts(query), expected, "{query}");
    }
}

#[test]
fn plain_pairs_are_borrowed() {
    for (name, value) in pairs(b"alpha=1&beta=two") {
        assert!(matches!((name, value), (Cow::Borrowed(_), Cow::Borrowed(_))));
    }
}

#[test]
fn asked_for() {
    assert!(has(b"v=1&v=2", b"v", Some(b"2")));
    assert!(has(b"v", b"v", None));
    assert!(!has(b"v=1", b"v", Some(b"2")));
    assert!(!has(b"vv=1", b"v", None));
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
        let encoded: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        prop_assert_eq!(&*decode(encoded.as_bytes()), &bytes[..]);
    }

    #[test]
    fn any_bytes_will_do(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let pieces = bytes.split(|b| *b == b'&').filter(|piece| !piece.is_empty()).count();
        prop_assert_eq!(pairs(&bytes).count(), pieces);
    }
}
