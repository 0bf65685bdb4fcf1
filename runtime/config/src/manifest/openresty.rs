//! Filters in the dialect of lua-nginx-module.

use std::path::PathBuf;
use std::time::Duration;

/// Scripts by phase, and settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenResty {
    /// Names of phases with their scripts, in the order in which they run.
    pub phases: Vec<(&'static str, Script)>,
    /// Run between `server_rewrite` and `rewrite`.
    pub set: Vec<SetVar>,
    /// The Content-Type of an answer that has none; `None`: it stays so.
    pub default_type: Option<String>,
    /// Whether a script learns that its client left.
    pub check_client_abort: bool,
    /// What sockets trust and show.
    pub ssl: SocketTls,
    /// How sockets behave.
    pub socket: Sockets,
    /// Bytes of a request's body that are kept in memory.
    pub body_buffer: u64,
    /// Whether each request's body goes to a file.
    pub body_in_file: bool,
    /// Whether an answer to HTTP/1.0 is collected.
    pub http10_buffering: bool,
    /// Whether `_` in the names of fields that scripts set stays.
    pub header_underscores: bool,
}

impl OpenResty {
    /// The script of a phase.
    pub fn phase(&self, name: &str) -> Option<&Script> {
        self.phases.iter().find(|(phase, _)| *phase == name).map(|(_, script)| script)
    }
}

/// A script's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Where it is.
    pub path: PathBuf,
    /// As it was written: what messages call it.
    pub name: String,
}

/// A variable, and the script that returns its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetVar {
    /// The variable.
    pub var: String,
    /// The script.
    pub script: Script,
    /// Its arguments; `$NAME` stands for a variable.
    pub args: Vec<String>,
}

/// What sockets trust and show in their TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketTls {
    /// Authorities; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Certificates that were revoked.
    pub crl: Option<PathBuf>,
    /// The certificate that is shown.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Certificates between a server's and an authority.
    pub verify_depth: u32,
    /// TLS 1.2 may be spoken.
    pub tls12: bool,
    /// TLS 1.3 may be spoken.
    pub tls13: bool,
    /// Suites by OpenSSL's names; `None`: all.
    pub ciphers: Option<String>,
}

/// How sockets behave that say nothing else themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    /// To connect.
    pub connect_timeout: Duration,
    /// Between two writes.
    pub send_timeout: Duration,
    /// Between two reads.
    pub read_timeout: Duration,
    /// How long a pool keeps an idle connection; zero: for ever.
    pub keepalive_timeout: Duration,
    /// Connections of a pool.
    pub pool_size: usize,
    /// Bytes that are read at once.
    pub buffer_size: u64,
    /// Whether failures are logged.
    pub log_errors: bool,
}
