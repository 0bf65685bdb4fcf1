#![allow(clippy::unwrap_used)]

use pilotlight_filter::abi::limit::{REGEX_BYTES, REGEX_PATTERN};

use super::cache::Cache;
use super::flags::{CHECKED, DFA, MACHINE};
use super::{Failure, Limits, Regexes};

const LIMITS: Limits = Limits { steps: 1_000_000, patterns: 1024, memory: 16 << 20 };
const NONE: i32 = -1;
const UTF: u32 = 1 << 4;

fn regexes() -> Regexes {
    Regexes::new(&LIMITS, 1)
}

fn groups(regexes: &mut Regexes, pattern: &str, flags: u32, subject: &str) -> Option<Vec<i32>> {
    let found = regexes.find(pattern.as_bytes(), flags, subject.as_bytes(), 0).unwrap();
    found.map(|_| regexes.groups().to_vec())
}

fn mistake(pattern: &[u8]) -> String {
    match regexes().compile(pattern, 0) {
        Err(Failure::Pattern(message)) => String::from_utf8_lossy(&message).into_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn matches_interpreted_by_machine_and_the_longest() {
    let mut regexes = regexes();
    for flags in [0, MACHINE] {
        let all = groups(&mut regexes, "(a)|(b)(c)?", flags, "xb");
        assert_eq!(all, Some(vec![1, 2, NONE, NONE, 1, 2, NONE, NONE]));
        assert_eq!(groups(&mut regexes, "^b", flags, "xb"), None);
        assert_eq!(groups(&mut regexes, "", flags, ""), Some(vec![0, 0]));
    }
    assert_eq!(groups(&mut regexes, "a|ab|abc", 0, "xabcd"), Some(vec![1, 2]));
    assert_eq!(groups(&mut regexes, "(a)|ab|abc", DFA, "xabcd"), Some(vec![1, 4]));
    assert_eq!(groups(&mut regexes, "(a)|ab|abc", 0, "xabcd"), Some(vec![1, 2, 1, 2]));
}

/// What is too short for a match is not tried; the shortest match still is.
#[test]
fn short_ends_match_or_not_as_before() {
    for pattern in [
        "ab",
        "a?b",
        "(?<=x)b",
        "(?:ab|c)",
        "a\\Kb",
        "b(*ACCEPT)cd",
        "(*NO_START_OPT)ab",
        "é",
        ".",
        "(a)\\1",
    ] {
        for subject in ["", "a", "b", "ab", "xb", "xab", "c", "é", "aa", "xaa"] {
            for from in 0..=subject.len() {
                let mut regexes = regexes();
                let mut find = |flags| {
                    let found = regexes.find(pattern.as_bytes(), flags, subject.as_bytes(), from);
                    found.unwrap().map(|found| (found.from, found.to))
                };
                assert_eq!(find(0), find(MACHINE), "{pattern} in {subject} from {from}");
            }
        }
    }
}

#[test]
fn searches_go_on_behind_a_match_and_behind_characters() {
    let mut regexes = regexes();
    let mut next = |pattern: &str, flags, from| {
        let found = regexes.find(pattern.as_bytes(), flags, "aé".as_bytes(), from).unwrap();
        found.map(|found| (found.from, found.to, found.next))
    };
    assert_eq!(next("a", 0, 0), Some((0, 1, 1)));
    assert_eq!(next("", 0, 0), Some((0, 0, 1)));
    assert_eq!(next("", 0, 1), Some((1, 1, 2)));
    assert_eq!(next("", UTF, 1), Some((1, 1, 3)));
    assert_eq!(next("", UTF | CHECKED, 3), Some((3, 3, 4)));
    // It says itself that it is UTF-8.
    assert_eq!(next("(*UTF)", 0, 1), Some((1, 1, 3)));
    assert_eq!(next("(?<=a)", 0, 0), Some((1, 1, 2)));
    assert_eq!(next("a\\K", 0, 0), Some((1, 1, 2)));
}

#[test]
fn mistakes_say_what_and_where() {
    assert_eq!(mistake(b"(abc"), "missing closing parenthesis in \"(abc\"");
    let stray = "unmatched closing parenthesis in \"abc)d\" at \")d\"";
    assert_eq!(mistake(b"abc)d"), stray);
    assert!(mistake(&[b'('; 400]).len() <= 1024);
    let long = mistake(&vec![b'a'; REGEX_PATTERN + 1]);
    assert!(long.starts_with("pattern string is longer than the limit"), "{long}");
}

#[test]
fn limits_end_a_match() {
    let limits = Limits { steps: 1000, ..LIMITS };
    let subject = [b'a'; 60];
    for flags in [0, MACHINE] {
        let found = Regexes::new(&limits, 1).find(b"(a+)+$|b", flags, &[b'a'; 60], 0);
        assert!(found.is_ok());
        let found = Regexes::new(&limits, 1).find(b"(?:a|a?)+[xy]", flags, &subject, 0);
        assert_eq!(found, Err(Failure::Match(pcre2_sys::PCRE2_ERROR_MATCHLIMIT)));
    }
    // A stack that is too small for machine code is no end: the heap takes over, to its limit.
    let subject = vec![b'a'; 400_000];
    let found = regexes().find(b"^(?:a|b)*[cd]", MACHINE, &subject, 0);
    assert_eq!(found, Err(Failure::Match(pcre2_sys::PCRE2_ERROR_HEAPLIMIT)));
    let found = regexes().find(b"^(?:a|b)*", MACHINE, &subject[..20_000], 0).unwrap().unwrap();
    assert_eq!((found.from, found.to), (0, 20_000));
    // The other algorithm recurses on the thread's own stack.
    let nested = [vec![b'('; 5000], vec![b')'; 5000]].concat();
    let found = regexes().find(br"\((?R)*\)", DFA, &nested, 0);
    assert_eq!(found, Err(Failure::Match(pcre2_sys::PCRE2_ERROR_DEPTHLIMIT)));
}

#[test]
fn subjects_that_are_not_utf8_are_refused() {
    let found = regexes().find(b".", UTF, b"a\xff", 0);
    assert!(matches!(found, Err(Failure::Match(-23..=-3))), "{found:?}");
    let found = regexes().find(b".", UTF, "é".as_bytes(), 1);
    assert_eq!(found, Err(Failure::Match(pcre2_sys::PCRE2_ERROR_BADUTFOFFSET)));
    assert_eq!(
        regexes().find(b".", 0, b"", 5),
        Err(Failure::Match(pcre2_sys::PCRE2_ERROR_BADOFFSET))
    );
}

#[test]
fn names_and_their_groups() {
    let mut regexes = regexes();
    regexes.compile(b"(?<year>a)(b)(?<day>c)", 0).unwrap();
    let names: Vec<_> = (0..3).map(|index| regexes.name(index)).collect();
    assert_eq!(names, [Some((&b"day"[..], 3)), Some((&b"year"[..], 1)), None]);
}

#[test]
fn replacements() {
    let mut regexes = regexes();
    let mut replaced = |pattern: &str, flags, subject: &str, with: &str, once| {
        let mut out = Vec::new();
        let count = regexes.replace(
            pattern.as_bytes(),
            flags,
            subject.as_bytes(),
            with.as_bytes(),
            once,
            &mut out,
        );
        (count.unwrap(), String::from_utf8(out).unwrap())
    };
    assert_eq!(replaced("b", 0, "abcb", "<$0>", false), (2, "a<b>c<b>".into()));
    assert_eq!(replaced("b", 0, "abcb", "<$0>", true), (1, "a<b>cb".into()));
    assert_eq!(replaced("x", 0, "abcb", "-", false), (0, String::new()));
    assert_eq!(replaced("", 0, "ab", "-", false), (3, "-a-b-".into()));
    assert_eq!(replaced("", UTF, "éa", "-", false), (3, "-é-a-".into()));
    assert_eq!(replaced("a*", 0, "baac", "-", false), (4, "-b--c-".into()));
    assert_eq!(replaced("(a)|b", 0, "ab", "[$1$2]", false), (2, "[a][]".into()));
    assert_eq!(replaced("$", 0, "ab", "!", false), (1, "ab!".into()));
    let mut out = Vec::new();
    let with = [b'x'; 10_000];
    let large = regexes.replace(b"a", 0, &[b'a'; 10_000], &with, false, &mut out);
    assert_eq!(large, Err(Failure::TooLarge));
    let wrong = regexes.replace(b"a", 0, b"b", b"$x", false, &mut out);
    assert!(matches!(wrong, Err(Failure::Template(_))), "{wrong:?}");
}

#[test]
fn the_cache_keeps_to_its_bounds_and_to_what_is_used() {
    let mut cache = Cache::new(3, 7);
    for pattern in [b"a", b"b", b"c"] {
        cache.find(pattern, 0).unwrap();
    }
    assert_eq!(cache.load().0, 3);
    // The first round forgets who was used; from then on `d` is.
    cache.find(b"d", 0).unwrap();
    for pattern in [b"e", b"f", b"g", b"h"] {
        cache.find(b"d", 0).unwrap();
        cache.find(pattern, 0).unwrap();
        assert!(cache.load().0 == 3 && cache.holds(b"d") && cache.holds(pattern));
    }
    assert!(!cache.holds(b"e"));
    // Flags that change the code are another pattern, those that change the match are not.
    let mut cache = Cache::new(10, 7);
    let plain = cache.find(b"a", 0).unwrap();
    assert_eq!(cache.find(b"a", MACHINE | DFA | CHECKED).unwrap(), plain);
    assert_ne!(cache.find(b"a", UTF).unwrap(), plain);
    // Bytes have a bound, too.
    let mut cache = Cache::new(100_000, 7);
    for number in 0..600 {
        let pattern = format!("{number}{}", "(a|b|c)".repeat(500));
        cache.find(pattern.as_bytes(), MACHINE).unwrap();
        assert!(cache.load().1 <= REGEX_BYTES + (1 << 20));
    }
    assert!(cache.load().0 < 600);
}

#[test]
fn hot_patterns_become_machine_code_by_themselves() {
    let mut cache = Cache::new(10, 7);
    let place = cache.find(b"(a|b)+c", 0).unwrap();
    let before = cache.code(place).unwrap().size();
    for _ in 0..20 {
        cache.find(b"(a|b)+c", 0).unwrap();
    }
    assert!(cache.code(place).unwrap().size() > before);
}
