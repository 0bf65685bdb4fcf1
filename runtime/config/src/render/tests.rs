use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::{Pretend, parse_open, parse_str};

fn fleet(kind: &str, name: &str) -> Option<String> {
    match (kind, name) {
        ("fleet", "size") => Some("64MiB".into()),
        ("fleet", "odd") => Some(literal("a\"b\\c\n${env:X}")),
        ("secret", name) => Some(format!("${{file:/secrets/{name}}}")),
        _ => None,
    }
}

#[test]
fn strings_are_rendered_and_all_else_stays() {
    for (typed, rendered) in [
        ("a = '${fleet:size}' # ${fleet:size}", "a = \"64MiB\" # ${fleet:size}"),
        ("a = \"x ${fleet:size} ${fleet:size}\"", "a = \"x 64MiB 64MiB\""),
        ("a = [1, '${fleet:odd}']", "a = [1, \"a\\\"b\\\\c\\u000a$${env:X}\"]"),
        ("a = { b = '''\n${secret:token}''' }", "a = { b = \"${file:/secrets/token}\" }"),
        ("[[x]]\ny.z = '${fleet:none}'", "[[x]]\ny.z = '${fleet:none}'"),
        ("a = '$${fleet:size} $ ${fleet:size}'", "a = \"$${fleet:size} $ 64MiB\""),
        ("a = '${env:HOME} ${fleet'", "a = '${env:HOME} ${fleet'"),
        ("no toml ${fleet:size}", "no toml ${fleet:size}"),
    ] {
        assert_eq!(render(typed, &fleet), rendered);
    }
    let found = references("a = ['${fleet:b}', '$${fleet:c}', '${env:d}']", &["fleet", "secret"]);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("fleet".into(), "b".into())]);
}

#[test]
fn open_references_are_no_mistake_and_hide_none() {
    let text = r#"
[gateway]
cache_dir = "${fleet:cache}"
workers = "${fleet:workers}"
[[listeners]]
address = "${fleet:address}"
tls = { certificate = "/etc/edge.pem", key = "${secret-file:key}" }
[[routes]]
match = { path = "/*", headers = { x = "${env:X}" } }
filters = ["auth"]
upstream = "images"
[[routes]]
match = { path = "/hello" }
respond = { status = 200, body = "${fleet:greeting}" }
[filters.auth]
lua = "auth.lua"
config = { token = "${secret:token}", realm = "${file:/etc/realm}" }
limits = { memory = "${fleet:size}" }
[upstreams.images]
endpoints = ["${fleet:origin}"]
[shared.x]
size = "${fleet:size}"
"#;
    let file = Path::new("/srv/pilotlight.toml");
    let loaded = parse_open(text, file, &Pretend).unwrap_or_else(|e| panic!("{}", e.render(false)));
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings.render(false));
    // The gateway itself takes none of them.
    let refused = parse_str(text, Path::new("/srv")).unwrap_err().render(false);
    assert!(refused.contains("has its value on the nodes of a fleet"), "{refused}");
    let wrong = text.replace("upstream = \"images\"", "upstream = \"imagse\"");
    let refused = parse_open(&wrong, file, &Pretend).unwrap_err().render(false);
    assert!(refused.contains("did you mean \"images\"?"), "{refused}");
}

proptest! {
    #[test]
    fn what_is_rendered_reads_as_it_was_meant(value in any::<String>()) {
        let text = render("a = '${fleet:x}'", &|_, _| Some(value.clone()));
        let table: toml::Table = toml::from_str(&text).unwrap();
        prop_assert_eq!(table["a"].as_str(), Some(value.as_str()));
    }
}
