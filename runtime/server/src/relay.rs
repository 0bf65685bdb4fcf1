//! Bytes between two connections, both ways, until both have ended: with backpressure, and without a
//! buffer while nothing moves.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::{Chunk, Passed, Side};

use crate::codec::linger::linger;
use crate::flow::Gate;
use crate::stream::Stream;
use crate::timer::Timer;
use crate::worker::{BUFFER, Buffers, Worker};

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides have said all that they had to say.
    Whole,
    /// A side broke off in the midst.
    Broken(Side),
    /// Nothing has moved for too long.
    Idle,
    /// A filter wants it closed.
    Closed,
    /// A filter has failed.
    Failed,
}

/// Bytes that a worker's connections to one listener have brought, and have taken.
pub(crate) type Moved = Arc<[AtomicU64; 2]>;

/// Two connections, joined.
pub(crate) struct Relay {
    pub(crate) worker: Rc<Worker>,
    /// The client's, the upstream's.
    ends: [Stream; 2],
    /// From the client, from the upstream.
    ways: [Way; 2],
    timer: Timer,
    idle: Duration,
    moved: Option<Moved>,
    /// Who sees the bytes.
    pub(crate) gate: Option<Box<Gate>>,
    /// Who has ended first.
    pub(crate) first: Option<Side>,
}

/// One direction.
#[derive(Default)]
struct Way {
    /// What was read; from `at` on it is not written yet.
    buffer: Vec<u8>,
    at: usize,
    read: u64,
    written: u64,
    /// Something written may stand in TLS still.
    dirty: bool,
    /// The source has said all.
    silent: bool,
    /// ... and filters have let go of all.
    ended: bool,
    /// ... and the other side knows that, or is gone.
    over: bool,
    /// The other side is gone.
    refused: bool,
    /// Bytes of the last read.
    last: usize,
}

/// Reads of one direction before others have their turn.
const TURNS: usize = 16;
/// The longest wait for a client to take the last bytes.
const LEAVE: Duration = Duration::from_secs(1);
/// The buffer of a direction that is busy; the worker keeps those, too.
const BUFFER_MAX: usize = 4 * BUFFER;

