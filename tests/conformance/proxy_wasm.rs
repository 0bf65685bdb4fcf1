//! The proxy-wasm kit: `proxy-wasm/cases/*.toml`, each with a filter of its own in one gateway.
//! `proxy-wasm/README.md` says what the keys mean and how another host runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;

use crate::clients::grpc;
use crate::support::gateway::Setup;
use crate::support::message::{Piece, Protocol, ask};
use crate::support::upstream::Step;
use crate::support::{Gateway, Request, Script, Upstream, free_address, run};
use crate::tidy::root;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// What the host is told of the filter.
    #[serde(default)]
    host: toml::Table,
    #[serde(default = "guest")]
    module: String,
    #[serde(default)]
    script: String,
    #[serde(default)]
    ask: Vec<Ask>,
    #[serde(default)]
    answer: Vec<Reply>,
    /// What the upstream saw first.
    sees: Option<Message>,
    /// Whether it saw nothing.
    #[serde(default)]
    unseen: bool,
    /// Lines of the filter, in order.
    log: Option<Vec<String>>,
    /// ... or in any order, and among others.
    #[serde(default)]
    loose: bool,
    /// Lines of other filters.
    #[serde(default)]
    elsewhere: Vec<String>,
    /// What it shows is only so over HTTP/1.1 in clear text.
    #[serde(default)]
    http1: bool,
    /// Texts that lines of the gateway's log hold.
    #[serde(default)]
    host_log: Vec<String>,
    #[serde(default)]
    metrics: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Message {
    method: Option<String>,
    path: Option<String>,
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    absent: Vec<String>,
    body: Option<String>,
    trailers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Ask {
    method: Option<String>,
    path: Option<String>,
    headers: Vec<String>,
    chunks: Vec<String>,
    trailers: BTreeMap<String, String>,
    /// What the client gets.
    gets: Message,
    /// The answer breaks off, or there is none.
    broken: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Reply {
    status: Option<u16>,
    headers: Vec<String>,
    chunks: Vec<String>,
    trailers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

fn guest() -> String {
    "guest".into()
}

fn folder() -> std::path::PathBuf {
    root().join("tests/conformance/proxy-wasm")
}

fn cases() -> Vec<Case> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder().join("cases")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let all = toml::from_str::<Cases>(&text);
        all.unwrap_or_else(|error| panic!("{}: {error}", file.display())).case
    };
    files.iter().flat_map(read).collect()
}

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

async fn start(cases: &[Case], app: &Upstream, cpu: Option<&str>) -> Gateway {
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
[upstreams.app]
endpoints = ["http://{}"]
[upstreams.peer]
endpoints = ["http://{peer}"]
[upstreams.dead]
endpoints = ["http://{dead}"]
[upstreams.grpc]
endpoints = ["http://{grpc}"]
protocol = "http2"
"#,
        app.address
    );
    let mut setup = Setup::new("").file("peer.lua", PEER);
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
    setup.start().await
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

fn request(number: usize, ask: &Ask) -> Request {
    let method = ask.method.as_deref().unwrap_or("GET");
    let mut request = Request::new(method, ask.path.as_deref().unwrap_or("/"))
        .host(&format!("case-{number}.example.com"));
    for line in &ask.headers {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.field(name, value);
    }
    request.sized = ask.chunks.len() < 2 && ask.trailers.is_empty();
    for (index, chunk) in ask.chunks.iter().enumerate() {
        if index > 0 {
            // Each comes by itself.
            request.body.push(Piece::Pause(Duration::from_millis(30)));
        }
        request = request.body(chunk.clone());
    }
    request.trailers = ask.trailers.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    request
}

fn script(reply: &Reply) -> Script {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status.unwrap_or(200));
    for line in &reply.headers {
        let _ = write!(head, "{line}\r\n");
    }
    if reply.chunks.len() < 2 && reply.trailers.is_empty() {
        let body = reply.chunks.first().map_or("", |chunk| chunk);
        return Script::raw(format!("{head}content-length: {}\r\n\r\n{body}", body.len()));
    }
    let mut script = Script::raw(format!("{head}transfer-encoding: chunked\r\n\r\n"));
    for chunk in &reply.chunks {
        let text = format!("{:x}\r\n{chunk}\r\n", chunk.len());
        script = script.then(Step::Send(text.into()));
        script = script.then(Step::Pause(Duration::from_millis(30)));
    }
    let mut end = "0\r\n".to_owned();
    for (name, value) in &reply.trailers {
        let _ = write!(end, "{name}: {value}\r\n");
    }
    script.then(Step::Send(format!("{end}\r\n").into()))
}

