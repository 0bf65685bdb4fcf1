//! What `pilotlight check` says of programs, beside their manifest.

use std::process::Command;

use crate::support::gateway::binary;
use crate::support::{Folder, ahead};

const MANIFEST: &str = r#"
[[listeners]]
address = "127.0.0.1:0"
[[routes]]
filters = ["program"]
respond = { body = "x" }
[filters.program]
"#;

/// Its exit code, and what it writes for people.
fn check(program: &str, file: &str, bytes: &[u8]) -> (i32, String) {
    check_in(&Folder::new(), program, file, bytes)
}

fn check_in(folder: &Folder, program: &str, file: &str, bytes: &[u8]) -> (i32, String) {
    folder.write("pilotlight.toml", format!("{MANIFEST}{program}\n"));
    folder.write(file, bytes);
    let check = Command::new(binary()).arg("check").current_dir(folder.path()).output().unwrap();
    (check.status.code().unwrap(), String::from_utf8_lossy(&check.stderr).into_owned())
}

/// What this gateway says that it is: features, machine.
fn version() -> String {
    let version = Command::new(binary()).args(["version", "--verbose"]).output().unwrap();
    String::from_utf8(version.stdout).unwrap()
}

/// Whether this gateway has a compiler for Wasm.
fn compiles() -> bool {
    version().contains("wasm-compile")
}

/// A filter without functions.
const NOTHING: &str =
    "(module (memory (export \"memory\") 1) (func (export \"proxy_abi_version_0_2_1\")))";

#[test]
fn a_broken_module_is_named() {
    let (code, said) = check("wasm = \"broken.wasm\"", "broken.wasm", b"no module");
    assert_eq!(code, 2, "{said}");
    let named = said.lines().any(|line| line.contains("broken.wasm: not a Wasm module"));
    assert!(named, "{said}");
}

/// The small build has no compiler: it says what it takes instead, and for which machine.
#[test]
fn a_module_that_is_not_compiled_is_compiled_or_refused_with_what_to_do() {
    let (code, said) = check("wasm = \"f.wasm\"", "f.wasm", &wat::parse_str(NOTHING).unwrap());
    if compiles() {
        assert_eq!(code, 0, "{said}");
        return;
    }
    assert_eq!(code, 2, "{said}");
    for part in
        ["f.wasm: this gateway has no Wasm compiler", ".cwasm", "pilotlight compile FILE.wasm"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// As it is by all who run compiled modules; a second look finds nothing left of the first.
#[test]
fn a_module_compiled_for_another_machine_is_refused_with_what_this_one_runs() {
    let folder = Folder::new();
    let module = folder.write("f.wasm", wat::parse_str(NOTHING).unwrap());
    let version = version();
    let here = match version.contains("pulley") {
        true => "pulley64",
        false if version.contains("aarch64-linux") => "aarch64-unknown-linux-gnu",
        false => "x86_64-unknown-linux-gnu",
    };
    let targets = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "pulley64", "pulley32"];
    for target in targets {
        let code = ahead::of_target(&module, target);
        for _ in 0..2 {
            let (exit, said) = check_in(&folder, "wasm = \"f.cwasm\"", "f.cwasm", &code);
            if target == here {
                assert_eq!(exit, 0, "{target}: {said}");
                continue;
            }
            assert_eq!(exit, 2, "{target}: {said}");
            let machine = target.split('-').next().unwrap();
            let why = format!(
                "f.cwasm: compiled for another machine or version: Module was compiled for \
                 architecture '{machine}'; this gateway runs {here}"
            );
            assert!(said.contains(&why) && said.contains("--target"), "{target}: {said}");
            assert!(!said.contains("warning"), "{target}: {said}");
        }
    }
}

#[test]
fn a_module_that_makes_the_compiler_want_too_much_is_refused() {
    if !compiles() {
        return;
    }
    let step = "local.get 0 local.get 1 i64.mul local.get 1 i64.rotl local.tee 0 local.set 1 ";
    let text = format!("(module (func (param i64 i64) {}))", step.repeat(200_000));
    let module = wat::parse_str(text).unwrap();
    let program = "wasm = \"large.wasm\"\n[wasm.compile]\nmemory = \"64MiB\"\n";
    let (code, said) = check(program, "large.wasm", &module);
    assert_eq!(code, 2, "{said}");
    let why = "the compiler wanted more than 67108864 bytes of memory (`[wasm.compile] memory`)";
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_phase_that_is_not_run_is_said() {
    let script = b"return { connect = function() end, request = function() end }";
    let (code, said) = check("lua = \"early.lua\"", "early.lua", script);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("warning") && said.contains("`connect`"), "{said}");
}
