//! The gateway in which all cases' filters run, and who is around it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::case::{Case, folder};
use crate::clients::grpc;
use crate::support::gateway::Setup;
use crate::support::{Gateway, Upstream, free_address, paced};
use crate::tcp;

/// Answers to the calls of filters: what was asked is told in the answer.
const PEER: &str = r#"
local peer = {}
function peer.request(req)
  local wait = req:args().wait
  if wait then gateway.sleep(tonumber(wait)) end
  local status = tonumber(req:args().status or 200)
  return { status = status, headers = { ["x-peer"] = req.path }, body = req.method .. " " .. req.path .. " "
    .. req.host .. " " .. (req.headers["x-call"] or "-") .. " " .. req:body() }
end
return peer
"#;

/// What filters call by name.
const SCRIPT: &str = r#"
local export = gateway.export
export("kit.upper", string.upper)
export("kit.count", function(text) return #text end)
export("kit.nothing", function() end)
export("kit.refuses", function() return nil, "not today" end)
export("kit.fails", function() error("a mistake") end)
export("kit.waits", function() gateway.sleep(0.01) end)
export("kit.loops", function() while true do end end)
export("kit.later", function(text)
  gateway.sleep($later)
  if text == "" then return nil, "nothing was asked" end
  return text:reverse()
end, { later = true })
return { init = function() end }
"#;

/// The gateway, and where cases with connections have their listeners.
pub async fn start(
    cases: &[Case],
    app: &Upstream,
    cpu: Option<&str>,
) -> (Gateway, Vec<SocketAddr>) {
    let mut flows = Vec::new();
    let echo = tcp::echo().await;
    let greet = |mut stream: TcpStream| async move { drop(stream.write_all(b"hello").await) };
    let greeter = tcp::serve(greet).await;
    let redis = |mut stream: TcpStream| async move {
        let mut command = [0; 256];
        while let Ok(length @ 1..) = stream.read(&mut command).await {
            let asks = command[..length].windows(3).any(|word| word == b"GET");
            let reply: &[u8] = if asks { b"$4\r\nkept\r\n" } else { b"+OK\r\n" };
            drop(stream.write_all(reply).await);
        }
    };
    let redis = tcp::serve(redis).await;
    let (peer, admin, dead) = (free_address(), free_address(), free_address());
    let grpc = grpc::server().await;
    let mut rest = format!(
        r#"
[[listeners]]
name = "peer"
address = "{peer}"
[[listeners]]
name = "metrics"
address = "{admin}"
[[routes]]
name = "peer"
match = {{ listeners = ["peer"] }}
lua = "peer.lua"
[[routes]]
name = "other"
match = {{ listeners = ["clear", "tls"], path = "/other" }}
respond = {{ status = 203, body = "the other route" }}
[filters.kit]
lua = "kit.lua"
[upstreams.app]
endpoints = ["http://{}"]
[upstreams.peer]
endpoints = ["http://{peer}"]
[upstreams.dead]
endpoints = ["http://{dead}"]
[upstreams.grpc]
endpoints = ["http://{grpc}"]
protocol = "http2"
[upstreams.echo]
endpoints = ["tcp://{echo}"]
[upstreams.greeter]
endpoints = ["tcp://{greeter}"]
[redis.kit]
url = "redis://{redis}"
"#,
        app.address
    );
    // Past the end of an exchange that does not wait for it.
    let later = paced(Duration::from_millis(50)).as_secs_f64().to_string();
    let script = SCRIPT.replace("$later", &later);
    let mut setup = Setup::new("").file("peer.lua", PEER).file("kit.lua", script);
    let mut modules = BTreeSet::new();
    for (number, case) in cases.iter().enumerate() {
        let mut host = case.host.clone();
        if let Some(cpu) = cpu {
            let limits = host.entry("limits").or_insert_with(|| toml::Table::new().into());
            let limits = limits.as_table_mut().unwrap();
            limits.entry("cpu").or_insert_with(|| cpu.into());
        }
        host.insert("wasm".into(), format!("{}.wasm", case.module).into());
        host.insert("config".into(), case.script.clone().into());
        let table: String =
            host.iter().map(|(key, value)| format!("{key} = {}\n", written(value))).collect();
        let flow = free_address();
        flows.push(flow);
        if !case.flow.is_empty() {
            let _ = write!(
                rest,
                "[[listeners]]\nname = \"flow-{number}\"\naddress = \"{flow}\"\nprotocols = [\"tcp\"]\n\
                 filters = [\"case-{number}\"]\nupstream = \"echo\"\n"
            );
        }
        let _ = write!(
            rest,
            "[[routes]]\nname = \"case-{number}\"\nmatch = {{ host = \"case-{number}.example.com\", listeners = [\"clear\", \"tls\"] }}\n\
             filters = [\"case-{number}\"]\nupstream = \"app\"\n[filters.case-{number}]\n{table}"
        );
        modules.insert(case.module.clone());
    }
    for module in modules {
        let bytes = std::fs::read(folder().join(format!("{module}.wasm"))).unwrap();
        setup = setup.file(&format!("{module}.wasm"), bytes);
    }
    setup.rest = rest;
    setup.gateway = "admin = \"unix:admin.sock\"".into();
    (setup.start().await, flows)
}

/// A value as a manifest has it.
fn written(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => serde_json::to_string(text).unwrap(),
        toml::Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{key} = {}", written(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        toml::Value::Boolean(is) => is.to_string(),
        other => panic!("{other:?}"),
    }
}
