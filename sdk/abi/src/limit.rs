//! Every limit of the engines in one table: the reference page and the checks read it.

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Microseconds of CPU time.
    CpuMicros,
    /// Things.
    Count,
}

/// A row: what is bounded, by how much, and what happens past it.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Name in metrics and messages.
    pub name: &'static str,
    /// What one unit of `default` is.
    pub unit: Unit,
    /// Without configuration.
    pub default: u64,
    /// One line for the reference.
    pub doc: &'static str,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// CPU time of one call of a phase.
pub const FILTER_CPU_MICROS: u64 = 10_000;
/// Bytes of a Wasm filter's memory.
pub const WASM_FILTER_MEMORY: u64 = 16 * MIB;
/// Bytes of an application's memory.
pub const WASM_APP_MEMORY: u64 = 64 * MIB;
/// Handles that an instance of a component holds: streams, fields, bodies.
pub const COMPONENT_HANDLES: usize = 1000;
/// Bytes that a script or module may collect of a body at once.
pub const BODY_COLLECT: u64 = 8 * MIB;
/// Bytes of one direction of a connection that a filter holds back: nothing more is read past them.
pub const FLOW_HELD: u64 = MIB;
/// Bytes of one string that a script makes by `rep`, `gsub` or `concat`.
pub const LUA_STRING: u64 = MIB;
/// Steps of one pattern match.
pub const LUA_PATTERN_STEPS: u64 = 1_000_000;
/// Nested coroutines.
pub const LUA_COROUTINE_DEPTH: u64 = 16;
/// Scripts that stay booted in a VM, but for those that would be noticed.
pub const LUA_PROGRAMS: usize = 768;
/// Tasks of a VM's scripts beside exchanges, running or waiting for their time.
pub const LUA_TASKS: usize = 1024;
/// Functions that a script offers to modules (`gateway.export`).
pub const LUA_EXPORTS: usize = 256;
/// Threads of one call of a script, side by side (`gateway.all`, `ngx.thread.spawn`).
pub const LUA_THREADS: usize = 256;
/// Timers of a VM's scripts whose time has not come.
pub const LUA_TIMERS_PENDING: usize = 1024;
/// Timers of a VM's scripts that run.
pub const LUA_TIMERS_RUNNING: usize = 256;
/// CPU time of a function on a thread beside the workers (`ngx.run_worker_thread`).
pub const LUA_ASIDE_CPU_MICROS: u64 = 60_000_000;
/// Steps of one match of a regular expression.
pub const REGEX_STEPS: u32 = 1_000_000;
/// Compiled regular expressions that a VM keeps.
pub const REGEX_CACHE: usize = 1024;
/// Bytes of a regular expression.
pub const REGEX_PATTERN: usize = 32 * KIB as usize;
/// Bytes of a VM's compiled regular expressions.
pub const REGEX_BYTES: usize = 8 * MIB as usize;
/// Connections of a VM's scripts, idle ones in pools too.
pub const LUA_SOCKETS: usize = 4096;
/// Bytes that one call of a script may read from a socket or write to it.
pub const LUA_SOCKET_BYTES: usize = 64 << 20;
/// TLS sessions, certificates and keys that a VM's scripts hold.
pub const LUA_HANDLES: usize = 4096;
/// Values that a call of a module may give, lists and what they hold.
pub const CALL_VALUES: usize = 100_000;
/// Bytes of the strings that a call of a module may give.
pub const CALL_BYTES: usize = 16 << 20;
/// Bytes of one serialised header map (proxy-wasm).
pub const HEADER_MAP: u64 = MIB;
/// Log lines that one call of a phase may write.
pub const LOG_LINES: u64 = 100;
/// Internal redirects of one exchange.
pub const REROUTES: u64 = 10;
/// Subrequests inside each other.
pub const SUBREQUEST_DEPTH: u64 = 50;
/// Subrequests that a client's request may have under way.
pub const SUBREQUESTS: u64 = 200;

/// Calls to upstreams that a Wasm filter's instance has under way.
pub const WASM_CALLS: u32 = 256;
/// Bytes of linear memory of all instances of Wasm.
pub const WASM_MEMORY: u64 = 1024 * MIB;
/// Bytes that the compiler of Wasm may allocate for a module.
pub const WASM_COMPILE_MEMORY: u64 = 1024 * MIB;
/// Seconds of CPU time that it may take for a module.
pub const WASM_COMPILE_SECONDS: u64 = 180;
/// Instances of a Wasm filter, or of an application, on a worker.
pub const WASM_INSTANCES: u64 = 256;
/// Traps of a Wasm filter's instances on a worker within ten seconds.
pub const WASM_CRASHES: u32 = 32;
/// Metrics that an instance of a Wasm filter defines.
pub const WASM_METRICS: usize = 1000;
/// Bytes of what Wasm filters with one `vm_id` share (`proxy_set_shared_data`).
pub const WASM_SHARED_DATA: u64 = 4 * MIB;
/// Queues of Wasm filters with one `vm_id`.
pub const WASM_QUEUES: usize = 256;
/// Bytes of one of them.
pub const WASM_QUEUE: u64 = MIB;

