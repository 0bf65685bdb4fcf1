//! Every limit of the manifest: its default, the least and the most it may be.

use pilotlight_abi::limit;

use crate::typed::row::{Row, bytes, count, time};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;

pub(super) const WORKERS: Row = count("workers", 1, 1, 1024);
pub(super) const DRAIN: Row = time("drain", 10 * SECOND, 0, 24 * HOUR);

pub(super) const TRIM: Row = time("trim", 10 * SECOND, 100, 24 * HOUR);
pub(super) const SLEEP: Row = time("sleep", 60 * SECOND, 100, 24 * HOUR);

pub(super) const HEADER_BYTES: Row = bytes("header_bytes", 32 * KIB, KIB, MIB);
pub(super) const HEADERS: Row = count("headers", 100, 4, 10_000);
pub(super) const URI_BYTES: Row = bytes("uri_bytes", 8 * KIB, 64, 256 * KIB);
pub(super) const BODY_BYTES: Row = bytes("body_bytes", 64 * MIB, 0, i64::MAX as u64);
pub(super) const STREAMS: Row = count("streams", 100, 1, 10_000);
pub(super) const CONNECTIONS: Row = count("connections", 10_000, 1, 10_000_000);

pub(super) const HEADER: Row = time("header", 10 * SECOND, 1, HOUR);
pub(super) const BODY_IDLE: Row = time("body_idle", 30 * SECOND, 1, 24 * HOUR);
pub(super) const KEEPALIVE: Row = time("keepalive", 75 * SECOND, 1, 24 * HOUR);
pub(super) const HANDSHAKE: Row = time("handshake", 10 * SECOND, 1, HOUR);
pub(super) const TCP_IDLE: Row = time("idle", HOUR, 1, 365 * 24 * HOUR);

pub(super) const TOTAL: Row = time("total", 0, 1, 365 * 24 * HOUR);
pub(super) const UPSTREAM_TIMEOUT: Row = time("upstream", 0, 1, 24 * HOUR);
pub(super) const ATTEMPTS: Row = count("attempts", 1, 1, 10);

pub(super) const FILTER_CPU: Row = time("cpu", limit::FILTER_CPU_MICROS / 1000, 1, 60 * SECOND);
pub(super) const FILTER_MEMORY: Row = bytes("memory", 0, 64 * KIB, 4 * GIB);
pub(super) const MODULE_CPU: Row = time("cpu", 2 * SECOND, 1, HOUR);
pub(super) const MODULE_MEMORY: Row = bytes("memory", 64 * MIB, 64 * KIB, 4 * GIB);
pub(super) const INSTANCES: Row = count("instances", limit::WASM_INSTANCES, 1, 65_535);
pub(super) const WASM_MEMORY: Row = bytes("memory", limit::WASM_MEMORY, MIB, 1024 * GIB);
pub(super) const COMPILE_MEMORY: Row =
    bytes("memory", limit::WASM_COMPILE_MEMORY, 64 * MIB, 64 * GIB);
pub(super) const COMPILE_CPU: Row = time("cpu", limit::WASM_COMPILE_SECONDS * SECOND, SECOND, HOUR);
pub(super) const LUA_MEMORY: Row = bytes("memory", 32 * MIB, MIB, 4 * GIB);
pub(super) const REGEX_STEPS: Row = count("match_limit", limit::REGEX_STEPS as u64, 1, 100_000_000);
pub(super) const REGEX_CACHE: Row = count("cache", limit::REGEX_CACHE as u64, 0, 65_535);
pub(super) const TIMERS_PENDING: Row =
    count("pending", limit::LUA_TIMERS_PENDING as u64, 1, 1_000_000);
pub(super) const TIMERS_RUNNING: Row =
    count("running", limit::LUA_TIMERS_RUNNING as u64, 1, 100_000);
pub(super) const THREADS: Row = count("threads", 32, 1, 256);
pub(super) const CAPTURE_LOG: Row = bytes("capture_log", 0, 4 * KIB, 64 * MIB);
pub(super) const RESOLVER_TIMEOUT: Row = time("timeout", 5 * SECOND, 1, HOUR);
pub(super) const SHARED_SIZE: Row = bytes("size", MIB, 4 * KIB, 64 * GIB);

