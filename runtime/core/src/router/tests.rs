#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use pilotlight_config::manifest::{Match as Matcher, PathRegex, Route};
use proptest::prelude::*;

use super::{Match, Query, Reason, Router};
use crate::path::canonicalise;

/// A route under construction.
pub(crate) struct Draft(Route);

pub(crate) fn route(name: &str) -> Draft {
    static PLAIN: LazyLock<Route> = LazyLock::new(|| parsed("respond = {}"));
    Draft(Route { name: name.into(), ..PLAIN.clone() })
}

impl Draft {
    pub(crate) fn path(mut self, path: &str) -> Draft {
        self.0.matcher.path = Some(path.into());
        self
    }
    fn regex(mut self, regex: &str) -> Draft {
        self.0.matcher.regex = Some(pathregex(regex));
        self
    }
    fn host(mut self, host: &str) -> Draft {
        self.0.matcher.host = Some(host.into());
        self
    }
    fn method(mut self, method: &str) -> Draft {
        self.0.matcher.methods.push(method.into());
        self
    }
    fn header(mut self, name: &str, value: &str) -> Draft {
        self.0.matcher.headers.push((name.into(), value.into()));
        self
    }
    fn query(mut self, name: &str, value: &str) -> Draft {
        self.0.matcher.query.push((name.into(), value.into()));
        self
    }
    fn listener(mut self, name: &str) -> Draft {
        self.0.matcher.listeners.push(name.into());
        self
    }
    fn internal(mut self) -> Draft {
        self.0.internal = true;
        self
    }
    pub(crate) fn done(self) -> Route {
        self.0
    }
}

/// Only a manifest makes one.
fn pathregex(text: &str) -> PathRegex {
    let route = parsed(&format!("match = {{ regex = '{text}' }}\nrespond = {{}}"));
    route.matcher.regex.unwrap()
}

/// A route with these keys.
fn parsed(keys: &str) -> Route {
    let listener = "listeners = [{ address = \"127.0.0.1:1\" }]";
    let text = format!("{listener}\n[[routes]]\n{keys}\n");
    let loaded = pilotlight_config::parse_str(&text, std::path::Path::new("/")).unwrap();
    loaded.manifest.routes[0].clone()
}

fn no_header<'a>(_: &str) -> Option<&'a [u8]> {
    None
}

fn query<'a>(host: &'a str, path: &'a [u8]) -> Query<'a> {
    let (host, header) = (host.as_bytes(), &no_header);
    Query { listener: "web", host, path, method: b"GET", header, query: None, internal: false }
}

pub(crate) fn find(routes: &[Route], host: &str, path: &str) -> Option<Match> {
    Router::new(routes).find(&query(host, path.as_bytes()))
}

fn found<'r>(routes: &'r [Route], query: &Query<'_>) -> Option<&'r str> {
    Router::new(routes).find(query).map(|found| &*routes[found.route].name)
}

fn captured(pattern: &str, path: &str) -> Option<Vec<String>> {
    let found = find(&[route("r").path(pattern).done()], "h", path)?;
    let text = |at| String::from_utf8_lossy(found.captures.get(at, path.as_bytes())).into_owned();
    Some((1..=found.captures.len()).map(text).collect())
}