/// Series of metrics that programs of a gateway count in.
pub const METRIC_SERIES: usize = 2000;

/// The table.
pub const LIMITS: &[Limit] = &[
    Limit {
        name: "filter_cpu",
        unit: Unit::CpuMicros,
        default: FILTER_CPU_MICROS,
        doc: "CPU time of one call of a phase; past it the exchange fails by `on_error`",
    },
    Limit {
        name: "wasm_filter_memory",
        unit: Unit::Bytes,
        default: WASM_FILTER_MEMORY,
        doc: "linear memory of a Wasm filter's instance; growth past it is refused to the module",
    },
    Limit {
        name: "wasm_app_memory",
        unit: Unit::Bytes,
        default: WASM_APP_MEMORY,
        doc: "linear memory of an application's instance; growth past it is refused to it",
    },
    Limit {
        name: "component_handles",
        unit: Unit::Count,
        default: COMPONENT_HANDLES as u64,
        doc: "handles that a component's instance holds (streams, fields, bodies); past it the call fails",
    },
    Limit {
        name: "flow_held",
        unit: Unit::Bytes,
        default: FLOW_HELD,
        doc: "bytes of a connection's direction that a filter holds back; past it nothing more is read",
    },
    Limit {
        name: "body_collect",
        unit: Unit::Bytes,
        default: BODY_COLLECT,
        doc: "a whole body that a filter asks for; past it the filter gets nil and \"too large\"",
    },
    Limit {
        name: "lua_string",
        unit: Unit::Bytes,
        default: LUA_STRING,
        doc: "one string built by string.rep, gsub, format or table.concat; past it an error. \
              In the worlds of OpenResty and Kong twice `body_collect`, but for gsub",
    },
    Limit {
        name: "lua_pattern_steps",
        unit: Unit::Count,
        default: LUA_PATTERN_STEPS,
        doc: "steps of one pattern match; past it an error in the script",
    },
    Limit {
        name: "lua_coroutine_depth",
        unit: Unit::Count,
        default: LUA_COROUTINE_DEPTH,
        doc: "coroutines inside each other; past it an error in the script",
    },
    Limit {
        name: "lua_programs",
        unit: Unit::Count,
        default: LUA_PROGRAMS as u64,
        doc: "scripts that stay booted in a VM; past it one that was not used for long is booted anew when it is needed, but for those with tasks, exports or a part in how others start",
    },
    Limit {
        name: "lua_tasks",
        unit: Unit::Count,
        default: LUA_TASKS as u64,
        doc: "tasks of a VM (gateway.spawn, after, every), running or waiting; past it nil and \"too many tasks\"",
    },
    Limit {
        name: "lua_exports",
        unit: Unit::Count,
        default: LUA_EXPORTS as u64,
        doc: "functions that a script offers to modules (gateway.export); past it an error in the script",
    },
    Limit {
        name: "lua_threads",
        unit: Unit::Count,
        default: LUA_THREADS as u64,
        doc: "threads of one call side by side (gateway.all); past it \"too many threads\"",
    },
    Limit {
        name: "lua_timers_pending",
        unit: Unit::Count,
        default: LUA_TIMERS_PENDING as u64,
        doc: "timers of a VM (ngx.timer) whose time has not come; past it nil and \"too many pending timers\"",
    },
    Limit {
        name: "lua_timers_running",
        unit: Unit::Count,
        default: LUA_TIMERS_RUNNING as u64,
        doc: "timers of a VM that run; past it one that is due is dropped, which the log says",
    },
    Limit {
        name: "lua_aside_cpu",
        unit: Unit::CpuMicros,
        default: LUA_ASIDE_CPU_MICROS,
        doc: "one function that ngx.run_worker_thread runs; past it the function fails",
    },
    Limit {
        name: "regex_steps",
        unit: Unit::Count,
        default: REGEX_STEPS as u64,
        doc: "steps of one match of a regular expression; past it nil and \"pcre_exec() failed: -47\"",
    },
    Limit {
        name: "regex_cache",
        unit: Unit::Count,
        default: REGEX_CACHE as u64,
        doc: "compiled regular expressions that a VM keeps; past it one goes that was not used of late",
    },
    Limit {
        name: "regex_bytes",
        unit: Unit::Bytes,
        default: REGEX_BYTES as u64,
        doc: "the same in bytes, machine code included",
    },
    Limit {
        name: "regex_pattern",
        unit: Unit::Bytes,
        default: REGEX_PATTERN as u64,
        doc: "a regular expression's text; past it an error that says so",
    },
    Limit {
        name: "lua_sockets",
        unit: Unit::Count,
        default: LUA_SOCKETS as u64,
        doc: "connections of a VM's scripts, idle ones in pools too; past it nil and \"too many open sockets\"",
    },
    Limit {
        name: "lua_socket_bytes",
        unit: Unit::Bytes,
        default: LUA_SOCKET_BYTES as u64,
        doc: "what one call reads from a socket or writes to it, within the VM's memory; past it nil and \"too large\"",
    },
    Limit {
        name: "lua_handles",
        unit: Unit::Count,
        default: LUA_HANDLES as u64,
        doc: "TLS sessions, certificates and keys that a VM's scripts hold; past it sessions are not kept, and others are refused",
    },
    Limit {
        name: "call_values",
        unit: Unit::Count,
        default: CALL_VALUES as u64,
        doc: "values that a call of a module gives, lists and what they hold; past it nil and a message",
    },
    Limit {
        name: "call_bytes",
        unit: Unit::Bytes,
        default: CALL_BYTES as u64,
        doc: "strings that a call of a module gives; past it nil and a message",
    },
    Limit {
        name: "header_map",
        unit: Unit::Bytes,
        default: HEADER_MAP,
        doc: "one header map handed to a module; past it the call answers an error",
    },
    Limit {
        name: "wasm_calls",
        unit: Unit::Count,
        default: WASM_CALLS as u64,
        doc: "calls that an instance of a Wasm filter has under way, to upstreams and to functions of scripts that answer later; past it the call answers INTERNAL_FAILURE; to an application, connection-limit-reached",
    },
    Limit {
        name: "wasm_memory",
        unit: Unit::Bytes,
        default: WASM_MEMORY,
        doc: "linear memory of all instances of Wasm (`[wasm] memory`); past it there are no new ones, and exchanges fail by `on_error`, with 503",
    },
    Limit {
        name: "wasm_compile_memory",
        unit: Unit::Bytes,
        default: WASM_COMPILE_MEMORY,
        doc: "what the compiler may allocate for a module (`[wasm.compile] memory`); past it the module is refused",
    },
    Limit {
        name: "wasm_compile_cpu",
        unit: Unit::CpuMicros,
        default: WASM_COMPILE_SECONDS * 1_000_000,
        doc: "CPU time that the compiler may take for a module (`[wasm.compile] cpu`); past it the module is refused",
    },
    Limit {
        name: "wasm_instances",
        unit: Unit::Count,
        default: WASM_INSTANCES,
        doc: "instances of a Wasm filter (`isolation = \"stream\"`) or an application on a worker; past it the exchange fails by `on_error`, with 503",
    },
    Limit {
        name: "wasm_crashes",
        unit: Unit::Count,
        default: WASM_CRASHES as u64,
        doc: "traps of a Wasm filter on a worker within ten seconds; past it there is no instance for 100 ms, with each time twice as long, up to 10 s, and exchanges fail by `on_error` meanwhile",
    },
    Limit {
        name: "wasm_metrics",
        unit: Unit::Count,
        default: WASM_METRICS as u64,
        doc: "metrics that an instance of a Wasm filter defines; past it the call answers INTERNAL_FAILURE",
    },
    Limit {
        name: "wasm_shared_data",
        unit: Unit::Bytes,
        default: WASM_SHARED_DATA,
        doc: "shared data of Wasm filters with one `vm_id`; past it what was used longest ago goes",
    },
    Limit {
        name: "wasm_queues",
        unit: Unit::Count,
        default: WASM_QUEUES as u64,
        doc: "shared queues of Wasm filters with one `vm_id`; past it the call answers INTERNAL_FAILURE",
    },
    Limit {
        name: "wasm_queue",
        unit: Unit::Bytes,
        default: WASM_QUEUE,
        doc: "one of them, 64 bytes an item included; past it the call answers INTERNAL_FAILURE",
    },
    Limit {
        name: "metric_series",
        unit: Unit::Count,
        default: METRIC_SERIES as u64,
        doc: "series of all programs' own metrics; opening one more is an error in the script",
    },
    Limit {
        name: "log_lines",
        unit: Unit::Count,
        default: LOG_LINES,
        doc: "log lines of one call of a phase; further ones are counted and dropped",
    },
    Limit {
        name: "reroutes",
        unit: Unit::Count,
        default: REROUTES,
        doc: "internal redirects of one exchange; past it the answer is 500",
    },
    Limit {
        name: "subrequest_depth",
        unit: Unit::Count,
        default: SUBREQUEST_DEPTH,
        doc: "subrequests inside each other; past it an error for who asks: \"subrequests cycle\"",
    },
    Limit {
        name: "subrequests",
        unit: Unit::Count,
        default: SUBREQUESTS,
        doc: "subrequests that a client's request has under way; past it an error: \"too many subrequests\"",
    },
];
