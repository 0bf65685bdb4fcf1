//! Upstreams: where exchanges go. Pools, connecting, and one face for every protocol spoken there.

pub(crate) mod connect;
pub(crate) mod h1;
pub(crate) mod h2;
mod hosts;
mod instances;
mod lease;
mod members;
mod pool;
mod queue;
mod roster;

pub(crate) use hosts::Hosts;
pub(crate) use lease::Lease;
pub(crate) use pool::{Permit, Shared, Upstream, Way};
pub(crate) use roster::{Answer, CHANGES, Found, Member, Roster, Stand};

use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_filter::exchange::Link;
use pilotlight_filter::{Body, Fields, RequestHead, ResponseHead};

use crate::codec::Length;
use crate::stream::Stream;

/// Why an upstream did not answer, in the words of `Proxy-Status` (RFC 9209 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UpstreamError {
    #[error("connection_refused")]
    Refused,
    #[error("connection_timeout")]
    ConnectTimeout,
    #[error("dns_error")]
    Dns,
    #[error("tls_protocol_error")]
    Tls,
    #[error("tls_certificate_error")]
    Certificate,
    /// It closed or reset the connection. `fresh`: not one kept from an earlier exchange.
    #[error("connection_terminated")]
    Closed { fresh: bool },
    #[error("http_response_timeout")]
    ResponseTimeout,
    #[error("http_protocol_error")]
    Protocol,
    #[error("http_response_header_section_size")]
    TooLarge,
    #[error("connection_limit_reached")]
    Limit,
    #[error("destination_unavailable")]
    NoEndpoint,
    /// It refused the stream before it looked at it (HTTP/2 REFUSED_STREAM, GOAWAY).
    #[error("http_request_denied")]
    NotTaken,
    /// The application behind it was not ready in time.
    #[error("connection_timeout")]
    NotReady,
    /// It crashes again and again, and is not started for so many seconds.
    #[error("destination_unavailable")]
    Resting(u32),
}

impl UpstreamError {
    /// The status that tells the client.
    pub(crate) fn status(self) -> u16 {
        match self {
            UpstreamError::ConnectTimeout
            | UpstreamError::ResponseTimeout
            | UpstreamError::NotReady => 504,
            UpstreamError::Limit | UpstreamError::NoEndpoint | UpstreamError::Resting(_) => 503,
            _ => 502,
        }
    }
}

/// One exchange's way to an upstream: takes the request, gives the response.
///
/// As with [`Downstream`](crate::codec::Downstream), everything but the polls only queues.
pub(crate) enum Outbound {
    H1(h1::Outbound),
    H2(h2::Outbound),
}

/// What came back.
pub(crate) enum Incoming {
    /// A 1xx head stands in the response head; more follows.
    Interim,
    /// The final head stands in the response head; this is its body.
    Final(Body),
    /// The upstream switched protocols (101): the raw stream, and what was read past the head.
    Switched(Stream, Bytes),
}

macro_rules! each {
    ($self:expr, $out:ident => $call:expr) => {
        match $self {
            Outbound::H1($out) => $call,
            Outbound::H2($out) => $call,
        }
    };
}

impl Outbound {
    /// What filters may know of the connection.
    pub(crate) fn link(&self) -> Rc<Link> {
        each!(self, out => out.link())
    }

    /// The request's head. `upgrade`: the protocol to switch to.
    pub(crate) fn head(
        &mut self,
        head: &RequestHead,
        length: Length,
        upgrade: Option<&str>,
    ) -> Result<(), UpstreamError> {
        each!(self, out => out.head(head, length, upgrade))
    }

    /// A chunk of the request's body.
    pub(crate) fn data(&mut self, chunk: Bytes) {
        each!(self, out => out.data(chunk))
    }

    /// The end of the request.
    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        each!(self, out => out.finish(trailers))
    }

    /// Gives the exchange up; the connection is not used for another unless that is safe.
    pub(crate) fn abort(&mut self) {
        each!(self, out => out.abort())
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        each!(self, out => out.queued())
    }

    /// Writes all that is queued.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        each!(self, out => out.poll_flush(cx))
    }

    /// The next head of the response, put into `head`.
    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Incoming, UpstreamError>> {
        each!(self, out => out.poll_response(cx, head))
    }
}