#[test]
fn patterns() {
    for (pattern, path, expected) in [
        ("/a/b", "/a/b", Some(&[][..])),
        ("/a/b", "/a/b/", None),
        ("/a/b", "/a/bc", None),
        ("/a/b", "/a", None),
        ("/", "/", Some(&[])),
        ("/", "/a", None),
        ("/a/*", "/a/b", Some(&["b"])),
        ("/a/*", "/a/b/c/", Some(&["b/c/"])),
        ("/a/*", "/a/", Some(&[""])),
        ("/a/*", "/a", None),
        ("/a/*", "/ab", None),
        ("/a*", "/a", Some(&[""])),
        ("/a*", "/a/", Some(&["/"])),
        ("/a*", "/abc/d", Some(&["bc/d"])),
        ("/a*", "/b", None),
        ("/*", "/", Some(&[""])),
        ("/*", "/a/b", Some(&["a/b"])),
        ("/users/*/posts", "/users/7/posts", Some(&["7"])),
        ("/users/*/posts", "/users/7/8/posts", None),
        ("/users/*/posts", "/users//posts", None),
        ("/users/*/posts", "/users/7/post", None),
        ("/*/b/*/d/*", "/a/b/c/d/e/f", Some(&["a", "c", "e/f"])),
        ("/*/*", "/a/b/c", Some(&["a", "b/c"])),
        ("/*/*", "/a", None),
        ("/*/b*", "/a/b/c", Some(&["a", "/c"])),
        ("/*/b*", "/a/c/b", None),
        ("/a/*/", "/a/b/", Some(&["b"])),
        ("/a/*/", "/a/b", None),
        ("/%7eann/*", "/~ann/x", Some(&["x"])),
        ("/a%2fb", "/a%2Fb", Some(&[])),
    ] {
        let expected = expected.map(|list| list.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(captured(pattern, path), expected, "{pattern} {path}");
    }
}

#[test]
fn any_path_takes_everything_and_captures_nothing() {
    let routes = [route("any").done()];
    for path in ["/", "/a/b", "*", ""] {
        assert!(find(&routes, "h", path).unwrap().captures.is_empty());
    }
}

#[test]
fn only_eight_wildcards_are_kept() {
    let all = captured("/*/*/*/*/*/*/*/*/*/*", "/1/2/3/4/5/6/7/8/9/10");
    assert_eq!(all.unwrap(), ["1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[test]
fn the_longest_path_wins_and_exact_before_wildcard() {
    let paths = [
        "/*",
        "/a/*",
        "/a/b",
        "/a/b/*",
        "/a/*/c",
        "/a/b/c",
        "/a/",
        "/a/*/c/*",
        "/a/bcdef/*",
        "/a/bcd*",
    ];
    let routes: Vec<_> = paths.iter().map(|path| route(path).path(path).done()).collect();
    for (path, expected) in [
        ("/", "/*"),
        ("/x", "/*"),
        ("/a", "/*"),
        ("/a/", "/a/"),
        ("/a/x", "/a/*"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/*"),
        ("/a/b/x", "/a/b/*"),
        ("/a/b/c", "/a/b/c"),
        ("/a/x/c", "/a/*/c"),
        ("/a/x/c/d", "/a/*/c/*"),
        ("/a/b/c/d", "/a/*/c/*"),
        ("/a/bcdef/c", "/a/bcdef/*"),
        ("/a/bcde/c", "/a/bcd*"),
        ("/a/bcd", "/a/bcd*"),
        ("/a/bc/c", "/a/*/c"),
    ] {
        assert_eq!(found(&routes, &query("h", path.as_bytes())), Some(expected), "{path}");
    }
}

#[test]
fn hosts() {
    let routes = [
        route("any").path("/*").done(),
        route("exact").host("a.example.com").path("/only").done(),
        route("star").host("*.example.com").path("/*").done(),
        route("longer").host("*.b.example.com").done(),
        route("six").host("[::1]").path("/*").done(),
    ];
    for (host, path, expected) in [
        ("a.example.com", "/only", "exact"),
        ("A.EXAMPLE.com:8443", "/only", "exact"),
        ("a.example.com.", "/only", "exact"),
        ("a.example.com", "/other", "star"),
        ("x.y.example.com", "/", "star"),
        ("x.b.example.com", "/", "longer"),
        ("b.example.com", "/", "star"),
        ("example.com", "/", "any"),
        (".example.com", "/", "any"),
        ("notexample.com", "/", "any"),
        ("[::1]:80", "/", "six"),
        ("[::1]", "/", "six"),
        ("[::1", "/", "any"),
        ("", "/", "any"),
    ] {
        assert_eq!(found(&routes, &query(host, path.as_bytes())), Some(expected), "{host}{path}");
    }
    let long = "a.".repeat(200) + "example.com";
    assert_eq!(found(&routes, &query(&long, b"/")), Some("any"));
}

#[test]
fn conditions() {
    let routes = [
        route("plain").path("/a").done(),
        route("post").path("/a").method("POST").done(),
        route("beta").path("/a").header("x-beta", "1").done(),
        route("both").path("/a").header("x-beta", "1").query("v", "2").done(),
        route("there").path("/a").query("debug", "*").done(),
        route("inner").path("/a").listener("inner").done(),
    ];
    let beta = |name: &str| (name == "x-beta").then_some(&b"1"[..]);
    let base = query("h", b"/a");
    for (query, expected) in [
        (base, "plain"),
        (Query { method: b"POST", ..base }, "post"),
        (Query { method: b"post", ..base }, "plain"),
        (Query { header: &beta, ..base }, "beta"),
        (Query { header: &beta, query: Some(b"v=%32"), ..base }, "both"),
        (Query { header: &beta, query: Some(b"v=3"), ..base }, "beta"),
        (Query { query: Some(b"x=1&debug"), ..base }, "there"),
        (Query { listener: "inner", ..base }, "inner"),
        // As many conditions each: the one that names methods comes first.
        (Query { method: b"POST", header: &beta, listener: "inner", ..base }, "post"),
    ] {
        assert_eq!(found(&routes, &query), Some(expected));
    }
}

#[test]
fn a_route_whose_conditions_fail_makes_room_for_a_shorter_one() {
    let routes = [
        route("short").path("/*").done(),
        route("long").path("/a/b/*").method("POST").done(),
        route("star").path("/a/*/c").header("x", "*").done(),
    ];
    assert_eq!(found(&routes, &query("h", b"/a/b/c")), Some("short"));
    let captures = find(&routes, "h", "/a/b/c").unwrap().captures;
    assert_eq!((captures.len(), captures.get(1, b"/a/b/c")), (1, &b"a/b/c"[..]));
}

#[test]
fn expressions_come_behind_exact_paths_and_before_wildcards_in_the_order_of_the_file() {
    let routes = [
        route("longest").path("/api/v1/users*").done(),
        route("second").regex(r"\.json$").done(),
        route("first").regex("^/api/(v.)/([a-z]+)").done(),
        route("third").regex("^/api").method("GET").done(),
        route("exact").path("/api/v1/me.json").done(),
        route("put").path("/api/put").method("PUT").done(),
        route("host").host("a.b").regex("^/x").done(),
    ];
    for (host, path, expected) in [
        ("h", "/api/v1/me.json", "exact"),
        ("h", "/api/v1/users.json", "second"),
        ("h", "/api/v1/users", "first"),
        ("h", "/api/put", "third"),
        ("a.b", "/x", "host"),
        ("a.b", "/api/", "third"),
    ] {
        assert_eq!(found(&routes, &query(host, path.as_bytes())), Some(expected), "{path}");
    }
    assert_eq!(found(&routes, &query("h", b"/x")), None);
    let captures = find(&routes, "h", "/api/v1/users").unwrap().captures;
    let texts: Vec<_> = captures.iter(b"/api/v1/users").collect();
    assert_eq!(texts, [&b"v1"[..], b"users"]);
}

#[test]
fn an_expression_whose_conditions_fail_makes_room() {
    let routes = [
        route("put").regex("^/a").method("PUT").done(),
        route("any").path("/a*").done(),
        route("wide").regex("^/a(b?)").header("x", "1").done(),
    ];
    assert_eq!(found(&routes, &query("h", b"/abc")), Some("any"));
    assert_eq!(find(&routes, "h", "/abc").unwrap().captures.get(1, b"/abc"), b"bc");
    let header = |name: &str| (name == "x").then_some(&b"1"[..]);
    let base = query("h", b"/abc");
    assert_eq!(found(&routes, &Query { header: &header, ..base }), Some("wide"));
}

#[test]
fn internal_routes_are_for_scripts() {
    let routes = [
        route("in").path("/a").internal().done(),
        route("out").path("/*").done(),
        route("same").path("/b").done(),
        route("same inside").path("/b").internal().done(),
        route("@name").internal().done(),
    ];
    let router = Router::new(&routes);
    for (path, outside, inside) in
        [("/a", "out", "in"), ("/b", "same", "same inside"), ("/c", "out", "out")]
    {
        let query = query("h", path.as_bytes());
        assert_eq!(found(&routes, &query), Some(outside), "{path}");
        assert_eq!(found(&routes, &Query { internal: true, ..query }), Some(inside), "{path}");
    }
    assert_eq!((router.by_name("@name"), router.by_name("out")), (Some(4), Some(1)));
    assert_eq!(router.by_name("nobody"), None);
    let only = [route("@name").internal().done()];
    assert_eq!(found(&only, &Query { internal: true, ..query("h", b"/") }), None);
}

#[test]
fn explains() {
    let routes = [
        route("chosen").path("/a/b").done(),
        route("shorter").path("/a/*").done(),
        route("inside").internal().done(),
        route("host").host("*.x.com").done(),
        route("path").path("/b").done(),
        route("method").method("PUT").done(),
        route("header").header("x", "1").done(),
        route("query").query("q", "*").done(),
        route("listener").listener("l").done(),
        route("regex").regex("^/b").done(),
    ];
    let reasons: Vec<_> = Router::new(&routes)
        .explain(&routes, &query("h", b"/a/b"))
        .into_iter()
        .map(|w| w.reason)
        .collect();
    assert_eq!(reasons[0], Reason::Chosen);
    let texts: Vec<_> = reasons.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "matches",
            "\"chosen\" is more specific",
            "internal: only scripts reach it",
            "host is not *.x.com",
            "path is not /b",
            "method is not PUT",
            "header is not x: 1",
            "query has no q=*",
            "listener is not l",
            "path does not match ^/b",
        ]
    );
}

#[test]
fn no_routes_no_match() {
    assert_eq!(find(&[], "h", "/"), None);
}

fn some_route() -> impl Strategy<Value = Route> {
    let host = prop_oneof![
        Just(None),
        Just(Some("a.b")),
        Just(Some("*.b")),
        Just(Some("*.a.b")),
        Just(Some("c"))
    ];
    let segment = prop_oneof![3 => Just("*"), 2 => Just("a"), 2 => Just("ab"), 1 => Just("b")];
    let end = prop_oneof![3 => Just(""), 2 => Just("/"), 2 => Just("*")];
    let path = (prop::collection::vec(segment, 0..4), end).prop_map(|(list, end)| {
        let star = list.last() == Some(&"*") && end == "*";
        let end = if list.is_empty() || star { "" } else { end };
        Some(format!("/{}{end}", list.join("/")))
    });
    let path = prop_oneof![1 => Just(None), 9 => path];
    let methods = prop_oneof![3 => Just(vec![]), 1 => Just(vec!["GET".to_owned()]),
        1 => Just(vec!["PUT".to_owned()])];
    let beta = prop_oneof![3 => Just(vec![]), 1 => Just(vec![("x".to_owned(), "1".to_owned())])];
    (host, path, methods, beta).prop_map(|(host, path, methods, headers)| {
        let host = host.map(str::to_owned);
        let mut route = route("r").done();
        route.matcher = Matcher { host, path, methods, headers, ..Matcher::default() };
        route
    })
}

/// What the tables of the contract say, written down once more without a tree: by segments.
fn oracle_fits(pattern: Option<&str>, path: &str) -> bool {
    fn below(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], []) => true,
            (["*"], [_, ..]) => true,
            ([last], [first, ..]) if last.ends_with('*') => {
                first.starts_with(last.trim_end_matches('*'))
            }
            (["*", pattern @ ..], [first, path @ ..]) => !first.is_empty() && below(pattern, path),
            ([a, pattern @ ..], [b, path @ ..]) => a == b && below(pattern, path),
            _ => false,
        }
    }
    let split = |text: &'_ str| -> Vec<String> { text.split('/').map(str::to_owned).collect() };
    pattern.is_none_or(|pattern| {
        let (pattern, path) = (split(pattern), split(path));
        let refs = |list: &'_ [String]| -> Vec<String> { list.to_vec() };
        let (pattern, path) = (refs(&pattern), refs(&path));
        let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        below(&pattern, &path)
    })
}

