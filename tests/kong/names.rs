//! The table, and the walk along it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::names::{Name, Peers, all, walk};
use crate::support::gateway::Gateway;
use crate::support::run;
use crate::tidy::root;

async fn start(names: &[Name], peers: &Peers) -> Gateway {
    let other = peers.other;
    let mut checks = String::new();
    for name in names {
        let code = name.check.replace("OTHER_PORT", &format!("\"{}\"", other.port()));
        let code =
            code.replace("\"127.0.0.1\", tonumber", &format!("\"{}\", tonumber", other.ip()));
        // A string of JSON is one of TOML.
        let (phase, code) = (Value::from(name.phase.as_str()), Value::from(code));
        let _ = writeln!(checks, "{{ phase = {phase}, code = {code} }},");
    }
    let rest = format!(
        r#"
[[routes]]
name = "probe"
match = {{ host = "probe.example", path = "/probe/*", listeners = ["clear"] }}
filters = ["probe", "probe-response"]
upstream = "echo"
[upstreams.other]
endpoints = ["http://{other}"]
[filters.probe]
kong = "probe"
config = {{ checks = [
{checks}] }}
[filters.probe-response]
kong = "probe-response"
config = {{ checks = [
{checks}] }}
[[consumers]]
username = "alice"
custom_id = "42"
keys = ["k1"]
basic = [{{ username = "al", password = "pw" }}]
hmac = [{{ username = "ha", secret = "s3" }}]
jwt = [{{ key = "iss", secret = "s" }}]
groups = ["admins", "staff"]
[[consumers]]
username = "bob"
"#
    );
    let mut setup = peers.setup(&rest);
    setup.gateway = "env = [\"PROBE_SECRET\"]\nforwarded = { trust = [\"127.0.0.0/8\"] }".into();
    for file in [
        "probe/handler",
        "probe/run",
        "probe/schema",
        "probe-response/handler",
        "probe-response/schema",
    ] {
        let text = std::fs::read(root().join(format!("tests/kong/plugins/{file}.lua"))).unwrap();
        setup = setup.file(&format!("kong/plugins/{file}.lua"), text);
    }
    setup.start().await
}

#[test]
fn each_name_of_the_kit_does_what_the_table_says() {
    let names = all("kong");
    // SAFETY: the variable is read by children of this process alone.
    unsafe { std::env::set_var("PROBE_SECRET", "s3cret") };
    run(async {
        let peers = Peers::new();
        let gateway = start(&names, &peers).await;
        walk(&gateway, &peers, &names).await;
    });
}
