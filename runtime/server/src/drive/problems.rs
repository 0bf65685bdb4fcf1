//! What went wrong at an upstream means this.

use pilotlight_core::retry::Reason;
use pilotlight_filter::BodyError;

use super::pump::PumpError;
use super::{FILTER_FAILED, TOO_LARGE};
use crate::answer::Problem;
use crate::upstream::UpstreamError;

/// As retries count it.
pub(super) fn reason(error: UpstreamError) -> Reason {
    match error {
        UpstreamError::Refused
        | UpstreamError::ConnectTimeout
        | UpstreamError::Dns
        | UpstreamError::Tls
        | UpstreamError::Certificate => Reason::Connect,
        UpstreamError::Closed { .. } | UpstreamError::NotTaken => Reason::Reset,
        other => Reason::Status(other.status()),
    }
}

/// As clients are told.
pub(super) fn problem(error: UpstreamError) -> Problem {
    let (detail, name) = match error {
        UpstreamError::Refused => ("the upstream refused the connection", "connection_refused"),
        UpstreamError::ConnectTimeout => {
            ("connecting to the upstream took too long", "connection_timeout")
        }
        UpstreamError::Dns => ("the upstream's name was not found", "dns_error"),
        UpstreamError::Tls => ("TLS with the upstream failed", "tls_protocol_error"),
        UpstreamError::Certificate => {
            ("the upstream's certificate is not trusted", "tls_certificate_error")
        }
        UpstreamError::Closed { .. } => {
            ("the upstream closed the connection", "connection_terminated")
        }
        UpstreamError::ResponseTimeout => ("the upstream took too long", "http_response_timeout"),
        UpstreamError::Protocol => ("the upstream's answer is malformed", "http_protocol_error"),
        UpstreamError::TooLarge => {
            ("the upstream's head is too large", "http_response_header_section_size")
        }
        UpstreamError::Limit => ("the upstream is at its limit", "connection_limit_reached"),
        UpstreamError::NoEndpoint => ("no endpoint is available", "destination_unavailable"),
        UpstreamError::NotTaken => ("the upstream did not take the request", "http_request_denied"),
        UpstreamError::NotReady => ("the application was not ready in time", "connection_timeout"),
        UpstreamError::Resting(_) => {
            ("the application can't be started", "destination_unavailable")
        }
    };
    let status = error.status();
    let retry_after = match error {
        UpstreamError::Resting(seconds) => Some(seconds),
        _ => (status == 503).then_some(1),
    };
    Problem { retry_after, ..Problem::new(status, detail).proxy(name) }
}

/// As logs say it.
pub(crate) fn word(error: UpstreamError) -> &'static str {
    problem(error).proxy_error
}

/// The same of a request that did not get there whole.
pub(super) fn broken(error: PumpError) -> Problem {
    match error {
        PumpError::Client(BodyError::TooLarge) => TOO_LARGE,
        PumpError::Client(BodyError::Timeout) => {
            Problem::new(408, "the request's body took too long").proxy("http_request_timeout")
        }
        PumpError::Client(_) => {
            Problem::new(400, "the request's body is malformed").proxy("http_request_error")
        }
        PumpError::Upstream(error) => problem(error),
        // An answer is no problem: it was taken above.
        PumpError::Filter | PumpError::Replied | PumpError::Closed => FILTER_FAILED,
    }
}
