//! `[lua]` as typed.

use std::time::Duration;

use super::{At, Named, Size, Whole};
use crate::typed;

typed::tables! {
    /// The Lua engine.
    struct Lua {
        /// Where `require` looks. Default `["lua/?.lua", "lua/?/init.lua"]`.
        path: Vec<At<String>>,
        /// Of each worker's VM. Default "32MiB".
        memory: Size,
        /// Whether scripts may use LuaJIT's ffi library, which can reach everything. Default false.
        ffi: bool,
        /// Whether scripts may use Lua's io library: files, read and written while a worker waits.
        /// Default false.
        io: bool,
        /// Whom scripts' sockets ask for addresses. Without it they know no names.
        resolver: Resolver,
        /// Bounds of regular expressions (ngx.re, gateway.re).
        regex: Regexes,
        /// Bounds of timers (ngx.timer) in each worker's VM.
        timers: Timers,
        /// Threads beside the workers for ngx.run_worker_thread, by the name of their pool.
        threads: Named<Whole>,
        /// How much of the log is kept for scripts to read (ngx.errlog). Default: nothing.
        capture_log: Size,
    }

    /// Whom scripts' sockets ask for addresses.
    struct Resolver needs [servers] {
        /// Name servers: "ADDRESS" or "ADDRESS:PORT".
        servers: Vec<At<String>>,
        /// For a whole look-up. Default "5s".
        timeout: Duration,
        /// Whether IPv6 addresses are asked for, too. Default true.
        ipv6: bool,
    }

    /// Bounds of regular expressions.
    struct Regexes {
        /// Steps of one match. Default 1000000.
        match_limit: Whole,
        /// Compiled patterns that a VM keeps. Default 1024.
        cache: Whole,
    }

    /// Bounds of timers.
    struct Timers {
        /// Those whose time has not come. Default 1024.
        pending: Whole,
        /// Those that run. Default 256.
        running: Whole,
    }
}
