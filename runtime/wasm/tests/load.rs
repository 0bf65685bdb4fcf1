//! Mistakes in programs, and the cache of compiled ones.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use common::*;
use pilotlight_filter::Engine;
use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{Bounds, Plan, Signature, Spec, Type};
use pilotlight_wasm::{CompileWith, WasmEngine, compile};

#[test]
fn what_is_not_a_filter_is_refused_with_a_reason() {
    let marked = |body: &str| {
        assemble(&format!("(module (func (export \"proxy_abi_version_0_2_1\")) {body})"))
    };
    let foreign = assemble(
        "(module (import \"env\" \"nonsense\" (func)) (func (export \"proxy_abi_version_0_2_1\")))",
    );
    for (bytes, reason) in [
        (b"hello".to_vec(), "not a Wasm module"),
        (b"(module)".to_vec(), "Wasm as text"),
        (assemble("(component)"), "a component"),
        (b"\x7fELF....".to_vec(), "compiled code"),
        (b"\0asm\x01\0\0\0\xff\xff".to_vec(), ""),
        (Vec::new(), "not a Wasm module"),
        (assemble("(module)"), "no proxy_abi_version_"),
        (
            assemble("(module (func (export \"proxy_abi_version_0_3_0\")))"),
            "of an ABI not known here, proxy_abi_version_0_3_0",
        ),
        (foreign, "it imports env.nonsense"),
        (
            marked("(func (export \"proxy_on_request_headers\") (param f32))"),
            "proxy_on_request_headers has the wrong signature",
        ),
        (
            marked("(func (export \"proxy_on_tick\") (param i64))"),
            "proxy_on_tick has the wrong signature",
        ),
        (
            marked("(func (export \"proxy_on_foreign_function\"))"),
            "proxy_on_foreign_function has the wrong signature",
        ),
        (
            marked(
                "(func (export \"proxy_on_downstream_data\") (param i32 i32 i32) (result i32)
                   i32.const 0)",
            ),
            "it filters bytes of connections (proxy_on_downstream_data), and nothing else",
        ),
        (
            marked("(func (export \"proxy_on_new_connection\") (param i32))"),
            "proxy_on_new_connection has the wrong signature",
        ),
        (marked("(memory 400)"), "its limit is"),
        (marked("(table 20000 funcref)"), ""),
        (marked("(memory i64 1)"), ""),
        (marked("(func $f unreachable) (start $f)"), "unreachable"),
    ] {
        let errors = refused(&bytes, |_| ());
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].message.contains(reason), "{:?}", errors[0]);
        assert_eq!(&*errors[0].program, "guest");
    }
}

#[test]
fn filters_of_connections_need_their_callbacks() {
    let of_requests = assemble(
        "(module (func (export \"proxy_abi_version_0_2_1\"))
           (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) i32.const 0))",
    );
    let errors = refused(&of_requests, |spec| spec.flow = true);
    assert_eq!(errors[0].message, "it has no callback for connections");
    assert!(errors[0].hint.as_ref().unwrap().contains("proxy_on_downstream_data"));
}

#[test]
fn all_mistakes_come_at_once() {
    let folder = Folder::new();
    let bad = folder.write("bad.wasm", b"x");
    let module = folder.write("module.wasm", &module("module.wat"));
    let signature =
        |name: &str, parameters, result| Signature { name: name.into(), parameters, result };
    let functions = vec![
        signature("nothing", vec![], None),
        signature("tail", vec![Type::String, Type::I32], Some(Type::String)),
        signature("add", vec![Type::I32, Type::I32], Some(Type::I32)),
    ];
    let engine = WasmEngine::new(CompileWith::Here);
    let errors = match load(
        &engine,
        &folder,
        vec![spec(bad), spec("/no/such.wasm".into())],
        vec![module_spec(module, functions)],
    ) {
        Ok(_) => panic!("it loads"),
        Err(errors) => errors,
    };
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(messages[0], "not a Wasm module");
    assert!(messages[1].starts_with("can't be read"), "{messages:?}");
    assert_eq!(messages[2], "it exports no function `nothing`");
    assert_eq!(
        messages[3],
        "`tail` is (i32, i32) -> i64; as declared it must be (i32, i32, i32) -> i64"
    );
    assert_eq!(messages.len(), 4);
}

#[test]
fn nothing_is_made_for_a_manifest_without_wasm() {
    let folder = Folder::new();
    let engine = WasmEngine::new(CompileWith::Here);
    load(&engine, &folder, Vec::new(), Vec::new()).unwrap();
    assert!(!folder.0.join("cache").exists());
}

