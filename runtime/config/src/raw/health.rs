//! `health` and `outlier` of `[upstreams]` as typed.

use std::time::Duration;

use super::{At, Share, Whole};
use crate::typed;

typed::tables! {
    /// Probes: an endpoint that fails them gets no requests until it passes them again. The first one decides
    /// alone.
    struct Health {
        /// What a GET asks for. Default: a probe is a connection, with its TLS.
        path: String,
        /// The `Host` of probes. Default: the endpoint's host and port.
        host: String,
        /// Statuses of servers that are well: `[200, 204]`. Default: 200 to 399.
        status: Vec<At<Whole>>,
        /// From one probe of an endpoint to the next, a tenth more or less. Default "5s".
        interval: Duration,
        /// For a whole probe. Default "1s".
        timeout: Duration,
        /// Probes in a row that bring an endpoint back. Default 2.
        healthy: Whole,
        /// Failed ones in a row that take it out. Default 3.
        unhealthy: Whole,
    }

    /// An endpoint whose answers are errors, one after the other, gets no requests for a while. Errors are
    /// statuses from 500 on, answers that do not come, and connections that fail.
    struct Outlier {
        /// Errors in a row, without an answer between them. Default 5.
        errors: Whole,
        /// The time in which they come. Default "30s".
        window: Duration,
        /// How long it is out; twice as long at the second time, and so on to ten times. Default "30s".
        eject: Duration,
        /// No more than this share of the endpoints is out when one is ejected, those that fail their probes
        /// counted. Default "50%".
        max_ejected: Share,
    }
}
