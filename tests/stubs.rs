//! The stubs for editors (`sdk/lua/meta`) against a gateway that runs: each name that they have is there,
//! and what is there they have.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::support::gateway::Setup;
use crate::support::message::{Protocol, ask};
use crate::support::{PATIENCE, Request, run};
use crate::tidy::root;

/// What the stubs say: of tables (`gateway.log`) and classes (`Request`), their names.
type Stubs = BTreeMap<String, BTreeMap<String, Kind>>;

/// What a name is; as the walk has it.
#[derive(Clone, Copy)]
enum Kind {
    Function,
    Field,
    /// It may be nil.
    Optional,
}

impl Kind {
    fn lua(self) -> &'static str {
        match self {
            Kind::Function => "'function'",
            Kind::Field => "'field'",
            Kind::Optional => "'optional'",
        }
    }
}

fn stubs() -> Stubs {
    let mut stubs = Stubs::new();
    for file in ["exchange", "gateway"] {
        let text =
            std::fs::read_to_string(root().join(format!("sdk/lua/meta/{file}.lua"))).unwrap();
        assert!(text.starts_with("---@meta\n"), "{file}.lua is code");
        let mut class = String::new();
        for line in text.lines() {
            let mut put = |owner: &str, name: &str, kind| {
                let of = stubs.entry(owner.to_owned()).or_default();
                assert!(of.insert(name.to_owned(), kind).is_none(), "{owner}.{name} twice");
            };
            if let Some(name) = line.strip_prefix("---@class pilotlight.") {
                class = name.to_owned();
            } else if let Some(field) = line.strip_prefix("---@field ") {
                let (name, _) = field.split_once(' ').unwrap();
                match name.strip_suffix('?') {
                    Some(name) => put(&class, name, Kind::Optional),
                    None if name.starts_with('[') => {}
                    None => put(&class, name, Kind::Field),
                }
            } else if let Some(function) = line.strip_prefix("function ") {
                let (path, _) = function.split_once('(').unwrap();
                let (owner, name) = path.rsplit_once([':', '.']).unwrap();
                put(owner, name, Kind::Function);
            } else if line.starts_with("gateway.") {
                let (path, _) = line.split_once(" = ").unwrap();
                let (owner, name) = path.rsplit_once('.').unwrap();
                put(owner, name, Kind::Field);
            }
        }
    }
    stubs
}

/// Parts of the API that are made when a script first asks for them: files of the prelude.
fn parts() -> BTreeSet<String> {
    let folder = root().join("runtime/lua/src/prelude/gateway");
    let stem = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()
    };
    // How signatures are made is not a part.
    std::fs::read_dir(folder).unwrap().map(stem).filter(|name| name != "jws").collect()
}

/// Goes through both, and tells what one of them lacks.
const WALK: &str = r#"
local names, parts = require "names", require "parts"
local standard = {}
for name in ([[_VERSION _G assert error ipairs next pairs pcall rawequal rawget rawset rawlen select setmetatable
  getmetatable tonumber tostring type unpack xpcall print collectgarbage string table coroutine math bit os debug
  jit load loadstring package require gateway]]):gmatch("%S+") do standard[name] = true end

