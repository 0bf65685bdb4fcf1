//! OpenResty's `ngx`: every name of `names.toml` is called by a script, in a gateway that serves, and
//! does what the table says.

use std::fmt::Write as _;

use crate::names::{Name, Peers, all, walk};
use crate::support::gateway::Gateway;
use crate::support::run;
use crate::tidy::root;

/// The phases that checks run in.
const PHASES: [&str; 7] =
    ["rewrite", "access", "header_filter", "body_filter", "log", "balancer", "content"];

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
[filters.probe]
limits = { cpu = "1s" }
[filters.probe.openresty]
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
    let mut checks = format!("return {{\n  peer = {{ host = \"{host}\", port = {port} }},\n");
    for Name { phase, check, .. } in names {
        let _ = writeln!(checks, "  {{ phase = \"{phase}\", code = [====[\n{check}]====] }},");
    }
    checks.push_str("}\n");
    let mut setup = peers.setup(ROUTES).file("names.lua", checks);
    for file in ["probe.lua", "named.lua", "sub.lua", "work.lua"] {
        let text = std::fs::read(root().join("tests/ngx/probe").join(file)).unwrap();
        setup = setup.file(file, text);
    }
    for phase in PHASES {
        setup = setup.file(&format!("{phase}.lua"), format!("require \"probe\" \"{phase}\"\n"));
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
