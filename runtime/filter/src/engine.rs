//! What runs filters: an engine loads, a library holds, a realm runs.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_abi::Phases;

use crate::filter::Filter;
use crate::host::{Module, Services};

/// An engine, such as LuaJIT's or wasmtime's. One a process.
pub trait Engine: Send + Sync {
    /// The kind of programs it takes: "lua", "wasm".
    fn name(&self) -> &'static str;

    /// Loads and checks everything of a generation that is this engine's: compiles, links, runs
    /// each filter's `init` once. May block; never called on a worker.
    ///
    /// # Errors
    /// All mistakes at once.
    fn load(&self, plan: &Plan) -> Result<Arc<dyn Library>, Vec<LoadError>>;
}

/// A generation's programs of one engine, as the manifest means them.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Filters, in an order that their indexes refer to.
    pub filters: Vec<Spec>,
    /// Modules that scripts call.
    pub modules: Vec<ModuleSpec>,
    /// The VM of scripts.
    pub script: ScriptSpec,
    /// Where compiled modules are kept.
    pub cache_dir: PathBuf,
    /// Environment variables that programs may read.
    pub env: Vec<(String, String)>,
    /// Names of the modules of the manifest, whichever engine runs them.
    pub module_names: Vec<Arc<str>>,
    /// Names of the shared dictionaries.
    pub shared: Vec<String>,
}

/// A filter as the manifest means it.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name in the manifest.
    pub name: Arc<str>,
    /// Its program.
    pub file: PathBuf,
    /// `config`: text as it is, a table as JSON; empty when there is none.
    pub config: Vec<u8>,
    /// Whether `config` is JSON of a table (rather than plain text).
    pub config_is_json: bool,
    /// CPU time of one call of a phase.
    pub cpu: Duration,
    /// Bytes of its own VM or instance; `None`: the engine's default.
    pub memory: Option<u64>,
    /// A fresh instance for each exchange.
    pub fresh: bool,
    /// It is a route's target: its request phase must answer.
    pub target: bool,
}

/// A module that scripts call.
#[derive(Debug, Clone)]
pub struct ModuleSpec {
    /// Its name in the manifest.
    pub name: Arc<str>,
    /// The Wasm file.
    pub file: PathBuf,
    /// CPU time of one call.
    pub cpu: Duration,
    /// Bytes of its memory.
    pub memory: u64,
    /// Declared functions of a core module.
    pub functions: Vec<Signature>,
}

/// A declared function of a core module (contract 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The export's name.
    pub name: String,
    /// Parameters, in order.
    pub parameters: Vec<Type>,
    /// The result, if it has one.
    pub result: Option<Type>,
}

/// A type of a declared function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Type {
    String,
    I32,
    I64,
    F32,
    F64,
    Bool,
}

/// Settings of the VM that runs scripts.
#[derive(Debug, Clone, Default)]
pub struct ScriptSpec {
    /// Absolute patterns with `?`, for `require`.
    pub path: Vec<String>,
    /// Bytes of each worker's VM.
    pub memory: u64,
    /// Whether scripts may use `ffi`.
    pub ffi: bool,
}

/// A mistake in a program.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// The filter or module, by its name in the manifest.
    pub program: Arc<str>,
    /// The file the mistake is in, when it is in one.
    pub file: Option<PathBuf>,
    /// Its line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The loaded programs of one engine and generation; shared by all workers.
pub trait Library: Send + Sync {
    /// What the filter at `index` of the plan wants to be called for.
    fn phases(&self, index: usize) -> Phases;

    /// This worker's side: VMs and instances, made when first needed.
    fn open(&self, services: Rc<dyn Services>) -> Rc<dyn Realm>;
}

/// A worker's side of a library.
pub trait Realm {
    /// The filter at `index`, for a new exchange. Errors come with its first phase.
    fn start(&self, index: usize) -> Box<dyn Filter>;

    /// A module for scripts, by its name; `None` when this engine has none of that name.
    fn module(&self, name: &str) -> Option<Rc<dyn Module>>;

    /// Frees what nothing holds, and keeps what was made: the worker is idle for a moment.
    fn rest(&self) {}

    /// Drops what can be made again: idle VMs, instances, pools.
    fn trim(&self);

    /// Bytes held, by gauge name and label value: `("lua_heap", "", n)`, `("wasm_memory", filter, n)`.
    fn gauges(&self, report: &mut dyn FnMut(&'static str, &str, u64));
}
