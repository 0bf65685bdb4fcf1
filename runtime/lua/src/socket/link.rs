//! An open connection, whoever holds it.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;

use pilotlight_filter::abi::limit;
use pilotlight_filter::host::Socket;
use pilotlight_filter::host::socket::TlsSession;

/// A connection and what is known of it.
pub(crate) struct Link {
    pub(crate) socket: Box<dyn Socket>,
    /// How log lines name its peer.
    pub(crate) name: Rc<str>,
    /// How often it came out of a pool.
    pub(crate) reused: u32,
    /// There after a handshake.
    pub(crate) session: Option<TlsSession>,
    pub(crate) open: Open,
}

/// One of a VM's connections: counted until it is dropped.
pub(crate) struct Open(Rc<Cell<usize>>);

impl Open {
    /// `None` when there are too many.
    pub(crate) fn one_more(count: &Rc<Cell<usize>>) -> Option<Open> {
        let before = count.get();
        (before < limit::LUA_SOCKETS).then(|| {
            count.set(before + 1);
            Open(count.clone())
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Link {
    /// Whether it is open and has nothing to say. Wakes the task when that changes.
    pub(crate) fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        // A byte that comes here is lost, and so is the connection: nobody asked for it.
        self.socket.poll_read(cx, &mut Vec::new(), 1).is_pending()
    }
}
