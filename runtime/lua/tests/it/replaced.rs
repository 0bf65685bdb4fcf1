//! After a kill: the VM is a new one, and the next script of its worker does not wait for it long.

use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{OpenResty, Plan, ScriptFile, Source};

use crate::rig::*;

/// What the next script may wait, on a quiet machine in a release build.
const LATE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 50 } else { 5 });
/// Other scripts of the worker.
const OTHERS: usize = 100;

/// Scripts that leave much behind.
const ENDS: &[&str] = &[
    "while true do end",
    "local t = {} while true do t[#t + 1] = {} end",
    "local t = {} while true do t[#t + 1] = { {}, {} } end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(10) .. #t end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end",
    "local t = {} while true do t[#t + 1] = function() return t end end",
    "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
    "local t = {} while true do t[#t + 1] = ngx.socket.udp() t[#t]:setpeername('127.0.0.1', 9) end",
    "for i = 1, 1e9 do ngx.re.match('x', 'x' .. i, 'jo') end",
    "local m = {} m.__index = function(t, k) return t[k .. 'x'] end return setmetatable({}, m).x",
    "for i = 1, 1e9 do ngx.header['x-' .. i] = ('x'):rep(1000) end",
    "for i = 1, 1e9 do load('for i = 1, 100 do local x = i + ' .. i .. ' end')() end",
];

/// The scripts as nginx's access phase, each with 10 ms.
fn as_access(plan: &mut Plan) {
    plan.script.memory = 32 << 20;
    for spec in &mut plan.filters {
        let Source::Native(path) = spec.program.clone() else { panic!("a file") };
        spec.cpu = Duration::from_millis(10);
        let script = ScriptFile { path, name: Arc::from("access.lua") };
        spec.program = Source::OpenResty(OpenResty {
            phases: vec![("access", script)],
            settings: "{}".into(),
            ..OpenResty::default()
        });
    }
}

#[test]
fn the_next_script_does_not_wait_for_it() {
    let scripts: Vec<String> = (0..OTHERS).map(|n| format!("ngx.ctx.n = {n}")).collect();
    let mut scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    scripts.splice(0..0, ENDS.iter().copied());
    let rig = load(&scripts, |plan, _| as_access(plan)).unwrap();
    let request = |index: usize| {
        let begun = cpu();
        let (result, _) = rig.phase_of(index, Phase::Request);
        (result, cpu() - begun)
    };
    request(ENDS.len()).0.unwrap();
    let one = |index: usize| {
        let body = ENDS[index];
        let (result, took) = request(index);
        let why = result.expect_err(body).message;
        let heap = rig.heap() >> 10;
        let (result, next) = request(ENDS.len() + index);
        result.unwrap();
        let line = format!("{took:>8.1?}, {heap:>5} KiB, the next {next:>8.1?}  {body} ({why})");
        eprintln!("{line}");
        (next > LATE).then_some(line)
    };
    let late: Vec<String> = (0..ENDS.len()).filter_map(one).collect();
    assert!(late.is_empty(), "{}", late.join("\n"));
}

const HANDLER: &str = "local P = { PRIORITY = 1, VERSION = '1.0.0' }
function P:access(conf) BODY end
return P";

const SCHEMA: &str = "return { name = 'NAME', fields = {
  { consumer = require 'kong.db.schema.typedefs'.no_consumer },
  { config = { type = 'record', fields = {
    { limit = { type = 'number', default = 5 } },
    { names = { type = 'array', elements = { type = 'string' } } } } } } } }";

/// The same for plugins of Kong: those that it does not need boot behind it.
#[test]
fn nor_does_the_next_plugin() {
    const PLUGINS: usize = 10;
    let rig = load(&[""; PLUGINS], |plan, dir| {
        for (index, spec) in plan.filters.iter_mut().enumerate() {
            let name = format!("p{index}");
            let body = match index {
                0 => "while true do end",
                _ => "kong.response.set_header('x-a', conf.limit)",
            };
            let file = |what: &str| format!("lua/kong/plugins/{name}/{what}.lua");
            dir.write(&file("handler"), &HANDLER.replace("BODY", body));
            dir.write(&file("schema"), &SCHEMA.replace("NAME", &name));
            spec.program = Source::Kong { plugin: name };
            spec.cpu = Duration::from_millis(10);
        }
    })
    .unwrap();
    for _ in 0..5 {
        rig.phase_of(0, Phase::Request).0.expect_err("a loop");
        let begun = cpu();
        rig.phase_of(1, Phase::Request).0.unwrap();
        let next = cpu() - begun;
        eprintln!("the next {next:?}");
        assert!(next < LATE, "{next:?}");
        // The others boot while nobody waits; there is nothing else to do.
        while rig.tick() > 0 {}
        let begun = cpu();
        rig.phase_of(2, Phase::Request).0.unwrap();
        assert!(cpu() - begun < LATE);
    }
}

/// A worker that had to replace its VM has the next one ready, with what its scripts begin with; one and
/// no more, until it rests.
#[test]
fn the_next_vm_is_made_ahead() {
    let rig = load(&["while true do end", "ngx.ctx.n = 1"], |plan, _| as_access(plan)).unwrap();
    let one = || rig.phase_of(1, Phase::Request).0.unwrap();
    let kill = || rig.phase_of(0, Phase::Request).0.expect_err("a loop");
    let settle = || while rig.tick() > 0 {};
    one();
    settle();
    let alone = rig.heap();
    let vms = || (rig.heap() as f64 / alone as f64).round();
    kill();
    settle();
    assert_eq!(vms(), 1.0, "most are never killed: none is made before one was");
    for _ in 0..3 {
        one();
        settle();
        assert_eq!(vms(), 2.0);
        kill();
        assert_eq!(vms(), 2.0);
    }
    one();
    settle();
    rig.realm.rest();
    assert_eq!(vms(), 1.0);
    kill();
    one();
}
