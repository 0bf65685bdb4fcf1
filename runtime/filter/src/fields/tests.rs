#![allow(clippy::unwrap_used)]
use super::*;

fn sample() -> Fields {
    let mut fields = Fields::default();
    for (name, value) in [("Host", "a"), ("x-a", "1"), ("X-A", "2"), ("cookie", "k=v")] {
        fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn list(fields: &Fields) -> Vec<String> {
    fields
        .iter()
        .map(|(_, n, v)| format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v)))
        .collect()
}

#[test]
fn reads_in_any_case_and_keeps_repeats_apart() {
    let fields = sample();
    assert_eq!(fields.get(b"HOST"), Some(&b"a"[..]));
    assert_eq!(fields.get(b"x-A"), Some(&b"1"[..]));
    assert_eq!(fields.all(b"x-a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(fields.get(b"x-b"), None);
}

#[test]
fn a_cookie_is_found_on_any_line() {
    let mut fields = sample();
    fields.push_checked(b"Cookie", b"a=b; v=\"1\" ;kk=2;v=3");
    for (name, value) in
        [("k", Some("v")), ("a", Some("b")), ("v", Some("1")), ("kk", Some("2")), ("K", None)]
    {
        assert_eq!(fields.cookie(name.as_bytes()), value.map(str::as_bytes), "{name}");
    }
    fields.set(b"cookie", b"variant;;=;xk=1; k=\"").unwrap();
    assert_eq!(fields.cookie(b"k"), Some(&b"\""[..]));
    assert_eq!(fields.cookie(b"variant"), None);
}

#[test]
fn set_keeps_the_first_place_and_drops_the_rest() {
    let mut fields = sample();
    fields.set(b"x-a", b"3").unwrap();
    assert_eq!(list(&fields), ["Host: a", "x-a: 3", "cookie: k=v"]);
    fields.set(b"x-new", b"").unwrap();
    assert_eq!(fields.get(b"x-new"), Some(&b""[..]));
    assert!(fields.remove(b"COOKIE"));
    assert!(!fields.remove(b"cookie"));
}

#[test]
fn nothing_that_splits_a_message_gets_in() {
    let mut fields = sample();
    for (name, value, error) in [
        ("", "v", BadField::Name),
        ("a b", "v", BadField::Name),
        ("a:", "v", BadField::Name),
        (":path", "/", BadField::Name),
        ("a\r\nb", "v", BadField::Name),
        ("a", "v\r\nb: c", BadField::Value),
        ("a", "v\0", BadField::Value),
        ("a", " v", BadField::Value),
        ("a", "v\x7f", BadField::Value),
        ("Content-Length", "3", BadField::Framing),
        ("transfer-encoding", "chunked", BadField::Framing),
    ] {
        assert_eq!(fields.set(name.as_bytes(), value.as_bytes()), Err(error), "{name:?}");
        assert_eq!(fields.add(name.as_bytes(), value.as_bytes()), Err(error), "{name:?}");
    }
    assert_eq!(fields.len(), 4);
}

#[test]
fn growth_ends() {
    let mut fields = Fields::default();
    let value = vec![b'a'; 64 * 1024];
    let error = (0..).find_map(|_| fields.add(b"x", &value).err()).unwrap();
    assert_eq!(error, BadField::TooLarge);
    assert!(fields.bytes() <= ARENA_MAX);
}
