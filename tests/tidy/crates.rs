//! Other people's crates: their licences, and none twice.

use std::collections::{BTreeMap, BTreeSet};

use super::floors::{members, metadata};
use super::tree::{none, root};

/// Licences that what we ship may have; an `OR` needs one of them, an `AND` all.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

/// Crates that stand in the tree in two versions, and who holds the older one.
const TWICE: &[(&str, &str)] = &[
    ("base64", "ureq; the fleet's PostgreSQL"),
    ("block-buffer", "sha2, as below"),
    ("cpufeatures", "sha2 of the Wasm compiler's cache key; chacha20 of quinn's randomness"),
    ("crypto-common", "sha2, as below"),
    ("digest", "sha2, as below"),
    ("embedded-io", "postcard, of compiled modules, names both"),
    ("fallible-iterator", "the fleet's PostgreSQL; its SQLite"),
    ("getrandom", "ring; the randomness of connection ids and tests"),
    ("hashbrown", "wasmtime; indexmap"),
    ("md-5", "scripts; the fleet's PostgreSQL"),
    ("sha2", "scripts and the Wasm compiler's cache key; the fleet's PostgreSQL"),
    ("syn", "macros that have not moved yet"),
    ("wasm-encoder", "wasmtime; wat, in tests"),
    ("wasmparser", "wasmtime; wat, in tests"),
];

#[test]
fn licences_are_allowed() {
    let mut complaints = Vec::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_allowed(licence) {
            complaints.push(format!("{}: {licence}", package["name"]));
        }
    }
    none(&complaints);
}

/// SPDX as crates use it: `AND` of `OR`s, and `/` from before SPDX.
fn is_allowed(licence: &str) -> bool {
    let plain = licence.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" AND ").all(|all| all.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}

#[test]
fn no_crate_stands_there_twice() {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let (name, version) = (package["name"].as_str().unwrap(), &package["version"]);
        versions.entry(name).or_default().insert(version.as_str().unwrap());
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut complaints = Vec::new();
    for (name, versions) in &versions {
        if !TWICE.iter().any(|(known, _)| known == name) {
            complaints.push(format!("{name}: {versions:?}"));
        }
    }
    for (name, _) in TWICE {
        if !versions.contains_key(name) {
            complaints.push(format!("{name} stands there once now: take its row away"));
        }
    }
    none(&complaints);
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    let table = table.split("\n[").next().unwrap();
    let rows = table.lines().filter(|line| line.contains('=') && !line.contains("path = "));
    none(&rows.filter(|row| !row.contains(" # ")).map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn crates_of_the_house_share_lints_and_licence() {
    let mut complaints = Vec::new();
    for package in members() {
        let path = package["manifest_path"].as_str().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        for wanted in ["[lints]\nworkspace = true", "license.workspace = true"] {
            if !text.contains(wanted) {
                complaints.push(format!("{path} lacks {wanted:?}"));
            }
        }
    }
    none(&complaints);
}
