//! Core modules that scripts call.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, missing_docs)]

mod common;

use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::*;
use pilotlight_filter::Realm;
use pilotlight_filter::abi::Value;
use pilotlight_filter::engine::{Signature, Type};
use pilotlight_filter::host::{Called, Module, Outcome};
use pilotlight_wasm::{CompileWith, WasmEngine};

struct Bench {
    module: Rc<dyn Module>,
    realm: Rc<dyn Realm>,
    _engine: WasmEngine,
}

fn bench(functions: Vec<Signature>, cpu: u64) -> Bench {
    let folder = Folder::new();
    let mut spec = module_spec(folder.write("module.wasm", &module("module.wat")), functions);
    spec.cpu = Duration::from_millis(cpu);
    let engine = WasmEngine::new(CompileWith::Here);
    let library = load(&engine, &folder, Vec::new(), vec![spec]).unwrap();
    let realm = library.open(Rc::new(World::default()));
    assert!(realm.module("other").is_none());
    Bench { module: realm.module("imaging").unwrap(), realm, _engine: engine }
}

fn declared() -> Vec<Signature> {
    let row = |name: &str, parameters: &[Type], result| Signature {
        name: name.into(),
        parameters: parameters.to_vec(),
        result,
    };
    vec![
        row("add", &[Type::I32, Type::I32], Some(Type::I32)),
        row("half", &[Type::F64], Some(Type::F64)),
        row("not", &[Type::Bool], Some(Type::Bool)),
        row("tail", &[Type::String], Some(Type::String)),
        row("outside", &[], Some(Type::String)),
        row("trap", &[], None),
        row("spin", &[], None),
        row("work", &[Type::I64], Some(Type::I64)),
        row("bomb", &[], None),
    ]
}

/// A call's end, however long that takes on a busy machine.
fn outcome_of(called: Called) -> Outcome {
    let mut call = match called {
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

/// The same, with an error's text.
fn result_of(called: Called) -> Result<Value, String> {
    outcome_of(called).map_err(|error| match error {
        Value::Bytes(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    })
}

impl Bench {
    fn start(&self, name: &str, arguments: &[Value]) -> Called {
        let index = self.module.functions().iter().position(|known| &**known == name).unwrap();
        self.module.call(index, arguments.to_vec())
    }

    fn call(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        result_of(self.start(name, arguments))
    }
}

/// Milliseconds of a module whose calls run inline, and of one whose calls run on fibers.
const CPU: [u64; 2] = [10, 50];

#[test]
fn values_go_in_and_come_out() {
    for round in 0..6 {
        let bench = bench(declared(), CPU[round % 2]);
        for (name, arguments, result) in [
            ("add", vec![Value::Int(2), Value::Float(3.0)], Value::Int(5)),
            ("add", vec![Value::Int(-2), Value::Int(1)], Value::Int(-1)),
            ("half", vec![Value::Int(5)], Value::Float(2.5)),
            ("not", vec![Value::Bool(true)], Value::Bool(false)),
            ("tail", vec![Value::from("a\0bc")], Value::from("\0bc")),
            ("work", vec![Value::Int(1)], Value::Int(7)),
        ] {
            for _ in 0..2 {
                assert_eq!(bench.call(name, &arguments), Ok(result.clone()), "{name}");
            }
        }
        let plain = |index, text, numbers: &[f64]| {
            result_of(bench.module.call_plain(index, text, numbers)).unwrap()
        };
        assert_eq!(plain(0, None, &[2.0, -3.0]), Value::Int(-1));
        assert_eq!(plain(1, None, &[0.5]), Value::Float(0.25));
        assert_eq!(plain(3, Some(b"abc"), &[]), Value::from("bc"));
    }
}

#[test]
fn bad_arguments_and_traps_are_messages() {
    CPU.iter().for_each(|cpu| refuses(&bench(declared(), *cpu)));
}

fn refuses(bench: &Bench) {
    for (name, arguments, message) in [
        ("add", vec![Value::Int(2)], "add takes 2 arguments, got 1"),
        (
            "add",
            vec![Value::Int(2), Value::from("3")],
            "argument 2 of add must be a whole number of 32 bits, got string",
        ),
        ("add", vec![Value::Int(2), Value::Float(0.5)], "argument 2 of add must be"),
        ("add", vec![Value::Int(2), Value::Int(1 << 40)], "argument 2 of add must be"),
        ("tail", vec![Value::Nil], "argument 1 of tail must be a string, got nil"),
        ("trap", vec![], "unreachable"),
        ("outside", vec![], "outside of its memory"),
        ("spin", vec![], "cpu limit"),
        ("bomb", vec![], "memory limit"),
    ] {
        let said = bench.call(name, &arguments).unwrap_err();
        assert!(said.contains(message), "{name}: {said}");
        assert_eq!(bench.call("add", &[Value::Int(1), Value::Int(1)]), Ok(Value::Int(2)));
    }
    let too_much = Value::Bytes(vec![0; 2 << 20]);
    assert!(bench.call("tail", &[too_much]).unwrap_err().contains("no room"));
}

/// While its thread is kept from going on a call's CPU time does not pass, and the ticker, which sleeps when nobody
/// enters for long, has to go on.
#[test]
fn a_loop_ends_that_was_kept_waiting() {
    extern "C" fn nap(_: libc::c_int) {
        // SAFETY: it waits, no more.
        unsafe { libc::usleep(300_000) };
    }
    let bench = bench(declared(), CPU[0]);
    assert_eq!(bench.call("add", &[Value::Int(1), Value::Int(1)]), Ok(Value::Int(2)));
    // SAFETY: the handler is async-signal-safe, and this thread is there until the other has signalled it.
    let other = unsafe {
        libc::signal(libc::SIGUSR1, nap as extern "C" fn(libc::c_int) as libc::sighandler_t);
        let this = libc::pthread_self();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(3));
            libc::pthread_kill(this, libc::SIGUSR1)
        })
    };
    assert!(bench.call("spin", &[]).unwrap_err().contains("cpu limit"));
    assert_eq!(other.join().unwrap(), 0);
}

