//! What filters that ship with the gateway take as their `config`.

use super::{Free, OneOrMany, Rate, Reader, TextOr, Typed, Value, Whole};
use crate::report::Report;
use crate::typed::{self, Json};

/// A filter that ships with the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ships {
    RateLimit,
    Scaler,
}

typed::words! {
    Ships, "a filter that ships with the gateway" = [
        "rate-limit" => Ships::RateLimit, "scaler" => Ships::Scaler,
    ], later [];
}

typed::tables! {
    /// How many requests may pass in a time.
    struct RateLimit needs [rate] {
        /// So many in a time: "100/s", "1000/min", "600/h".
        rate: Rate,
        /// So many at once, after a time without any. Default: the number in `rate`.
        burst: Whole,
        /// Whose requests are counted together: "client", "host", "path", "route", "all", "header:NAME" or
        /// "cookie:NAME"; or a list, of which each combination is counted. Default "client".
        by: OneOrMany<String>,
        /// The status of a refusal. Default 429.
        status: Whole,
        /// Whether answers that pass say how much is left, too. Default false.
        headers: bool,
        /// The dictionary of `[shared]` that keeps count. Default: one of its own, "rate-limit".
        dictionary: String,
        /// The server by whose name in `[redis]` all nodes have one limit together. Default: each its own.
        redis: String,
    }
}

/// A filter's `config`. Which filter it is of is not known while it is read: it is read as either.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) plain: TextOr<Free>,
    /// With what was wrong with it.
    pub(crate) rate_limit: (Option<RateLimit>, Report),
}

impl Typed for Config {
    fn expected() -> String {
        TextOr::<Free>::expected()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let mut wrong = Report::default();
        std::mem::swap(reader.report, &mut wrong);
        let read = RateLimit::read(value, reader);
        std::mem::swap(reader.report, &mut wrong);
        Some(Config { plain: TextOr::read(value, reader)?, rate_limit: (read, wrong) })
    }
    fn schema() -> Json {
        TextOr::<Free>::schema()
    }
}
