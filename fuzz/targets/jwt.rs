//! No token that the fuzzer makes is taken: it has neither the secret nor the key.
#![no_main]

#[path = "../script.rs"]
mod script;

use std::cell::RefCell;

use pilotlight_filter::engine::Source;
use script::Script;

const SCRIPT: &str = r#"
local public = [[
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEoYtWa87vb6MUGGzZw/+AajrCL4Aa
k4uIiYW89qTnHHEKpAEnroGx6JzQWt9/iVu+hecEZNoTeQvo2ykvivRkKw==
-----END PUBLIC KEY-----
]]
return { request = function(req)
  local token = req:body()
  local jwt = gateway.jwt
  local claims = jwt.decode(token)
  assert(claims == nil or type(claims) == "table")
  for _, key in ipairs { "a secret that nobody has told", public } do
    local good, why = jwt.verify(token, key, { now = 1 })
    assert(good == nil and type(why) == "string", "taken")
  end
end }
"#;

thread_local! {
    static RUN: RefCell<Script> = RefCell::new(Script::new("jwt", SCRIPT, Source::Native));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| RUN.with_borrow_mut(|script| script.run(bytes)));
