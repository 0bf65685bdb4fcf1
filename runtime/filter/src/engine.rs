//! What runs filters: an engine loads, a library holds, a realm runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_abi::{Phases, limit};

use crate::filter::Filter;
use crate::host::{Called, Module, Services};

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
    /// Of all modules together.
    pub bounds: Bounds,
    /// Where compiled modules are kept.
    pub cache_dir: PathBuf,
    /// The manifest's folder.
    pub folder: PathBuf,
    /// Wall clock at the load, seconds since 1970.
    pub now: f64,
    /// Environment variables that programs may read.
    pub env: Vec<(String, String)>,
    /// Names of the modules of the manifest, whichever engine runs them.
    pub module_names: Vec<Arc<str>>,
    /// Names of the upstreams.
    pub upstreams: Vec<Arc<str>>,
    /// Names of the shared dictionaries.
    pub shared: Vec<String>,
    /// The variables of each route that declares some. One that any route declares is declared
    /// for all, and empty where the route says nothing.
    pub vars: Vec<RouteVars>,
    /// `[[consumers]]` as a JSON list of objects, with their credentials; empty: there are none.
    pub consumers: String,
    /// Routes and upstreams as Kong's plugins see them, JSON; empty when there are none of these.
    pub kong: String,
    /// Redis servers that scripts reach by name.
    pub redis: Vec<RedisSpec>,
    /// What this engine's [`Library::found`] gave before the gateway slept; empty: nothing is known.
    pub found: Vec<u8>,
}

/// Bounds of modules as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of linear memory of all instances.
    pub memory: u64,
    /// Bytes that the compiler may allocate for a module.
    pub compile_memory: u64,
    /// CPU time that it may take for one.
    pub compile_cpu: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            memory: limit::WASM_MEMORY,
            compile_memory: limit::WASM_COMPILE_MEMORY,
            compile_cpu: Duration::from_secs(limit::WASM_COMPILE_SECONDS),
        }
    }
}

/// What a route's variables hold when an exchange takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteVars {
    /// The route's name.
    pub route: Arc<str>,
    /// Names with their values.
    pub vars: Vec<(String, String)>,
}

/// A Redis server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisSpec {
    /// Its name in the manifest.
    pub name: Arc<str>,
    /// A name or an address, without brackets; for a Unix socket, `unix:PATH`.
    pub host: String,
    /// 0 for a Unix socket.
    pub port: u16,
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// PEM file: trusted instead of the system's authorities.
    pub ca: Option<PathBuf>,
    /// Who signs in; without it the server's default user does.
    pub user: Option<String>,
    /// With what.
    pub password: Option<String>,
    /// The number of the database.
    pub database: u32,
    /// To connect, with TLS and signing in.
    pub connect: Duration,
    /// From a command to its reply.
    pub reply: Duration,
    /// How long a connection is kept without a command.
    pub idle: Duration,
    /// Idle connections that each worker keeps.
    pub pool: usize,
}

/// A filter as the manifest means it.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Its name in the manifest.
    pub name: Arc<str>,
    /// What it runs.
    pub program: Source,
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
    /// How a proxy filter is run.
    pub proxy: ProxySpec,
    /// It is a route's target: its request phase must answer.
    pub target: bool,
    /// It sees the bytes of connections without HTTP.
    pub flow: bool,
}

/// How a filter of the ABI that proxies share is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySpec {
    /// Body callbacks run while the filter holds the head.
    pub hold_headers: bool,
    /// Filters with the same share data and queues; empty: it is the filter's name.
    pub vm_id: String,
    /// What the manifest configures of its VM.
    pub vm_config: String,
    /// Which of the plugins of its module it is.
    pub root_id: String,
    /// Properties are text rather than in Envoy's encoding.
    pub text: bool,
}

/// What a filter runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A script that returns its phases, or a module.
    Native(PathBuf),
    /// A script that returns its phases, which is in no file.
    Text {
        /// What messages call it.
        name: &'static str,
        /// The script.
        text: &'static str,
    },
    /// Scripts in the dialect of lua-nginx-module.
    OpenResty(OpenResty),
    /// A Kong plugin: `kong/plugins/NAME` on the scripts' path.
    Kong {
        /// Its name.
        plugin: String,
    },
}

impl Source {
    /// The one file of a native program.
    pub fn native(&self) -> Option<&Path> {
        match self {
            Source::Native(file) => Some(file),
            Source::Text { .. } | Source::OpenResty(_) | Source::Kong { .. } => None,
        }
    }
}

