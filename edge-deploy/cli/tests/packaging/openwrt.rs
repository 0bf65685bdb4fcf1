//! OpenWrt's init scripts, before a procd that writes down what it is told.

use std::path::PathBuf;
use std::process::Command;

use crate::{Scratch, packaging, said};

pub(crate) fn script(name: &str) -> PathBuf {
    packaging().join("openwrt").join(format!("{name}.init"))
}

/// What rc.common offers.
const PROCD: &str = r#"
procd_open_instance() { echo "open $*"; }
procd_set_param() { echo "set $*"; }
procd_close_instance() { echo close; }
procd_send_signal() { echo "signal $*"; }
"#;

/// Runs a function of a script; what procd was told.
fn run(name: &str, before: &str, call: &str) -> Vec<String> {
    let text = format!("{PROCD}\n. {}\n{before}\n{call}", script(name).display());
    let told = said(Command::new("sh").args(["-e", "-c", &text]));
    told.lines().map(str::to_owned).collect()
}

#[test]
fn procd_is_told_what_to_run() {
    let scratch = Scratch::new("procd");
    let at = |path: &str| scratch.at(path).display().to_string();
    let folders = format!("FOLDERS='{}'", at("run"));
    let told = run("pilotlight", &format!("PROGRAM=true\n{folders}"), "start_service");
    assert_eq!(told[..2], ["open ", "set command true run /etc/pilotlight/pilotlight.toml"]);
    assert!(told.contains(&"set respawn 3600 5 5".to_owned()), "{told:?}");
    assert_eq!(told.last().unwrap(), "close");
    assert!(scratch.at("run").is_dir());
    // A manifest that does not load is not tried again and again.
    let told = run("pilotlight", &format!("PROGRAM=false\n{folders}"), "start_service || echo no");
    assert_eq!(told, ["no"]);
    assert_eq!(run("pilotlight", "", "reload_service"), ["signal pilotlight"]);

    let node = format!("NODE='{}'", at("node.toml"));
    assert!(run("edge-deploy", &node, "start_service").is_empty());
    scratch.write("node.toml", "");
    let told = run("edge-deploy", &node, "start_service");
    let commands: Vec<&String> =
        told.iter().filter(|line| line.starts_with("set command")).collect();
    let wanted =
        |what: &str| format!("set command /usr/bin/edge-deploy {what} {}", at("node.toml"));
    assert_eq!(commands, [&wanted("launch"), &wanted("agent")]);
    assert_eq!(run("edge-deploy", "", "reload_service"), ["signal edge-deploy launch"]);
}
