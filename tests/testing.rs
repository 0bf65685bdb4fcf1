//! `pilotlight test` and `pilotlight new`, as a person or a CI server runs them.

mod output;
mod stand_ins;
mod subjects;

use std::path::Path;
use std::process::{Command, Output};

use crate::support::Folder;
use crate::support::gateway::binary;

/// Runs the binary in a folder.
fn pilotlight(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    for (name, text) in files {
        folder.write(name, text);
    }
    folder
}

/// Runs the tests of these files; all must pass.
fn passes(files: &[(&str, &str)]) {
    let folder = folder(files);
    let output = pilotlight(folder.path(), &["test"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains(" passed\n"), "{}", out(&output));
}

/// Runs one test, which must fail: what is printed.
fn fails(filter: &str, test: &str) -> String {
    let text = format!(
        "local t = require \"pilotlight.test\"\nlocal tests = {{}}\nfunction tests.one()\n{test}\nend\nreturn tests\n"
    );
    let folder = folder(&[("f.lua", filter), ("f_test.lua", &text)]);
    let output = pilotlight(folder.path(), &["test"]);
    assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
    out(&output)
}

#[test]
fn what_is_begun_passes_its_tests() {
    let folder = Folder::new();
    let made = pilotlight(folder.path(), &["new", "lua", "filters/greeter"]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    assert_eq!(out(&made), "filters/greeter.lua\nfilters/greeter_test.lua\n");
    let made = pilotlight(folder.path(), &["new", "gateway", "shop"]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let tested = pilotlight(folder.path(), &["test"]);
    assert_eq!(tested.status.code(), Some(0), "{}", out(&tested));
    assert!(out(&tested).ends_with("\n6 passed\n"), "{}", out(&tested));
    let checked = pilotlight(&folder.path().join("shop"), &["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", err(&checked));

    // Nothing is overwritten, and names stay names.
    for (arguments, said) in [
        (["new", "lua", "filters/greeter"], "is there already"),
        (["new", "gateway", "shop"], "is there already"),
        (["new", "lua", "a b"], "is no name"),
        (["new", "wasm-rust", "9x"], "is no name"),
        (["new", "cake", "x"], "one of lua, gateway, wasm-rust"),
    ] {
        let refused = pilotlight(folder.path(), &arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(err(&refused).contains(said), "{}", err(&refused));
    }
}

#[test]
fn the_quickstart_is_tested() {
    let filters = crate::tidy::root().join("examples/quickstart");
    let output = pilotlight(&filters, &["test", "filters"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
}

#[test]
fn wasm_filters_that_are_begun_build_and_pass_their_tests() {
    for kind in ["wasm-rust", "wasm-c", "wasm-assemblyscript"] {
        let folder = Folder::new();
        let made = pilotlight(folder.path(), &["new", kind, "greeter"]);
        assert_eq!(made.status.code(), Some(0), "{}", err(&made));
        assert!(err(&made).contains("greeter/build && pilotlight test greeter"), "{}", err(&made));
        let greeter = folder.path().join("greeter");
        let built = Command::new("./build")
            .current_dir(&greeter)
            .env_remove("CARGO_TARGET_DIR")
            .output()
            .unwrap();
        assert_eq!(built.status.code(), Some(0), "{kind}: {}{}", out(&built), err(&built));
        let tested = pilotlight(&greeter, &["test"]);
        assert_eq!(tested.status.code(), Some(0), "{kind}: {}{}", out(&tested), err(&tested));
        assert!(out(&tested).ends_with("\n3 passed\n"), "{}", out(&tested));
        let checked = pilotlight(&greeter, &["check"]);
        assert_eq!(checked.status.code(), Some(0), "{kind}: {}", err(&checked));
    }
}

#[test]
fn an_application_that_is_begun_is_a_component() {
    let folder = Folder::new();
    let made = pilotlight(folder.path(), &["new", "wasm-application", "hello"]);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    let hello = folder.path().join("hello");
    let mut build = Command::new("./build");
    let built = build.current_dir(&hello).env_remove("CARGO_TARGET_DIR").output().unwrap();
    assert_eq!(built.status.code(), Some(0), "{}{}", out(&built), err(&built));
    let wasm = std::fs::read(hello.join("application.wasm")).unwrap();
    assert!(wasm.starts_with(b"\0asm\x0d\0\x01\0"), "a core module");
}

/// `sdk/c/module.h`: strings both ways, and an arena that has an end.
#[test]
fn a_module_in_c_answers_scripts() {
    let folder = folder(&[
        (
            "words.c",
            r#"
#include "module.h"
PL_MODULE(64 << 10)
PL_EXPORT(shout) uint64_t shout(const char *text, size_t len, int32_t times) {
  char *out = pl_take(len * times);
  for (size_t i = 0; i < len * times; i++) {
    char c = text[i % len];
    out[i] = c >= 'a' && c <= 'z' ? c - 32 : c;
  }
  return pl_string(out, len * times);
}"#,
        ),
        ("module.h", include_str!("../sdk/c/module.h")),
        (
            "pilotlight.toml",
            "[[listeners]]\naddress = \"127.0.0.1:8080\"\n[modules.words]\nwasm = \"words.wasm\"\n\
             functions = { shout = \"(string, i32) -> string\" }\n",
        ),
        (
            "say.lua",
            r#"
local words = gateway.wasm "words"
return function(req)
  local said, why = words.shout(req:body(), tonumber(req.query))
  return { status = said and 200 or 422, body = said or why }
end"#,
        ),
        (
            "say_test.lua",
            r#"
local t = require "pilotlight.test"
local tests = {}
function tests.strings_go_both_ways()
  local say = t.target "say.lua"
  for _ = 1, 1000 do
    t.equal(say:request({ path = "/?3", body = "hey, " }).body, "HEY, HEY, HEY, ")
  end
end
function tests.too_much_fails_by_itself()
  local say = t.target "say.lua"
  t.equal(say:request({ path = "/?9999", body = "long text" }).status, 422)
  t.equal(say:request({ path = "/?1", body = ("x"):rep(70000) }).status, 422)
  t.equal(say:request({ path = "/?1", body = "x" }).body, "X")
end
return tests"#,
        ),
    ]);
    let flags = "--target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -o words.wasm words.c";
    let built =
        Command::new("clang").args(flags.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(built.status.success(), "{}", err(&built));
    let tested = pilotlight(folder.path(), &["test"]);
    assert_eq!(tested.status.code(), Some(0), "{}{}", out(&tested), err(&tested));
}
