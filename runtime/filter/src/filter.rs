//! A filter at work on one exchange.

use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_abi::Phase;

use crate::exchange::Exchange;
use crate::fault::Fault;

/// One filter's state for one exchange.
///
/// A phase begins with the first `poll` of it and ends when that returns `Ready`; while it is
/// `Pending` the same phase is polled again, each time with the exchange as it is by then. A
/// request-direction phase and a response-direction phase may be under way at the same time
/// (a response can begin before the request has ended), so a filter keeps a state for each. A poll
/// of another phase in the same direction means that the waiting one was given up.
pub trait Filter {
    /// Runs the phase until it ends or must wait.
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>>;
}

/// What a phase works on.
pub struct Call<'a> {
    /// The phase.
    pub phase: Phase,
    /// The exchange. References into it end with this poll.
    pub exchange: &'a mut Exchange,
    /// The chunk that passes, in a body phase. The filter may replace or empty it.
    pub chunk: Option<&'a mut Chunk>,
}

/// A chunk of a body on its way through the chain.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// Its bytes; empty means swallowed, or the last call's "nothing more".
    pub data: Bytes,
    /// Whether the body ends with it.
    pub last: bool,
}

/// What a filter decided in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// The filter has answered: the response stands in the exchange. Request phases only.
    Reply,
}

/// What becomes of an exchange whose filter failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Answer 500.
    Close,
    /// Go on without the filter.
    Open,
}
