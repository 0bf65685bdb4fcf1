//! The manifest as meant: every default filled in, every name checked, every path absolute.
//! Nothing here can be wrong; only `resolve` builds it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::place::Place;

/// A whole gateway: what `pilotlight run` serves.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Where it was read from; messages name files relative to its folder.
    pub file: PathBuf,
    pub gateway: Gateway,
    pub log: Log,
    pub listeners: Vec<Listener>,
    pub routes: Vec<Route>,
    /// In the order of their names; a route's chain holds indexes into this list.
    pub filters: Vec<Filter>,
    pub modules: Vec<Module>,
    pub lua: Lua,
    /// Shared dictionaries: name and size in bytes.
    pub shared: BTreeMap<String, u64>,
    pub upstreams: Vec<Upstream>,
}

#[derive(Debug, Clone)]
pub struct Gateway {
    /// Event loops (threads). `None`: as many as the CPUs the cgroup allows.
    pub workers: Option<usize>,
    pub admin: Option<Address>,
    pub cache_dir: PathBuf,
    pub drain: Duration,
    /// Headers this gateway adds to what it forwards.
    pub forwarded: Forwarded,
    /// Environment variables that scripts may read by `gateway.env`.
    pub env: Vec<String>,
}

/// What is told to upstreams (and clients) about the hop through this gateway.
#[derive(Debug, Clone)]
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    pub address: std::net::IpAddr,
    pub prefix: u8,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub access: AccessLog,
    pub level: Level,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    Stdout,
    Stderr,
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// A socket handed over by the service manager, by its name.
    Inherited(String),
}

#[derive(Debug, Clone)]
pub struct Listener {
    pub name: Arc<str>,
    pub place: Place,
    pub address: Address,
    pub http1: bool,
    pub http2: bool,
    pub http3: bool,
    pub tls: Option<ServerTls>,
    pub proxy_protocol: bool,
    pub limits: ListenerLimits,
    pub timeouts: ListenerTimeouts,
}

#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The first one answers clients that name no server, or an unknown one.
    pub certificates: Vec<KeyPair>,
    /// Mutual TLS: clients must show a certificate that one of these signed.
    pub client_ca: Option<PathBuf>,
    /// TLS 1.3 early data (replayable: GET and HEAD only). Off by default.
    pub early_data: bool,
}

#[derive(Debug, Clone)]
pub struct KeyPair {
    pub place: Place,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone)]
pub struct ListenerLimits {
    /// A whole head, in bytes.
    pub header_bytes: usize,
    /// Fields in a head.
    pub headers: usize,
    pub uri_bytes: usize,
    pub body_bytes: u64,
    /// Concurrent streams of a connection (HTTP/2, HTTP/3).
    pub streams: u32,
    pub connections: usize,
}

#[derive(Debug, Clone)]
pub struct ListenerTimeouts {
    /// From a head's first byte to its last.
    pub header: Duration,
    /// Between two reads of a request's body, and two writes of a response.
    pub body_idle: Duration,
    pub keepalive: Duration,
    pub handshake: Duration,
}

#[derive(Debug, Clone)]
pub struct Route {
    pub name: Arc<str>,
    pub place: Place,
    pub matcher: Match,
    /// The chain: indexes into `Manifest::filters`, in the order of the request.
    pub filters: Vec<usize>,
    pub target: Target,
    /// The whole exchange.
    pub total: Option<Duration>,
    /// From the request's last byte to the response's first. Overrides the upstream's.
    pub upstream_timeout: Option<Duration>,
    pub retry: Option<Retry>,
    /// A path template: `{1}` is what the first `*` matched.
    pub rewrite: Option<String>,
    pub vars: BTreeMap<String, String>,
    pub internal: bool,
    /// Overrides the listener's `body_bytes`.
    pub body_bytes: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Lower case; `*.example.com` matches one or more labels. `None`: any host.
    pub host: Option<String>,
    /// `/a/b` exactly, or `/a/*` for all below. Each `*` is a capture. `None`: any path.
    pub path: Option<String>,
    /// Empty: any method.
    pub methods: Vec<String>,
    /// Lower-case name and exact value; the value `*` asks only that the field is there.
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    /// Names of listeners; empty: all.
    pub listeners: Vec<String>,
}

