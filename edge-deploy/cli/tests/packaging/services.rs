//! Units of systemd: they mean something, they are hardened, and manifests beside them load.

use std::fs;
use std::process::Command;

use crate::{Scratch, packages, packaging, programs, refused, said, tools};

/// Exposure as `systemd-analyze security` counts it, times ten: from 0 to 100.
const EXPOSED: u32 = 23;

/// A tree with what the packages bring.
fn tree(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    for package in packages() {
        said(Command::new("dpkg-deb").arg("-x").arg(package).arg(scratch.at("")));
    }
    // What every system has.
    for target in ["sysinit", "basic", "shutdown", "sockets", "timers", "time-set", "time-sync"] {
        let text = "[Unit]\nDefaultDependencies=no\n";
        scratch.write(&format!("usr/lib/systemd/system/{target}.target"), text);
    }
    scratch.write("bin/sh", "true\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(scratch.at("bin/sh"), mode).unwrap();
    scratch
}

fn units(end: &str) -> Vec<String> {
    let all = fs::read_dir(packaging().join("systemd")).unwrap();
    let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = names.filter(|name| name.ends_with(end)).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

#[test]
fn units_mean_what_they_say() {
    tools();
    let tree = tree("units");
    for unit in [".service", ".socket", ".timer"].iter().flat_map(|end| units(end)) {
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no", "--recursive-errors=yes"]);
        verify.arg(format!("--root={}", tree.at("").display())).arg(&unit);
        let output = verify.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // Older ones do not know it: then what is stored goes with the service.
        let of_now = |line: &&str| !line.contains("Unknown key 'FileDescriptorStorePreserve'");
        let left: Vec<&str> = said.lines().filter(of_now).collect();
        assert!(left.is_empty(), "{unit}: {left:?}");
    }
    // What is wrong is found.
    let path = tree.at("usr/lib/systemd/system/edge-agent.service");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("/usr/bin/edge-deploy agent", "/usr/bin/edge-deplou agent"))
        .unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).arg(format!("--root={}", tree.at("").display()));
    refused(verify.arg("edge-agent.service"));
}

#[test]
fn services_are_hardened() {
    tools();
    for unit in units(".service") {
        let path = packaging().join("systemd").join(&unit);
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=true", "--no-pager"]);
        security.arg(format!("--threshold={EXPOSED}")).arg(&path);
        let told = said(&mut security);
        assert!(told.contains("Overall exposure level"), "{told}");
    }
}

#[test]
fn manifests_of_packages_load() {
    let scratch = Scratch::new("manifests");
    for file in ["etc/pilotlight.toml", "oci/pilotlight.toml", "kubernetes/pilotlight.toml"] {
        let mut check = Command::new(programs().join("pilotlight"));
        said(check.arg("check").arg(packaging().join(file)));
    }
    for name in ["node.toml", "controller.toml"] {
        let text = fs::read_to_string(packaging().join("etc").join(name)).unwrap();
        scratch.write(name, &text);
    }
    for file in ["tls/fleet.pem", "tls/fleet.key"] {
        scratch.write(file, "");
    }
    let mut check = Command::new(programs().join("edge-deploy"));
    check.arg("check").args(["node.toml", "controller.toml"].map(|name| scratch.at(name)));
    said(&mut check);
}

/// Users that units run as are made.
#[test]
fn users_of_units_are_made() {
    let users: String = ["pilotlight", "edge-deploy"]
        .map(|name| {
            fs::read_to_string(packaging().join(format!("systemd/{name}.sysusers"))).unwrap()
        })
        .concat();
    for unit in units(".service") {
        let text = fs::read_to_string(packaging().join("systemd").join(&unit)).unwrap();
        let user = text.lines().find_map(|line| line.strip_prefix("User="));
        match user {
            Some(user) => assert!(users.contains(&format!("u {user} -")), "{unit}: {user}"),
            None => assert_eq!(unit, "edge-terminating.service"),
        }
    }
}
