//! The Lua engine.

use std::net::SocketAddr;
use std::time::Duration;

/// The Lua engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Lua {
    /// Absolute patterns with `?`, for `require`.
    pub path: Vec<String>,
    /// Bytes of each worker's VM.
    pub memory: u64,
    /// Whether scripts may load the ffi library.
    pub ffi: bool,
    /// Whether scripts may use the io library.
    pub io: bool,
    /// Whom scripts' sockets ask for addresses.
    pub resolver: Option<Resolver>,
    /// Steps of one match of a regular expression.
    pub regex_steps: u32,
    /// Compiled regular expressions that a VM keeps.
    pub regex_cache: usize,
    /// Timers of a VM whose time has not come.
    pub timers_pending: usize,
    /// Timers of a VM that run.
    pub timers_running: usize,
    /// Pools of threads beside the workers: name and threads, in the order of the names.
    pub threads: Vec<(String, usize)>,
    /// Bytes of the log that are kept for scripts; 0: nothing is.
    pub capture_log: u64,
}

/// Name servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// Never empty.
    pub servers: Vec<SocketAddr>,
    /// For a whole look-up.
    pub timeout: Duration,
    /// Whether IPv6 addresses are asked for, too.
    pub ipv6: bool,
}
