//! JSON that scripts for OpenResty are given is read or refused; what was read and written once is
//! written and read as the same value from then on.
#![no_main]

#[path = "../script.rs"]
mod script;

use std::cell::RefCell;
use std::path::PathBuf;

use pilotlight_filter::engine::{OpenResty, ScriptFile, Source};
use script::Script;

const SCRIPT: &str = r#"
local cjson = require "cjson.safe"
local liberal = cjson.new()
liberal.decode_allow_comment(true)
liberal.decode_array_with_array_mt(true)
local strict = cjson.new()
strict.decode_invalid_numbers(false)

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do
    if not same(value, b[key]) then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

ngx.req.read_body()
local text = ngx.req.get_body_data()
if not text then return end
for _, reader in ipairs { cjson, liberal, strict } do
  local value, why = reader.decode(text)
  if value == nil then
    assert(type(why) == "string")
  else
    -- Numbers that JSON does not have are read, and not written; others lose digits, once.
    local written = reader.encode(value)
    if written then
      local again = reader.decode(written)
      assert(same(reader.decode(reader.encode(again)), again), written)
    end
  end
end
"#;

fn content(path: PathBuf) -> Source {
    let script = ScriptFile { path, name: "cjson.lua".into() };
    Source::OpenResty(OpenResty {
        phases: vec![("content", script)],
        settings: "{}".into(),
        ..OpenResty::default()
    })
}

thread_local! {
    static RUN: RefCell<Script> = RefCell::new(Script::new("cjson", SCRIPT, content));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| RUN.with_borrow_mut(|script| script.run(bytes)));
