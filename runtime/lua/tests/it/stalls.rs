//! Scripts that hold their worker for long are asked where they stand, and counts of what their VMs do.

use std::collections::HashMap;
use std::time::Duration;

use pilotlight_filter::Verdict;
use pilotlight_filter::abi::Phase;

use crate::rig::*;

/// Long on any machine, and far from its limit.
const LONG: &str = "local x = 0 for i = 1, 2e8 do x = x + i % 7 end";

fn patient(script: &str) -> Rig {
    load(&[script], |plan, _| plan.filters[0].cpu = Duration::from_secs(60)).unwrap()
}

#[test]
fn a_long_call_leaves_its_stack_with_the_exchange() {
    let script = format!(
        "local function held()\n {LONG}\nend
         local f = {{}}
         function f.request(req) held() return {{ body = 'done' }} end
         return f"
    );
    let rig = patient(&script);
    let (result, exchange) = rig.request();
    assert_eq!(result.unwrap(), Verdict::Reply);
    let stall = exchange.stall.take().expect("a stack");
    assert!(stall.contains("f0.lua:2: in function 'held'"), "{stall}");
}

#[test]
fn nor_is_it_lost_in_coroutines_where_it_waits_or_is_stopped() {
    let script = format!(
        "local f = {{}}
         function f.request(req)
           coroutine.wrap(function()
             {LONG}
           end)()
           gateway.sleep(0.001)
           return {{ body = 'done' }}
         end
         return f"
    );
    let (result, exchange) = patient(&script).request();
    assert_eq!(result.unwrap(), Verdict::Reply);
    let stall = exchange.stall.take().expect("a stack");
    assert!(stall.contains("f0.lua:4"), "{stall}");

    let script = "return { request = function() while true do end end }";
    let rig = load(&[script], |plan, _| plan.filters[0].cpu = Duration::from_millis(100)).unwrap();
    let (result, exchange) = rig.request();
    result.expect_err("it never ends");
    assert!(exchange.stall.take().is_some_and(|stall| stall.contains("f0.lua:1")));
}

#[test]
fn a_short_call_leaves_none() {
    let (result, exchange) =
        rig("return { request = function() return { body = 'x' } end }").request();
    assert_eq!(result.unwrap(), Verdict::Reply);
    assert!(exchange.stall.take().is_none());
}

#[test]
fn a_long_task_is_named_in_the_log() {
    let script = format!(
        "local f = {{}}
         function f.request(req)
           gateway.spawn(function()
             {LONG}
           end)
           return {{ body = 'x' }}
         end
         return f"
    );
    let rig = patient(&script);
    rig.request().0.unwrap();
    while rig.tick() > 0 {}
    let lines = rig.world.lines.borrow().join("\n");
    assert!(lines.contains("Warn") && lines.contains("blocked its worker"), "{lines}");
    // Fields are told as bytes.
    let place = format!("{:?}", b"f0.lua:4");
    assert!(lines.contains(place.trim_matches(['[', ']'])), "{lines}");
}

fn counts(rig: &Rig) -> HashMap<&'static str, u64> {
    let mut counts = HashMap::new();
    rig.realm.gauges(&mut |name, _, value| _ = counts.insert(name, value));
    counts
}

#[test]
fn traces_aborts_and_collections_are_counted_over_all_vms() {
    let script = "local f = {}
        function f.request(req)
          local x = 0
          for i = 1, 1000 do x = x + i end
          -- A function made in a loop does not compile.
          for i = 1, 1000 do x = x + (function() return i end)() end
          return { body = tostring(x) }
        end
        return f";
    let rig = rig(script);
    let before = counts(&rig);
    rig.request().0.unwrap();
    let after = counts(&rig);
    assert!(after["lua_traces"] > before["lua_traces"], "{before:?} {after:?}");
    assert!(after["lua_trace_aborts"] > before["lua_trace_aborts"], "{before:?} {after:?}");
    rig.realm.rest();
    let rested = counts(&rig);
    assert_eq!(rested["lua_collections"], after["lua_collections"] + 1);
    // VMs go, and what they have done stays.
    rig.realm.trim();
    let trimmed = counts(&rig);
    assert_eq!(trimmed["lua_heap"], 0);
    assert_eq!(trimmed["lua_traces"], after["lua_traces"]);
    rig.phase(Phase::Request).0.unwrap();
    assert!(counts(&rig)["lua_traces"] > after["lua_traces"]);
}

/// The compiler tells of its traces with the VM at its limit, and as scripts are stopped.
#[test]
fn counting_holds_under_limits() {
    let fills = "local t, n = {}, 0
        while true do
          n = n + 1
          t[n] = load('local x = 0 for i = 1, 200 do x = x + i end return { x, ' .. n .. ' }')()
        end";
    let loops = "while true do
          load('local x = 0 for i = 1, 100 do x = x + i end for i = 1, 100 do x = x + (function() return i end)() end')()
        end";
    for body in [fills, loops] {
        let script = format!("return {{ request = function()\n{body}\nend }}");
        let rig = load(&[&script], |plan, _| {
            plan.filters[0].cpu = Duration::from_millis(300);
            plan.filters[0].memory = Some(2 << 20);
        })
        .unwrap();
        for _ in 0..5 {
            rig.request().0.expect_err(body);
        }
    }
}