#[test]
fn a_second_load_compiles_nothing_and_a_mangled_file_is_made_again() {
    let folder = Folder::new();
    let file = folder.write("guest.wasm", &guest("headers.wat"));
    let said = std::cell::RefCell::new(String::new());
    let compiled = || {
        let engine = WasmEngine::new(CompileWith::Here);
        let library =
            load(&engine, &folder, vec![spec(file.clone()), spec(file.clone())], Vec::new())
                .unwrap();
        let realm = library.open(std::rc::Rc::new(World::default()));
        let mut exchange = exchange("/", &[("x-a", "1")]);
        run(&mut *realm.start(1), Phase::Request, &mut exchange).unwrap();
        assert_eq!(header(&exchange, "x-b"), Some("1"));
        let notes = library.notes().iter().map(|note| note.message.clone()).collect::<String>();
        *said.borrow_mut() = notes;
        engine.compiled()
    };
    assert_eq!(compiled(), 1);
    assert_eq!(compiled(), 0);
    let mut cached = std::fs::read_dir(folder.0.join("cache")).unwrap().map(|e| e.unwrap().path());
    let cached = cached.find(|path| path.extension().is_some()).unwrap();
    let mode = std::fs::metadata(&cached).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let whole = std::fs::read(&cached).unwrap();
    for at in [0, 100, whole.len() / 2, whole.len() - 1] {
        let mut mangled = whole.clone();
        mangled[at] ^= 1;
        std::fs::write(&cached, mangled).unwrap();
        assert_eq!(compiled(), 1, "byte {at}");
        assert!(said.borrow().contains("damaged: it is made anew"), "{}", said.borrow());
        assert_eq!(compiled(), 0);
        assert_eq!(said.borrow().as_str(), "");
    }
    std::fs::write(&cached, &whole[..10]).unwrap();
    assert_eq!(compiled(), 1);
    assert!(said.borrow().contains("damaged"), "{}", said.borrow());
    // Whole, by its seal, and not for this machine.
    std::fs::write(&cached, compile(&guest("headers.wat"), Some("pulley32")).unwrap()).unwrap();
    assert_eq!(compiled(), 1);
    assert!(said.borrow().contains("of another version or machine"), "{}", said.borrow());
    // One that others may write is not ours to run.
    std::fs::set_permissions(&cached, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(compiled(), 1);
    assert!(said.borrow().contains("others may have written"));
    assert_eq!(
        std::fs::read_dir(folder.0.join("cache")).unwrap().count(),
        2,
        "nothing but the ledger is left over"
    );
}

#[test]
fn a_filter_is_tried_once_for_each_configuration() {
    let folder = Folder::new();
    let file = folder.write("guest.wasm", &guest("start.wat"));
    let engine = WasmEngine::new(CompileWith::Here);
    // How many instances there are before the first exchange.
    let begun = |config: &str| {
        let spec = Spec { config: config.into(), ..spec(file.clone()) };
        let library = load(&engine, &folder, vec![spec], Vec::new()).ok()?;
        let world = std::rc::Rc::new(World::default());
        let realm = library.open(world.clone());
        world.turn();
        let mut count = 0;
        realm.gauges(&mut |what, _, number| {
            count += if what == "wasm_instances" { number } else { 0 };
        });
        Some(count)
    };
    assert_eq!(begun("x"), Some(0));
    let ledger = folder.0.join("cache/known");
    let text = std::fs::read_to_string(&ledger).unwrap();
    let eager = |line: &str| match line
        .rsplit_once(' ')
        .map(|(trial, word)| (trial, word.parse::<u32>()))
    {
        Some((trial, Ok(bits))) => format!("{trial} {}", bits | 1 << 16),
        _ => line.to_owned(),
    };
    let (head, known) = text.split_once('\n').unwrap();
    let known = known.lines().map(eager).collect::<Vec<_>>().join("\n");
    std::fs::write(&ledger, format!("{head}\n{known}")).unwrap();
    assert_eq!(begun("x"), Some(1), "what the ledger has of it is not tried again");
    assert_eq!(begun("y"), Some(0), "another configuration is");
    for _ in 0..2 {
        assert_eq!(begun("no"), None, "what went wrong is");
    }
}

/// What is known to be good is not even mapped before the first exchange that it serves.
#[test]
#[allow(clippy::disallowed_methods)]
fn a_module_is_mapped_at_its_first_use() {
    let folder = Folder::new();
    let file = folder.write("guest.wasm", &guest("headers.wat"));
    let engine = WasmEngine::new(CompileWith::Here);
    let loaded = || load(&engine, &folder, vec![spec(file.clone())], Vec::new()).unwrap();
    let cache = folder.0.join("cache").display().to_string();
    let is_mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().contains(&cache);
    let first = loaded();
    assert_eq!(first.tried(), 1);
    let phases = first.phases(0);
    drop(first);
    // So young a file is hashed each time, and mapped to see that it can be.
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(loaded().tried(), 0);
    assert!(!is_mapped());
    let library = loaded();
    assert_eq!((library.tried(), library.phases(0)), (0, phases));
    let realms = [(); 2].map(|()| library.open(std::rc::Rc::new(World::default())));
    assert!(!is_mapped());
    for realm in realms {
        let mut exchange = exchange("/", &[("x-a", "1")]);
        run(&mut *realm.start(0), Phase::Request, &mut exchange).unwrap();
        assert_eq!(header(&exchange, "x-b"), Some("1"));
        assert!(is_mapped());
    }
    // Other content is another trial.
    folder.write("guest.wasm", &guest("reply.wat"));
    assert_eq!(loaded().tried(), 1);
}

#[test]
fn compiled_files_load_without_a_compiler() {
    let folder = Folder::new();
    let wasm = guest("headers.wat");
    let code = compile(&wasm, None).unwrap();
    let engine = WasmEngine::new(CompileWith::Never);
    let ahead = folder.write("guest.cwasm", &code);
    load(&engine, &folder, vec![spec(ahead)], Vec::new()).unwrap();
    let refused = |file| match load(&engine, &folder, vec![spec(file)], Vec::new()) {
        Ok(_) => panic!("it loads"),
        Err(mut errors) => errors.remove(0).message,
    };
    let source = folder.write("other.wasm", &guest("reply.wat"));
    assert!(refused(source).contains("no Wasm compiler"));
    let mut mangled = code;
    mangled[2000] ^= 1;
    assert!(refused(folder.write("bad.cwasm", &mangled)).contains("damaged"));
}

#[test]
fn modules_are_compiled_for_other_machines_too_and_run_there_only() {
    let wasm = guest("headers.wat");
    let folder = Folder::new();
    let engine = WasmEngine::new(CompileWith::Never);
    let here = if cfg!(feature = "pulley") { "pulley64" } else { std::env::consts::ARCH };
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "pulley32", "pulley64"]
    {
        let code = compile(&wasm, Some(target)).unwrap_or_else(|e| panic!("{target}: {e}"));
        let file = folder.write(&format!("{target}.cwasm"), &code);
        match load(&engine, &folder, vec![spec(file)], Vec::new()) {
            Ok(_) => assert!(target.starts_with(here), "{target} runs on {here}"),
            Err(errors) => {
                assert!(!target.starts_with(here), "{target}: {errors:?}");
                let said = &errors[0].message;
                assert!(said.contains("compiled for another machine or version"), "{said}");
            }
        }
    }
    assert!(compile(&wasm, Some("z80-unknown-none")).is_err());
}

