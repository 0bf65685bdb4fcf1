//! A connection's state in either role, without I/O: what came is received, what is to go stands on
//! the wire. Whoever holds a stream does so by a [`Link`](super::link::Link).

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Waker};

use foldhash::fast::RandomState;
use pilotlight_filter::{Exchange, ResponseHead};

use super::frame::{self, Code, Offer, PREFACE, Parser};
use super::guard::Guard;
use super::heads::Block;
use super::hpack::Decoder;
use super::stream::{Failure, Stream, Window, wake, watch};
use super::wire::Wire;
use crate::clock::Clock;
use crate::codec::h1::head::{BadHead, Bounds};

/// Windows before anyone has said otherwise (RFC 9113 section 6.9.2).
pub(super) const WINDOW_FIRST: u32 = 65_535;
/// Streams to open before the peer has said how many it takes.
const STREAMS_FIRST: usize = 100;
/// Closed streams that are remembered, to tell late frames from wrong ones.
const CLOSED_MAX: usize = 64;

/// Which end of the connection we are.
pub(crate) enum Role {
    Server(Server),
    Client(Client),
}

/// What a server's side needs to know.
pub(crate) struct Server {
    /// Streams that may be open at once.
    pub(crate) streams: usize,
    pub(crate) secure: bool,
    pub(super) guard: Guard,
    /// Makes an exchange for a request.
    pub(crate) spare: Box<dyn Fn() -> Box<Exchange>>,
    /// Requests that nobody has taken yet.
    pub(crate) arrived: Vec<Arrived>,
}

/// What a client's side needs.
pub(crate) struct Client {
    /// Makes room for a response's head.
    pub(crate) buffer: Box<dyn Fn() -> Vec<u8>>,
    /// A head for its list, which the next response fills.
    pub(crate) spare: ResponseHead,
}

/// A request that has come: its head stands in the exchange.
pub(crate) struct Arrived {
    pub(crate) id: u32,
    pub(crate) exchange: Box<Exchange>,
    pub(crate) head: Result<Announced, BadHead>,
}

/// What a request's head says of what follows it.
pub(crate) struct Announced {
    pub(crate) length: Option<u64>,
    pub(crate) expects: bool,
    pub(crate) ends: bool,
}

/// How a connection is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Open,
    /// The peer was asked not to open streams; what it opened by then is served. It has not
    /// confirmed yet.
    Leaving,
    /// It has: streams past the last one are not for us.
    Refusing,
}

/// See the module.
pub(crate) struct Core {
    pub(super) role: Role,
    pub(super) bounds: Bounds,
    pub(super) parser: Parser,
    pub(super) decoder: Decoder,
    /// The preface has come, where one is due.
    pub(super) greeted: bool,
    /// The peer's first SETTINGS have come.
    pub(super) settled: bool,
    /// A field block on its way.
    pub(super) block: Option<Box<Block>>,
    pub(super) streams: HashMap<u32, Box<Stream>, RandomState>,
    closed: VecDeque<(u32, Gone)>,
    /// The highest stream that was opened.
    pub(super) last: u32,
    /// Streams that count as open.
    pub(super) open: usize,
    /// The peer's limit of them, and their first window.
    pub(super) peer_streams: usize,
    pub(super) peer_window: u32,
    /// Room for what comes, by stream and in all.
    pub(super) stream_window: u32,
    pub(super) window: Window,
    /// Room for what goes.
    pub(super) room: i64,
    /// Streams that have something to send, in turn.
    pub(super) ready: VecDeque<u32>,
    pub(super) wire: Wire,
    pub(super) stage: Stage,
    /// The last stream that we said we serve.
    said: Option<u32>,
    /// The peer takes no more streams of ours.
    pub(super) away: bool,
    /// The connection is gone.
    pub(super) over: bool,
    /// Whom to wake when there is something to write, and who waits for a place.
    task: Option<Waker>,
    waiting: Vec<Waker>,
}

/// How a closed stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// By both sides.
    Ended,
    /// We reset it: the peer may not know yet.
    Reset,
}