/// A filter in the dialect of lua-nginx-module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenResty {
    /// Names of phases, such as `access`, with their scripts, in the order in which they run.
    pub phases: Vec<(&'static str, ScriptFile)>,
    /// What sets variables between `server_rewrite` and `rewrite`, in order.
    pub set: Vec<SetVar>,
    /// The other keys as a JSON object, defaults filled in: times in seconds, sizes in bytes. A key
    /// that has no value is not there: `default_type` when `use_default_type` is false.
    pub settings: String,
}

/// A script's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScriptFile {
    /// Where it is.
    pub path: PathBuf,
    /// What messages call it: its path as the manifest writes it.
    pub name: Arc<str>,
}

/// A script that gives a variable its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetVar {
    /// The variable.
    pub var: String,
    /// Returns the value.
    pub file: ScriptFile,
    /// The script's arguments; `$NAME` and `${NAME}` stand for variables.
    pub args: Vec<String>,
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
    /// Whether scripts may use Lua's `io`.
    pub io: bool,
    /// Whom scripts' sockets ask for addresses; `None`: names have none.
    pub resolver: Option<ResolverSpec>,
    /// Regular expressions of scripts.
    pub regex: RegexSpec,
    /// Timers of scripts.
    pub timers: TimerSpec,
    /// Pools of threads beside the workers: name and number of threads.
    pub threads: Vec<(Arc<str>, usize)>,
    /// Bytes of log lines that are kept for scripts to read; 0: none.
    pub capture_log: u64,
    /// Whether scripts may name dictionaries beside those of [`Plan::shared`].
    pub any_shared: bool,
}

/// Name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverSpec {
    /// Never empty.
    pub servers: Vec<SocketAddr>,
    /// For a whole look-up.
    pub timeout: Duration,
    /// Whether IPv6 addresses are asked for, too.
    pub ipv6: bool,
}

/// Bounds of regular expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegexSpec {
    /// Steps of one match.
    pub match_limit: u32,
    /// Compiled patterns that a VM keeps.
    pub cache: usize,
}

impl Default for RegexSpec {
    fn default() -> RegexSpec {
        RegexSpec { match_limit: limit::REGEX_STEPS, cache: limit::REGEX_CACHE }
    }
}

/// Bounds of a VM's timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerSpec {
    /// Those whose time has not come.
    pub pending: usize,
    /// Those that run.
    pub running: usize,
}

impl Default for TimerSpec {
    fn default() -> TimerSpec {
        TimerSpec { pending: limit::LUA_TIMERS_PENDING, running: limit::LUA_TIMERS_RUNNING }
    }
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

    /// What is odd about programs that are loaded all the same.
    fn notes(&self) -> &[LoadError] {
        &[]
    }

    /// What was found out about the programs, in the engine's own words: the next form of the gateway
    /// need not try again what is as it was.
    fn found(&self) -> Vec<u8> {
        Vec::new()
    }

    /// How many programs had to be tried, because nothing was known of them.
    fn tried(&self) -> usize {
        0
    }

    /// This worker's side: VMs and instances, made when first needed.
    fn open(&self, services: Rc<dyn Services>) -> Rc<dyn Realm>;
}

/// A worker's side of a library.
pub trait Realm {
    /// The filter at `index`, for a new exchange. Errors come with its first phase.
    fn start(&self, index: usize) -> Box<dyn Filter>;

    /// A module for scripts, by its name; `None` when this engine has none of that name.
    fn module(&self, name: &str) -> Option<Rc<dyn Module>>;

    /// Calls a function that a program of this realm offers to others, by its name; `None` when none
    /// does. What goes on answers later, and says so each time.
    #[allow(unused_variables)]
    fn exported(&self, name: &str, argument: &[u8]) -> Option<Called> {
        None
    }

    /// The worker ends: what wants to run at the end does so now.
    fn close(&self) {}

    /// Frees what nothing holds, and keeps what was made: the worker is idle for a moment.
    fn rest(&self) {}

    /// Drops what can be made again: idle VMs, instances, pools.
    fn trim(&self);

    /// Whether its programs have work of their own that would be lost with the process: tasks, ticks.
    fn is_busy(&self) -> bool {
        false
    }

    /// What it holds and what its worker's programs have done so far, by name and label value:
    /// `("lua_heap", "", bytes)`, `("lua_traces", "", count)`, `("wasm_memory", filter, bytes)`,
    /// `("wasm_instances", filter, count)`.
    fn gauges(&self, report: &mut dyn FnMut(&'static str, &str, u64));
}
