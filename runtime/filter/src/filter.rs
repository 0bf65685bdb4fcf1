//! A filter at work on one exchange.

use std::task::{Context, Poll};

use bytes::Bytes;
use pilotlight_abi::{Phase, Phases};

use crate::body::Frame;
use crate::exchange::Exchange;
use crate::fault::Fault;
use crate::flow::Side;

/// One filter's state for one exchange.
///
/// A phase begins with the first `poll` of it and ends when that returns `Ready`; while it is
/// `Pending` the same phase is polled again, each time with the exchange as it is by then. A
/// request-direction phase and a response-direction phase may be under way at the same time
/// (a response can begin before the request has ended), so a filter keeps a state for each. A poll
/// of another phase in the same direction means that the waiting one was given up.
#[allow(unused_variables)]
pub trait Filter {
    /// Runs the phase until it ends or must wait.
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>>;

    /// The next frame of the answer that the filter began with [`Verdict::Stream`]; `None`, or its
    /// trailers, at the end. It is asked when there is room for a frame, and what it gave before is
    /// on its way to the client while it is pending. A fault breaks the message off.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        pull: Pull<'_>,
    ) -> Poll<Result<Option<Frame>, Fault>> {
        Poll::Ready(Ok(None))
    }

    /// What is left to do when there is no client any more to do it for: the answer that this filter
    /// streamed has arrived, or the client has left in the midst of a phase or an answer. Whatever
    /// the filter has under way goes on here until it is ready; then it is given up. A filter that
    /// was ready may be asked again.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        end: End,
    ) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    /// Something may have come for the filter while none of its phases runs; it has set
    /// [`Exchange::aside`] to be asked. `None`: nothing has. `Reply` counts as long as there is no
    /// response.
    fn aside(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Option<Result<Verdict, Fault>> {
        None
    }

    /// Bytes of a connection without HTTP pass. It takes what `chunk` holds, and leaves in it what goes on
    /// by now; what it keeps back it is asked for again, with more bytes or with none, whenever something
    /// wakes the task. Pending: it does not let the connection through yet. What it leaves with a fault
    /// is what it has held: it goes on where the filter is done without.
    fn flow(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        from: Side,
        chunk: &mut Chunk,
    ) -> Poll<Result<Verdict, Fault>> {
        Poll::Ready(Ok(Verdict::Continue))
    }

    /// Whether its response phases run on answers of its own, too, and not only on those from
    /// further in.
    fn sees_own(&self) -> bool {
        false
    }

    /// Whether its response phases and its log run on every answer, also where the request ended
    /// before it got here.
    fn sees_all(&self) -> bool {
        false
    }
}

/// What a filter that streams its answer is asked for a frame with.
pub struct Pull<'a> {
    /// The exchange. References into it end with this poll.
    pub exchange: &'a mut Exchange,
    /// All frames so far have left: for those who want to wait for that.
    pub flushed: bool,
}

/// Why a filter has nobody to work for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client has the whole answer.
    Delivered,
    /// The client has left.
    Gone,
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
    /// Go on; from now on the filter is called for these phases, too.
    Enlist(Phases),
    /// Go on; from now on the filter is not called for these phases.
    Dismiss(Phases),
    /// The filter has answered: the response stands in the exchange. Request phases only.
    Reply,
    /// The filter has answered: the response's head stands in the exchange, and its body comes out
    /// of [`Filter::poll_body`]. Request phases only.
    Stream {
        /// Bytes that the body is going to have, where that is known.
        length: Option<u64>,
    },
    /// The request begins anew as an internal one, with another chain: on the route that stands in
    /// [`Exchange::reroute`], or that its path leads to by now. The request phase only.
    Reroute,
    /// The client gets nothing (more): its exchange is broken off.
    Close,
}

/// What becomes of an exchange whose filter failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Answer 500.
    Close,
    /// Go on without the filter.
    Open,
}
