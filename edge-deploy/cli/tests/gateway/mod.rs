//! The gateway's program, for tests that want a real one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The gateway under test, built once with the profile of the tests themselves.
pub(crate) fn gateway() -> PathBuf {
    if let Some(named) = std::env::var_os("PILOTLIGHT_BIN") {
        return named.into();
    }
    let profile = Path::new(env!("CARGO_BIN_EXE_edge-deploy")).parent().unwrap();
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--quiet", "-p", "pilotlight", "--target-dir"]);
    build.arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the gateway does not build");
    profile.join("pilotlight")
}
