//! `[redis]` as typed.

use std::time::Duration;

use super::Whole;
use crate::typed;

typed::tables! {
    /// A Redis or Valkey server.
    struct Redis needs [url] {
        /// "redis://HOST:PORT", "rediss://HOST:PORT" (by TLS) or "unix:PATH". Before the host may
        /// stand "USER:PASSWORD@", behind the port "/DATABASE".
        url: String,
        /// Who signs in. Default: the server's default user.
        user: String,
        /// With what.
        password: String,
        /// The number of the database. Default 0.
        database: Whole,
        /// PEM file: trusted instead of the system's authorities.
        ca: String,
        /// Connections that are kept open.
        pool: RedisPool,
        /// How long the server may take.
        timeouts: RedisTimeouts,
    }

    /// Connections that are kept open.
    struct RedisPool {
        /// How long without a command. Default "60s".
        idle: Duration,
        /// How many by each worker. Default 16.
        size: Whole,
    }

    /// How long a Redis server may take.
    struct RedisTimeouts {
        /// To connect, with TLS and signing in. Default "1s".
        connect: Duration,
        /// From a command to its reply. Default "5s".
        reply: Duration,
    }
}
