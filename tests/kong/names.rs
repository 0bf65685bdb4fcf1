//! The table, and the walk along it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Setup};
use crate::support::message::{Protocol, ask};
use crate::support::{Answer, Request, free_address, run};
use crate::tidy::root;

/// A name of the kit, or of what Kong's core has beside it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    pub name: String,
    #[serde(default)]
    pub is: Is,
    /// How it differs, why it is absent, or what else there is to know.
    #[serde(default)]
    pub note: String,
    /// Where the check runs.
    #[serde(default = "access")]
    phase: String,
    /// Lua that returns true.
    check: String,
    /// What the request has beside what all have.
    #[serde(default)]
    request: Asked,
    /// What the client sees.
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    starts: Option<String>,
    /// What the upstream saw.
    #[serde(default)]
    echo: BTreeMap<String, String>,
    /// What is in the log.
    logs: Option<String>,
}

/// What became of a name here.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Is {
    #[default]
    Same,
    Differs,
    Absent,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Asked {
    method: Option<String>,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Names {
    name: Vec<Name>,
}

fn access() -> String {
    "access".into()
}

/// All of them, in the order of the page.
pub fn all() -> Vec<Name> {
    let text = std::fs::read_to_string(root().join("tests/kong/names.toml")).unwrap();
    toml::from_str::<Names>(&text).unwrap().name
}

/// Answers with what it got, as JSON.
const ECHO: &str = r#"
local echo = {}
function echo.request(req)
  local seen = { method = req.method, path = req.path, query = req.query or "", host = req.host,
    body = req:body(), listener = req.listener }
  for _, name in ipairs { "x-one", "x-new" } do
    seen[name] = table.concat(req.headers:all(name), ", ")
  end
  return { status = 200, body = gateway.json.encode(seen),
    headers = { ["content-type"] = "application/json", ["x-up"] = "1", ["x-twice"] = { "1", "2" } } }
end
return echo
"#;

/// Tells what a check left in the dictionary.
const RESULTS: &str = r#"
return function(req)
  return { body = gateway.shared("results"):get(req.query) or "nothing yet" }
end
"#;

async fn start(names: &[Name]) -> (Gateway, u16) {
    let (echo, other) = (free_address(), free_address());
    let mut checks = String::new();
    for name in names {
        let code = name.check.replace("OTHER_PORT", &format!("\"{}\"", other.port()));
        let code =
            code.replace("\"127.0.0.1\", tonumber", &format!("\"{}\", tonumber", other.ip()));
        // A string of JSON is one of TOML, too.
        let (phase, code) = (json!(name.phase), json!(code));
        let _ = writeln!(checks, "{{ phase = {phase}, code = {code} }},");
    }
    let rest = format!(
        r#"
[[listeners]]
name = "echo"
address = "{echo}"
[[listeners]]
name = "other"
address = "{other}"
[[routes]]
name = "probe"
match = {{ host = "probe.example", path = "/probe/*", listeners = ["clear"] }}
filters = ["probe", "probe-response"]
upstream = "echo"
[[routes]]
name = "results"
match = {{ path = "/results", listeners = ["clear"] }}
lua = "results.lua"
[[routes]]
name = "echo"
match = {{ listeners = ["echo", "other"] }}
lua = "echo.lua"
[upstreams.echo]
endpoints = ["http://{echo}"]
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
[shared.results]
size = "1MiB"
[lua]
path = ["?.lua"]
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
    let mut setup = Setup::new(rest).file("echo.lua", ECHO).file("results.lua", RESULTS);
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
    (setup.start().await, other.port())
}

fn request(number: usize, name: &Name) -> Request {
    let method = name.request.method.as_deref().unwrap_or("GET");
    let mut request = Request::new(method, "/probe/a%20b?x=1&x=2&flag")
        .host("probe.example")
        .field("x-check", &number.to_string())
        .field("x-one", "1")
        .field("x-many", "a")
        .field("x-many", "b");
    for (field, value) in &name.request.headers {
        request = request.field(field, value);
    }
    match &name.request.body {
        Some(body) => request.body(body.clone()),
        None => request,
    }
}

/// What is wrong with an answer; the check's own result comes after it.
fn wrong(name: &Name, answer: &Answer, other: u16) -> Option<String> {
    let status = name.status.unwrap_or(200);
    if !answer.is(status) {
        return Some(format!("expected a whole {status}, got {answer}"));
    }
    for (field, value) in &name.headers {
        let got = answer.all(field).join(", ");
        if got != *value {
            return Some(format!("{field} is {got:?}, not {value:?}"));
        }
    }
    let text = answer.text();
    if name.body.as_ref().is_some_and(|body| *body != text) {
        return Some(format!("the body is {text:?}"));
    }
    if name.starts.as_ref().is_some_and(|starts| !text.starts_with(starts)) {
        return Some(format!("the body is {text:?}"));
    }
    let seen: Value = serde_json::from_str(&text).unwrap_or_default();
    for (key, value) in &name.echo {
        let (got, value) = match key.as_str() {
            "port" => (&seen["listener"], value.clone()),
            "host" if value == "127.0.0.1" => {
                (&seen["host"], seen["host"].as_str().unwrap_or_default().to_owned())
            }
            _ => (&seen[key.as_str()], value.clone()),
        };
        if got.as_str() != Some(value.as_str()) {
            return Some(format!("the upstream ({other}) saw {key} {got}, not {value:?}"));
        }
    }
    None
}

/// A check's own result: it may come after the answer.
async fn result(gateway: &Gateway, number: usize) -> String {
    let mut text = String::new();
    for _ in 0..100 {
        let answer = ask(Protocol::H1, gateway, &Request::get(&format!("/results?{number}"))).await;
        text = answer.text();
        if text != "nothing yet" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    text
}

#[test]
fn each_name_of_the_kit_does_what_the_table_says() {
    let names = all();
    // SAFETY: the variable is read by children of this process alone.
    unsafe { std::env::set_var("PROBE_SECRET", "s3cret") };
    let mut failures = Vec::new();
    run(async {
        let (gateway, other) = start(&names).await;
        for (index, name) in names.iter().enumerate() {
            let number = index + 1;
            let answer = ask(Protocol::H1, &gateway, &request(number, name)).await;
            if let Some(why) = wrong(name, &answer, other) {
                failures.push(format!("{}: {why}", name.name));
            }
            // An answer of the check's own ends it.
            let own = name.status.is_some_and(|status| status >= 400);
            let said = if own { "ok".into() } else { result(&gateway, number).await };
            if said != "ok" {
                failures.push(format!("{}: {said}", name.name));
            }
            if let Some(line) = &name.logs
                && let Err(why) = gateway.logged(&[line]).await
            {
                failures.push(format!("{}: {why}", name.name));
            }
        }
    });
    assert!(
        failures.is_empty(),
        "{} of {} fail:\n{}",
        failures.len(),
        names.len(),
        failures.join("\n")
    );
}
