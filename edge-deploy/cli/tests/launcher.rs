//! The launcher alone: what it starts, by the pointer, with a program that stands for a gateway.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pilotlight_agent::{Generation, Pointer, Trial};
use pilotlight_fleet::plan::Digest;

struct Node {
    folder: PathBuf,
    launcher: Option<Child>,
    pointer: Pointer,
}

/// Writes down which manifest it was started with, and does not live long with one that says so.
const PROGRAM: &str = "#!/bin/sh\necho \"$2\" >>log\ngrep -q CRASH \"$2\" && exit 7\ngrep -q DEAF \"$2\" && trap '' TERM && while :; do sleep 1; done\nexec sleep 100\n";

impl Node {
    fn new(name: &str, safety: &str) -> Node {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(folder.join("state/generations")).unwrap();
        let node = Node { folder, launcher: None, pointer: Pointer::default() };
        node.write("gateway", PROGRAM);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(node.folder.join("gateway"), mode).unwrap();
        node.write("safe.toml", "safe\n");
        let text = format!(
            "kind = \"node\"\nid = \"n1\"\ngateway = {{ program = \"gateway\" }}\nsafety = {{ {safety} }}\n"
        );
        node.write("node.toml", &text);
        node
    }

    fn write(&self, name: &str, text: &str) {
        common::write(&self.folder.join(name), text);
    }

    fn generation(&self, id: &str, manifest: &str, text: &str) -> Generation {
        self.write(&format!("state/generations/{id}/{manifest}"), text);
        Generation {
            id: id.into(),
            release: Digest::of_bytes(id.as_bytes()),
            name: format!("edge@{id}"),
            epoch: 0,
            manifest: manifest.into(),
            restart: false,
        }
    }

    /// Writes the pointer as an agent does.
    fn point(&mut self, change: impl FnOnce(&mut Pointer)) {
        change(&mut self.pointer);
        self.pointer.serial += 1;
        let text = serde_json::to_string(&self.pointer).unwrap();
        let digest = Digest::of_bytes(text.as_bytes());
        let slot = format!("state/pointer.{}", self.pointer.serial % 2);
        self.write(&slot, &format!("{digest}\n{text}"));
    }

    fn launch(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-deploy"));
        let log = fs::File::create(self.folder.join("launch.log")).unwrap();
        command.args(["launch", "node.toml"]).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.launcher = Some(command.spawn().unwrap());
    }

    /// Manifests that were started, by their files' names.
    fn started(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        log.lines().map(|line| line.rsplit('/').next().unwrap().to_owned()).collect()
    }

    fn until(&self, what: &str, is: impl Fn(&[String]) -> bool) {
        let log = || fs::read_to_string(self.folder.join("launch.log")).unwrap_or_default();
        let said = || format!("{:?}\n{}", self.started(), log());
        common::until(what, || is(&self.started()), said);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut launcher) = self.launcher.take() {
            let pid = launcher.id().to_string();
            drop(Command::new("kill").args(["-TERM", &pid]).status());
            drop(launcher.wait());
        }
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

#[test]
fn when_nothing_runs_any_more_the_fallback_does() {
    let mut node = Node::new("fallback", "exits = 3, fallback = \"safe.toml\"");
    let good = node.generation("1", "pilotlight.toml", "CRASH");
    node.point(|pointer| pointer.good = Some(good));
    node.launch();
    node.until("the fallback", |started| started.last().is_some_and(|last| last == "safe.toml"));
    assert_eq!(
        node.started(),
        ["pilotlight.toml", "pilotlight.toml", "pilotlight.toml", "safe.toml"]
    );
    let said = fs::read_to_string(node.folder.join("launch.log")).unwrap();
    assert!(said.contains("QUARANTINE: edge@1 had proved itself and crashes, too"), "{said}");
    // Another launcher does not start a second gateway.
    let mut other = Command::new(env!("CARGO_BIN_EXE_edge-deploy"));
    let other = other.args(["launch", "node.toml"]).current_dir(&node.folder).output().unwrap();
    let said = String::from_utf8(other.stderr).unwrap();
    assert!(!other.status.success() && said.contains("another launcher"), "{said}");
    // The agent brings something: it is tried at once.
    let generation = node.generation("2", "edge.toml", "fine");
    node.point(|pointer| {
        let (tries, serial, before) = (2, 2, Default::default());
        pointer.trial = Some(Trial { generation, tries, serial, before, anew: false });
    });
    node.until("the new release", |started| started.last().is_some_and(|last| last == "edge.toml"));
}

#[test]
fn a_pointer_that_wants_another_start_gets_it() {
    let mut node = Node::new("starts", "exits = 3");
    node.launch();
    let one = node.generation("1", "pilotlight.toml", "fine");
    node.point(|pointer| pointer.good = Some(one.clone()));
    node.until("a first start", |started| started.len() == 1);
    // What a reload brings needs none.
    let two = node.generation("2", "pilotlight.toml", "fine");
    node.point(|pointer| pointer.good = Some(two));
    std::thread::park_timeout(Duration::from_millis(500));
    assert_eq!(node.started().len(), 1);
    let moved = node.generation("3", "edge.toml", "fine");
    node.point(|pointer| {
        pointer.good = Some(moved);
        pointer.starts += 1;
    });
    node.until("another start", |started| started == ["pilotlight.toml", "edge.toml"]);
    // A first release that was given up leaves nothing.
    node.point(|pointer| {
        pointer.good = None;
        pointer.starts += 1;
    });
    let launched = || fs::read_to_string(node.folder.join("state/launched")).unwrap();
    assert_eq!(launched().trim().parse(), Ok(1u64));
    std::thread::park_timeout(Duration::from_millis(500));
    assert_eq!(node.started().len(), 2);
    node.point(|pointer| pointer.good = Some(one));
    node.until("it runs again", |started| started.len() == 3);
    let launched = || fs::read_to_string(node.folder.join("state/launched")).unwrap();
    assert_eq!(launched().trim().parse(), Ok(2u64));
}

#[test]
fn a_gateway_that_does_not_end_is_ended() {
    let mut node = Node::new("deaf", "exits = 3");
    let deaf = node.generation("1", "deaf.toml", "DEAF");
    node.point(|pointer| pointer.good = Some(deaf));
    node.launch();
    node.until("the first start", |started| started.len() == 1);
    let next = node.generation("2", "edge.toml", "fine");
    node.point(|pointer| {
        pointer.good = Some(next);
        pointer.starts += 1;
    });
    node.until("the next one", |started| started == ["deaf.toml", "edge.toml"]);
}
