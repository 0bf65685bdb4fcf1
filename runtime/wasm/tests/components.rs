//! Components that scripts call.
#![cfg(feature = "components")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, missing_docs)]
#![allow(clippy::print_stderr)]

mod common;

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::wit::{self, Dice, MEMORY, PLAIN, Wit};
use common::*;
use pilotlight_filter::Realm;
use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{Called, Module, Outcome};
use pilotlight_wasm::{CompileWith, WasmEngine};

struct Bench {
    module: Rc<dyn Module>,
    _realm: Rc<dyn Realm>,
}

fn bench(engine: &WasmEngine, text: &str) -> Bench {
    let folder = Folder::new();
    let spec = module_spec(folder.write("module.wasm", &assemble(text)), Vec::new());
    let spec = pilotlight_filter::engine::ModuleSpec { cpu: Duration::from_millis(200), ..spec };
    let library = load(engine, &folder, Vec::new(), vec![spec]).unwrap_or_else(|e| panic!("{e:?}"));
    let realm = library.open(Rc::new(World::default()));
    Bench { module: realm.module("imaging").unwrap(), _realm: realm }
}

fn engine() -> WasmEngine {
    WasmEngine::new(CompileWith::Here)
}

impl Bench {
    fn call(&self, name: &str, arguments: &[Value]) -> Outcome {
        let index = self.module.functions().iter().position(|known| &**known == name).unwrap();
        let mut call = match self.module.call(index, arguments.to_vec()) {
            Called::Done(result) => return result,
            Called::Running(call) => call,
        };
        loop {
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = call.as_mut().poll(&mut cx) {
                return result;
            }
        }
    }

