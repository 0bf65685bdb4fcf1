//! JSON that scripts are given is read or refused, by both readers; what was read can be written, and read.
#![no_main]

#[path = "../script.rs"]
mod script;

use std::cell::RefCell;

use pilotlight_filter::engine::Source;
use script::Script;

const SCRIPT: &str = r#"
return { request = function(req)
  local text = req:body()
  local json = gateway.json
  local value = json.decode(text)
  if value == nil then return end
  -- Numbers that no double holds come back as none.
  local ok, written = pcall(json.encode, value)
  if ok then assert(json.decode(written) ~= nil, written) end
end }
"#;

thread_local! {
    static RUN: RefCell<Script> = RefCell::new(Script::new("json", SCRIPT, Source::Native));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| RUN.with_borrow_mut(|script| script.run(bytes)));
