//! `[filters.NAME] openresty` as typed.

use std::time::Duration;

use super::{At, Size, Whole};
use crate::typed;

typed::tables! {
    /// Scripts for the phases of lua-nginx-module, each a file, and what its directives set. All phases
    /// of a filter run before those of the next filter in the chain.
    struct OpenResty {
        /// Runs in each worker's VM before any other.
        init: String,
        /// Runs in each worker as it starts.
        init_worker: String,
        /// Runs in each worker as it ends.
        exit_worker: String,
        /// Runs on the first message of a TLS handshake; for `listeners.filters`.
        ssl_client_hello: String,
        /// Runs where a TLS handshake takes its certificate; for `listeners.filters`.
        ssl_certificate: String,
        /// Runs where a TLS session is looked for; for `listeners.filters`.
        ssl_session_fetch: String,
        /// Runs where a TLS session is kept; for `listeners.filters`.
        ssl_session_store: String,
        /// Runs on a request before all that follows.
        server_rewrite: String,
        /// Variables that get their values between `server_rewrite` and `rewrite`, in this order.
        set: Vec<At<SetVar>>,
        /// Runs on a request, to change it.
        rewrite: String,
        /// Runs on a request, to let it pass or not.
        access: String,
        /// Runs on a request, last before the target.
        precontent: String,
        /// Answers: the filter is the target of each route that names it.
        content: String,
        /// Runs each time an endpoint of the route's upstream is picked.
        balancer: String,
        /// Runs where the TLS handshake with an endpoint takes its certificate.
        proxy_ssl_certificate: String,
        /// Runs where the certificate of an endpoint is checked.
        proxy_ssl_verify: String,
        /// Runs on the head of a response.
        header_filter: String,
        /// Runs on each chunk of a response's body.
        body_filter: String,
        /// Runs when the exchange is over.
        log: String,
        /// The Content-Type of an answer that has none. Default "text/plain".
        default_type: String,
        /// Whether such an answer gets it. Default true.
        use_default_type: bool,
        /// Whether a script learns that its client left (ngx.on_abort). Default false.
        check_client_abort: bool,
        /// What sockets trust and show in their TLS handshake (sslhandshake).
        ssl: SocketTls,
        /// How sockets behave that say nothing else themselves.
        socket: Sockets,
        /// The most of a request's body that is kept in memory; a larger one is shown to scripts as a
        /// file. Default: all of it.
        body_buffer: Size,
        /// Whether each request's body goes to a file. Default false.
        body_in_file: bool,
        /// Whether an answer to HTTP/1.0 is collected, so that it has a Content-Length. Default true.
        http10_buffering: bool,
        /// Whether `_` in the names of header fields that scripts set stays; else it becomes `-`.
        /// Default false.
        header_underscores: bool,
    }

    /// A variable, and the script that returns its value.
    struct SetVar needs [var, lua] {
        /// The variable, which this declares.
        var: String,
        /// The script.
        lua: String,
        /// Its arguments; `$NAME` and `${NAME}` (written `$${NAME}`) stand for variables.
        args: Vec<At<String>>,
    }

    /// What sockets trust and show in their TLS handshake.
    struct SocketTls {
        /// PEM file: authorities that are trusted.
        ca: String,
        /// PEM file: certificates that their authorities have revoked.
        crl: String,
        /// PEM file: the certificate that is shown when a server asks for one.
        certificate: String,
        /// PEM file: its private key.
        key: String,
        /// Certificates between a server's and an authority. Default 1.
        verify_depth: Whole,
        /// "TLSv1.2" and "TLSv1.3"; the names of older ones are taken, and left out.
        protocols: Vec<At<String>>,
        /// Cipher suites of TLS 1.2 by OpenSSL's names, separated by `:`; unknown ones are left out.
        ciphers: String,
    }

    /// How sockets behave that say nothing else themselves.
    struct Sockets {
        /// Default "60s".
        connect_timeout: Duration,
        /// Between two writes. Default "60s".
        send_timeout: Duration,
        /// Between two reads. Default "60s".
        read_timeout: Duration,
        /// How long a pool keeps an idle connection; "0s" is for ever. Default "60s".
        keepalive_timeout: Duration,
        /// Connections of a pool, in each worker. Default 30.
        pool_size: Whole,
        /// The most that is read at once. Default "4KiB".
        buffer_size: Size,
        /// Whether failures are logged. Default true.
        log_errors: bool,
    }
}
