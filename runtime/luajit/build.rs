//! Builds LuaJIT with `record.c` and `asm.c` around its files of those names, and `host.c` beside it.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a build that can't go on ends, and has one thread"
)]

use std::env;
use std::path::PathBuf;

/// How LuaJIT's own make comes to ours.
const RULES: &str = "record.mk";
const RECORDER: &str = "record.c";
const ASSEMBLER: &str = "asm.c";
const HOST: &str = "host.c";

fn main() {
    let folder = |name| PathBuf::from(env::var_os(name).expect("cargo sets it"));
    for file in [RULES, RECORDER, ASSEMBLER, HOST] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-env-changed=RECORD_FLAGS");
    // SAFETY: there is no other thread.
    unsafe { env::set_var("MAKEFILES", folder("CARGO_MANIFEST_DIR").join(RULES)) };
    let luajit = luajit_src::Build::new().build();
    // It sees LuaJIT's own headers, so its library comes first.
    cc::Build::new()
        .file(HOST)
        .flag_if_supported("-funwind-tables") // errors of Lua pass it
        .include(folder("OUT_DIR").join("luajit-build/src"))
        .compile("pilotlight_luajit");
    luajit.print_cargo_metadata();
}
