#![allow(clippy::unwrap_used)]
use super::*;

fn captured(pattern: &str, path: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let regex = PathRegex::new(pattern).unwrap();
    regex.captures(path.as_bytes(), |group| all.push(path[group].to_owned())).then_some(all)
}

#[test]
fn it_matches_somewhere_and_its_groups_capture() {
    for (pattern, path, expected) in [
        ("^/a(.+)$", "/abc", Some(&["bc"][..])),
        ("^/a(.+)$", "/a", None),
        (r"\.php$", "/x/y.php", Some(&[])),
        (r"\.php$", "/x/y.phps", None),
        ("(?i)^/ABC", "/aBcd", Some(&[])),
        ("/(b)|/(c)", "/c", Some(&["", "c"])),
        (r"^/(?<name>\w+)/(\d*)$", "/user/", Some(&["user", ""])),
        ("(a+)+$", "/aaab", None),
        ("", "/", Some(&[])),
    ] {
        let expected = expected.map(|list| list.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(captured(pattern, path), expected, "{pattern} {path}");
    }
}

#[test]
fn what_is_none() {
    for (pattern, reason) in [
        ("(a", "unclosed group"),
        ("a(?!b)", "look-around, including look-ahead and look-behind, is not supported"),
        (r"(a)\1", "backreferences are not supported"),
        (r"\p{Greek}", "Unicode not allowed here"),
        ("(a{1,1000}){1,1000}", "it is too large"),
        ("()()()()()()()()()", "it has more than 8 groups"),
    ] {
        assert_eq!(PathRegex::new(pattern).unwrap_err(), reason, "{pattern}");
    }
    assert!(PathRegex::new(&"(".repeat(100)).is_err());
    assert!(PathRegex::new(&format!("{}a{}", "(?:".repeat(100), ")".repeat(100))).is_err());
}

/// What a hostile path would need exponential time for, elsewhere.
#[test]
fn time_is_linear() {
    let path = format!("/{}!", "a".repeat(8000));
    assert_eq!(captured("^/(a|a)*$", &path), None);
    assert_eq!(captured("^(([a-z/])+.)+[A-Z]([a-z])+$", &path), None);
}