impl Relay {
    /// `early` and `rest` were read already, of the client and of the upstream.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        ends: [Stream; 2],
        [early, rest]: [Bytes; 2],
        idle: Duration,
        moved: Option<Moved>,
    ) -> Relay {
        let way =
            |read: Bytes| Way { read: read.len() as u64, buffer: read.into(), ..Way::default() };
        let timer = worker.timers.timer();
        timer.arm(idle);
        let ways = [way(early), way(rest)];
        let worker = worker.clone();
        Relay { worker, ends, ways, timer, idle, moved, gate: None, first: None }
    }

    /// Bytes read from the client, and written to it.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.ways[0].read, self.ways[1].written)
    }

    /// The client's connection goes on with one of the upstream's.
    pub(crate) fn join(&mut self, upstream: Stream) {
        self.ends[1] = upstream;
        self.timer.arm(self.idle);
    }

    /// Joins them until the end.
    pub(crate) async fn run(&mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Leaves both sides: a client that may still be writing gets what has come through for it; one whose
    /// connection could not go on is told that it broke off, and so is the upstream.
    pub(crate) async fn leave(&mut self, end: End) {
        match end {
            End::Whole => return,
            End::Idle | End::Failed => {
                return self.ends.iter_mut().for_each(|end| end.take().reset());
            }
            End::Broken(_) => {}
            End::Closed => {
                self.timer.arm(LEAVE);
                let way = &mut self.ways[1];
                poll_fn(|cx| match way.write(cx, &mut self.ends[0]) {
                    Poll::Ready(_) => Poll::Ready(()),
                    Poll::Pending => self.timer.poll(cx),
                })
                .await;
            }
        }
        drop(self.ends[1].take());
        linger(&self.worker, &mut self.ends[0]).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let before = self.sum();
        let mut over = true;
        for from in [Side::Client, Side::Upstream] {
            match self.go(cx, from) {
                Ok(is_over) => over &= is_over,
                Err(end) => return Poll::Ready(end),
            }
        }
        if over {
            return Poll::Ready(match (self.ways[0].refused, self.ways[1].refused) {
                (false, false) => End::Whole,
                (true, _) => End::Broken(Side::Upstream),
                (false, true) => End::Broken(Side::Client),
            });
        }
        self.wait(cx, before)
    }

    /// Waits for something to move, but not for ever.
    fn wait(&mut self, cx: &mut Context<'_>, before: u64) -> Poll<End> {
        if self.sum() != before {
            self.timer.arm(self.idle);
        }
        self.timer.poll(cx).map(|()| End::Idle)
    }

    /// Grows with each byte that moves.
    fn sum(&self) -> u64 {
        self.ways.iter().map(|way| way.read + way.written).sum()
    }

    /// Filters see what the client sends, until all of them have let the connection through.
    pub(crate) async fn open(&mut self) -> Result<(), End> {
        poll_fn(|cx| {
            let before = self.sum();
            if self.sift(cx, Side::Client, None)? {
                return Poll::Ready(Ok(()));
            }
            while self.takes(Side::Client) {
                match self.read(cx, Side::Client) {
                    Poll::Ready(Ok(true)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(false)) => {}
                    Poll::Ready(Err(end)) => return Poll::Ready(Err(end)),
                    Poll::Pending => break,
                }
            }
            self.wait(cx, before).map(Err)
        })
        .await
    }

    /// Waits for an upstream while filters may have something to do.
    pub(crate) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            match self.sift(cx, Side::Client, None) {
                Ok(_) => Poll::Pending,
                Err(end) => Poll::Ready(Err(end)),
            }
        })
        .await
    }

    /// Whether more is to be read of a side.
    fn takes(&self, from: Side) -> bool {
        let full = self.gate.as_ref().is_some_and(|gate| gate.is_full(from));
        !self.ways[from as usize].silent && !full
    }

    /// Moves what moves in one direction: whether it is over.
    fn go(&mut self, cx: &mut Context<'_>, from: Side) -> Result<bool, End> {
        if self.ways[from as usize].over {
            return Ok(true);
        }
        self.sift(cx, from, None)?;
        for _ in 0..TURNS {
            let way = &mut self.ways[from as usize];
            match way.write(cx, &mut self.ends[1 - from as usize]) {
                Poll::Pending => return Ok(false),
                // What the other side said before it went is on its way still, and comes through.
                Poll::Ready(Err(Gone)) => (way.silent, way.ended, way.refused) = (true, true, true),
                Poll::Ready(Ok(())) => {}
            }
            if way.ended {
                way.over = true;
                self.worker.buffers.put(std::mem::take(&mut way.buffer));
                return Ok(true);
            }
            let read = match self.takes(from) {
                true => self.read(cx, from),
                false => Poll::Pending,
            };
            if read?.is_pending() {
                let way = &mut self.ways[from as usize];
                self.worker.buffers.put(std::mem::take(&mut way.buffer));
                return Ok(false);
            }
        }
        cx.waker().wake_by_ref();
        Ok(false)
    }

    /// Reads once of a side, through the filters: whether they have let the connection through.
    fn read(&mut self, cx: &mut Context<'_>, from: Side) -> Poll<Result<bool, End>> {
        let way = &mut self.ways[from as usize];
        let (source, fresh) = (&mut self.ends[from as usize], way.buffer.len());
        let read = match ready!(way.read(cx, source, &self.worker.buffers)) {
            Ok(read) => read,
            Err(Gone) => {
                // Who was in the midst of something should not take this for its end.
                self.ends[1 - from as usize].take().reset();
                return Poll::Ready(Err(End::Broken(from)));
            }
        };
        match read {
            0 => {
                way.silent = true;
                self.first.get_or_insert(from);
            }
            read => {
                if let Some(moved) = &self.moved {
                    moved[from as usize].fetch_add(read, Ordering::Relaxed);
                }
            }
        }
        Poll::Ready(self.sift(cx, from, Some((fresh, read == 0))))
    }

    /// Has the filters look at what was read, where in the buffer that begins and whether it is the last,
    /// and takes what they let go: whether they have let the connection through.
    fn sift(
        &mut self,
        cx: &mut Context<'_>,
        from: Side,
        read: Option<(usize, bool)>,
    ) -> Result<bool, End> {
        let way = &mut self.ways[from as usize];
        let Some(gate) = &mut self.gate else {
            way.ended = way.silent;
            return Ok(true);
        };
        let mut chunk = Chunk::default();
        if let Some((fresh, last)) = read {
            chunk = Chunk { data: Bytes::copy_from_slice(&way.buffer[fresh..]), last };
            way.buffer.truncate(fresh);
        }
        let passed = gate.sift(cx, from, &mut chunk);
        way.buffer.extend_from_slice(&chunk.data);
        way.ended |= chunk.last;
        match passed {
            Poll::Pending => Ok(false),
            Poll::Ready(Passed::Closed) => Err(End::Closed),
            Poll::Ready(Passed::Failed) => Err(End::Failed),
            Poll::Ready(_) => Ok(true),
        }
    }
}

/// A side is not there any more.
struct Gone;

impl Way {
    /// Writes all that was read, and its end.
    fn write(&mut self, cx: &mut Context<'_>, sink: &mut Stream) -> Poll<Result<(), Gone>> {
        while self.at < self.buffer.len() {
            let rest = IoSlice::new(&self.buffer[self.at..]);
            match ready!(sink.poll_write(cx, &[rest])) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Gone)),
                Ok(count) => {
                    self.at += count;
                    self.written += count as u64;
                    self.dirty = true;
                }
            }
        }
        self.buffer.clear();
        self.at = 0;
        if self.dirty {
            ready!(sink.poll_flush(cx)).map_err(|_| Gone)?;
            self.dirty = false;
        }
        if self.ended && !self.refused {
            // Who has closed already need not be told.
            drop(ready!(sink.poll_shutdown(cx)));
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once; nothing is held for that while there is nothing to read.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Stream,
        buffers: &Buffers,
    ) -> Poll<Result<u64, Gone>> {
        ready!(source.poll_readable(cx));
        match self.buffer.capacity() {
            0 => self.buffer = buffers.take(),
            // The last read has filled it: there is much to read.
            filled if filled == self.last => self.buffer.reserve(BUFFER_MAX),
            _ => {}
        }
        let count = match ready!(source.poll_read(cx, &mut self.buffer)) {
            Ok(count) => count,
            // TLS that ends without saying so ends, for nginx and Envoy, too.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(_) => return Poll::Ready(Err(Gone)),
        };
        self.last = count;
        self.read += count as u64;
        Poll::Ready(Ok(count as u64))
    }
}