impl Core {
    pub(crate) fn server(server: Server, bounds: Bounds, windows: (u32, u32)) -> Core {
        let streams = u32::try_from(server.streams).ok();
        let mut core = Core::new(Role::Server(server), bounds, windows);
        core.greet(streams, windows.1);
        core
    }

    pub(crate) fn client(
        buffer: Box<dyn Fn() -> Vec<u8>>,
        bounds: Bounds,
        windows: (u32, u32),
    ) -> Core {
        let client = Client { buffer, spare: ResponseHead::default() };
        let mut core = Core::new(Role::Client(client), bounds, windows);
        core.greeted = true;
        core.wire.put(|out| out.extend_from_slice(PREFACE));
        core.greet(None, windows.1);
        core
    }

    fn new(role: Role, bounds: Bounds, (stream_window, window): (u32, u32)) -> Core {
        Core {
            role,
            bounds,
            parser: Parser::default(),
            decoder: Decoder::default(),
            greeted: false,
            settled: false,
            block: None,
            streams: HashMap::default(),
            closed: VecDeque::new(),
            last: 0,
            open: 0,
            peer_streams: STREAMS_FIRST,
            peer_window: WINDOW_FIRST,
            stream_window,
            window: Window::new(window),
            room: i64::from(WINDOW_FIRST),
            ready: VecDeque::new(),
            wire: Wire::default(),
            stage: Stage::Open,
            said: None,
            away: false,
            over: false,
            task: None,
            waiting: Vec::new(),
        }
    }

    /// Our first frames.
    fn greet(&mut self, streams: Option<u32>, window: u32) {
        let list = u32::try_from(self.bounds.bytes).unwrap_or(u32::MAX);
        let offer = Offer { streams, window: self.stream_window, list };
        self.wire.put(|out| {
            offer.put(out);
            frame::put_word(out, frame::WINDOW_UPDATE, 0, window - WINDOW_FIRST);
        });
    }

    pub(super) fn guard(&mut self) -> Option<&mut Guard> {
        match &mut self.role {
            Role::Server(server) => Some(&mut server.guard),
            Role::Client(_) => None,
        }
    }

    /// How far the connection is on its way to its end.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// The task that owns the transport is at work: it needs no waking.
    pub(super) fn unwatch(&mut self) {
        self.task = None;
    }

    /// It waits for something to write.
    pub(super) fn watch(&mut self, cx: &Context<'_>) {
        watch(&mut self.task, cx);
    }

    pub(crate) fn wake(&mut self) {
        wake(&mut self.task);
    }