/// `sh` stands for the gateway's own executable.
#[test]
fn a_child_compiles() {
    let folder = Folder::new();
    let wasm = guest("headers.wat");
    let made = folder.write("made", &compile(&wasm, None).unwrap());
    let file = folder.write("guest.wasm", &wasm);
    let with = |script: String| CompileWith::Process {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into(), "sh".into()],
    };
    let copying = with(format!(
        "[ \"$2\" = -o ] && cmp \"$1\" {} && cp {} \"$3\"",
        file.display(),
        made.display()
    ));
    let failing = with("echo 'no such opcode' >&2; exit 1".into());
    let dying = with("kill -9 $$".into());
    let load = |compile| {
        let folder = Folder::new();
        let engine = WasmEngine::new(compile);
        let result = load(&engine, &folder, vec![spec(file.clone())], Vec::new());
        result.map(|_| engine.compiled()).map_err(|mut errors| errors.remove(0).message)
    };
    assert_eq!(load(copying), Ok(1));
    assert_eq!(load(failing), Err("no such opcode".into()));
    assert!(load(dying).unwrap_err().contains("signal"));
}

#[test]
fn what_does_not_compile_is_tried_once() {
    let folder = Folder::new();
    let (file, tries) = (folder.write("guest.wasm", &guest("headers.wat")), folder.0.join("tries"));
    let script = format!("echo >> {}; echo 'no such opcode' >&2; exit 1", tries.display());
    let engine = WasmEngine::new(CompileWith::Process {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
    });
    let filters = vec![spec(file.clone()), spec(file.clone())];
    let modules = vec![module_spec(file, Vec::new())];
    let Err(errors) = load(&engine, &folder, filters, modules) else { panic!("it loads") };
    // Each of those that name it has the reason.
    let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(messages, ["no such opcode"; 3]);
    assert_eq!(std::fs::read_to_string(tries).unwrap(), "\n");
}

#[test]
fn a_compiler_that_takes_too_much_time_is_ended() {
    let folder = Folder::new();
    let file = folder.write("guest.wasm", &guest("headers.wat"));
    let engine = WasmEngine::new(CompileWith::Process {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), "while :; do :; done".into()],
    });
    let bounds = Bounds { compile_cpu: Duration::from_secs(1), ..Bounds::default() };
    let cache_dir = folder.0.join("cache");
    let plan = Plan { filters: vec![spec(file)], cache_dir, bounds, ..Plan::default() };
    let Err(errors) = engine.load(&plan) else { panic!("it loads") };
    let said = "the compiler took more than 1s (`[wasm.compile] cpu`)";
    assert_eq!(errors[0].message, said);
}
