#![allow(clippy::unwrap_used)]
use super::*;
use crate::disk::Pretend;
use crate::manifest::{Address, Program, Target};

fn flags(listen: &str, upstream: &str, filters: &[&str]) -> Result<Loaded, String> {
    let filters: Vec<_> = filters.iter().map(PathBuf::from).collect();
    from_flags_with(listen, upstream, &filters, &Pretend).map_err(|report| report.render(false))
}

#[test]
fn one_listener_one_route_one_chain() {
    let files = ["a/auth.lua", "resize.wasm", "b/auth.lua", "/x/${env:A} \"ö\\.lua"];
    let loaded = flags("127.0.0.1:8080", "https://api.local", &files).unwrap();
    assert!(loaded.warnings.is_empty());
    let manifest = loaded.manifest;
    let main = &manifest.listeners[0];
    assert_eq!((&*main.name, main.http1, main.http2, main.http3), ("main", true, true, false));
    assert_eq!(main.address, Address::Tcp("127.0.0.1:8080".parse().unwrap()));
    let route = &manifest.routes[0];
    assert!(matches!(route.target, Target::Upstream(0)));
    let chain: Vec<_> = route.filters.iter().map(|at| &manifest.filters[*at]).collect();
    let names: Vec<_> = chain.iter().map(|filter| &*filter.name).collect();
    assert_eq!(names, ["auth", "resize", "auth-2", "__env_A_____"]);
    let here = std::env::current_dir().unwrap();
    assert_eq!(chain[0].program, Program::Lua(here.join("a/auth.lua")));
    assert_eq!(chain[1].program, Program::Wasm(here.join("resize.wasm")));
    assert_eq!(chain[3].program, Program::Lua("/x/${env:A} \"ö\\.lua".into()));
    let upstream = &manifest.upstreams[0];
    assert_eq!((&*upstream.name, upstream.endpoints[0].port), ("main", 443));
}

#[test]
fn mistakes() {
    let said = flags(":8080", "api", &[]).unwrap_err();
    let expected = "\
(flags):5:11: \":8080\" is not an address
    5 | address = \":8080\"
      |           ^^^^^^^
hint: for all addresses: \"[::]:8080\"
(flags):12:14: \"api\" is not an endpoint
   12 | endpoints = [\"api\"]
      |              ^^^^^
hint: with a scheme: \"http://api\"
";
    assert_eq!(said, expected);
    let said = flags("127.0.0.1:1", "http://a", &["a.js"]).unwrap_err();
    assert_eq!(said, "--filter a.js: neither a .lua nor a .wasm file\n");
    let none = from_flags("127.0.0.1:1", "http://a", &["/none.lua".into()]).unwrap_err();
    assert!(none.render(false).contains("cannot read the script \"/none.lua\""));
}
