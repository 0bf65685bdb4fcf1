//! Scripts and modules that run away: each fails its own exchange within its limit, and others on the same
//! worker are served meanwhile.

use std::time::{Duration, Instant};

use crate::support::gateway::Setup;
use crate::support::message::{ALL, Client, Protocol, ask};
use crate::support::{Request, full, run};

/// The limit of CPU time in these manifests.
const LIMIT: Duration = Duration::from_millis(10);

/// How long past its limit a runaway's answer may come: the promise when the machine is quiet, more beside
/// other tests and builds (the limit is CPU time).
fn slack() -> Duration {
    if full() { Duration::from_millis(20) } else { Duration::from_secs(3) }
}

const LUA: &[(&str, &str)] = &[
    ("loop", "while true do end"),
    ("loop_in_pcall", "while true do pcall(function() while true do end end) end"),
    (
        "loop_in_coroutine",
        "local c = coroutine.wrap(function() while true do end end) while true do c() end",
    ),
    (
        "loop_in_both",
        "local c = coroutine.wrap(function() while true do pcall(function() local n = 0 while true do n = n + 1 end end) end end) c()",
    ),
    ("loop_of_strings", "local s = 'a' while true do s = ('x'):rep(1000) .. s:sub(1, 1000) end"),
    (
        "allocation",
        "local t = {} local n = 0 while true do n = n + 1 t[n] = ('x'):rep(1000) .. n end",
    ),
    ("one_string", "local s = 'x' while true do s = s .. s end"),
    (
        "allocation_in_pcall",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = { {}, {}, {} } end end) end",
    ),
    ("recursion", "local function f() return 1 + f() end return f()"),
    ("recursion_in_gsub", "local function f(s) return (s:gsub('.', f)) end f('x')"),
    ("pattern_set", "string.find(('a'):rep(1e6), '[' .. ('b'):rep(1e6) .. ']')"),
    (
        "patterns",
        "while true do pcall(string.find, ('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(31)) end",
    ),
    ("quoted", "string.find(('\"x'):rep(3000), '(\".-\")(\".-\")(\".-\")(\".-\")$')"),
    ("replacement", "string.gsub(('x'):rep(1e6), '.*', ('%0'):rep(5e5))"),
    ("nested_wrap", "local function f() return coroutine.wrap(f)() end f()"),
    (
        "nested_tostring",
        "local m = {} m.__tostring = function(t) return tostring(t) .. ('%s'):format(t) end tostring(setmetatable({}, m))",
    ),
    ("repeated", "local s = ('x'):rep(1e9)"),
    (
        "insert",
        "while true do local t = {} for i = 0, 30 do t[2 ^ i] = 1 end pcall(table.insert, t, 1, 1) end",
    ),
    (
        "labels",
        "local p = {} for i = 1, 60000 do p[i] = '::a' .. i .. '::' end while true do load(table.concat(p)) end",
    ),
    (
        "json",
        "local t = {} for i = 1, 90 do t = { t, t } end while true do pcall(gateway.json.encode, t) end",
    ),
    ("answer", "local t = {} for i = 1, 90 do t = { t, t } end return { json = t }"),
    (
        "format",
        "local t = {} for i = 1, 200 do t[i] = 1e308 end while true do ('%99.99f'):rep(200):format(unpack(t)) end",
    ),
    (
        "garbage",
        "while true do local t = {} for i = 1, 1000 do t[i] = { i } end collectgarbage() end",
    ),
    ("pattern", "return ('a'):rep(30):find(('a?'):rep(30) .. ('a'):rep(30) .. 'b')"),
    (
        "sort",
        "local t = {} for n = 1, 1e5 do t[n] = n end table.sort(t, function() while true do end end)",
    ),
    ("tostring", "tostring(setmetatable({}, { __tostring = function() while true do end end }))"),
];

const WASM: &[(&str, &str)] = &[
    ("wasm_loop", "(loop $l (br $l))"),
    (
        "wasm_memory",
        "(loop $l (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) (br $l))",
    ),
    (
        "wasm_fill",
        "(loop $l (memory.fill (i32.const 65536) (i32.const 1) (i32.const 100000)) (br $l))",
    ),
    ("wasm_trap", "unreachable"),
];