pub(super) const BODY_BUFFER: Row = bytes("body_buffer", 16 * KIB, 0, 64 * MIB);
pub(super) const VERIFY_DEPTH: Row = count("verify_depth", 1, 0, 100);
pub(super) const CONNECT_TIMEOUT: Row = time("connect_timeout", 60 * SECOND, 1, 24 * HOUR);
pub(super) const SEND_TIMEOUT: Row = time("send_timeout", 60 * SECOND, 1, 24 * HOUR);
pub(super) const READ_TIMEOUT: Row = time("read_timeout", 60 * SECOND, 1, 24 * HOUR);
pub(super) const KEEPALIVE_TIMEOUT: Row = time("keepalive_timeout", 60 * SECOND, 0, 24 * HOUR);
pub(super) const POOL_SIZE: Row = count("pool_size", 30, 1, 65_535);
pub(super) const BUFFER_SIZE: Row = bytes("buffer_size", 4 * KIB, 1, MIB);

pub(super) const DATABASE: Row = count("database", 0, 0, 1_000_000);
pub(super) const REDIS_POOL: Row = count("size", 16, 0, 65_535);
pub(super) const REDIS_CONNECT: Row = time("connect", SECOND, 1, HOUR);
pub(super) const REDIS_REPLY: Row = time("reply", 5 * SECOND, 1, HOUR);

pub(super) const REFUSAL: Row = count("status", 429, 400, 599);
pub(super) const BURST: Row = count("burst", 1, 1, 1_000_000_000);

pub(super) const WEIGHT: Row = count("weight", 1, 1, 65_535);
pub(super) const SHARE_WEIGHT: Row = count("weight", 1, 0, 65_535);
pub(super) const POOL_IDLE: Row = time("idle", 60 * SECOND, 0, 24 * HOUR);
pub(super) const PER_ENDPOINT: Row = count("per_endpoint", 64, 0, 65_535);
pub(super) const MAX_CONNECTIONS: Row = count("max_connections", 1024, 1, 1_000_000);
pub(super) const MAX_REQUESTS: Row = count("max_requests", 1024, 1, 1_000_000);
pub(super) const MAX_PENDING: Row = count("max_pending", 1024, 0, 1_000_000);
pub(super) const ADMISSION_MIN: Row = count("min", 2, 1, 1_000_000);
pub(super) const ADMISSION_MAX: Row = count("max", 1024, 1, 1_000_000);
pub(super) const ADMISSION_START: Row = count("start", 20, 1, 1_000_000);
pub(super) const ADMISSION_QUEUE: Row = count("queue", 256, 0, 100_000);
pub(super) const CONNECT: Row = time("connect", 3 * SECOND, 1, HOUR);
pub(super) const FIRST_BYTE: Row = time("first_byte", 30 * SECOND, 1, 24 * HOUR);
pub(super) const IDLE: Row = time("idle", 60 * SECOND, 1, 24 * HOUR);

pub(super) const PROBE_INTERVAL: Row = time("interval", 5 * SECOND, 10, HOUR);
pub(super) const PROBE_TIMEOUT: Row = time("timeout", SECOND, 1, 60 * SECOND);
pub(super) const HEALTHY: Row = count("healthy", 2, 1, 100);
pub(super) const UNHEALTHY: Row = count("unhealthy", 3, 1, 100);
pub(super) const ERRORS: Row = count("errors", 5, 1, 1000);
pub(super) const ERROR_WINDOW: Row = time("window", 30 * SECOND, 10, HOUR);
pub(super) const EJECT: Row = time("eject", 30 * SECOND, 10, 24 * HOUR);

pub(super) const START_TIMEOUT: Row = time("start_timeout", 30 * SECOND, 100, HOUR);
pub(super) const STOP_TIMEOUT: Row = time("stop_timeout", 10 * SECOND, 0, HOUR);
pub(super) const ACTIVATE_IDLE: Row = time("idle", 300 * SECOND, SECOND, 7 * 24 * HOUR);
pub(super) const QUEUE: Row = count("queue", 1000, 0, 1_000_000);
pub(super) const INSTANCE_MEMORY: Row = bytes("memory", 0, MIB, 1024 * GIB);
pub(super) const PROCESSES: Row = count("processes", 0, 1, 1_000_000);
pub(super) const CONTAINER_PORT: Row = count("port", 0, 1, 65_535);
pub(super) const SCALE_MIN: Row = count("min", 0, 0, 1000);
pub(super) const SCALE_MAX: Row = count("max", 1, 1, 1000);
pub(super) const CONCURRENCY: Row = count("concurrency", 10, 1, 100_000);
pub(super) const WINDOW: Row = time("window", 60 * SECOND, 6 * SECOND, 600 * SECOND);
pub(super) const PANIC_WINDOW: Row = time("panic_window", 6 * SECOND, SECOND, 60 * SECOND);
pub(super) const COOLDOWN: Row = time("cooldown", 120 * SECOND, SECOND, HOUR);
pub(super) const SURGE: Row = count("surge", 0, 1, 1000);
pub(super) const SCHEDULE_FOR: Row = time("for", HOUR, 60 * SECOND, 7 * 24 * HOUR);
