//! Programs: filters, and modules that scripts call.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{OpenResty, Shipped};
use crate::place::Place;

/// A script or module in a chain, or a route's script.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is defined.
    pub place: Place,
    /// What it runs.
    pub program: Program,
    /// The `config` key: a string as it is, a table as JSON. Empty when there is none.
    pub config: FilterConfig,
    /// CPU time of one call of a phase.
    pub cpu: Duration,
    /// Bytes of its own VM or instance; `None`: the engine's default.
    pub memory: Option<u64>,
    /// What happens when it fails.
    pub on_error: OnError,
    /// Whether exchanges share its instances.
    pub isolation: Isolation,
    /// Settings of a proxy-wasm module.
    pub proxy: ProxyWasm,
}

/// Settings of a proxy-wasm module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyWasm {
    /// Body callbacks run while the filter holds the head.
    pub hold_headers: bool,
    /// Filters with the same share data and queues; empty: it is the filter's name.
    pub vm_id: String,
    /// The `vm_config` key, as text.
    pub vm_config: String,
    /// Which of the plugins of its module it is.
    pub root_id: String,
    /// How properties are written.
    pub properties: Encoding,
}

/// How properties are handed to a proxy-wasm module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Numbers and times as eight bytes.
    #[default]
    Envoy,
    /// All as text.
    Text,
}

/// What is handed to a filter.
#[derive(Debug, Clone, PartialEq)]
pub enum FilterConfig {
    /// Nothing.
    None,
    /// A string, as it is.
    Text(String),
    /// A table.
    Json(serde_json::Value),
}

/// What a filter runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A script.
    Lua(PathBuf),
    /// A proxy-wasm module.
    Wasm(PathBuf),
    /// A component that answers: a route's target.
    Component(PathBuf),
    /// Scripts for the phases of lua-nginx-module.
    OpenResty(Box<OpenResty>),
    /// A plugin of Kong's, by its name.
    Kong(String),
    /// One that ships with the gateway.
    Shipped(Box<Shipped>),
}

/// What happens when a filter fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Answer 500.
    Close,
    /// Go on without the filter.
    Open,
}

/// How exchanges share a Wasm filter's instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// One instance serves a worker's exchanges.
    Worker,
    /// A fresh instance for each exchange.
    Stream,
}

/// A Wasm module that scripts call.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is defined.
    pub place: Place,
    /// The module.
    pub wasm: PathBuf,
    /// Declared functions of a core module: name and signature text such as `(string, i32) -> string`.
    pub functions: Vec<Function>,
    /// CPU time of one call.
    pub cpu: Duration,
    /// Bytes of an instance.
    pub memory: u64,
}

/// A declared function of a core module.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it is defined.
    pub place: Place,
    /// What it takes.
    pub parameters: Vec<ValueType>,
    /// What it gives; `None`: nothing.
    pub result: Option<ValueType>,
}

/// What a module's function takes or gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Bytes, handed over as pointer and length.
    String,
    /// A 32-bit integer.
    I32,
    /// A 64-bit integer.
    I64,
    /// A 32-bit float.
    F32,
    /// A 64-bit float.
    F64,
    /// An i32 that is 0 or 1.
    Bool,
}
