//! The manifest as meant: every default filled in, every name checked, every path absolute.
//! Nothing here can be wrong; only `resolve` builds it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::place::Place;

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
    /// Shared dictionaries: name and size in bytes.
    pub shared: BTreeMap<String, u64>,
    /// In the order of their names; routes hold indexes into this list.
    pub upstreams: Vec<Upstream>,
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

/// Where clients connect.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is defined.
    pub place: Place,
    /// Where it listens.
    pub address: Address,
    /// HTTP/1.0 and 1.1.
    pub http1: bool,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in clear text.
    pub http2: bool,
    /// HTTP/3, on the same port over UDP. Only with TLS.
    pub http3: bool,
    /// `None`: clear text.
    pub tls: Option<ServerTls>,
    /// Each connection begins with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// How much clients may send.
    pub limits: ListenerLimits,
    /// How long clients may take.
    pub timeouts: ListenerTimeouts,
}

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerTls {
    /// The first one answers clients that name no server, or an unknown one.
    pub certificates: Vec<KeyPair>,
    /// Mutual TLS: clients must show a certificate that one of these signed.
    pub client_ca: Option<PathBuf>,
    /// TLS 1.3 early data (replayable: GET and HEAD only). Off by default.
    pub early_data: bool,
}

/// A certificate with its key, both PEM files.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyPair {
    /// Where it is defined.
    pub place: Place,
    /// The certificate, then its chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How much clients may send.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerLimits {
    /// A whole head, in bytes.
    pub header_bytes: usize,
    /// Fields in a head.
    pub headers: usize,
    /// The request target, in bytes.
    pub uri_bytes: usize,
    /// A request's body, in bytes.
    pub body_bytes: u64,
    /// Concurrent streams of a connection (HTTP/2, HTTP/3).
    pub streams: u32,
    /// Open connections.
    pub connections: usize,
}

/// How long clients may take.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTimeouts {
    /// From a head's first byte to its last.
    pub header: Duration,
    /// Between two reads of a request's body, and two writes of a response.
    pub body_idle: Duration,
    /// An open connection without an exchange.
    pub keepalive: Duration,
    /// A TLS or QUIC handshake.
    pub handshake: Duration,
}

/// What happens to the requests that it matches.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is defined.
    pub place: Place,
    /// Which requests.
    pub matcher: Match,
    /// The chain: indexes into `Manifest::filters`, in the order of the request.
    pub filters: Vec<usize>,
    /// What answers them.
    pub target: Target,
    /// The whole exchange.
    pub total: Option<Duration>,
    /// From the request's last byte to the response's first. Overrides the upstream's.
    pub upstream_timeout: Option<Duration>,
    /// When a request is sent again; `None`: the one retry of a stale connection.
    pub retry: Option<Retry>,
    /// A template: `{1}` is what the first `*` matched; `{host}`, `{path}`, `{query}`.
    pub rewrite: Option<String>,
    /// Values that scripts read by name.
    pub vars: BTreeMap<String, String>,
    /// Only scripts reach it.
    pub internal: bool,
    /// Overrides the listener's `body_bytes`.
    pub body_bytes: Option<u64>,
}

/// Which requests: all conditions must hold.
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
    /// Parameter and exact value; the value `*` asks only that the parameter is there.
    pub query: Vec<(String, String)>,
    /// Names of listeners; empty: all.
    pub listeners: Vec<String>,
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// An index into `Manifest::upstreams`.
    Upstream(usize),
    /// A fixed answer.
    Respond(Respond),
    /// A redirect.
    Redirect(Redirect),
    /// A folder of files.
    Files(Files),
    /// A script that answers: an index into `Manifest::filters`, not named in any chain.
    Script(usize),
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Respond {
    /// The status code.
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A redirect.
#[derive(Debug, Clone, PartialEq)]
pub struct Redirect {
    /// The status code.
    pub status: u16,
    /// A URL or path template: `{1}` is what the first `*` matched, `{path}` and `{query}` the request's own.
    pub to: String,
}

/// A folder of files.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// The folder.
    pub root: PathBuf,
    /// Served for a folder.
    pub index: Vec<String>,
    /// Added to each answer.
    pub cache_control: Option<String>,
}

/// When a request is sent again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Further tries, at least 1.
    pub attempts: u32,
    /// When no connection could be made.
    pub connect: bool,
    /// When the upstream answers with one of these.
    pub statuses: Vec<u16>,
    /// Share of the requests of the last window that may be retries: 0.2 is 20 %.
    pub budget: f64,
}

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

/// The Lua engine.
#[derive(Debug, Clone, PartialEq)]
pub struct Lua {
    /// Absolute patterns with `?`, for `require`.
    pub path: Vec<String>,
    /// Bytes of each worker's VM.
    pub memory: u64,
    /// Whether scripts may load the ffi library.
    pub ffi: bool,
}

/// A set of servers that do the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where it is defined.
    pub place: Place,
    /// Never empty.
    pub endpoints: Vec<Endpoint>,
    /// How requests are spread.
    pub balance: Balance,
    /// What is spoken.
    pub protocol: UpstreamProtocol,
    /// How `https` endpoints are reached.
    pub tls: UpstreamTls,
    /// Connections that are kept open.
    pub pool: Pool,
    /// The most that is under way at once.
    pub breaker: Breaker,
    /// How long the servers may take.
    pub timeouts: UpstreamTimeouts,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Where it is defined.
    pub place: Place,
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// A name or an address, without brackets; for Unix sockets, the path.
    pub host: String,
    /// 0 for Unix sockets.
    pub port: u16,
    /// The socket, instead of host and port.
    pub unix: Option<PathBuf>,
    /// Its share of the requests, relative to the others'; at least 1.
    pub weight: u32,
}

/// How requests are spread over endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// In turn, by weight.
    RoundRobin,
    /// The less busy of two.
    LeastRequest,
    /// By chance, by weight.
    Random,
}

/// What is spoken to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// By ALPN over TLS, HTTP/1.1 in clear text.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in clear text.
    Http2,
}

/// How `https` endpoints are reached.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpstreamTls {
    /// Trusted instead of the system's roots.
    pub ca: Option<PathBuf>,
    /// The name that the certificate must hold; `None`: the endpoint's host.
    pub server_name: Option<String>,
    /// The gateway's own certificate.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Whether certificates are checked.
    pub verify: bool,
}

/// Connections that are kept open.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// How long a connection stays open without an exchange.
    pub idle: Duration,
    /// Idle connections kept for each endpoint by each worker.
    pub per_endpoint: usize,
}

/// The most that is under way at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Breaker {
    /// Open connections.
    pub max_connections: usize,
    /// Exchanges.
    pub max_requests: usize,
    /// Exchanges that wait for a connection.
    pub max_pending: usize,
}

/// How long an upstream's servers may take.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamTimeouts {
    /// To connect, with TLS.
    pub connect: Duration,
    /// From the request's last byte to the response's head.
    pub first_byte: Duration,
    /// Between two reads of the response's body.
    pub idle: Duration,
}