fn oracle(routes: &[Route], query: &Query<'_>) -> Option<usize> {
    let host = std::str::from_utf8(query.host).unwrap();
    let path = std::str::from_utf8(query.path).unwrap();
    let fits = |m: &Matcher| {
        let host_fits = m.host.as_deref().is_none_or(|pattern| match pattern.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == pattern,
        });
        host_fits
            && oracle_fits(m.path.as_deref(), path)
            && (m.methods.is_empty() || m.methods.iter().any(|m| m.as_bytes() == query.method))
            && m.headers.iter().all(|(n, v)| (query.header)(n) == Some(v.as_bytes()))
    };
    let rank = |m: &Matcher| {
        let host = m.host.as_deref();
        let host = (host.is_some_and(|h| !h.starts_with('*')), host.map_or(0, str::len));
        let path = m.path.as_deref().unwrap_or("");
        let literal = path.bytes().filter(|b| *b != b'*').count();
        let exact = m.path.is_some() && !path.contains('*');
        let conditions = m.headers.len() + m.methods.len();
        (host, literal, exact, conditions, !m.methods.is_empty())
    };
    let matching = routes.iter().enumerate().filter(|(_, route)| fits(&route.matcher));
    // The last of equals by reversed order is the first in the manifest.
    matching.rev().max_by_key(|(_, route)| rank(&route.matcher)).map(|(index, _)| index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn as_a_linear_search_would_find(
        routes in prop::collection::vec(some_route(), 0..24),
        host in prop_oneof![Just("a.b"), Just("x.a.b"), Just("x.b"), Just("c"), Just("d"), Just("b")],
        path in prop_oneof![
            Just("/"), Just("/a"), Just("/a/"), Just("/ab"), Just("/a/ab"), Just("/a/b/"),
            Just("/ab/a/b"), Just("/b/a/ab/a"), Just("/x/y/z"), Just("/a/b/a"), Just("/aba"),
        ],
        put: bool,
        beta: bool,
    ) {
        let header = |name: &str| (beta && name == "x").then_some(&b"1"[..]);
        let method: &[u8] = if put { b"PUT" } else { b"GET" };
        let query = Query { header: &header, method, ..query(host, path.as_bytes()) };
        let router = Router::new(&routes);
        let found = router.find(&query).map(|found| found.route);
        prop_assert_eq!(found, oracle(&routes, &query));
        for why in router.explain(&routes, &query) {
            prop_assert_eq!(why.reason == Reason::Chosen, found == Some(why.route));
            let matches = matches!(why.reason, Reason::Chosen | Reason::LessSpecific { .. });
            prop_assert_eq!(matches, oracle(&routes[why.route..=why.route], &query).is_some());
        }
    }

    /// What is forwarded is the canonical path: a gateway behind this one routes it alike.
    #[test]
    fn route_of_raw_is_route_of_forwarded(
        raw in crate::path::tests::nasty(),
        routes in prop::collection::vec(some_route(), 0..12),
    ) {
        if let Ok(path) = canonicalise(&raw) {
            let router = Router::new(&routes);
            let forwarded = canonicalise(&path).unwrap();
            prop_assert_eq!(router.find(&query("a.b", &path)), router.find(&query("a.b", &forwarded)));
        }
    }
}

#[test]
fn two_thousand_routes_stay_cheap() {
    let mut routes = Vec::new();
    for index in 0..1000 {
        routes.push(route("p").path(&format!("/service-{index}/api/*")).done());
        routes.push(route("s").host("one.host").path(&format!("/*/items-{index}")).done());
    }
    let router = Router::new(&routes);
    for index in (0..1000).step_by(37) {
        let path = format!("/service-{index}/api/v1");
        assert_eq!(router.find(&query("h", path.as_bytes())).unwrap().route, index * 2);
        let path = format!("/any/items-{index}");
        assert_eq!(router.find(&query("one.host", path.as_bytes())).unwrap().route, index * 2 + 1);
    }
}
