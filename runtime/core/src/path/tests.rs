#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{BadPath, canonicalise, is_canonical};

#[test]
fn one_form() {
    for (raw, canonical) in [
        ("/", "/"),
        ("//", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("//a///b//", "/a/b/"),
        ("/./a/./b/.", "/a/b/"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/..", "/a/"),
        ("/a/..", "/"),
        ("/a/b/../../c/", "/c/"),
        ("/a//../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/%2e/a", "/a"),
        ("/a/...", "/a/..."),
        ("/a/.hidden", "/a/.hidden"),
        ("/a/..b", "/a/..b"),
        ("/%7euser/%41%2d%5F", "/~user/A-_"),
        ("/a%2fb", "/a%2Fb"),
        ("/a/%2f/b", "/a/%2F/b"),
        ("/a%5cb", "/a%5Cb"),
        ("/caf\u{e9}", "/caf%C3%A9"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a|b{c}", "/a%7Cb%7Bc%7D"),
        ("/a%20b", "/a%20b"),
        ("/%252e%252e/", "/%252e%252e/"),
        ("/a;v=1,2/b=c@d:e", "/a;v=1,2/b=c@d:e"),
        ("/a/.b;/c", "/a/.b;/c"),
    ] {
        let found = canonicalise(raw.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), canonical, "{raw}");
        assert_eq!(is_canonical(raw.as_bytes()), raw == canonical, "{raw}");
    }
}

#[test]
fn refused() {
    for (raw, expected) in [
        ("", BadPath::Relative),
        ("a", BadPath::Relative),
        ("*", BadPath::Relative),
        ("/..", BadPath::AboveRoot),
        ("/a/../..", BadPath::AboveRoot),
        ("/%2e%2e/etc/passwd", BadPath::AboveRoot),
        ("//..", BadPath::AboveRoot),
        ("/a%00", BadPath::Control),
        ("/a%0d%0a", BadPath::Control),
        ("/a%7f", BadPath::Control),
        ("/a\0", BadPath::Control),
        ("/a b", BadPath::Control),
        ("/a\x7f", BadPath::Control),
        ("/a\\b", BadPath::Backslash),
        ("/%", BadPath::Escape),
        ("/%2", BadPath::Escape),
        ("/%2g", BadPath::Escape),
        ("/%+1", BadPath::Escape),
        ("/a?b", BadPath::Delimiter),
        ("/a#b", BadPath::Delimiter),
        ("/a/..;/b", BadPath::DotParameter),
        ("/..;x=1", BadPath::DotParameter),
        ("/a/%2e;/b", BadPath::DotParameter),
    ] {
        assert_eq!(canonicalise(raw.as_bytes()), Err(expected), "{raw:?}");
        assert!(!is_canonical(raw.as_bytes()), "{raw:?}");
    }
}

/// Paths that are made of what makes paths hard.
pub(crate) fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"/".to_vec()),
        2 => Just(b".".to_vec()),
        1 => Just(b"..".to_vec()),
        1 => Just(b"%2e".to_vec()),
        1 => Just(b"%2F".to_vec()),
        1 => Just(b"%2f".to_vec()),
        1 => Just(b"%".to_vec()),
        1 => Just(b";".to_vec()),
        2 => Just(b"a".to_vec()),
        1 => Just(b"%41".to_vec()),
        1 => Just(b"%c3".to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| {
        let mut path = b"/".to_vec();
        path.extend(pieces.concat());
        path
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn canonical_is_a_fixed_point(raw in nasty()) {
        match canonicalise(&raw) {
            Ok(once) => {
                prop_assert!(is_canonical(&once), "{:?}", String::from_utf8_lossy(&once));
                prop_assert_eq!(&canonicalise(&once).unwrap(), &once);
                prop_assert_eq!(is_canonical(&raw), raw == once);
                prop_assert!(once.is_ascii() && !once.windows(2).any(|w| w == b"//"));
                prop_assert!(!once.split(|b| *b == b'/').any(|s| s == b"." || s == b".."));
            }
            Err(_) => prop_assert!(!is_canonical(&raw)),
        }
    }
}
