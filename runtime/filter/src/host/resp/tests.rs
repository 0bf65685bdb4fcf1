use super::*;

/// The replies in `bytes`, which come `step` at a time; an error ends them.
fn replies(bytes: &[u8], step: usize) -> Vec<Result<Reply, &'static str>> {
    let (mut reader, mut from, mut all) = (Reader::default(), 0, Vec::new());
    let mut to = 0;
    while to < bytes.len() {
        to = (to + step).min(bytes.len());
        loop {
            match reader.read(&bytes[from..to]) {
                Ok((used, reply)) => {
                    from += used;
                    match reply {
                        Some(reply) => all.push(Ok(reply)),
                        None => break,
                    }
                }
                Err(error) => {
                    all.push(Err(error));
                    return all;
                }
            }
        }
    }
    all
}

fn text(text: &str) -> Value {
    Value::from(text)
}

#[test]
fn replies_of_all_kinds_however_they_come() {
    let nested = Value::List(vec![
        Value::Int(1),
        Value::List(vec![text("a\r\nb"), Value::Bool(false)]),
        Value::Map(vec![("err".into(), text("ERR no"))]),
        Value::List(vec![]),
    ]);
    for (bytes, want) in [
        ("+OK\r\n", Reply::Value(text("OK"))),
        ("-ERR wrong\r\n", Reply::Refused("ERR wrong".into())),
        (":-12\r\n", Reply::Value(Value::Int(-12))),
        ("$0\r\n\r\n", Reply::Value(text(""))),
        ("$-1\r\n", Reply::Value(Value::Nil)),
        ("*-1\r\n", Reply::Value(Value::Nil)),
        ("*0\r\n", Reply::Value(Value::List(vec![]))),
        ("*4\r\n:1\r\n*2\r\n$4\r\na\r\nb\r\n$-1\r\n-ERR no\r\n*0\r\n", Reply::Value(nested)),
    ] {
        for step in [1, 2, 7, 100] {
            let twice = replies(&[bytes, bytes].concat().into_bytes(), step);
            assert_eq!(twice.len(), 2, "{bytes:?}");
            assert!(twice.iter().all(|reply| reply.as_ref() == Ok(&want)), "{bytes:?}: {twice:?}");
        }
    }
}

#[test]
fn what_is_not_a_reply() {
    for (bytes, why) in [
        ("HTTP/1.1 400\r\n", MALFORMED),
        ("+a\rb\r\n", MALFORMED),
        (":x\r\n", MALFORMED),
        ("$-2\r\n", MALFORMED),
        ("$1\r\nabc", MALFORMED),
        ("*x\r\n", MALFORMED),
        ("$99999999999\r\n", TOO_LARGE),
        ("*99999999999\r\n", TOO_LARGE),
        ("$999999999999999999999\r\n", MALFORMED),
    ] {
        assert_eq!(replies(bytes.as_bytes(), 100), [Err(why)], "{bytes:?}");
    }
    let deep = "*1\r\n".repeat(DEPTH + 1);
    assert_eq!(replies(deep.as_bytes(), 100), [Err(MALFORMED)]);
    let line = "+".repeat(LINE_MAX + 2);
    assert_eq!(replies(line.as_bytes(), 1 << 20), [Err(MALFORMED)]);
    assert_eq!(replies(b"$5\r\nabc", 1), [], "half a reply is none");
}

#[test]
fn commands() {
    let mut out = Vec::new();
    command(&mut out, [&b"SET"[..], b"k", b"\r\n"].into_iter());
    assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n\r\n\r\n");
}

#[test]
fn signing_in() {
    let said = |user, password, database| sign_in(user, password, database).concat();
    assert_eq!(said(Some("u"), None, 0), b"");
    assert_eq!(said(None, Some("p"), 0), b"*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n");
    assert_eq!(
        said(Some("u"), Some("p"), 7),
        b"*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n"
    );
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in "[*$:+\\-0-9a\r\n]{0,80}", step in 1..9_usize) {
        let whole = replies(bytes.as_bytes(), 1000);
        proptest::prop_assert_eq!(replies(bytes.as_bytes(), step), whole);
    }
}