#[test]
fn short_calls_end_at_once_and_long_ones_run_beside_each_other() {
    let bench = bench(declared(), 5000);
    let short = (0..10).filter(|_| {
        matches!(bench.start("add", &[Value::Int(1), Value::Int(1)]), Called::Done(Ok(_)))
    });
    assert!(short.count() >= 9);
    // Where the machine is busy, a tick may come late and a call end before it: not each time.
    let mut calls: Vec<_> = (0..20)
        .filter_map(|_| match bench.start("work", &[Value::Int(20_000_000)]) {
            Called::Running(call) => Some(call),
            Called::Done(result) => {
                assert_eq!(result, Ok(Value::Int(7)));
                None
            }
        })
        .collect();
    assert!(calls.len() >= 10, "{} of 20 left their first slice", calls.len());
    let mut polls = 0;
    while !calls.is_empty() {
        polls += 1;
        calls.retain_mut(|call| {
            let mut cx = Context::from_waker(Waker::noop());
            match call.as_mut().poll(&mut cx) {
                Poll::Ready(result) => {
                    assert_eq!(result, Ok(Value::Int(7)));
                    false
                }
                Poll::Pending => true,
            }
        });
    }
    assert!(polls > 2);
}

#[test]
fn a_call_that_is_dropped_takes_its_instance_along() {
    let bench = bench(declared(), 5000);
    for _ in 0..40 {
        drop(bench.start("spin", &[]));
    }
    assert_eq!(bench.call("add", &[Value::Int(1), Value::Int(1)]), Ok(Value::Int(2)));
    bench.realm.trim();
    bench.realm.gauges(&mut |_, module, held| {
        assert_eq!((module, held), ("imaging", 0));
    });
}

#[test]
fn without_declarations_numbers_are_all_there_is() {
    let bench = bench(Vec::new(), 1000);
    let mut names: Vec<&str> = bench.module.functions().iter().map(|name| &**name).collect();
    names.sort_unstable();
    assert_eq!(names, ["add", "bomb", "half", "not", "outside", "spin", "tail", "trap", "work"]);
    assert_eq!(bench.call("half", &[Value::Float(3.0)]), Ok(Value::Float(1.5)));
}

#[test]
fn a_body_has_an_instance_of_its_own_where_the_function_is_told_of_its_end() {
    let text = r#"(module (memory (export "memory") 1)
      (global $n (mut i32) (i32.const 0))
      (func (export "alloc") (param i32) (result i32) (i32.const 64))
      (func (export "plain") (param i32 i32) (result i64) (i64.const 0))
      (func (export "told") (param i32 i32 i32 i32) (result i64)
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store8 (i32.const 8) (i32.add (i32.const 48) (global.get $n)))
        (i64.or (i64.shl (i64.const 8) (i64.const 32)) (i64.const 1))))"#;
    let row = |name: &str, parameters: &[Type]| Signature {
        name: name.into(),
        parameters: parameters.to_vec(),
        result: Some(Type::String),
    };
    let functions =
        vec![row("plain", &[Type::String]), row("told", &[Type::String, Type::Bool, Type::I32])];
    let folder = Folder::new();
    let spec = module_spec(folder.write("module.wasm", &assemble(text)), functions);
    let engine = WasmEngine::new(CompileWith::Here);
    let library = load(&engine, &folder, Vec::new(), vec![spec]).unwrap();
    let module = library.open(Rc::new(World::default())).module("imaging").unwrap();
    assert!(module.stream(0, 0).is_none());
    assert!(module.stream(1, 0).is_none() && module.stream(1, 2).is_none());
    let arguments = [Value::from("a"), Value::Bool(false), Value::Int(1)];
    let call = |module: &Rc<dyn Module>| result_of(module.call(1, arguments.to_vec())).unwrap();
    let (one, two) = (module.stream(1, 1).unwrap(), module.stream(1, 1).unwrap());
    let digits = [call(&one), call(&one), call(&two), call(&one), call(&module), call(&module)];
    assert_eq!(digits, ["1", "2", "1", "3", "1", "1"].map(Value::from));
}
