//! Builds LuaJIT with our recorder (`record.c`) in place of its own.

#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a build that can't go on ends, and has one thread"
)]

use std::env;
use std::path::Path;

/// How LuaJIT's own make comes to it.
const RULE: &str = "record.mk";

fn main() {
    let here = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    for file in [RULE, "record.c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-env-changed=RECORD_FLAGS");
    // SAFETY: there is no other thread.
    unsafe { env::set_var("MAKEFILES", Path::new(&here).join(RULE)) };
    luajit_src::Build::new().build().print_cargo_metadata();
}