local missing = {}
local function miss(...) missing[#missing + 1] = table.concat({ ... }) end

-- Values of a class. What may be nil is at least told by pairs.
local function check(class, value, has_pairs)
  local listed = {}
  if has_pairs then
    for name in pairs(value) do
      listed[name] = true
      if names[class][name] == nil then miss(class, ".", name, " has no stub") end
    end
  end
  for name, kind in pairs(names[class]) do
    local got = value[name]
    if kind == "function" and type(got) ~= "function" then miss(class, ":", name, " is no function") end
    if kind == "field" and got == nil and not listed[name] then miss(class, ".", name, " is not there") end
  end
end

local function check_table(path, value)
  check(path, value, true)
  for name, inner in pairs(value) do
    if type(inner) == "table" and inner ~= gateway.config then check_table(path .. "." .. name, inner) end
  end
end

local results = gateway.shared "results"
local function tell(where)
  results:set(where, #missing == 0 and "nothing" or table.concat(missing, "\n"))
  missing = {}
end

return {
  request = function(req)
    for name in pairs(_G) do
      if not standard[name] then miss(name, " is a global without a stub") end
    end
    for name in pairs(parts) do
      if gateway[name] == nil then miss("gateway.", name, " is not there") end
      if name ~= "redis" and not names["gateway." .. name] then miss("gateway.", name, " has no stub") end
    end
    check_table("gateway", gateway)
    check("Request", req, true)
    check("Headers", req.headers)
    check("Client", req.client)
    check("Tls", req.tls)
    check("Shared", results)
    check("Task", gateway.spawn(function() end))
    check("Counter", gateway.metric.counter("c"))
    check("Gauge", gateway.metric.gauge("g"))
    check("Histogram", gateway.metric.histogram("h"))
    local main = gateway.redis "main"
    check("Redis", main)
    main:pipeline(function(pipeline) check("Pipeline", pipeline) end)
    check("Fetched", (assert(gateway.fetch { url = "/fetched", upstream = "own" })))
    tell "request"
  end,
  response = function(res)
    check("Response", res, true)
    tell "response"
  end,
  log = function(entry)
    check("Entry", entry, true)
    tell "log"
  end,
}
"#;

const RESULTS: &str = "return function(req)
  local d = gateway.shared 'results'
  return { body = table.concat({ d:get 'request' or '?', d:get 'response' or '?', d:get 'log' or '?' }, '; ') }
end";

#[test]
fn the_stubs_have_what_scripts_have() {
    let mut names = String::from("return {\n");
    for (owner, all) in stubs() {
        let _ = writeln!(names, "[\"{owner}\"] = {{");
        all.iter()
            .for_each(|(name, call)| writeln!(names, "[\"{name}\"] = {},", call.lua()).unwrap());
        names.push_str("},\n");
    }
    names.push('}');
    let parts: Vec<_> = parts().iter().map(|part| format!("{part} = true")).collect();
    let parts = format!("return {{ {} }}", parts.join(", "));
    let own = crate::support::free_address();
    let manifest = format!(
        r#"
[[listeners]]
name = "own"
address = "{own}"
[[routes]]
name = "walk"
match = {{ path = "/walk" }}
filters = ["walk"]
respond = {{ status = 200, body = "walked" }}
[[routes]]
name = "results"
match = {{ path = "/results" }}
lua = "results.lua"
[[routes]]
name = "fetched"
match = {{ path = "/fetched" }}
respond = {{ status = 200, body = "[]" }}
[filters.walk]
lua = "walk.lua"
config = {{ a = 1 }}
limits = {{ cpu = "1s" }}
[shared.results]
size = "1MiB"
[redis.main]
url = "redis://127.0.0.1:1"
[upstreams.own]
endpoints = ["http://{own}"]
[lua]
path = ["?.lua"]
"#
    );
    run(async {
        let setup = Setup::new(manifest).file("walk.lua", WALK).file("results.lua", RESULTS);
        let gateway = setup.file("names.lua", names).file("parts.lua", parts).start().await;
        let walk = Request::new("GET", "/walk?q=1").field("x-a", "1");
        let answer = ask(Protocol::H2, &gateway, &walk).await;
        assert!(answer.is(200), "{answer}");
        let until = std::time::Instant::now() + *PATIENCE;
        loop {
            let answer = ask(Protocol::H1, &gateway, &Request::new("GET", "/results")).await;
            let text = answer.text();
            if text == "nothing; nothing; nothing" {
                return;
            }
            let is_late = std::time::Instant::now() > until;
            assert!(text.contains('?') && !is_late, "{text}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn what_the_reference_calls_has_a_stub() {
    let methods: BTreeSet<String> = stubs().values().flat_map(BTreeMap::keys).cloned().collect();
    let text = std::fs::read_to_string(root().join("docs/reference/lua.md")).unwrap();
    let mut missing = Vec::new();
    for code in text.split('`').skip(1).step_by(2) {
        for (at, mark) in code.match_indices(':') {
            let rest = &code[at + mark.len()..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            if let Some(end @ 1..) = end
                && rest[end..].starts_with('(')
                && !methods.contains(&rest[..end])
            {
                missing.push(rest[..end].to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "no stubs: {missing:?}");
}
