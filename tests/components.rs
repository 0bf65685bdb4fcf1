//! Lua calls components: values of every type go there and back, calls run side by side.

use pilotlight_abi::Value;

use crate::support::gateway::Setup;
use crate::support::message::{Protocol, ask};
use crate::support::{Request, run};

#[path = "../runtime/wasm/tests/common/wit.rs"]
mod wit;

use wit::{Dice, Wit};

/// What compares two values as a script sees them.
const SAME: &str = r#"
local function same(a, b)
  if type(a) ~= type(b) then return false end
  if type(a) == "number" then return a == b and 1 / a == 1 / b end
  if type(a) ~= "table" then return a == b and tostring(a) == tostring(b) end
  for key, value in pairs(a) do if not same(value, b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return #a == #b
end
"#;

/// A value as a script writes it.
fn literal(value: &Value, in_list: bool) -> String {
    match value {
        Value::Nil if in_list => "gateway.json.null".into(),
        Value::Nil => "nil".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(i64::MIN) => "(-9223372036854775807LL - 1LL)".into(),
        Value::Int(whole) if whole.unsigned_abs() > 1 << 53 => format!("{whole}LL"),
        Value::Int(whole) => whole.to_string(),
        Value::Uint(whole) => format!("{whole}ULL"),
        Value::Float(number) if number.is_infinite() => "math.huge".into(),
        Value::Float(number) => format!("{number:?}"),
        Value::Bytes(bytes) => {
            format!("\"{}\"", bytes.iter().map(|b| format!("\\{b:03}")).collect::<String>())
        }
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| literal(item, true)).collect();
            format!("{{ {} }}", items.join(", "))
        }
        Value::Map(pairs) => {
            let pair =
                |(key, value): &(String, Value)| format!("{key} = {}", literal(value, false));
            format!("{{ {} }}", pairs.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn random_values_go_from_lua_through_a_component_and_come_back_unchanged() {
    let seed = std::env::var("SEED").map_or(100, |seed| seed.parse().unwrap());
    let mut manifest = String::from(
        "[[routes]]
filters = [\"trip\"]
respond = { status = 404 }
[filters.trip]
lua = \"trip.lua\"
limits = { cpu = \"10s\" }
",
    );
    let mut script = format!("{SAME}\nlocal trips = {{}}\n");
    let mut setup = Setup::default();
    for round in seed..seed + 40 {
        let mut dice = Dice(round);
        let ty = dice.ty(3);
        // Lists of bytes are strings, as scripts have them.
        let ty = if matches!(ty, Wit::Plain("u8")) { Wit::Plain("s8") } else { ty };
        let wasm = wat::parse_str(wit::echo(&ty)).unwrap();
        setup = setup.file(&format!("m{round}.wasm"), wasm);
        manifest += &format!("[modules.m{round}]\nwasm = \"m{round}.wasm\"\n");
        for _ in 0..5 {
            let items = (0..=dice.below(3)).map(|_| dice.value(&ty)).collect();
            let value = literal(&Value::List(items), false);
            script += &format!("trips[#trips + 1] = function() return \"m{round}\", {value} end\n");
        }
    }
    script += r#"
return { request = function()
  for _, trip in ipairs(trips) do
    local name, value = trip()
    local back, err = gateway.wasm(name).echo(value)
    if not same(value, back) then
      local text = name .. ": " .. tostring(err)
      return { status = 500, body = text .. gateway.json.encode(value) .. gateway.json.encode(back) }
    end
  end
  return { status = 200, body = #trips .. " trips" }
end }
"#;
    setup.rest = manifest;
    run(async {
        let gateway = setup.file("trip.lua", script).start().await;
        let answer = ask(Protocol::H1, &gateway, &Request::get("/")).await;
        assert_eq!(answer.text(), "200 trips", "SEED={seed}");
    });
}

#[test]
fn calls_of_one_script_run_side_by_side_and_errors_are_values() {
    let component = format!(
        r#"{}
  (type $e (enum "too-large" "too-small")) (export $e2 "why" (type $e))
  (core module $w
    (func (export "work") (param $n i64) (result i64)
      (loop $on
        (local.set $n (i64.sub (local.get $n) (i64.const 1)))
        (br_if $on (i64.gt_s (local.get $n) (i64.const 0))))
      (i64.const 7))
    (func (export "fail") (result i32) (i32.const 1)))
  (core instance $j (instantiate $w))
  (func (export "work-hard") (param "n" s64) (result s64) (canon lift (core func $j "work")))
  (func (export "fail") (result (result (error $e2))) (canon lift (core func $j "failed")))
  (func (export "trap") (canon lift (core func $i "trap"))))"#,
        wit::MEMORY
    );
    let component = component.replace(
        r#"(func (export "fail") (result i32) (i32.const 1))"#,
        r#"(memory (export "memory") 1)
    (func (export "failed") (result i32)
      (i32.store8 (i32.const 8) (i32.const 1)) (i32.store8 (i32.const 9) (i32.const 1))
      (i32.const 8))"#,
    );
    let component = component.replace(
        r#"(core func $j "failed")"#,
        r#"(core func $j "failed") (memory (core memory $j "memory"))"#,
    );
    let script = r#"
return { request = function(req)
  local m = gateway.wasm "m"
  if req.path == "/all" then
    local function work() return m.work_hard(30000000) end
    local a, b, c = unpack(gateway.all { work, work, work })
    return { status = 200, body = a + b + c .. "" }
  end
  local none, why = m.fail()
  local gone, trap = m.trap()
  return { status = 200, body = tostring(none) .. " " .. why .. " " .. tostring(gone) .. " " .. trap }
end }"#;
    let rest = r#"
[[routes]]
lua = "calls.lua"
[modules.m]
wasm = "m.wasm"
"#;
    run(async {
        let setup = Setup::new(rest).file("m.wasm", wat::parse_str(component).unwrap());
        let gateway = setup.file("calls.lua", script).start().await;
        let answer = ask(Protocol::H1, &gateway, &Request::get("/")).await;
        let said = "nil too_small nil m.trap: wasm trap: wasm `unreachable` instruction executed";
        assert_eq!(answer.text(), said);
        let answer = ask(Protocol::H1, &gateway, &Request::get("/all")).await;
        assert_eq!(answer.text(), "21");
    });
}
