#![allow(clippy::unwrap_used, clippy::panic)]
use std::path::Path;

use super::*;

const MANIFEST: &str = r#"
listeners = [{ address = "127.0.0.1:80" }]
[[routes]]
name = "a"
match = { regex = '^/a/(\d+)' }
filters = ["scripts", "keys"]
vars = { tenant = "acme" }
[filters.scripts.openresty]
log = "log.lua"
content = "content_by_lua(nginx.conf:40)"
access = "/lua/access.lua"
use_default_type = false
set = [{ var = "x", lua = "x.lua", args = ["$uri", "b"] }]
ssl = { ca = "ca.pem", protocols = ["TLSv1", "TLSv1.2"] }
socket = { connect_timeout = "250ms", buffer_size = "1KiB" }
[filters.keys]
kong = "key-auth"
config = { key_names = ["apikey"] }
[lua]
resolver = { servers = ["127.0.0.1"] }
threads = { pool = 4 }
[redis.main]
url = "rediss://ann:p%40ss@redis.local/3"
[redis.local]
url = "unix:/run/redis.sock"
[[consumers]]
username = "ann"
basic = [{ username = "ann", password = "secret" }]
jwt = [{ key = "issuer", secret = "s" }]
"#;

fn manifest() -> Manifest {
    let loaded = pilotlight_config::parse_str(MANIFEST, Path::new("/edge"));
    loaded.unwrap_or_else(|report| panic!("{report}")).manifest
}

#[test]
fn scripts_by_phase_with_their_names_and_settings() {
    let manifest = manifest();
    let index = manifest.filters.iter().position(|f| &*f.name == "scripts").unwrap();
    let spec = spec(&manifest, index, &manifest.filters[index]);
    assert!(spec.target);
    let Source::OpenResty(scripts) = spec.program else { panic!() };
    let phases: Vec<_> = scripts.phases.iter().map(|(phase, f)| (*phase, &*f.name)).collect();
    let expected = [
        ("access", "/lua/access.lua"),
        ("content", "content_by_lua(nginx.conf:40)"),
        ("log", "log.lua"),
    ];
    assert_eq!(phases, expected);
    assert_eq!(scripts.phases[1].1.path, Path::new("/edge/content_by_lua(nginx.conf:40)"));
    assert_eq!(
        (&*scripts.set[0].var, &scripts.set[0].args[..]),
        ("x", &["$uri", "b"].map(String::from)[..])
    );

    let settings: Value = serde_json::from_str(&scripts.settings).unwrap();
    assert_eq!(settings.get("default_type"), None);
    assert_eq!(settings["ssl"]["ca"], "/edge/ca.pem");
    assert_eq!(settings["ssl"].get("crl"), None);
    assert_eq!(settings["ssl"]["protocols"], json!(["TLSv1.2"]));
    assert_eq!(settings["socket"]["connect_timeout"], 0.25);
    assert_eq!(settings["socket"]["buffer_size"], 1024);
    assert_eq!(settings["socket"]["pool_size"], 30);
    assert_eq!(settings["http10_buffering"], true);
}

#[test]
fn plugins_and_what_all_programs_share() {
    let manifest = manifest();
    let index = manifest.filters.iter().position(|f| &*f.name == "keys").unwrap();
    let spec = spec(&manifest, index, &manifest.filters[index]);
    assert_eq!(kind(&manifest.filters[index].program), "lua");
    assert_eq!(spec.program, Source::Kong { plugin: "key-auth".into() });
    assert!(spec.config_is_json && !spec.target);

    let plan = common(&manifest, 1, 0.0);
    let vars = vec![("tenant".into(), "acme".into())];
    assert_eq!(plan.vars, [RouteVars { route: "a".into(), vars }]);
    let consumers: Value = serde_json::from_str(&plan.consumers).unwrap();
    let expected = json!([{
        "username": "ann",
        "tags": [], "keys": [],
        "basic": [{ "username": "ann", "password": "secret" }],
        "jwt": [{ "key": "issuer", "algorithm": "HS256", "secret": "s" }],
        "hmac": [], "groups": [],
    }]);
    assert_eq!(consumers, expected);
    let [local, main] = &plan.redis[..] else { panic!() };
    assert_eq!((&*local.host, local.port, local.tls), ("unix:/run/redis.sock", 0, false));
    assert_eq!((&*main.host, main.port, main.tls), ("redis.local", 6379, true));
    assert_eq!((main.user.as_deref(), main.password.as_deref()), (Some("ann"), Some("p@ss")));
    assert_eq!(main.database, 3);
    assert_eq!(plan.script.resolver.unwrap().servers, ["127.0.0.1:53".parse().unwrap()]);
    assert_eq!(plan.script.threads, [(Arc::from("pool"), 4)]);
}
