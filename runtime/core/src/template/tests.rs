#![allow(clippy::unwrap_used)]

use super::{Template, Values, rewrite};
use crate::router::tests::{find, route};

fn expanded(template: &str) -> String {
    let routes = [route("r").path("/users/*/files/*").done()];
    let path = b"/users/ann/files/a/b.txt";
    let found = find(&routes, "h", "/users/ann/files/a/b.txt").unwrap();
    let captures = found.captures;
    let values = Values { captures, path, query: Some(b"x=1"), host: b"example.com" };
    String::from_utf8(rewrite(template, &values)).unwrap()
}

#[test]
fn filled_in() {
    for (template, expected) in [
        ("/v2/{1}", "/v2/ann"),
        ("/{2}/{1}", "/a/b.txt/ann"),
        ("/{3}", "/"),
        ("/{1}{1}", "/annann"),
        ("https://{host}{path}?{query}", "https://example.com/users/ann/files/a/b.txt?x=1"),
        ("/plain", "/plain"),
        ("", ""),
        ("/{0}{x}{", "/{0}{x}{"),
        ("/{{1}}", "/{ann}"),
        ("/{}", "/{}"),
    ] {
        assert_eq!(expanded(template), expected, "{template}");
    }
}

#[test]
fn knows_whether_it_names_the_query() {
    assert!(Template::new("/a?{query}").names_query());
    assert!(!Template::new("/a?{path}").names_query());
}
