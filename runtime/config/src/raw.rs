//! The manifest as typed: one struct for each table, one field for each key, with places.
//!
//! A declaration here is at once the reader (unknown keys, wrong types and missing keys are
//! reported while it reads on), the JSON Schema, and the text of the reference: they cannot drift.
//! [`Later`] is a key of the contract that this version does not have: it is refused by name.

use std::time::Duration;

mod activate;
mod admission;
mod consumer;
mod health;
mod kind;
mod lua;
mod openresty;
mod redis;
mod shipped;
mod upstream;

pub(crate) use activate::{Activate, ActivateLimits, Container, Scale, Schedule};
pub(crate) use admission::Admission;
pub(crate) use consumer::{Consumer, Jwt};
pub(crate) use health::{Health, Outlier};
pub(crate) use kind::{BalanceKind, Own, Protocol, Workers};
pub(crate) use lua::{Lua, Resolver};
pub(crate) use openresty::{OpenResty, SetVar, SocketTls, Sockets};
pub(crate) use redis::{Redis, RedisPool, RedisTimeouts};
pub(crate) use shipped::{Config, RateLimit, Ships};
pub(crate) use upstream::{Breaker, Endpoint, Pool, Upstream, UpstreamTimeouts, UpstreamTls};

pub(crate) use crate::typed::{
    At, Free, Later, Named, OneOrMany, Rate, Reader, Share, Size, TextOr, TextOrOff, Typed, Value,
    Whole,
};
use crate::{manifest, typed};

