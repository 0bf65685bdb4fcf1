//! Redis servers of scripts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::place::Place;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redis {
    /// Its name in the manifest.
    pub name: Arc<str>,
    /// Where its table stands.
    pub place: Place,
    /// A name or an address, without brackets; for Unix sockets, the path.
    pub host: String,
    /// 0 for Unix sockets.
    pub port: u16,
    /// The socket, instead of host and port.
    pub unix: Option<PathBuf>,
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// Trusted instead of the system's authorities.
    pub ca: Option<PathBuf>,
    /// Who signs in.
    pub user: Option<String>,
    /// With what.
    pub password: Option<String>,
    /// The number of the database.
    pub database: u32,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// Idle connections that each worker keeps.
    pub pool: usize,
    /// To connect, with TLS and signing in.
    pub connect: Duration,
    /// From a command to its reply.
    pub reply: Duration,
}
