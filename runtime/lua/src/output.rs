//! What a script has written of its answer and the client has not yet.

use std::cell::{Cell, RefCell};

use bytes::{Bytes, BytesMut};
use pilotlight_filter::Frame;

/// Written bytes past which a script waits for the client.
const HIGH_WATER: usize = 64 * 1024;

/// The answer of a script that writes it piece by piece (`ngx.print`).
#[derive(Default)]
pub(crate) struct Output {
    written: RefCell<BytesMut>,
    /// The head stands: what follows is body.
    begun: Cell<bool>,
    /// The script has said that it writes no more.
    ended: Cell<bool>,
    /// Bytes that the head promises.
    length: Cell<Option<u64>>,
    /// All that was written has left.
    flushed: Cell<bool>,
}

impl Output {
    pub(crate) fn begin(&self) {
        self.begun.set(true);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    pub(crate) fn end(&self) {
        self.ended.set(true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    pub(crate) fn promise(&self, length: Option<u64>) {
        self.length.set(length);
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.length.get()
    }

    /// Takes text; true when the script should wait until it has left.
    pub(crate) fn write(&self, text: &[u8]) -> bool {
        let mut written = self.written.borrow_mut();
        written.extend_from_slice(text);
        self.flushed.set(false);
        written.len() >= HIGH_WATER
    }

    /// All that was written, to be sent.
    pub(crate) fn take(&self) -> Bytes {
        self.written.borrow_mut().split().freeze()
    }

    /// The next frame, when something was written.
    pub(crate) fn frame(&self) -> Option<Frame> {
        let bytes = self.take();
        (!bytes.is_empty()).then_some(Frame::Data(bytes))
    }

    /// Notes whether what was taken has left.
    pub(crate) fn flushed(&self, flushed: bool) {
        self.flushed.set(flushed && self.written.borrow().is_empty());
    }

    /// Whether all that was written has left.
    pub(crate) fn is_drained(&self) -> bool {
        self.flushed.get()
    }
}