#[derive(Debug, Clone)]
pub enum Target {
    /// An index into `Manifest::upstreams`.
    Upstream(usize),
    Respond(Respond),
    Redirect(Redirect),
    Files(Files),
    /// A script that answers: an index into `Manifest::filters`, not named in any chain.
    Script(usize),
}

#[derive(Debug, Clone)]
pub struct Respond {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
pub struct Redirect {
    pub status: u16,
    /// A URL or path template: `{1}` is what the first `*` matched, `{path}` and `{query}` the request's own.
    pub to: String,
}

#[derive(Debug, Clone)]
pub struct Files {
    pub root: PathBuf,
    /// Served for a folder.
    pub index: Vec<String>,
    /// Added to each answer.
    pub cache_control: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Retry {
    pub attempts: u32,
    pub connect: bool,
    pub statuses: Vec<u16>,
    /// Share of the requests of the last window that may be retries: 0.2 is 20 %.
    pub budget: f64,
}

#[derive(Debug, Clone)]
pub struct Filter {
    pub name: Arc<str>,
    pub place: Place,
    pub program: Program,
    /// The `config` key: a string as it is, a table as JSON. Empty when there is none.
    pub config: FilterConfig,
    /// CPU time of one call of a phase.
    pub cpu: Duration,
    /// Bytes of its own VM or instance; `None`: the engine's default.
    pub memory: Option<u64>,
    pub on_error: OnError,
    pub isolation: Isolation,
}

#[derive(Debug, Clone)]
pub enum FilterConfig {
    None,
    Text(String),
    Json(serde_json::Value),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    Lua(PathBuf),
    Wasm(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Answer 500.
    Close,
    /// Go on without the filter.
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    Worker,
    Stream,
}

#[derive(Debug, Clone)]
pub struct Module {
    pub name: Arc<str>,
    pub place: Place,
    pub wasm: PathBuf,
    /// Declared functions of a core module: name and signature text such as `(string, i32) -> string`.
    pub functions: Vec<Function>,
    pub cpu: Duration,
    pub memory: u64,
}

#[derive(Debug, Clone)]
pub struct Function {
    pub name: String,
    pub place: Place,
    pub parameters: Vec<ValueType>,
    pub result: Option<ValueType>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    String,
    I32,
    I64,
    F32,
    F64,
    Bool,
}

#[derive(Debug, Clone)]
pub struct Lua {
    /// Absolute patterns with `?`, for `require`.
    pub path: Vec<String>,
    /// Bytes of each worker's VM.
    pub memory: u64,
    pub ffi: bool,
}

#[derive(Debug, Clone)]
pub struct Upstream {
    pub name: Arc<str>,
    pub place: Place,
    pub endpoints: Vec<Endpoint>,
    pub balance: Balance,
    pub protocol: UpstreamProtocol,
    pub tls: UpstreamTls,
    pub pool: Pool,
    pub breaker: Breaker,
    pub timeouts: UpstreamTimeouts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub place: Place,
    pub tls: bool,
    /// A name or an address, without brackets; for Unix sockets, the path.
    pub host: String,
    pub port: u16,
    pub unix: Option<PathBuf>,
    pub weight: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    RoundRobin,
    LeastRequest,
    Random,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// By ALPN over TLS, HTTP/1.1 in clear text.
    Auto,
    Http1,
    Http2,
}

#[derive(Debug, Clone, Default)]
pub struct UpstreamTls {
    /// Trusted instead of the system's roots.
    pub ca: Option<PathBuf>,
    pub server_name: Option<String>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub verify: bool,
}

#[derive(Debug, Clone)]
pub struct Pool {
    pub idle: Duration,
    /// Idle connections kept for each endpoint by each worker.
    pub per_endpoint: usize,
}

#[derive(Debug, Clone)]
pub struct Breaker {
    pub max_connections: usize,
    pub max_requests: usize,
    pub max_pending: usize,
}

#[derive(Debug, Clone)]
pub struct UpstreamTimeouts {
    pub connect: Duration,
    /// From the request's last byte to the response's head.
    pub first_byte: Duration,
    /// Between two reads of the response's body.
    pub idle: Duration,
}
