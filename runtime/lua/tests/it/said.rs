//! Scripts of nginx's access phase, and what they say.

use std::sync::Arc;

use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{OpenResty, ScriptFile, Source};

use crate::rig::*;

/// Before a script: `say` takes values as `print` does, a line each call.
const HEAD: &str = "local lines = {}
local function say(...)
  local parts = {}
  for i = 1, select('#', ...) do parts[i] = tostring((select(i, ...))) end
  lines[#lines + 1] = table.concat(parts, ' ')
end
local function run() ";

/// Behind it: a header takes what was said.
const TAIL: &str = "
end
run()
local hex = table.concat(lines, '\\n'):gsub('.', function(c) return ('%02x'):format(c:byte()) end)
ngx.req.set_header('x-said', hex)";

/// A filter whose access phase is this script, as `said` runs it; files lie beside it.
pub fn access(script: &str, files: &[(&str, &str)]) -> Rig {
    access_with(script, files, false)
}

/// The same; `ffi` says whether it may use that library.
pub fn access_with(script: &str, files: &[(&str, &str)], ffi: bool) -> Rig {
    let script = format!("{HEAD}{script}{TAIL}");
    let loaded = load(&[&script], |plan, dir| {
        plan.script.ffi = ffi;
        files.iter().for_each(|(name, text)| drop(dir.write(name, text)));
        let path = dir.0.join("filters/f0.lua");
        let file = ScriptFile { path, name: Arc::from("access.lua") };
        plan.filters[0].program = Source::OpenResty(OpenResty {
            phases: vec![("access", file)],
            set: Vec::new(),
            settings: "{}".into(),
        });
    });
    loaded.unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// What a script says on a fresh exchange.
pub fn said_by(rig: &Rig) -> String {
    let (result, exchange) = rig.phase(Phase::Request);
    result.unwrap_or_else(|fault| panic!("{fault}\n{:?}", fault.trace));
    let hex = exchange.request.head.fields.get(b"x-said").unwrap_or_default();
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    let bytes: Vec<u8> = hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a script of nginx's access phase says.
pub fn said(script: &str) -> String {
    said_by(&access(script, &[]))
}

/// Runs expressions in order in one script, after `before`, and looks at what each gives.
pub fn check(before: &str, rows: &[(&str, &str)]) {
    let mut script = format!("{before}\n");
    rows.iter().for_each(|(row, _)| script.push_str(&format!("say({row})\n")));
    let got = said(&script);
    let got: Vec<&str> = got.split('\n').collect();
    for ((row, want), got) in rows.iter().zip(&got) {
        assert_eq!(got, want, "{row}");
    }
    assert_eq!(got.len(), rows.len(), "one line each");
}
