#![allow(clippy::unwrap_used, clippy::panic)]
use std::path::Path;

use super::*;

const MANIFEST: &str = r#"
[gateway]
forwarded = { trust = ["10.0.0.0/8"] }
[[listeners]]
name = "web"
address = "127.0.0.1:80"
[[routes]]
name = "api"
match = { host = "a.example", path = "/api/*", methods = ["GET"], headers = { x-beta = "1" } }
filters = ["keys"]
upstream = "api"
[[routes]]
name = "rest"
match = { regex = '^/r/(\d+)' }
respond = { body = "x" }
[filters.keys]
kong = "key-auth"
[upstreams.api]
endpoints = ["https://10.0.0.2:8443"]
timeouts = { connect = "2s" }
"#;

fn facts_of(text: &str) -> String {
    let loaded = pilotlight_config::parse_str(text, Path::new("/edge"));
    facts(&loaded.unwrap_or_else(|report| panic!("{report}")).manifest, 7)
}

#[test]
fn routes_and_upstreams_are_rows() {
    let facts: Value = serde_json::from_str(&facts_of(MANIFEST)).unwrap();
    let api = &facts["routes"]["api"];
    assert_eq!(api["hosts"], json!(["a.example"]));
    assert_eq!(api["paths"], json!(["/api/*"]));
    assert_eq!((&api["methods"], &api["headers"]), (&json!(["GET"]), &json!({ "x-beta": ["1"] })));
    assert_eq!((&api["protocols"], &api["service"]), (&json!(["http"]), &json!("api")));
    let rest = &facts["routes"]["rest"];
    assert_eq!((&rest["paths"], rest.get("hosts")), (&json!([r"~^/r/(\d+)"]), None));
    let service = &facts["services"]["api"];
    assert_eq!((&service["protocol"], &service["port"]), (&json!("https"), &json!(8443)));
    assert_eq!((&service["connect_timeout"], &service["tls_verify"]), (&json!(2000), &json!(true)));
    assert_eq!((&facts["generation"], &facts["trust"]), (&json!(7), &json!(["10.0.0.0/8"])));
}

#[test]
fn without_plugins_there_is_nothing_to_see() {
    let without = MANIFEST.replace("filters = [\"keys\"]\n", "");
    let without = without.replace("[filters.keys]\nkong = \"key-auth\"\n", "");
    assert_eq!(facts_of(&without), "");
}
