use super::*;

fn until(text: &str, size: usize, inclusive: bool) -> Want {
    Want::Until { pattern: Rc::new(Pattern::new(text.as_bytes())), size, inclusive }
}

/// Takes what is wanted of pieces that come one after the other; what was taken, what is left.
fn taken(want: Want, pieces: &[&str]) -> (Option<String>, String) {
    let (mut input, mut reading) = (Input::default(), Reading::new(want));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for piece in pieces {
        input.room().extend_from_slice(piece.as_bytes());
        if let Some(data) = reading.take(&mut input) {
            return (Some(text(&data.bytes)), text(input.unread()));
        }
    }
    let rest = reading.rest(&mut input);
    (None, text(&rest))
}

#[test]
fn wants() {
    for (want, pieces, got, left) in [
        (Want::Line, &["a\r", "b\r\nc"][..], Some("ab"), "c"),
        (Want::Line, &["\n"], Some(""), ""),
        (Want::Line, &["ab\r", "cd"], None, "abcd"),
        (Want::All, &["a\n", "b"], None, "a\nb"),
        (Want::Exactly(3), &["ab", "cd"], Some("abc"), "d"),
        (Want::Exactly(3), &["ab"], None, "ab"),
        (Want::Any(2), &["", "abc"], Some("ab"), "c"),
        (Want::Any(9), &["abc"], Some("abc"), ""),
        (until("--", 0, false), &["a-", "b-", "-c"], Some("a-b"), "c"),
        (until("--", 0, true), &["a-", "b-", "-c"], Some("a-b--"), "c"),
        (until("--", 2, true), &["a-", "b-", "-c"], Some("a-"), "b-"),
        (until("--", 0, false), &["a-b-"], None, "a-b"),
    ] {
        let got = got.map(str::to_owned);
        assert_eq!(taken(want, pieces), (got, left.to_owned()), "{pieces:?}");
    }
}

#[test]
fn what_was_taken_makes_room() {
    let mut input = Input::default();
    for _ in 0..1000 {
        input.room().extend_from_slice(b"0123456789");
        let data = Reading::new(Want::Exactly(9)).take(&mut input).unwrap();
        assert_eq!(data.bytes.len(), 9);
    }
    assert_eq!(input.unread().len(), 1000);
    assert!(input.room().len() <= 2010);
}

#[test]
fn large_reads_come_in_large_chunks() {
    let input = Input::default();
    let chunk = |want| Reading::new(want).chunk(&input, 4096);
    assert_eq!(chunk(Want::Line), 4096);
    assert_eq!(chunk(Want::Exactly(10_000)), 10_000);
    assert_eq!(chunk(Want::Exactly(1 << 20)), 64 * 1024);
}
