//! The table of the ABI's names: a page of the reference is made of it, and each name has a case.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::case::{cases, folder};
use crate::tidy::root;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    pub name: String,
    #[serde(default)]
    pub is: crate::names::Is,
    #[serde(default)]
    pub note: String,
}

#[derive(Deserialize)]
struct Group {
    group: String,
    name: Vec<Name>,
}

/// The table of the ABI's names, by group.
pub fn names() -> Vec<(String, Vec<Name>)> {
    #[derive(Deserialize)]
    struct Table {
        groups: Vec<Group>,
    }
    let text = std::fs::read_to_string(folder().join("names.toml")).unwrap();
    let table: Table = toml::from_str(&text).unwrap();
    table.groups.into_iter().map(|group| (group.group, group.name)).collect()
}

/// What the table calls there, a case calls; and what links is in the table.
#[test]
fn each_name_has_a_case() {
    use crate::names::Is;
    let words: BTreeSet<String> = cases()
        .iter()
        .flat_map(|case| {
            let log = case.log.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            let script = case.script.replace("\\0", ".");
            let module = match case.module.as_str() {
                "old" => "proxy_abi_version_0_1_0",
                "higress" => "proxy_abi_version_0_2_100",
                "wasi" => "proxy_abi_version_0_2_0",
                _ => "proxy_abi_version_0_2_1 proxy_on_memory_allocate proxy_on_vm_start",
            };
            let text = format!("{script} {module} {} {log}", case.name);
            let split = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.';
            text.split(split).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let names = names();
    let mut missing: Vec<String> = names
        .iter()
        .flat_map(|(_, names)| names)
        .filter(|name| name.is != Is::Absent)
        .filter(|name| {
            let plain = name.name.strip_prefix("proxy_").unwrap_or(&name.name);
            let plain = plain.strip_prefix("on_").unwrap_or(plain);
            let within = format!("{}.", name.name);
            let is =
                |word: &String| word == plain || *word == name.name || word.starts_with(&within);
            !words.iter().any(is)
        })
        .map(|name| format!("no case for {}", name.name))
        .collect();
    let known: BTreeSet<&str> =
        names.iter().flat_map(|(_, names)| names).map(|name| name.name.as_str()).collect();
    let link = std::fs::read_to_string(root().join("runtime/wasm/src/proxy_wasm/link.rs")).unwrap();
    for name in link.split('"').filter(|word| word.starts_with("proxy_") && !word.contains(' ')) {
        if !known.contains(name) {
            missing.push(format!("names.toml lacks {name}"));
        }
    }
    crate::tidy::none(&missing);
}