    /// Someone waits for a place among the open streams.
    pub(crate) fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }

    pub(super) fn wake_waiting(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Whether one more stream may be opened by us.
    pub(crate) fn has_place(&self) -> bool {
        self.is_open() && self.open < self.peer_streams
    }

    /// Whether streams may still be opened by us at all.
    pub(crate) fn is_open(&self) -> bool {
        !self.over && !self.away && self.last < (1 << 31) - 2
    }

    /// The requests that have come.
    pub(crate) fn arrived(&mut self) -> Vec<Arrived> {
        match &mut self.role {
            Role::Server(server) => std::mem::take(&mut server.arrived),
            Role::Client(_) => Vec::new(),
        }
    }

    /// Whether the peer asked for an end.
    pub(crate) fn is_away(&self) -> bool {
        self.away
    }

    /// Whether nobody has a stream here.
    pub(crate) fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether a field block waits for its end.
    pub(crate) fn is_mid_block(&self) -> bool {
        self.block.is_some() || !self.settled
    }

    /// Puts a stream in its place.
    pub(super) fn begin(&mut self, id: u32) -> &mut Stream {
        self.last = id;
        self.open += 1;
        let mut stream = Box::new(Stream::default());
        stream.inbound.window = Window::new(self.stream_window);
        stream.outbound.window = i64::from(self.peer_window);
        self.streams.entry(id).or_insert(stream)
    }

    /// How a stream that is not there any more ended; `None`: forgotten, or never there.
    pub(super) fn ended(&self, id: u32) -> Option<Gone> {
        self.closed.iter().find(|(closed, _)| *closed == id).map(|(_, gone)| *gone)
    }

    /// A stream counts no more; it stays while somebody holds it.
    pub(super) fn close(&mut self, id: u32, gone: Gone) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if !std::mem::replace(&mut stream.closed, true) {
            self.open -= 1;
            self.remember(id, gone);
            self.wake_waiting();
        }
        self.forget(id);
    }

    pub(super) fn remember(&mut self, id: u32, gone: Gone) {
        if self.closed.len() == CLOSED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back((id, gone));
    }

    /// Drops a closed stream that nobody holds.
    pub(super) fn forget(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(|stream| stream.closed && stream.holders == 0) {
            self.drop_unread(id);
            self.streams.remove(&id);
            if self.streams.is_empty() {
                if self.streams.capacity() > 16 {
                    self.streams = HashMap::default();
                }
                self.wake();
            }
        }
    }

    /// Gives the connection's window back what a stream held.
    pub(super) fn drop_unread(&mut self, id: u32) {
        let held = self.streams.get_mut(&id).map_or(0, |stream| stream.inbound.discard());
        self.free(held);
    }

    /// Resets a stream.
    pub(crate) fn reset(&mut self, id: u32, code: Code, why: Failure) {
        let closed = self.streams.get(&id).is_some_and(|stream| stream.closed);
        if closed && why != Failure::Malformed {
            return;
        }
        self.wire.put(|out| frame::put_word(out, frame::RST_STREAM, id, code.0));
        self.wake();
        match self.streams.get_mut(&id) {
            Some(stream) => stream.fail(why),
            None => return self.remember(id, Gone::Reset),
        }
        self.drop_unread(id);
        self.close(id, Gone::Reset);
    }

    /// The connection is gone, and all streams with it.
    pub(crate) fn fail(&mut self, why: Failure) {
        self.over = true;
        let mut open: Vec<u32> = self.streams.keys().copied().collect();
        open.retain(|id| self.streams.get(id).is_some_and(|stream| !stream.closed));
        for id in open {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.fail(why);
            }
            self.close(id, Gone::Ended);
        }
        self.wake_waiting();
        self.wake();
    }

    /// Section 6.8: no more streams. The peer's answer to the PING says that it knows.
    pub(crate) fn leave(&mut self) {
        self.stage = Stage::Leaving;
        self.wire.put(|out| {
            frame::put_goaway(out, (1 << 31) - 1, Code::NO_ERROR);
            frame::put_header(out, 8, frame::PING, 0, 0);
            out.extend_from_slice(b"leaving.");
        });
    }

    /// Says which streams were ours to serve: none past the last one now.
    pub(crate) fn refuse(&mut self) {
        self.stage = Stage::Refusing;
        self.goaway(Code::NO_ERROR);
    }

    /// The last words, or nearly so.
    pub(crate) fn goaway(&mut self, code: Code) {
        // A client has seen no streams of its peer's; a server does not take its word back.
        let last = if matches!(self.role, Role::Server(_)) { self.last } else { 0 };
        let last = self.said.map_or(last, |said| said.min(last));
        self.said = Some(last);
        self.wire.put(|out| frame::put_goaway(out, last, code));
    }
}

impl Server {
    pub(crate) fn new(
        streams: usize,
        secure: bool,
        clock: Clock,
        spare: Box<dyn Fn() -> Box<Exchange>>,
    ) -> Server {
        Server { streams, secure, guard: Guard::new(clock), spare, arrived: Vec::new() }
    }
}

impl Stream {
    /// It ends before its time. What came stays for who takes it; what was to go does not.
    pub(super) fn fail(&mut self, why: Failure) {
        if self.failure.is_none() {
            self.failure = Some(why);
        }
        self.outbound.queue.clear();
        self.outbound.queued = 0;
        self.wake();
    }
}

#[cfg(test)]
mod tests;
