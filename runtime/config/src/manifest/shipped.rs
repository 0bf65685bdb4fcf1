//! Filters that ship with the gateway.

use std::sync::Arc;

/// One of them, with what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shipped {
    /// How many requests may pass in a time.
    RateLimit(RateLimit),
    /// Answers KEDA.
    Scaler,
}

/// How many requests may pass in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// So many ...
    pub count: u64,
    /// ... in so many milliseconds.
    pub per_millis: u64,
    /// At once.
    pub burst: u64,
    /// Whose requests are counted together: all of these.
    pub by: Vec<By>,
    /// The status of a refusal.
    pub status: u16,
    /// Answers that pass say how much is left.
    pub headers: bool,
    /// The dictionary that keeps count.
    pub dictionary: String,
    /// The server by which all nodes have one limit.
    pub redis: Option<Arc<str>>,
}

/// What makes requests those of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The client's address.
    Client,
    /// The host that is asked for.
    Host,
    /// The path.
    Path,
    /// The route.
    Route,
    /// Nothing: all are.
    All,
    /// A field's value; its name in lower case.
    Header(String),
    /// A cookie's value.
    Cookie(String),
}
