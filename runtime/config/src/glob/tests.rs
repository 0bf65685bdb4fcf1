use super::*;

#[test]
fn parts() {
    for (pattern, name, expected) in [
        ("*.toml", "a.toml", true),
        ("*.toml", "a.tom", false),
        ("*.toml", ".a.toml", false),
        (".*.toml", ".a.toml", true),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("?.toml", "ä.toml", true),
        ("?.toml", "ab.toml", false),
        ("*", "", true),
        ("**", "abc", true),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}