fn setup() -> Setup {
    let mut rest =
        String::from("[[routes]]\nmatch = { path = \"/ok\" }\nrespond = { body = \"ok\" }\n");
    let mut files = Vec::new();
    for (name, body) in LUA {
        let target = format!("filters = [\"{name}\"]\nrespond = {{ body = \"never\" }}\n");
        rest.push_str(&format!("[[routes]]\nmatch = {{ path = \"/{name}\" }}\n{target}"));
        rest.push_str(&format!("[filters.{name}]\nlua = \"{name}.lua\"\nlimits = {{ cpu = \"10ms\", memory = \"8MiB\" }}\n"));
        files.push((
            format!("{name}.lua"),
            format!("return {{ request = function(req) {body} end }}").into_bytes(),
        ));
    }
    for (name, body) in WASM {
        let target = format!("filters = [\"{name}\"]\nrespond = {{ body = \"never\" }}\n");
        rest.push_str(&format!("[[routes]]\nmatch = {{ path = \"/{name}\" }}\n{target}"));
        rest.push_str(&format!("[filters.{name}]\nwasm = \"{name}.wasm\"\nlimits = {{ cpu = \"10ms\", memory = \"8MiB\" }}\n"));
        let text = format!(
            "(module {} (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) {body} (i32.const 0)))",
            include_str!("cases/prelude.wat")
        );
        files.push((format!("{name}.wasm"), wat::parse_str(text).unwrap()));
    }
    Setup { files, ..Setup::new(rest) }
}

#[test]
fn each_fails_its_own_exchange() {
    run(async {
        let mut gateway = setup().start().await;
        let mut failures = Vec::new();
        for (name, _) in LUA.iter().chain(WASM) {
            // Another client on the same worker, all the while.
            let mut other = Client::connect(Protocol::H1, &gateway, "a.test").await;
            let attack = async {
                let begun = Instant::now();
                let answer = ask(Protocol::H1, &gateway, &Request::get(&format!("/{name}"))).await;
                (answer, begun.elapsed())
            };
            tokio::pin!(attack);
            let (mut served, mut slowest) = (0, Duration::ZERO);
            let (answer, took) = loop {
                let begun = Instant::now();
                let request = Request::get("/ok");
                tokio::select! {
                    done = &mut attack => break done,
                    good = other.send(&request) => {
                        good.assert(200);
                        served += 1;
                        slowest = slowest.max(begun.elapsed());
                    }
                }
            };
            let (over, slowest) = (took.saturating_sub(LIMIT), slowest.as_millis());
            eprintln!(
                "{name:20} {} {:>6.1} ms over; others: {served:>4} served, slowest {slowest} ms",
                answer.status,
                over.as_secs_f64() * 1e3
            );
            if !answer.is(500) {
                failures.push(format!("{name}: {answer}"));
            }
            if over > slack() {
                failures.push(format!("{name}: {over:?} past its limit"));
            }
            // And afterwards, over each protocol.
            for protocol in ALL {
                ask(protocol, &gateway, &Request::get("/ok")).await.assert(200);
            }
        }
        assert!(gateway.is_alive(), "the gateway is gone");
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    });
}

/// Many at once do not add up to a process without memory.
#[test]
fn many_at_once() {
    run(async {
        let mut gateway = setup().start().await;
        ask(Protocol::H1, &gateway, &Request::get("/allocation")).await.assert(500);
        let before = gateway.resident();
        for _ in 0..5 {
            for name in ["/allocation", "/wasm_memory", "/loop", "/wasm_loop"] {
                ask(Protocol::H1, &gateway, &Request::get(name)).await.assert(500);
            }
        }
        let added = gateway.resident().saturating_sub(before);
        eprintln!("20 bombs: {} KiB added to {} KiB", added >> 10, before >> 10);
        assert!(added < 64 << 20, "{added} bytes added");
        assert!(gateway.is_alive());
    });
}
