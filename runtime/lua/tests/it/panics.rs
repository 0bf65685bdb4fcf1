//! Bugs of the host under a script: they fail its exchange, and nobody else's.

use std::time::Duration;

use pilotlight_filter::abi::Phase;
use pilotlight_filter::{FaultKind, Verdict};

use crate::rig::*;
use crate::said::{access, said_by};

/// A script that does this on `/bad`, and waits and answers elsewhere.
fn bad(body: &str) -> Rig {
    let script = format!(
        "local f = {{}}
         function f.request(req)
           if req.path == '/bad' then do {body} end return {{ body = 'went on' }} end
           gateway.sleep(1)
           return {{ body = tostring(gateway.now()) }}
         end
         function f.log() gateway.log.info('the end') end
         return f"
    );
    load(&[&script], |plan, _| plan.filters[0].cpu = Duration::from_secs(5)).unwrap()
}

/// The exchange fails for this reason; one that was under way in its VM and one that follows do not.
fn fails(rig: &Rig, reason: &str, fuse: u32) {
    rig.world.delay.set(3);
    let (mut filter, mut waiting) = (rig.realm.start(0), exchange());
    assert!(poll(&mut *filter, Phase::Request, &mut waiting, None).is_pending());

    let mut exchange = exchange();
    exchange.request.head.set_path(b"/bad").unwrap();
    let mut broken = rig.realm.start(0);
    rig.world.fuse.set(fuse);
    let fault = run(&mut *broken, Phase::Request, &mut exchange).expect_err(reason);
    rig.world.fuse.set(0);
    assert_eq!(fault.kind, FaultKind::Internal, "{fault}");
    assert!(fault.message.starts_with("request: a call of the host's failed: "), "{fault}");
    assert!(fault.message.contains(reason), "{fault}");
    // A call in a function's tail has taken its place.
    let trace = fault.trace.unwrap_or_default();
    assert!(trace.contains("f0.lua:3") || trace.starts_with("\t[C]: in function"), "{trace}");
    run(&mut *broken, Phase::Log, &mut exchange).unwrap();

    let result = run(&mut *filter, Phase::Request, &mut waiting);
    assert_eq!(result.unwrap(), Verdict::Reply);
    assert_eq!(rig.request().0.unwrap(), Verdict::Reply);
}

#[test]
fn a_panic_of_a_call_on_the_stack_fails_its_exchange() {
    for body in [
        "gateway.log.info('panic')",
        "return gateway.log.info('panic')",
        "while true do pcall(gateway.log.info, 'panic') end",
        "coroutine.wrap(function() while true do pcall(gateway.log.info, 'panic') end end)()",
    ] {
        fails(&bad(body), "a bug in the log", 0);
    }
}

#[test]
fn so_does_one_of_a_call_by_ffi_compiled_or_not() {
    for (body, fuse) in [
        ("gateway.now()", 1),
        ("return { body = tostring(gateway.now()) }", 1),
        ("while true do pcall(gateway.now) end", 1),
        ("local x = 0 for i = 1, 1e5 do x = x + gateway.now() end", 50_000),
        ("local x = 0 for i = 1, 1e5 do x = x + gateway.now() end", 100_000),
    ] {
        fails(&bad(body), "a bug in the clock", fuse);
    }
}

#[test]
fn a_task_fails_alone() {
    let script = "local f = {}
        function f.request(req)
          gateway.spawn(function() gateway.log.info('panic') end)
          return { body = 'x' }
        end
        return f";
    let rig = rig(script);
    rig.request().0.unwrap();
    while rig.tick() > 0 {}
    let lines = rig.world.lines.borrow().join("\n");
    assert!(lines.contains("background: a call of the host's failed"), "{lines}");
    rig.request().0.unwrap();
}

/// Where Lua's own errors could meet a call of the host's: out of memory, out of stack, a table that
/// changes while it is walked.
#[test]
fn errors_of_lua_end_calls_in_order() {
    for body in [
        "local s = '[' .. ('[],'):rep(300000) .. '1]' local t = {} while true do t[#t + 1] = gateway.json.decode(s) end",
        "local p = {} for i = 1, 5000 do p[i] = ('\"a%d\":{}'):format(i) end local s, t = '{' .. table.concat(p, ',') .. '}', {} while true do t[#t + 1] = gateway.json.decode(s) end",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = gateway.json.decode('[[[[1]]]]') end end) end",
        "local t = {} for i = 1, 1e9 do t[i] = gateway.url.encode(('x'):rep(i % 1000)) end",
        "local t = {} for i = 1, 1e9 do t[i] = gateway.env('SITE') t[-i] = tostring(i) end",
        "local t = {} for i = 1, 1e9 do t[i] = load('return ' .. i) end",
        "local t = {} for i = 1, 1e9 do t[i] = req.headers end",
    ] {
        let script = format!("return {{ request = function(req) {body} end }}");
        let rig = load(&[&script], |plan, _| {
            plan.filters[0].memory = Some(4 << 20);
            plan.filters[0].cpu = Duration::from_secs(20);
        })
        .unwrap();
        for _ in 0..2 {
            let fault = rig.request().0.expect_err(body);
            assert_eq!(fault.kind, FaultKind::Memory, "{body}: {fault}");
        }
    }
    let deep = "local function f(n) gateway.log.info('x') gateway.json.encode({ { 1 } }) return 1 + f(n + 1) end
        local ok, why = pcall(f, 1)
        return { body = tostring(ok) .. ' ' .. tostring(why):match('stack overflow') }";
    assert_eq!(answer(deep), "false stack overflow");
}

#[test]
fn a_table_may_change_while_it_is_encoded() {
    let rig = access(
        "local cjson = require 'cjson'
         for round = 1, 20 do
           local t = {}
           for i = 1, round do t['a' .. i] = i end
           t.list = setmetatable({}, { __len = function()
             for k in pairs(t) do t[k] = nil end
             for i = 1, 100 do t['b' .. i] = i end
             return 1
           end, __index = function() for i = 1, 1000 do t['c' .. i] = i end return 'x' end })
           t.last = setmetatable({}, { __len = t.list and getmetatable(t.list).__len })
           local ok, why = pcall(cjson.encode, t)
           assert(ok or why:find(\"invalid key to 'next'\", 1, true), why)
         end
         say 'done'",
        &[],
    );
    assert_eq!(said_by(&rig), "done");
}
