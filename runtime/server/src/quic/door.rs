//! A UDP socket that can be left alone: what comes stays in the kernel's queue for who reads it later,
//! or goes to the process that has the connection.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::passage::{FromHeir, Passage};

/// It is read.
const OPEN: u8 = 0;
/// It is read, and a process before this one gets what is its own.
const SIFTED: u8 = 1;
/// Nothing is read.
const SHUT: u8 = 2;
/// The process after this one reads it, and passes on what is ours.
const LEFT: u8 = 3;

/// See the module. All calls come from one worker.
#[derive(Debug)]
pub(super) struct Door {
    socket: Arc<dyn AsyncUdpSocket>,
    passage: Passage,
    state: AtomicU8,
    /// Who waits for something to read: it may come another way meanwhile.
    reader: Mutex<Option<Waker>>,
    heir: Mutex<Option<FromHeir>>,
}

impl Door {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, passage: Passage) -> Arc<Door> {
        let state = AtomicU8::new(if passage.has_elder() { SIFTED } else { OPEN });
        Arc::new(Door { socket, passage, state, reader: Mutex::default(), heir: Mutex::default() })
    }

    /// From now on nothing is read.
    pub(super) fn shut(&self) {
        self.turn(SHUT);
    }

    /// It is read again.
    pub(super) fn open(&self) {
        self.turn(if self.passage.has_elder() { SIFTED } else { OPEN });
    }

    /// Another process reads it, from which we get what is ours.
    pub(super) fn leave(&self) {
        if self.state.load(Ordering::Relaxed) != LEFT {
            *locked(&self.heir) = self.passage.arriving();
            self.turn(LEFT);
        }
    }

    fn turn(&self, state: u8) {
        if self.state.swap(state, Ordering::Relaxed) != state
            && let Some(reader) = locked(&self.reader).take()
        {
            reader.wake();
        }
    }

    /// Reads as a process does that has others beside it.
    #[cold]
    fn poll_beside(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let state = self.state.load(Ordering::Relaxed);
        if state == SHUT {
            return Poll::Pending;
        }
        let mut heir = locked(&self.heir);
        let mut count = match &*heir {
            Some(heir) => ready!(heir.poll_recv(cx, buffers, meta)),
            None => 0,
        };
        if count == 0 {
            // The heir has gone first, or there is none: it is ours alone.
            *heir = None;
            count = ready!(self.socket.poll_recv(cx, buffers, meta))?;
        }
        self.passage.sift(buffers, &mut meta[..count]);
        Poll::Ready(Ok(count))
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncUdpSocket for Door {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let read = match self.state.load(Ordering::Relaxed) {
            OPEN => self.socket.poll_recv(cx, buffers, meta),
            _ => self.poll_beside(cx, buffers, meta),
        };
        if read.is_pending() {
            *locked(&self.reader) = Some(cx.waker().clone());
        }
        read
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}
