//! What a call of a module costs beyond the module's own work, without a script:
//! `cargo run --release -p pilotlight-wasm --example calls [NAME]`. With a NAME only that call runs,
//! for `perf stat -e instructions:u` and callgrind.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pilotlight_abi::Value;
use pilotlight_filter::engine::{ModuleSpec, Plan, Signature, Type};
use pilotlight_filter::host::{Called, Module};
use pilotlight_filter::{Engine, Services};
use pilotlight_wasm::{CompileWith, WasmEngine};

struct Nothing;

impl Services for Nothing {}

const BODY: &str = r#"
  (memory (export "memory") 4)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "reset"))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "echo") (param i32 i32) (result i64)
    (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32))
      (i64.extend_i32_u (local.get 1))))
  (func (export "pair") (param i32 i32) (result i32)
    (i32.store (i32.const 16) (local.get 0))
    (i32.store (i32.const 20) (local.get 1))
    (i32.const 16))
"#;

fn module(functions: Vec<Signature>, text: String, cpu: u64) -> Rc<dyn Module> {
    let folder = std::env::temp_dir().join(format!("calls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("m.wasm");
    std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    let engine = Box::leak(Box::new(WasmEngine::new(CompileWith::Here)));
    let (cpu, memory) = (Duration::from_millis(cpu), 1 << 20);
    let spec = ModuleSpec { name: Arc::from("m"), file, cpu, memory, functions };
    let plan = Plan { modules: vec![spec], cache_dir: folder.join("cache"), ..Plan::default() };
    let library = engine.load(&plan).unwrap();
    let module = library.open(Rc::new(Nothing)).module("m").unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    module
}

fn main() {
    let wanted = std::env::args().nth(1);
    let (i32, string) = (Type::I32, Type::String);
    let add = Signature { name: "add".into(), parameters: vec![i32, i32], result: Some(i32) };
    let echo = Signature { name: "echo".into(), parameters: vec![string], result: Some(string) };
    let functions = vec![add, echo];
    let core = module(functions.clone(), format!("(module {BODY})"), 2000);
    let inline = module(functions, format!("(module {BODY})"), 10);
    let typed = module(
        Vec::new(),
        format!(
            r#"(component (core module $m {BODY}) (core instance $i (instantiate $m))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (func (export "echo") (param "v" (list u8)) (result (list u8))
    (canon lift (core func $i "pair") (memory (core memory $i "memory"))
      (realloc (core func $i "realloc")))))"#
        ),
        2000,
    );
    let bytes = |len: usize| vec![Value::Bytes(vec![7; len])];
    for (name, module, function, arguments) in [
        ("core-add", &core, "add", vec![Value::Int(1), Value::Int(2)]),
        ("core-1k", &core, "echo", bytes(1 << 10)),
        ("core-64k", &core, "echo", bytes(64 << 10)),
        ("inline-add", &inline, "add", vec![Value::Int(1), Value::Int(2)]),
        ("inline-1k", &inline, "echo", bytes(1 << 10)),
        ("component-add", &typed, "add", vec![Value::Int(1), Value::Int(2)]),
        ("component-1k", &typed, "echo", bytes(1 << 10)),
        ("component-64k", &typed, "echo", bytes(64 << 10)),
    ] {
        if wanted.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let index = module.functions().iter().position(|known| &**known == function).unwrap();
        let text = arguments.iter().find_map(|argument| match argument {
            Value::Bytes(text) => Some(&text[..]),
            _ => None,
        });
        let numbers: &[f64] = if text.is_some() { &[] } else { &[1.0, 2.0] };
        let once = || match module.call_plain(index, text, numbers) {
            Called::Done(result) => drop(result.unwrap()),
            Called::Running(_) => {}
        };
        const ROUNDS: u32 = 200_000;
        (0..1000).for_each(|_| once());
        let began = Instant::now();
        (0..ROUNDS).for_each(|_| once());
        println!("{name}: {} ns a call", began.elapsed().as_nanos() / u128::from(ROUNDS));
    }
}