    fn refused(&self, name: &str, arguments: &[Value]) -> String {
        match self.call(name, arguments) {
            Err(Value::Bytes(text)) => String::from_utf8(text).unwrap(),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn component(types: &str, functions: &str) -> String {
    format!("{MEMORY}{types}\n{functions})")
}

/// A function of these parameters and result over a core function.
fn function(name: &str, parameters: &str, result: &str, core: &str) -> String {
    let result = if result.is_empty() { String::new() } else { format!("(result {result})") };
    format!(
        "(func (export \"{name}\") {parameters} {result}
           (canon lift (core func $i \"{core}\") (memory (core memory $i \"memory\"))
             (realloc (core func $i \"realloc\"))))\n"
    )
}

fn map(pairs: &[(&str, Value)]) -> Value {
    Value::Map(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

#[test]
fn random_values_of_random_types_come_back_unchanged() {
    let engine = engine();
    let seed = std::env::var("SEED").map_or(1, |seed| seed.parse().unwrap());
    for round in seed..seed + 60 {
        let mut dice = Dice(round);
        let ty = dice.ty(3);
        let bench = bench(&engine, &wit::echo(&ty));
        for _ in 0..20 {
            let items: Vec<Value> = (0..=dice.below(3)).map(|_| dice.value(&ty)).collect();
            let given = match &ty {
                Wit::Plain("u8") => Value::Bytes(vec![1, 2, 255]),
                _ => Value::List(items),
            };
            let given = std::slice::from_ref(&given);
            assert_eq!(bench.call("echo", given), Ok(given[0].clone()), "SEED={round} {ty:?}");
        }
    }
}

#[test]
fn each_plain_type_comes_back_as_a_result_of_its_own() {
    let mut functions = String::new();
    for name in PLAIN {
        let core = match name {
            "s64" | "u64" => "same64",
            "f32" => "samef32",
            "f64" => "samef64",
            "string" => "echo",
            _ => "same32",
        };
        functions += &function(name, &format!("(param \"v\" {name})"), name, core);
    }
    let types = "(type $e (enum \"red\" \"light-blue\")) (export $e2 \"color\" (type $e))
                 (type $f (flags \"read\" \"write\")) (export $f2 \"rights\" (type $f))";
    functions += &function("color-of", "(param \"v\" $e2)", "$e2", "same32");
    functions += &function("rights-of", "(param \"v\" $f2)", "$f2", "same32");
    functions += &function("bytes", "(param \"v\" (list u8))", "(list u8)", "echo");
    functions += &function("none", "", "", "none");
    let bench = bench(&engine(), &component(types, &functions));
    let mut dice = Dice(7);
    for name in PLAIN {
        for _ in 0..50 {
            let value = dice.value(&Wit::Plain(name));
            assert_eq!(bench.call(name, std::slice::from_ref(&value)), Ok(value), "{name}");
        }
    }
    let blue = Value::from("light_blue");
    assert_eq!(bench.call("color_of", std::slice::from_ref(&blue)), Ok(blue.clone()));
    assert_eq!(bench.call("color_of", &[Value::from("light-blue")]), Ok(blue));
    let rights = map(&[("write", Value::Bool(true))]);
    assert_eq!(bench.call("rights_of", std::slice::from_ref(&rights)), Ok(rights));
    let bytes = Value::Bytes((0..=255).collect());
    assert_eq!(bench.call("bytes", std::slice::from_ref(&bytes)), Ok(bytes));
    assert_eq!(bench.call("none", &[]), Ok(Value::Nil));
    // A script's numbers are fractions by nature.
    assert_eq!(bench.call("u64", &[Value::Float(1e18)]), Ok(Value::Int(1_000_000_000_000_000_000)));
}

#[test]
fn a_result_is_a_value_or_nil_and_its_error() {
    // An i32 of 0 or 1 is a result without values, and an option of nothing.
    let functions = function("plain", "(param \"v\" u32)", "(result)", "same32");
    let bench = bench(&engine(), &component("", &functions));
    assert_eq!(bench.call("plain", &[Value::Int(0)]), Ok(Value::Bool(true)));
    assert_eq!(bench.call("plain", &[Value::Int(1)]), Err(Value::from("failed")));
    assert!(bench.refused("plain", &[Value::Int(2)]).contains("no known case"));
}

#[test]
fn flat_arguments_are_laid_out_as_the_canonical_abi_says() {
    // The function writes what it got, slot by slot.
    let types = "(type $v (variant (case \"a\" f32) (case \"b\" u64) (case \"c\")
                   (case \"d\" (tuple u8 u8)))) (export $v2 \"v\" (type $v))
                 (type $r (record (field \"x\" s8) (field \"y\" (option char))))
                 (export $r2 \"r\" (type $r))";
    // v: i32, join(f32, i64, i32) = i64, i32; r: i32, i32, i32.
    let core = r#"(core module $d
      (import "m" "memory" (memory 1))
      (func (export "dump") (param i32 i64 i32 i32 i32 i32) (result i32)
        (i64.store (i32.const 64) (i64.extend_i32_u (local.get 0)))
        (i64.store (i32.const 72) (local.get 1))
        (i64.store (i32.const 80) (i64.extend_i32_u (local.get 2)))
        (i64.store (i32.const 88) (i64.extend_i32_u (local.get 3)))
        (i64.store (i32.const 96) (i64.extend_i32_u (local.get 4)))
        (i64.store (i32.const 104) (i64.extend_i32_u (local.get 5)))
        (i32.store (i32.const 16) (i32.const 64))
        (i32.store (i32.const 20) (i32.const 6))
        (i32.const 16)))
      (core instance $j (instantiate $d (with "m" (instance $i))))"#;
    let dump = r#"(func (export "dump") (param "v" $v2) (param "r" $r2) (result (list u64))
      (canon lift (core func $j "dump") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))"#;
    let bench = bench(&engine(), &component(&format!("{types}{core}"), dump));
    let record = |x: i64, y: Value| map(&[("x", Value::Int(x)), ("y", y)]);
    let pair = Value::List(vec![Value::Int(7), Value::Int(9)]);
    for (variant, record, slots) in [
        (
            map(&[("a", Value::Float(1.5))]),
            record(-1, "é".into()),
            [0, 0x3fc0_0000, 0, u64::from(u32::MAX), 1, 0xe9],
        ),
        (map(&[("b", Value::Int(1 << 40))]), record(3, Value::Nil), [1, 1 << 40, 0, 3, 0, 0]),
        ("c".into(), record(0, "a".into()), [2, 0, 0, 0, 1, 0x61]),
        (map(&[("d", pair)]), record(0, Value::Nil), [3, 7, 9, 0, 0, 0]),
    ] {
        let slots = Value::List(slots.iter().map(|n| Value::Int(*n as i64)).collect());
        assert_eq!(bench.call("dump", &[variant, record]), Ok(slots));
    }
}

#[test]
fn more_arguments_than_the_stack_takes_stand_in_memory() {
    let parameters: String = (0..17).map(|n| format!("(param \"p{n}\" u64)")).collect();
    let functions = function("many", &parameters, "u32", "same32");
    let bench = bench(&engine(), &component("", &functions));
    let arguments: Vec<Value> = (0..17).map(Value::Int).collect();
    // It gives the address.
    assert_eq!(bench.call("many", &arguments), Ok(Value::Int(1024)));
}

#[test]
fn a_wrong_argument_is_a_message_with_function_argument_and_type() {
    let types = "(type $r (record (field \"max-width\" u8) (field \"tags\" (list string))))
                 (export $r2 \"r\" (type $r))
                 (type $e (enum \"red\" \"green\")) (export $e2 \"e\" (type $e))
                 (type $v (variant (case \"circle\" f32) (case \"none\"))) (export $v2 \"v\" (type $v))
                 (type $f (flags \"read\" \"write\")) (export $f2 \"f\" (type $f))";
    let mut functions = String::new();
    for (name, ty) in [
        ("small", "u8"),
        ("signed", "s16"),
        ("big", "s64"),
        ("color", "$e2"),
        ("flag", "$f2"),
        ("letter", "char"),
    ] {
        functions += &function(
            name,
            &format!("(param \"the-value\" {ty})"),
            "",
            if ty == "s64" { "samex" } else { "nothing" },
        );
    }
    let functions = functions.replace("\"samex\"", "\"big\"");
    let core = r#"(core module $d
      (func (export "big") (param i64))
      (func (export "two") (param i32 i32))
      (func (export "shape") (param i32 f32))
      (func (export "record") (param i32 i32 i32)))
      (core instance $j (instantiate $d))"#;
    let functions = functions.replace("$i \"big\"", "$j \"big\"")
        + &function("text", "(param \"v\" string)", "", "two").replace("$i \"two\"", "$j \"two\"")
        + &function("shape", "(param \"v\" $v2)", "", "shape")
            .replace("$i \"shape\"", "$j \"shape\"")
        + &function("record", "(param \"r\" $r2)", "", "record")
            .replace("$i \"record\"", "$j \"record\"")
        + &function("maybe", "(param \"a\" u8) (param \"b\" (option u8))", "", "record")
            .replace("$i \"record\"", "$j \"record\"");
    let bench = bench(&engine(), &component(&format!("{types}{core}"), &functions));
    let tags = |tag: Value| {
        map(&[("max_width", Value::Int(1)), ("tags", Value::List(vec!["a".into(), tag]))])
    };
    for (name, argument, message) in [
        (
            "small",
            Value::Int(256),
            "argument 1 (the_value) of small must be a whole number of 8 bits from 0, got 256",
        ),
        ("small", Value::Float(0.5), "of small must be a whole number of 8 bits from 0, got 0.5"),
        ("small", Value::Nil, "of small must be a whole number of 8 bits from 0, got nil"),
        ("signed", Value::from("7"), "of signed must be a whole number of 16 bits, got string"),
        (
            "big",
            Value::Uint(u64::MAX),
            "of big must be a whole number of 64 bits, got 18446744073709551615",
        ),
        ("color", Value::from("blue"), "of color must be one of red, green, got \"blue\""),
        ("letter", Value::from("ab"), "of letter must be a string of one character, got string"),
        (
            "flag",
            map(&[("exec", Value::Bool(true))]),
            "of flag must be a table of true for any of read, write, got table",
        ),
        (
            "text",
            Value::Bytes(vec![0xff]),
            "of text must be a string, got a string that is not UTF-8",
        ),
        (
            "shape",
            Value::from("circle"),
            "of shape must be { circle = ... } or \"none\", got \"circle\"",
        ),
        (
            "record",
            tags(Value::Bool(true)),
            "argument 1 (r.tags[2]) of record must be a string, got boolean",
        ),
        (
            "record",
            map(&[("depth", Value::Int(1))]),
            "argument 1 (r.depth) of record must be a table of max_width, tags, got table",
        ),
        ("record", map(&[]), "argument 1 (r.max-width) of record must be a whole number"),
    ] {
        let said = bench.refused(name, &[argument]);
        assert!(said.ends_with(message) || said.contains(message), "{name}: {said}");
    }
    assert_eq!(bench.refused("small", &[]), "small takes 1 arguments, got 0");
    assert_eq!(bench.refused("maybe", &[]), "maybe takes 1 to 2 arguments, got 0");
    assert_eq!(bench.call("maybe", &[Value::Int(1)]), Ok(Value::Nil));
}

#[test]
fn traps_and_limits_are_messages_and_the_next_call_works() {
    let mut functions = function("same", "(param \"v\" u32)", "u32", "same32");
    for name in ["trap", "spin", "bomb"] {
        functions += &function(name, "", "", name);
    }
    functions += &function("huge", "", "(list (tuple bool bool))", "huge");
    functions += &function("far", "", "(list u8)", "far");
    let functions = functions.replace("(list (tuple bool bool))", "(list bool)");
    let bench = bench(&engine(), &component("", &functions));
    for (name, message) in [
        ("trap", "imaging.trap: wasm trap: wasm `unreachable` instruction executed"),
        ("spin", "imaging.spin: cpu limit"),
        ("bomb", "imaging.bomb: memory limit"),
        ("far", "imaging.far: its result lies outside of its memory"),
    ] {
        let said = bench.refused(name, &[]);
        assert!(said.contains(message), "{name}: {said}");
        assert_eq!(bench.call("same", &[Value::Int(5)]), Ok(Value::Int(5)));
    }
    let Ok(Value::List(all)) = bench.call("huge", &[]) else { panic!() };
    assert_eq!(all.len(), 65536);
}

#[test]
fn what_scripts_cannot_hold_is_said() {
    let types = "(type $r (resource (rep i32))) (export $r2 \"thing\" (type $r))";
    let open = function("open", "", "(own $r2)", "huge");
    let same = function("same", "(param \"v\" u32)", "u32", "same32");
    let bench = bench(&engine(), &component(types, &format!("{open}{same}")));
    assert_eq!(bench.refused("open", &[]), "open takes or gives a resource; scripts have none");
    assert_eq!(bench.call("same", &[Value::Int(5)]), Ok(Value::Int(5)));

    let folder = Folder::new();
    let path = folder.write("module.wasm", &assemble(&component(types, &open)));
    let spec = module_spec(path, Vec::new());
    let Err(errors) = load(&engine(), &folder, Vec::new(), vec![spec]) else { panic!("it loads") };
    assert!(errors[0].message.contains("no function that scripts can call"), "{errors:?}");
}

#[test]
fn interfaces_lend_their_names_where_two_functions_share_one() {
    let interface = |n: u32| {
        format!(
            "(instance $in{n} (export \"twin\" (func $f{n})) (export \"only{n}\" (func $f{n})))
             (export \"test:test/side-{n}@0.1.0\" (instance $in{n}))"
        )
    };
    let lifted = |n: u32| {
        format!(
            "(func $f{n} (param \"v\" u32) (result u32) (canon lift (core func $i \"same32\")))"
        )
    };
    let functions = [lifted(1), lifted(2), interface(1), interface(2)].join("\n");
    let bench = bench(&engine(), &component("", &functions));
    let mut names: Vec<&str> = bench.module.functions().iter().map(|name| &**name).collect();
    names.sort_unstable();
    assert_eq!(names, ["only1", "only2", "side_1.twin", "side_2.twin"]);
    assert_eq!(bench.call("side_2.twin", &[Value::Int(5)]), Ok(Value::Int(5)));
}
