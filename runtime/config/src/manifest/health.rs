//! How it is known which endpoints are well.

use std::time::Duration;

/// Probes of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What a GET asks for, perhaps with a query; `None`: a probe is a connection.
    pub path: Option<String>,
    /// The `Host` of probes; `None`: the endpoint's.
    pub host: Option<String>,
    /// Statuses that are well; empty: 200 to 399.
    pub statuses: Vec<u16>,
    /// From one probe of an endpoint to the next.
    pub interval: Duration,
    /// For a whole probe.
    pub timeout: Duration,
    /// Probes in a row that bring an endpoint back; at least 1.
    pub healthy: u32,
    /// Probes in a row that take it out; at least 1.
    pub unhealthy: u32,
}

impl Health {
    /// Whether a server that answers so is well.
    pub fn is_well(&self, status: u16) -> bool {
        match &self.statuses[..] {
            [] => (200..400).contains(&status),
            statuses => statuses.contains(&status),
        }
    }
}

/// When endpoints whose answers are errors get no requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Errors in a row; at least 1.
    pub errors: u32,
    /// The time in which they come.
    pub window: Duration,
    /// How long an endpoint is out at the first time.
    pub eject: Duration,
    /// The share of the endpoints that may be out.
    pub max_ejected: f64,
}