typed::tables! {
    /// A gateway: what `pilotlight run` serves.
    struct Root {
        /// More files to merge, relative to this one: `["routes/*.toml"]`.
        include: Vec<At<String>>,
        /// The process as a whole.
        gateway: Gateway,
        /// What is logged, and where.
        log: Log,
        /// Where clients connect.
        listeners: Vec<At<Listener>>,
        /// What happens to a request; the most specific match wins.
        routes: Vec<At<Route>>,
        /// Filters by name: scripts and modules that routes put into their chains.
        filters: Named<Filter>,
        /// Wasm modules that scripts call by `gateway.wasm "NAME"`.
        modules: Named<Module>,
        /// The Lua engine.
        lua: Lua,
        /// The Wasm engine.
        wasm: Wasm,
        /// Dictionaries that all workers share, by name.
        shared: Named<Shared>,
        /// Upstreams by name.
        upstreams: Named<Upstream>,
        /// Redis servers that scripts reach by `gateway.redis "NAME"`.
        redis: Named<Redis>,
        /// Who may use what Kong's plugins guard.
        consumers: Vec<At<Consumer>>,
    }

    /// The process as a whole.
    struct Gateway {
        /// Event loops (threads): a number, or "auto" for as many as the cgroup allows CPUs, also when it
        /// changes. Default "auto".
        workers: Workers,
        /// The admin interface: "unix:PATH" or "ADDRESS:PORT". Without it there is none.
        admin: String,
        /// Folder of compiled modules. Default "cache".
        cache_dir: String,
        /// Longest wait for open exchanges at shutdown or reload. Default "10s".
        drain: Duration,
        /// What upstreams and clients are told about the hop through this gateway.
        forwarded: Forwarded,
        /// Environment variables that scripts may read.
        env: Vec<At<String>>,
        /// What it lets go of when there is nothing to do.
        idle: Idle,
    }

    /// What it lets go of when there is nothing to do.
    struct Idle {
        /// So long without a request, and script VMs, module instances, pools and caches are dropped.
        /// Default: never.
        trim: Duration,
        /// So long without a connection, and the process leaves, or parks itself until a packet comes.
        /// Default: never.
        sleep: Duration,
        /// Requests for this path, over HTTP/1 in clear text, are answered with 200 by the gateway
        /// itself, and neither wake it nor keep it awake.
        health_path: String,
    }

    /// What upstreams and clients are told about the hop through this gateway.
    struct Forwarded {
        /// The name in `Via`, or false for no such header. Default "pilotlight".
        via: TextOrOff,
        /// Whether X-Forwarded-For, -Proto and -Host are sent. Default true.
        x_forwarded: bool,
        /// Whether `Forwarded` (RFC 7239) is sent. Default false.
        forwarded: bool,
        /// Peers (addresses or networks) whose own forwarding headers are believed.
        trust: Vec<At<String>>,
        /// The header that carries the request id. Default "x-request-id".
        request_id: String,
    }

    /// What is logged, and where.
    struct Log {
        /// The access log, JSON lines: "stdout" (default), "stderr", "off" or a file.
        access: String,
        /// The least severe messages that are written. Default "info".
        level: manifest::Level,
    }

    /// Where clients connect.
    struct Listener needs [address] {
        /// Its name in logs, metrics and `match.listeners`. Default: its address.
        name: String,
        /// "HOST:PORT", "unix:PATH" or "systemd:NAME".
        address: String,
        /// Default: HTTP/1 and HTTP/2. HTTP/3 opens the same port on UDP and needs `tls`. `["tcp"]`
        /// alone passes connections on to `upstream` as they are.
        protocols: Vec<At<Protocol>>,
        /// A certificate with its key, or several, chosen by the server name that clients ask for.
        tls: OneOrMany<ServerTls>,
        /// Mutual TLS: clients must show a certificate that one of these authorities signed.
        client_ca: String,
        /// Whether clients get tickets to go on with their TLS session. Without them sessions are what
        /// filters keep (`openresty.ssl_session_store`). Default true.
        session_tickets: bool,
        /// Whether each connection begins with a PROXY protocol header (v1 or v2).
        proxy_protocol: bool,
        /// Filters for what comes before a route is known: the phases of a TLS handshake. With "tcp":
        /// proxy-wasm modules that see the bytes of connections.
        filters: Vec<At<String>>,
        /// With "tcp": the upstream that connections go to.
        upstream: String,
        /// How much clients may send.
        limits: ListenerLimits,
        /// How long clients may take.
        timeouts: ListenerTimeouts,
    }

    /// A certificate with its key.
    struct ServerTls needs [certificate, key] {
        /// PEM file: the certificate, then its chain.
        certificate: String,
        /// PEM file: the private key.
        key: String,
        /// TLS 1.3 early data, which can be replayed: GET and HEAD only. Default false.
        early_data: bool,
        acme: Later,
    }

    /// How much clients may send.
    struct ListenerLimits {
        /// A whole message head. Default "32KiB".
        header_bytes: Size,
        /// Fields in a message head. Default 100.
        headers: Whole,
        /// The request target. Default "8KiB".
        uri_bytes: Size,
        /// A request's body. Default "64MiB".
        body_bytes: Size,
        /// Concurrent streams of an HTTP/2 or HTTP/3 connection. Default 100.
        streams: Whole,
        /// Open connections. Default 10000.
        connections: Whole,
    }

    /// How long clients may take.
    struct ListenerTimeouts {
        /// From the first byte of a head to its last. Default "10s".
        header: Duration,
        /// Between two reads of a request's body, or two writes of a response. Default "30s".
        body_idle: Duration,
        /// An open connection without an exchange. Default "75s".
        keepalive: Duration,
        /// A TLS or QUIC handshake. Default "10s".
        handshake: Duration,
        /// With "tcp": a connection on which nothing moves. Default "1h".
        idle: Duration,
    }

    /// What happens to the requests that it matches. Exactly one target: one of the keys below, or a
    /// filter of its chain that answers (`openresty.content`, `use = "scaler"`).
    struct Route {
        /// Its name in logs and metrics. Default: host and path of its match. A name such as
        /// "@fallback" makes it internal, and it has no `match` then.
        name: String,
        /// Which requests. Without it: all, or for an internal route those that go to its name.
        r#match: Box<Match>,
        /// The chain: in this order on the request, in reverse on the response.
        filters: Vec<At<String>>,
        /// Target: the name of an upstream.
        upstream: String,
        /// Target: an answer.
        respond: Box<Respond>,
        /// Target: a redirect; a URL, or a table with a status.
        redirect: Box<TextOr<Redirect>>,
        /// Target: a folder of files; its path, or a table.
        files: Box<TextOr<Files>>,
        /// Target: a script that answers.
        lua: String,
        /// Target: an application, a component for the world `wasi:http/proxy`; its path, or a table.
        component: Box<TextOr<Component>>,
        /// How long its exchanges may take.
        timeouts: Box<RouteTimeouts>,
        /// When a request is sent again.
        retry: Box<Retry>,
        /// What is changed in the request's target before it is forwarded.
        rewrite: Box<Rewrite>,
        /// Variables of scripts, with the values that they begin with. One that any route declares
        /// is declared for all, and is empty where a route does not name it.
        vars: Named<String>,
        /// Whether only scripts and `errors` can reach it. Default false.
        internal: bool,
        /// Where a request goes on when its answer has an error's status; the first that names the
        /// status counts.
        errors: Vec<At<ErrorPage>>,
        /// How much its clients may send.
        limits: Box<RouteLimits>,
        /// How many of its requests are let in at a time, learnt from how long they take: `{}` does.
        /// Others wait, or are answered with 503. Default: as many as come.
        admission: Box<Admission>,
        /// Who is let in first where `admission` holds some up: "critical", "normal" (default), "low" or
        /// "background".
        priority: manifest::Priority,
    }

    /// Which requests: all conditions must hold.
    struct Match {
        /// "img.example.com", or "*.example.com" for any name below.
        host: String,
        /// "/a/b" exactly, or "/a/*" for all below; each `*` captures. A last `*` right behind text,
        /// as in "/a*", stands for any rest, an empty one too.
        path: String,
        /// Instead of `path`, a regular expression that matches somewhere in it; its groups capture.
        /// It comes after exact paths and before others, in the order of the file. No look-around
        /// and no back-references.
        regex: String,
        /// Any of these. Default: every method.
        methods: Vec<At<String>>,
        /// Fields and their exact values; the value "*" asks only that the field is there.
        headers: Named<String>,
        /// Query parameters and their exact values; "*" asks only that it is there.
        query: Named<String>,
        /// Names of listeners. Default: all.
        listeners: Vec<At<String>>,
    }

    /// An answer.
    struct Respond {
        /// Default 200.
        status: Whole,
        /// Fields: a value, or a list of values.
        headers: Named<OneOrMany<String>>,
        /// The body as text.
        body: String,
        /// The body as JSON, with its content type.
        json: Free,
    }

    /// A redirect.
    struct Redirect needs [to] {
        /// A URL or path: "{1}" is what the first `*` matched; "{host}", "{path}", "{query}".
        to: String,
        /// 301, 302, 303, 307 or 308. Default 302.
        status: Whole,
    }

    /// A folder of files.
    struct Files needs [root] {
        /// The folder.
        root: String,
        /// Served for a folder. Default `["index.html"]`.
        index: Vec<At<String>>,
        /// The `Cache-Control` of each answer.
        cache_control: String,
    }

    /// An application. Each exchange has an instance of its own.
    struct Component needs [wasm] {
        /// The component, or what `pilotlight compile` made of it.
        wasm: String,
        /// Environment variables that it sees. Default: none.
        env: Named<String>,
        /// Hosts that it may send requests to, each with the upstream that serves them. Requests to
        /// others are denied.
        upstreams: Named<String>,
        /// Buckets of `wasi:keyvalue` that it may open, each with its dictionary of `[shared]`.
        shared: Named<String>,
        /// What an instance may use.
        limits: ComponentLimits,
    }

    /// What an application's instance may use.
    struct ComponentLimits {
        /// CPU time of one exchange; what it waits does not count. Default "2s".
        cpu: Duration,
        /// Its memory. Default "64MiB".
        memory: Size,
        /// Instances on a worker, which is exchanges at a time; those past it are answered with 503.
        /// Default 256.
        instances: Whole,
    }

    /// The Wasm engine.
    struct Wasm {
        /// Linear memory of all instances together. Past it there are no new instances: exchanges fail
        /// by `on_error`, those of applications with 503. Default "1GiB".
        memory: Size,
        /// The compiler, which runs as a process of its own.
        compile: WasmCompile,
    }

    /// The compiler, which runs as a process of its own.
    struct WasmCompile {
        /// What it may allocate for one module. Default "1GiB".
        memory: Size,
        /// CPU time for one module. Default "60s".
        cpu: Duration,
    }

    /// How long a route's exchanges may take.
    struct RouteTimeouts {
        /// The whole exchange. Default: no limit.
        total: Duration,
        /// From the request's last byte to the response's first. Default: the upstream's.
        upstream: Duration,
    }

    /// When a request is sent again.
    struct Retry {
        /// Further tries. Default 1.
        attempts: Whole,
        /// "connect" and statuses: `["connect", "502", "503"]`. Default `["connect"]`.
        on: Vec<At<String>>,
        /// The share of requests that may be retries. Default "20%".
        budget: Share,
    }

    /// What is changed in the request's target before it is forwarded.
    struct Rewrite needs [path] {
        /// The new path: "{1}" is what the first `*` matched; "{host}", "{path}", "{query}".
        path: String,
    }

    /// Where a request goes on when its answer has an error's status.
    struct ErrorPage needs [on, to] {
        /// Statuses, from 300 to 599.
        on: Vec<At<Whole>>,
        /// "/path" of another route, the name of an internal one such as "@fallback", or a URL that
        /// the client is sent to.
        to: String,
        /// The status that the client sees: a number, or "own" for that of the other route. Default:
        /// it stays; 302 for a URL.
        status: Own,
    }

    /// How much a route's clients may send.
    struct RouteLimits {
        /// A request's body. Default: the listener's.
        body_bytes: Size,
    }

    /// A script or module that routes put into their chains. Exactly one of `lua`, `wasm`,
    /// `openresty`, `kong` and `use`.
    struct Filter {
        /// A script that returns its phases.
        lua: String,
        /// A proxy-wasm module.
        wasm: String,
        /// Scripts for the phases of lua-nginx-module.
        openresty: Box<OpenResty>,
        /// A plugin of Kong's: the folder kong/plugins/NAME on `[lua] path`.
        kong: String,
        /// One that ships with the gateway: "rate-limit", or "scaler", which answers.
        r#use: Ships,
        component: Later,
        /// Handed to the filter: a string as it is, a table as JSON. What ships with the gateway has keys
        /// of its own here.
        config: Config,
        /// What it may use.
        limits: Box<EngineLimits>,
        /// When it fails: "close" answers 500 (default), "open" goes on without it.
        on_error: manifest::OnError,
        /// Of a module: one instance for a worker's streams (default), or a fresh one for each.
        isolation: manifest::Isolation,
        /// Of a module: its body callbacks run while it holds the head (false: as in Envoy, they wait
        /// until it lets the head go).
        hold_headers: bool,
        /// Of a module: filters with the same share data and queues. Default: the filter's name.
        vm_id: String,
        /// Of a module: the configuration of its VM, as `config` is that of the plugin.
        vm_config: TextOr<Free>,
        /// Of a module: which of its plugins this is.
        root_id: String,
        /// Of a module: how it reads properties, "envoy" (default) or "text".
        properties: manifest::Encoding,
    }

    /// What a script or module may use.
    struct EngineLimits {
        /// CPU time of one call. Default "10ms" for filters, "2s" for modules.
        cpu: Duration,
        /// Of its VM or instance. Default of modules: "64MiB".
        memory: Size,
    }

    /// A Wasm module that scripts call.
    struct Module needs [wasm] {
        /// The module.
        wasm: String,
        /// Signatures of its functions: `resize = "(string, i32, i32) -> string"`.
        functions: Named<String>,
        /// What it may use.
        limits: EngineLimits,
    }

    /// A dictionary that all workers share.
    struct Shared needs [size] {
        /// The most memory it takes.
        size: Size,
        /// The server by whose name in `[redis]` nodes add up what their scripts count with `incr`. All
        /// else stays on its node. Default: none.
        redis: String,
    }
}
