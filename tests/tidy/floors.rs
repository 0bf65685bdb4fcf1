//! Arrows between crates go down only.

use std::process::Command;
use std::{env, sync::OnceLock};

use serde_json::Value;

use super::tree::{none, root};

/// A crate, its floor, and the crates it may name. Tests stand on floor 5 and may name any.
const HOUSE: &[(&str, u8, &[&str])] = &[
    ("pilotlight-abi", 0, &[]),
    ("pilotlight-filter", 1, &["pilotlight-abi"]),
    ("pilotlight-config", 1, &["pilotlight-abi"]),
    ("pilotlight-core", 2, &["pilotlight-config", "pilotlight-abi"]),
    ("pilotlight-import", 2, &["pilotlight-config"]),
    ("pilotlight-fleet", 2, &["pilotlight-config"]),
    ("pilotlight-luajit", 0, &[]),
    ("pilotlight-lua", 2, &["pilotlight-filter", "pilotlight-abi", "pilotlight-luajit"]),
    ("pilotlight-wasm", 2, &["pilotlight-filter", "pilotlight-abi"]),
    (
        "pilotlight-server",
        3,
        &["pilotlight-core", "pilotlight-config", "pilotlight-filter", "pilotlight-abi"],
    ),
    (
        "pilotlight-testing",
        3,
        &["pilotlight-core", "pilotlight-config", "pilotlight-filter", "pilotlight-abi"],
    ),
    ("pilotlight-agent", 3, &["pilotlight-fleet", "pilotlight-config"]),
    ("pilotlight-content", 3, &["pilotlight-fleet"]),
    ("pilotlight-controller", 3, &["pilotlight-fleet", "pilotlight-core"]),
    (
        "edge-deploy",
        4,
        &[
            "pilotlight-agent",
            "pilotlight-content",
            "pilotlight-controller",
            "pilotlight-fleet",
            "pilotlight-config",
        ],
    ),
    (
        "pilotlight",
        4,
        &[
            "pilotlight-server",
            "pilotlight-import",
            "pilotlight-testing",
            "pilotlight-lua",
            "pilotlight-wasm",
            "pilotlight-config",
            "pilotlight-filter",
        ],
    ),
];

/// Crates that bring an event loop, sockets, a clock or randomness: floor 3 and above.
const SHELL_ONLY: &[&str] = &[
    "tokio",
    "socket2",
    "mio",
    "quinn",
    "h2",
    "hyper",
    "hyper-util",
    "rustls",
    "tokio-rustls",
    "rand",
    "getrandom",
    "chrono",
    "time",
];

/// What cargo knows of the workspace, on the platform that the checks run on.
pub fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| {
        let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--offline", "--locked"])
            .args(["--filter-platform", &triple])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    })
}

/// The workspace's crates.
pub fn members() -> impl Iterator<Item = &'static Value> {
    let metadata = metadata();
    let members = metadata["workspace_members"].as_array().unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.filter(|package| members.contains(&package["id"]))
}

#[test]
fn arrows_go_down_only() {
    let mut complaints = Vec::new();
    for package in members() {
        let name = package["name"].as_str().unwrap();
        if name == "pilotlight-tests" {
            continue;
        }
        let Some((_, floor, may)) = HOUSE.iter().find(|(room, ..)| *room == name) else {
            complaints.push(format!("{name} has no floor: give it a row in tests/tidy/floors.rs"));
            continue;
        };
        // What its tests use is not part of the house.
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        for dependency in dependencies.filter(|d| d["kind"].as_str() != Some("dev")) {
            let other = dependency["name"].as_str().unwrap();
            if HOUSE.iter().any(|(room, ..)| *room == other) && !may.contains(&other) {
                complaints.push(format!("{name} (floor {floor}) names {other}"));
            }
            if *floor < 3 && SHELL_ONLY.contains(&other) {
                complaints
                    .push(format!("{name} (floor {floor}) names {other}: only from floor 3 on"));
            }
        }
    }
    none(&complaints);
}

#[test]
fn the_table_itself_goes_down() {
    let floor = |name: &str| HOUSE.iter().find(|(room, ..)| *room == name).unwrap().1;
    for (name, own, may) in HOUSE {
        assert!(may.iter().all(|other| floor(other) < *own), "{name}");
    }
}
