#![allow(clippy::unwrap_used)]
use std::path::Path;

use super::*;
use crate::load::parse_str;

const OLD: &str = r#"
[[listeners]]
name = "web"
address = "127.0.0.1:80"
[[routes]]
name = "a"
match = { path = "/a" }
filters = ["two"]
upstream = "api"
[[routes]]
name = "b"
match = { path = "/b" }
lua = "b.lua"
[filters.two]
lua = "two.lua"
[upstreams.api]
endpoints = ["http://a"]
"#;

fn changes(new: &str) -> Vec<String> {
    let parse = |text| parse_str(text, Path::new("/edge")).unwrap().manifest;
    diff(&parse(OLD), &parse(new))
}

#[test]
fn moved_lines_and_new_indexes_are_no_change() {
    assert!(changes(OLD).is_empty());
    assert!(changes(&format!("# moved\n\n{OLD}")).is_empty());
    let more = format!(
        "{OLD}[filters.one]\nlua = \"one.lua\"\n[upstreams.aaa]\nendpoints = [\"http://b\"]"
    );
    assert_eq!(changes(&more), ["filter \"one\" added", "upstream \"aaa\" added"]);
}

#[test]
fn what_was_added_removed_and_changed() {
    let new = OLD
        .replace("path = \"/a\"", "path = \"/aa\"")
        .replace("two.lua", "new.lua")
        .replace("name = \"web\"", "name = \"www\"")
        .replace("http://a", "http://c")
        .replace("b.lua", "c.lua");
    let new = format!("{new}\n[gateway]\ndrain = \"1s\"\n[shared.s]\nsize = \"1MiB\"\n");
    assert_eq!(
        changes(&new),
        [
            "the gateway's settings changed",
            "the shared dictionaries changed",
            "listener \"web\" removed",
            "listener \"www\" added",
            "route \"a\" changed",
            "route \"b\" changed",
            "filter \"two\" changed",
            "filter \"route:b\" changed",
            "upstream \"api\" changed",
        ]
    );
}

#[test]
fn another_chain_or_target_is_another_route() {
    let new = OLD.replace("upstream = \"api\"\n", "redirect = \"/b\"\n");
    assert_eq!(changes(&new), ["route \"a\" changed"]);
    let new = OLD.replace("filters = [\"two\"]", "filters = []");
    assert_eq!(changes(&new), ["route \"a\" changed"]);
}
