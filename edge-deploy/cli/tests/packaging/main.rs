//! Packages: what is in them, what they do to a system, and the descriptions of services and clusters beside them.
//! `tools/packaging` gets what they are checked with.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod clouds;
#[path = "../common/mod.rs"]
mod common;
mod debian;
#[path = "../gateway/mod.rs"]
mod gateway;
mod image;
mod openwrt;
mod services;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// `edge-deploy/packaging`.
pub(crate) fn packaging() -> PathBuf {
    root().join("edge-deploy/packaging")
}

/// The folder of what packages are checked with.
pub(crate) fn tools() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| said(&mut Command::new(root().join("tools/packaging"))).trim().into())
}

/// A folder of a test's own, which is removed when it has passed.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("packaging-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        common::write(&self.at(path), text);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}

/// Runs something that must succeed. What it said.
pub(crate) fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    stdout
}

/// Runs something that must not. What it said.
pub(crate) fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?} succeeds");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The programs under test, without what only debuggers read.
pub(crate) fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        tools();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
        fs::create_dir_all(&folder).unwrap();
        let fleet = PathBuf::from(env!("CARGO_BIN_EXE_edge-deploy"));
        for (name, from) in [("pilotlight", gateway::gateway()), ("edge-deploy", fleet)] {
            said(Command::new("strip").arg("-o").arg(folder.join(name)).arg(from));
        }
        folder
    })
}

/// Packages of them: the gateway's, and the fleet tool's.
pub(crate) fn packages() -> &'static [PathBuf; 2] {
    static FILES: OnceLock<[PathBuf; 2]> = OnceLock::new();
    FILES.get_or_init(|| build(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages")))
}

pub(crate) fn build(output: &Path) -> [PathBuf; 2] {
    let mut build = Command::new(packaging().join("build"));
    build.args(["deb", "--compress", "none", "--programs"]).arg(programs());
    let files = said(build.arg("-o").arg(output));
    let files: Vec<PathBuf> = files.lines().map(PathBuf::from).collect();
    files.try_into().unwrap()
}

#[test]
fn scripts_are_sound() {
    tools();
    let shells = [
        "edge-deploy/packaging/build",
        "edge-deploy/packaging/lifecycle/edge-terminating",
        "examples/fleet/run",
        "tools/booted",
        "tools/booted.inside",
        "tools/packaging",
    ];
    let mut check = Command::new("shellcheck");
    check.args(shells.map(|path| root().join(path)));
    for package in ["pilotlight", "edge-deploy"] {
        for script in ["postinst", "prerm", "postrm"] {
            check.arg(packaging().join("debian").join(package).join(script));
        }
    }
    said(&mut check);
    // What OpenWrt's shell runs.
    let mut check = Command::new("shellcheck");
    check.args(["--shell", "dash"]);
    said(check.args(["pilotlight", "edge-deploy"].map(openwrt::script)));
}
