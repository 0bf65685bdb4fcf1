//! `admission` of `[upstreams]` and `[[routes]]` as typed.

use super::Whole;
use crate::typed;

typed::tables! {
    /// How many requests are let in at a time: a limit that is learnt from how long they take, and a queue
    /// behind it. With `min` and `max` the same the limit is fixed.
    struct Admission {
        /// The limit, at least. Default 2.
        min: Whole,
        /// The limit, at most. Default: `breaker.max_requests` of an upstream, 1024 of a route.
        max: Whole,
        /// The limit before anything is known. Default 20.
        start: Whole,
        /// Requests that wait, none for longer than a second; those past it are answered with 503.
        /// Default 256.
        queue: Whole,
    }
}
