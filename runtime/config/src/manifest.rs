//! The manifest as meant: every default filled in, every name checked, every path absolute.
//! Nothing here can be wrong; only `resolve` builds it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod activate;
mod admission;
mod consumer;
mod cron;
mod filter;
mod health;
mod listener;
mod lua;
mod openresty;
mod redis;
mod regex;
mod route;
mod shipped;
mod upstream;

pub use activate::*;
pub use admission::*;
pub use consumer::*;
pub use cron::{Cron, NotCron};
pub use filter::*;
pub use health::*;
pub use listener::*;
pub use lua::*;
pub use openresty::*;
pub use redis::*;
pub use regex::PathRegex;
pub use route::*;
pub use shipped::*;
pub use upstream::*;

/// A whole gateway: what `pilotlight run` serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Where it was read from; messages name files relative to its folder.
    pub file: PathBuf,
    /// The process as a whole.
    pub gateway: Gateway,
    /// What is logged, and where.
    pub log: Log,
    /// In the order of the files.
    pub listeners: Vec<Listener>,
    /// In the order of the files.
    pub routes: Vec<Route>,
    /// In the order of their names, then the scripts of routes; chains hold indexes into this list.
    pub filters: Vec<Filter>,
    /// In the order of their names.
    pub modules: Vec<Module>,
    /// The Lua engine.
    pub lua: Lua,
    /// The Wasm engine.
    pub wasm: Wasm,
    /// Shared dictionaries by name.
    pub shared: BTreeMap<String, Shared>,
    /// In the order of their names; routes hold indexes into this list.
    pub upstreams: Vec<Upstream>,
    /// In the order of their names.
    pub redis: Vec<Redis>,
    /// In the order of the files.
    pub consumers: Vec<Consumer>,
}

impl Manifest {
    /// Pools of threads beside the workers: name and threads.
    pub fn pools(&self) -> &[(String, usize)] {
        &self.lua.threads
    }

    /// Whom programs' sockets ask for addresses.
    pub fn resolver(&self) -> Option<&Resolver> {
        self.lua.resolver.as_ref()
    }
}

/// A dictionary that all workers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// Bytes.
    pub size: u64,
    /// The server by which nodes add up what they count.
    pub redis: Option<Arc<str>>,
}

/// The Wasm engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wasm {
    /// Bytes of linear memory of all instances.
    pub memory: u64,
    /// Bytes that the compiler may allocate.
    pub compile_memory: u64,
    /// CPU time that it may take.
    pub compile_cpu: Duration,
}

/// The process as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Gateway {
    /// Event loops (threads). `None`: as many as the CPUs the cgroup allows.
    pub workers: Option<usize>,
    /// The admin interface; `None`: there is none.
    pub admin: Option<Address>,
    /// Compiled modules.
    pub cache_dir: PathBuf,
    /// Longest wait for open exchanges at shutdown or reload.
    pub drain: Duration,
    /// Headers this gateway adds to what it forwards.
    pub forwarded: Forwarded,
    /// Environment variables that scripts may read by `gateway.env`.
    pub env: Vec<String>,
    /// What it lets go of when there is nothing to do.
    pub idle: Idle,
}

/// What a gateway lets go of when there is nothing to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Idle {
    /// So long without a request: VMs, instances and pools go.
    pub trim: Option<Duration>,
    /// So long without a connection: the process goes to sleep.
    pub sleep: Option<Duration>,
    /// What probes ask for, which is no work.
    pub health_path: Option<String>,
}

/// What is told to upstreams (and clients) about the hop through this gateway.
#[derive(Debug, Clone, PartialEq)]
pub struct Forwarded {
    /// `Via: 1.1 pilotlight` on requests and responses (RFC 9110 section 7.6.3).
    pub via: Option<String>,
    /// `X-Forwarded-For`, `-Proto` and `-Host`.
    pub x_forwarded: bool,
    /// `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// Peers whose own forwarding headers are believed and extended; others' are replaced.
    pub trust: Vec<Cidr>,
    /// The header that carries the request id, taken from trusted peers, added for others.
    pub request_id: String,
}

/// A network: the peers whose address begins with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// Any address of the network.
    pub address: std::net::IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

/// What is logged, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The access log.
    pub access: AccessLog,
    /// The least severe messages that are written.
    pub level: Level,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(PathBuf),
}

/// How severe a message is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something is wrong, but the work goes on.
    Warn,
    /// What a person wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Every step.
    Trace,
}

/// Where a listener or the admin interface is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP (and UDP for HTTP/3); port 0 is any free one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// A socket handed over by the service manager, by its name.
    Inherited(String),
}