/// What differs, of a message that came.
fn differs(
    wanted: &Message,
    fields: &[(String, String)],
    body: &[u8],
    trailers: &[(String, String)],
) -> Vec<String> {
    let all = |list: &[(String, String)], name: &str| {
        let named = list.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let mut wrong = Vec::new();
    for (list, wanted) in [(fields, &wanted.headers), (trailers, &wanted.trailers)] {
        for (name, value) in wanted {
            let got = all(list, name).join(", ");
            if got != *value {
                wrong.push(format!("{name}: {got:?}, not {value:?}"));
            }
        }
    }
    for name in &wanted.absent {
        if !all(fields, name).is_empty() {
            wrong.push(format!("{name} is there"));
        }
    }
    let text = String::from_utf8_lossy(body);
    if wanted.body.as_ref().is_some_and(|body| *body != text) {
        wrong.push(format!("the body is {text:?}"));
    }
    wrong
}

/// Lines that the case's filter has written.
fn lines(gateway: &Gateway, number: usize) -> Vec<String> {
    let filter = format!("case-{number}");
    let parse = |line: &String| serde_json::from_str::<serde_json::Value>(line).ok();
    let mine =
        |line: &serde_json::Value| line["filter"] == filter.as_str() && line["phase"].is_null();
    let text = |line: serde_json::Value| line["message"].as_str().unwrap_or_default().to_owned();
    gateway.log().iter().filter_map(parse).filter(mine).map(text).collect()
}

async fn walk(
    protocol: Protocol,
    gateway: &Gateway,
    app: &Upstream,
    number: usize,
    case: &Case,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let scripts: Vec<Script> = case.answer.iter().map(script).collect();
    app.reset(if scripts.is_empty() { vec![Script::ok("ok")] } else { scripts });
    let before = app.count();
    let none = [Ask::default()];
    for ask_for in if case.ask.is_empty() { &none[..] } else { &case.ask } {
        let answer = ask(protocol, gateway, &request(number, ask_for)).await;
        let wanted = &ask_for.gets;
        let broken = answer.broken.is_some() || answer.status == 0;
        if broken != ask_for.broken {
            wrong.push(format!("the answer is {answer}"));
        } else if !broken && answer.status != wanted.status.unwrap_or(200) {
            wrong.push(format!("the status is {}", answer.status));
        }
        wrong.extend(differs(wanted, &answer.fields, &answer.body, &answer.trailers));
    }
    if case.unseen && app.count() > before {
        wrong.push("the upstream was asked".into());
    }
    if let Some(wanted) = &case.sees {
        match app.requests().get(before) {
            None => wrong.push("the upstream was not asked".into()),
            Some(seen) => {
                let line = seen.line.strip_suffix(" HTTP/1.1").unwrap_or_default();
                let (method, path) = line.split_once(' ').unwrap_or_default();
                let wants =
                    |wanted: &Option<String>, got| wanted.as_ref().is_some_and(|w| w != got);
                if wants(&wanted.method, method) || wants(&wanted.path, path) {
                    wrong.push(format!("the upstream saw {line}"));
                }
                let found = differs(wanted, &seen.fields, &seen.body, &seen.trailers);
                wrong.extend(found.iter().map(|text| format!("the upstream saw {text}")));
            }
        }
    }
    if let Some(wanted) = &case.log {
        // Some lines come after the answer.
        for _ in 0..100 {
            if lines(gateway, number).len() >= wanted.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let got = lines(gateway, number);
        let same = |(wanted, got): (&String, &String)| match wanted.strip_suffix('~') {
            Some(begins) => got.starts_with(begins),
            None => wanted == got,
        };
        let fits = match case.loose {
            true => wanted.iter().all(|line| got.iter().any(|other| same((line, other)))),
            false => got.len() == wanted.len() && wanted.iter().zip(&got).all(same),
        };
        if !fits {
            wrong.push(format!("it logged\n    {}", got.join("\n    ")));
        }
    }
    for text in &case.elsewhere {
        let message = format!("\"message\":{}", serde_json::to_string(text).unwrap());
        if let Err(seen) = gateway.logged(&[&message]).await {
            wrong.push(format!("nobody logged {text}: {seen}"));
        }
    }
    let filter = format!("\"case-{number}\"");
    for text in &case.host_log {
        if let Err(seen) = gateway.logged(&[text, &filter]).await {
            wrong.push(format!("the log lacks {text}: {seen}"));
        }
    }
    if !case.metrics.is_empty() {
        let page = metrics(gateway).await;
        let absent = case.metrics.iter().filter(|line| !page.lines().any(|l| l == line.as_str()));
        wrong.extend(absent.map(|line| format!("/metrics lacks {line}")));
    }
    wrong
}

async fn metrics(gateway: &Gateway) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let socket = gateway.folder.path().join("admin.sock");
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let ask = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

#[test]
fn each_case_of_the_kit_passes() {
    each_passes(Protocol::H1, None);
}

#[test]
fn each_case_of_the_kit_passes_over_http2() {
    each_passes(Protocol::H2, None);
}

#[test]
fn each_case_of_the_kit_passes_over_http3() {
    each_passes(Protocol::H3, None);
}

/// The same with calls that may take long: they run beside the worker's other work.
#[test]
fn each_case_of_the_kit_passes_on_fibers() {
    each_passes(Protocol::H1, Some("200ms"));
}

fn each_passes(protocol: Protocol, cpu: Option<&str>) {
    let all = cases();
    let only = std::env::var("CASE").unwrap_or_default();
    run(async {
        let app = Upstream::start(Vec::new()).await;
        let gateway = start(&all, &app, cpu).await;
        let mut failed = Vec::new();
        for (number, case) in all.iter().enumerate() {
            if !case.name.contains(&only) || case.http1 && protocol != Protocol::H1 {
                continue;
            }
            let wrong = walk(protocol, &gateway, &app, number, case).await;
            if !wrong.is_empty() {
                failed.push(format!("{}\n  {}", case.name, wrong.join("\n  ")));
            }
        }
        assert!(failed.is_empty(), "{} failed:\n\n{}", failed.len(), failed.join("\n\n"));
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    pub name: String,
    #[serde(default)]
    pub is: crate::names::Is,
    #[serde(default)]
    pub note: String,
}

#[derive(Deserialize)]
struct Group {
    group: String,
    name: Vec<Name>,
}

/// The table of the ABI's names, by group.
pub fn names() -> Vec<(String, Vec<Name>)> {
    #[derive(Deserialize)]
    struct Table {
        groups: Vec<Group>,
    }
    let text = std::fs::read_to_string(folder().join("names.toml")).unwrap();
    let table: Table = toml::from_str(&text).unwrap();
    table.groups.into_iter().map(|group| (group.group, group.name)).collect()
}

/// What the table calls there, a case calls; and what links is in the table.
#[test]
fn each_name_has_a_case() {
    use crate::names::Is;
    let words: BTreeSet<String> = cases()
        .iter()
        .flat_map(|case| {
            let log = case.log.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            let script = case.script.replace("\\0", ".");
            let module = match case.module.as_str() {
                "old" => "proxy_abi_version_0_1_0",
                "wasi" => "proxy_abi_version_0_2_0",
                _ => "proxy_abi_version_0_2_1 proxy_on_memory_allocate proxy_on_vm_start",
            };
            let text = format!("{script} {module} {} {log}", case.name);
            let split = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.';
            text.split(split).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let names = names();
    let mut missing: Vec<String> = names
        .iter()
        .flat_map(|(_, names)| names)
        .filter(|name| name.is != Is::Absent)
        .filter(|name| {
            let plain = name.name.strip_prefix("proxy_").unwrap_or(&name.name);
            let plain = plain.strip_prefix("on_").unwrap_or(plain);
            let within = format!("{}.", name.name);
            let is =
                |word: &String| word == plain || *word == name.name || word.starts_with(&within);
            !words.iter().any(is)
        })
        .map(|name| format!("no case for {}", name.name))
        .collect();
    let known: BTreeSet<&str> =
        names.iter().flat_map(|(_, names)| names).map(|name| name.name.as_str()).collect();
    let link = std::fs::read_to_string(root().join("runtime/wasm/src/proxy_wasm/link.rs")).unwrap();
    for name in link.split('"').filter(|word| word.starts_with("proxy_") && !word.contains(' ')) {
        if !known.contains(name) {
            missing.push(format!("names.toml lacks {name}"));
        }
    }
    crate::tidy::none(&missing);
}
