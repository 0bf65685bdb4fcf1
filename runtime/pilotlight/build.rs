//! How the binary is linked.

#![expect(clippy::disallowed_methods, reason = "cargo speaks to builds by the environment")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    // Functions of the same code become one, where the linker is the one that rustc brings (lld).
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|set| set == value);
    let brings_lld = is("TARGET", "x86_64-unknown-linux-gnu") && env::var("RUSTC_LINKER").is_err();
    if brings_lld && is("PROFILE", "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
