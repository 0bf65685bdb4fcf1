//! Scripts of OpenResty's dialect in the rig.

use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::Fault;
use pilotlight_filter::engine::{OpenResty, Plan, ScriptFile, Source};

use crate::rig::*;

/// Loads a script as an access phase, after the plan was changed as a test wants it.
pub fn access(script: &str, change: impl FnOnce(&mut Plan)) -> Rig {
    load(&[script], |plan, _| {
        let Source::Native(path) = plan.filters[0].program.clone() else { panic!("a file") };
        let script = ScriptFile { path, name: Arc::from("access.lua") };
        plan.filters[0].program = Source::OpenResty(OpenResty {
            phases: vec![("access", script)],
            settings: "{}".into(),
            ..OpenResty::default()
        });
        change(plan);
    })
    .unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// What a script says: it calls `say` with values, which are told as text, in a row.
pub fn said_in(rig: &Rig) -> Result<String, Fault> {
    rig.request().0?;
    let lines = rig.world.lines.borrow();
    let mark = "said: ";
    let said = lines.iter().rev().find_map(|line| line.split_once(mark)).map(|line| line.1);
    Ok(said.unwrap_or_default().split(" severity=").next().unwrap_or_default().to_owned())
}

/// A script with `say` before it and what it said behind it.
pub fn saying(script: &str) -> String {
    format!(
        "local out = {{}}
         local function show(v)
           if type(v) ~= 'table' then return tostring(v) end
           local parts = {{}}
           for i = v[0] == nil and 1 or 0, #v do parts[#parts + 1] = show(v[i]) end
           return '{{' .. table.concat(parts, ',') .. '}}'
         end
         local function say(...)
           for i = 1, select('#', ...) do out[#out + 1] = show((select(i, ...))) end
         end
         {script}
         ngx.log(ngx.ERR, 'said: ', table.concat(out, ' '))"
    )
}

/// Runs a script that says something.
pub fn said(script: &str) -> String {
    let rig = access(&saying(script), |_| {});
    said_in(&rig).unwrap_or_else(|fault| panic!("{script}: {fault}"))
}

/// Runs a script that fails; its message.
pub fn failed(script: &str) -> String {
    match said_in(&access(&saying(script), |_| {})) {
        Err(fault) => fault.message,
        Ok(said) => panic!("{script}: no error, but {said}"),
    }
}

#[test]
fn traces_of_light_threads_end_with_what_the_host_called() {
    let told = |thread: &str| {
        let script = format!("local t = ngx.thread.spawn({thread}) ngx.thread.wait(t)");
        let rig = access(&script, |plan| plan.filters[0].cpu = Duration::from_secs(5));
        rig.request().0.unwrap();
        let lines = rig.world.lines.borrow();
        lines.iter().find(|line| line.contains("lua user thread aborted")).unwrap().clone()
    };
    let plain = told("function() local n = nil\nlocal v = n.x end");
    assert!(plain.contains("access.lua:2: in function <access.lua:1>"), "{plain}");
    // However deep it is.
    let deep = told(
        "function() local function f(n) if n == 0 then error('deep') end return 1 + f(n - 1) end
         f(15000) end",
    );
    assert!(deep.contains("in function <access.lua:1>"), "{deep}");
}
