//! Thousands of scripts on a worker: what one more of them takes. A process for itself: pages are counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use std::sync::{Mutex, PoisonError};

use pilotlight_filter::abi::Phase;
use pilotlight_filter::abi::limit::LUA_PROGRAMS;

use crate::rig::*;

#[allow(dead_code, unreachable_pub, reason = "the rig's")]
#[path = "it/net.rs"]
mod net;
#[allow(dead_code, unreachable_pub, reason = "other tests use more of it")]
#[path = "it/rig.rs"]
mod rig;

/// One test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A filter of the usual size, each of its own content.
fn script(at: usize) -> String {
    format!(
        r#"local limit, words = {at}, {{ "alpha", "beta", "gamma" }}
local function score(text)
  local sum = 0
  for at = 1, #text do sum = (sum * 31 + text:byte(at)) % 65521 end
  return sum
end
return {{ request = function(req)
  local agent = req.headers["user-agent"] or ""
  if #agent > limit + 1000 then return end
  req.headers["x-score-{at}"] = tostring(score(agent))
  for _, word in ipairs(words) do
    if req.path:find(word, 1, true) then req.headers["x-word-{at}"] = word end
  end
end }}
"#
    )
}

/// Bytes of this process that no file has.
fn dirty() -> u64 {
    let page = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = page.lines().find(|line| line.starts_with("Private_Dirty:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn one_of_many_scripts_takes_little() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const MANY: usize = LUA_PROGRAMS;
    let scripts: Vec<String> = (0..MANY).map(script).collect();
    let texts: Vec<&str> = scripts.iter().map(String::as_str).collect();
    let rig = load(&texts, |plan, _| plan.script.memory = 64 << 20).unwrap();
    rig.phase_of(0, Phase::Request).0.unwrap();
    rig.realm.rest();
    let (before, held) = (rig.heap(), dirty());
    for at in 0..MANY {
        rig.phase_of(at, Phase::Request).0.unwrap();
    }
    rig.realm.rest();
    let (heap, pages) = ((rig.heap() - before) / MANY as u64, (dirty() - held) / MANY as u64);
    println!("a script: {heap} bytes of the VM's heap, {pages} of the process's pages");
    // Of an emulated program the process is the emulator, with what it translates (`tools/emulate`).
    let emulated = std::env::var_os("PILOTLIGHT_EMULATED").is_some();
    assert!(heap < 2_600 && (emulated || pages < 3_600), "{heap} {pages}");
}

/// What a script counts in a variable of its own.
const COUNTS: &str = r#"local count = 0
return { request = function(req)
  count = count + 1
  req.headers["x-count"] = count
end }"#;

/// The same, but others would notice if it were gone.
const STAYS: &str = r#"local count = 0
gateway.export("count", function() return count end)
return { request = function(req)
  count = count + 1
  req.headers["x-count"] = count
end }"#;

#[test]
fn past_the_limit_scripts_go_that_were_not_used_for_long() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let others: Vec<String> = (0..2 * LUA_PROGRAMS).map(script).collect();
    let mut texts = vec![COUNTS, COUNTS, STAYS];
    texts.extend(others.iter().map(String::as_str));
    let rig = load(&texts, |plan, _| plan.script.memory = 64 << 20).unwrap();
    let count = |index| {
        let (verdict, exchange) = rig.phase_of(index, Phase::Request);
        verdict.unwrap();
        let value = exchange.request.head.fields.get(b"x-count").unwrap();
        std::str::from_utf8(value).unwrap().parse::<usize>().unwrap()
    };
    for index in 0..3 {
        assert_eq!(count(index), 1);
    }
    let mut heap = 0;
    for at in 3..texts.len() {
        rig.phase_of(at, Phase::Request).0.unwrap();
        assert_eq!(count(0), at - 1, "in use");
        if at == LUA_PROGRAMS {
            rig.realm.rest();
            heap = rig.heap();
        }
    }
    rig.realm.rest();
    assert_eq!(count(1), 1, "not used for long");
    assert_eq!(count(2), 2, "it offers something");
    assert!(rig.heap() < heap + heap / 4, "{heap}, then {}", rig.heap());
}
