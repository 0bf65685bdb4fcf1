//! A case of the kit, as its file has it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::tidy::root;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// What the host is told of the filter.
    #[serde(default)]
    pub host: toml::Table,
    #[serde(default = "guest")]
    pub module: String,
    #[serde(default)]
    pub script: String,
    #[serde(default)]
    pub ask: Vec<Ask>,
    /// Connections without HTTP instead.
    #[serde(default)]
    pub flow: Vec<Flow>,
    #[serde(default)]
    pub answer: Vec<Reply>,
    /// What the upstream saw first.
    pub sees: Option<Message>,
    /// Whether it saw nothing.
    #[serde(default)]
    pub unseen: bool,
    /// Lines of the filter, in order.
    pub log: Option<Vec<String>>,
    /// ... or in any order, and among others.
    #[serde(default)]
    pub loose: bool,
    /// How many lines it wrote in all.
    pub lines: Option<usize>,
    /// Lines of other filters.
    #[serde(default)]
    pub elsewhere: Vec<String>,
    /// What it shows is only so over HTTP/1.1 in clear text.
    #[serde(default)]
    pub http1: bool,
    /// Texts that lines of the gateway's log hold.
    #[serde(default)]
    pub host_log: Vec<String>,
    #[serde(default)]
    pub metrics: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Message {
    pub method: Option<String>,
    pub path: Option<String>,
    pub status: Option<u16>,
    pub headers: BTreeMap<String, String>,
    pub absent: Vec<String>,
    pub body: Option<String>,
    pub trailers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Ask {
    pub method: Option<String>,
    pub path: Option<String>,
    pub headers: Vec<String>,
    pub chunks: Vec<String>,
    pub trailers: BTreeMap<String, String>,
    /// What the client gets.
    pub gets: Message,
    /// The answer breaks off, or there is none.
    pub broken: bool,
}

/// A connection to the upstream "echo".
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Flow {
    pub sends: Vec<String>,
    /// Bytes that it waits for before it ends.
    pub waits: usize,
    /// It sends nothing more, and says so; else it leaves that to the other side.
    pub ends: bool,
    /// All that it gets until the end.
    pub gets: String,
    /// It breaks off.
    pub broken: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    pub status: Option<u16>,
    pub headers: Vec<String>,
    pub chunks: Vec<String>,
    pub trailers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

fn guest() -> String {
    "guest".into()
}

pub fn folder() -> std::path::PathBuf {
    root().join("tests/conformance/proxy-wasm")
}

pub fn cases() -> Vec<Case> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder().join("cases")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let read = |file: &std::path::PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let all = toml::from_str::<Cases>(&text);
        all.unwrap_or_else(|error| panic!("{}: {error}", file.display())).case
    };
    files.iter().flat_map(read).collect()
}
