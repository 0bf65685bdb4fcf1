use super::*;

/// What a script reads of `data` in pieces of `size`, when the bytes come `step` at a time.
fn read(pattern: &str, data: &str, size: usize, step: usize) -> Vec<String> {
    let pattern = Pattern::new(pattern.as_bytes());
    let (mut data, mut got) = (data.as_bytes(), Vec::new());
    'reads: loop {
        let mut search = Search::default();
        for here in (0..=data.len()).step_by(step).chain([data.len()]) {
            let (length, taken, last) = match pattern.find(&mut search, &data[..here], size) {
                Found::More => continue,
                Found::Text(before) => (before, before + pattern.text().len(), true),
                Found::Enough(before) => (before, before, false),
            };
            got.push(String::from_utf8_lossy(&data[..length]).into_owned());
            data = &data[taken..];
            if last && size > 0 {
                got.push("nil".into());
            }
            continue 'reads;
        }
        got.push(format!("closed [{}]", String::from_utf8_lossy(&data[..search.passed()])));
        return got;
    }
}

#[test]
fn texts_that_repeat_within_themselves() {
    for (pattern, data, size, want) in [
        ("abcabd", "abcabcabd\n", 0, &["abc", "closed [\n]"][..]),
        ("aa", "abcabcaad\n", 0, &["abcabc", "closed [d\n]"]),
        ("aaa", "baaaaaa\n", 0, &["b", "", "closed [\n]"]),
        ("aaaaad", "baaaaaaaaeaaaaaaaadf\n", 0, &["baaaaaaaaeaaa", "closed [f\n]"]),
        ("abcabdabcabe", "abcabdabcabdabcabe\n", 0, &["abcabd", "closed [\n]"]),
        ("--abc", "hello, world ----abc\n", 0, &["hello, world --", "closed [\n]"]),
        (
            "--abc",
            "hello, world ----abc\n",
            4,
            &["hell", "o, w", "orld", " --", "nil", "closed [\n]"],
        ),
        ("--abc", "-----abc\n", 2, &["--", "-", "nil", "closed [\n]"]),
        // A part that comes to nothing counts as a whole.
        ("ab1ab2", "ab1ab1\n", 2, &["ab1", "ab1", "closed [\n]"]),
        ("\r\n\r\n", "a\r\nb\r\r\n\r\n", 0, &["a\r\nb\r", "closed []"]),
        ("x", "xx", 0, &["", "", "closed []"]),
        ("x", "axb", 1, &["a", "", "nil", "b", "closed []"]),
        // A beginning of the text is not handed out before it is known not to be it.
        ("--abc", "hi--ab", 0, &["closed [hi]"]),
    ] {
        for step in [1, 2, 3, 1000] {
            assert_eq!(read(pattern, data, size, step), want, "{pattern:?} in {data:?}, {step}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn as_a_plain_search_finds_it(
        pattern in "[ab]{1,6}",
        data in "[abc]{0,60}",
        step in 1..9_usize,
    ) {
        let mut want: Vec<_> = data.split(&pattern).map(str::to_owned).collect();
        let rest = want.pop().unwrap_or_default();
        let got = read(&pattern, &data, 0, step);
        proptest::prop_assert_eq!(&got[..got.len() - 1], &want[..]);
        let partial = got.last().unwrap().strip_prefix("closed [").unwrap().trim_end_matches(']');
        let held = &rest[partial.len()..];
        proptest::prop_assert!(rest.starts_with(partial) && pattern.starts_with(held));
    }

    #[test]
    fn in_pieces_nothing_is_lost(pattern in "[ab]{1,6}", data in "[abc]{0,60}", size in 1..6_usize) {
        let pieces = read(&pattern, &data, size, 1);
        let whole = read(&pattern, &data, 0, 1);
        let last = pieces.last().unwrap();
        let joined = pieces[..pieces.len() - 1].join("").replace("nil", "|");
        let partial = last.strip_prefix("closed [").unwrap();
        let other = whole[..whole.len() - 1].iter().map(|part| format!("{part}|"));
        let other: String = other.collect::<String>() + whole.last().unwrap().strip_prefix("closed [").unwrap();
        proptest::prop_assert_eq!(joined + partial, other);
    }
}
