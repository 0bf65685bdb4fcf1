use super::*;

const MAIN: &str = "include = [\"routes/*.toml\", \"extra.toml\"]\n";

#[test]
fn tables_of_names_merge_and_lists_of_tables_append_in_the_order_of_the_names() {
    let text = format!("{MAIN}{MINIMAL}");
    let files = [
        (
            "routes/b.toml",
            "[[routes]]\nmatch = { path = \"/b\" }\nupstream = \"b\"\n[upstreams.b]\nendpoints = [\"http://b\"]\n",
        ),
        ("routes/a.toml", "[[routes]]\nmatch = { path = \"/a\" }\nupstream = \"b\"\n"),
        ("routes/c.txt", "not read"),
        ("extra.toml", "[gateway]\ndrain = \"1s\"\n[upstreams.aa]\nendpoints = [\"http://aa\"]\n"),
    ];
    let manifest = parse(&text, &files).unwrap().manifest;
    let routes: Vec<_> = manifest.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(routes, ["any", "/a", "/b"]);
    let upstreams: Vec<_> = manifest.upstreams.iter().map(|upstream| &*upstream.name).collect();
    assert_eq!(upstreams, ["aa", "api", "b"]);
    assert!(matches!(manifest.routes[1].target, Target::Upstream(2)));
    assert_eq!(manifest.gateway.drain, Duration::from_secs(1));
}

#[test]
fn paths_in_an_included_file_are_relative_to_the_manifest() {
    let text = format!("include = [\"routes/a.toml\"]\n{MINIMAL}");
    let files = [("routes/a.toml", "[[routes]]\nmatch = { path = \"/a\" }\nlua = \"auth.lua\"\n")];
    let manifest = parse(&text, &files).unwrap().manifest;
    assert_eq!(manifest.filters[0].program, Program::Lua("/edge/auth.lua".into()));
}

#[test]
fn a_file_that_several_patterns_match_is_merged_once_and_the_manifest_is_none_of_them() {
    let text = format!(
        "include = [\"*.toml\", \"routes/*.toml\", \"routes/a.toml\", \"./routes/a.toml\"]\n{MINIMAL}"
    );
    let route = "[[routes]]\nmatch = { path = \"/a\" }\nlua = \"auth.lua\"\n";
    let files = [("routes/a.toml", route), ("edge.toml", text.as_str())];
    assert_eq!(parse(&text, &files).unwrap().manifest.routes.len(), 2);
}
