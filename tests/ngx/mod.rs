//! OpenResty's `ngx`: every name of `names.toml` is called by a script, in a gateway that serves, and
//! does what the table says.

use std::fmt::Write as _;

use crate::names::{Name, Peers, all, walk};
use crate::support::certificate::{Certificate, authority_pem};
use crate::support::gateway::Gateway;
use crate::support::{free_address, run};
use crate::tidy::root;

/// The phases that checks run in.
const PHASES: [&str; 7] =
    ["rewrite", "access", "header_filter", "body_filter", "log", "balancer", "content"];

/// Those of handshakes: the directive's, and what scripts see.
const HANDSHAKES: [(&str, &str); 6] = [
    ("ssl_client_hello", "ssl_client_hello"),
    ("ssl_certificate", "ssl_cert"),
    ("ssl_session_fetch", "ssl_session_fetch"),
    ("ssl_session_store", "ssl_session_store"),
    ("proxy_ssl_certificate", "proxy_ssl_cert"),
    ("proxy_ssl_verify", "proxy_ssl_verify"),
];

/// The checks may take their time: a test's machine may be slow.
const ROUTES: &str = r#"
[[routes]]
name = "probe"
match = { host = "probe.example", regex = "^/probe/(.+)", listeners = ["clear"] }
filters = ["probe"]
upstream = "echo"
vars = { mine = "declared", empty = "" }
[[routes]]
name = "content"
match = { host = "probe.example", path = "/content/*", listeners = ["clear"] }
filters = ["content"]
[[routes]]
name = "sub"
match = { host = "probe.example", path = "/sub", listeners = ["clear"] }
filters = ["sub"]
[[routes]]
name = "@named"
internal = true
filters = ["named"]
[[routes]]
name = "@secure"
internal = true
filters = ["secure"]
upstream = "door"
[filters.secure]
limits = { cpu = "1s" }
openresty = { proxy_ssl_certificate = "proxy_ssl_certificate.lua", proxy_ssl_verify = "proxy_ssl_verify.lua" }
[filters.door]
limits = { cpu = "1s" }
[filters.door.openresty]
ssl_client_hello = "ssl_client_hello.lua"
ssl_certificate = "ssl_certificate.lua"
ssl_session_fetch = "ssl_session_fetch.lua"
ssl_session_store = "ssl_session_store.lua"
[filters.probe]
limits = { cpu = "1s" }
[filters.probe.openresty]
ssl = { protocols = ["TLSv1.2"] }
rewrite = "rewrite.lua"
access = "access.lua"
balancer = "balancer.lua"
header_filter = "header_filter.lua"
body_filter = "body_filter.lua"
log = "log.lua"
[filters.content]
openresty = { content = "content.lua" }
limits = { cpu = "1s" }
[filters.sub]
openresty = { content = "sub.lua" }
[filters.named]
openresty = { content = "named.lua" }
[shared.cats]
size = "1MiB"
[shared.other]
size = "1MiB"
[shared.tiny]
size = "64KiB"
"#;

async fn start(names: &[Name], peers: &Peers) -> Gateway {
    let (host, port) = (peers.other.ip(), peers.other.port());
    let door = free_address();
    let (pair, other) = (Certificate::new(&["pair.test"]), Certificate::new(&["other.test"]));
    let mut checks = format!(
        "return {{\n  peer = {{ host = \"{host}\", port = {port}, door_host = \"{}\", door = {}, pair = {{ \
         certificate = [[{}]], key = [[{}]], other = [[{}]], chain = [[{}]] }} }},\n",
        door.ip(),
        door.port(),
        pair.pem,
        pair.key,
        other.key,
        pair.pem.clone() + &authority_pem(),
    );
    for Name { phase, check, .. } in names {
        let _ = writeln!(checks, "  {{ phase = \"{phase}\", code = [====[\n{check}]====] }},");
    }
    checks.push_str("}\n");
    let manifest = format!(
        r#"{ROUTES}
[[listeners]]
name = "door"
address = "{door}"
tls = {{ certificate = "edge.pem", key = "edge.key" }}
session_tickets = false
filters = ["door"]
[[routes]]
name = "behind the door"
match = {{ listeners = ["door"] }}
respond = {{ status = 200 }}
[upstreams.door]
endpoints = ["https://{door}"]
tls = {{ ca = "authority.pem", server_name = "a.test" }}
"#
    );
    let mut setup = peers.setup(&manifest).file("names.lua", checks);
    setup = setup.file("authority.pem", authority_pem());
    for file in ["probe.lua", "named.lua", "sub.lua", "work.lua", "shake.lua"] {
        let text = std::fs::read(root().join("tests/ngx/probe").join(file)).unwrap();
        setup = setup.file(file, text);
    }
    for phase in PHASES {
        setup = setup.file(&format!("{phase}.lua"), format!("require \"probe\" \"{phase}\"\n"));
    }
    for (directive, phase) in HANDSHAKES {
        let text = format!("require \"shake\" \"{phase}\"\n");
        setup = setup.file(&format!("{directive}.lua"), text);
    }
    setup.start().await
}

#[test]
fn each_name_of_openresty_does_what_the_table_says() {
    let names = all("ngx");
    run(async {
        let peers = Peers::new();
        let gateway = start(&names, &peers).await;
        walk(&gateway, &peers, &names).await;
    });
}
