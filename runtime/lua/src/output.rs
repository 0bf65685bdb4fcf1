//! What a script has written of its answer and the client has not yet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pilotlight_filter::Frame;
use pilotlight_filter::abi::limit;

/// Bytes that count as a millisecond of the script's time: their way to the client is work that it
/// makes and another part of the worker does.
const BYTES_A_MILLISECOND: u64 = 4 << 20;
/// Written bytes past which a script waits for the client.
const HIGH_WATER: usize = 64 * 1024;

/// The answer of a script that writes it piece by piece (`ngx.print`).
#[derive(Default)]
pub(crate) struct Output {
    written: RefCell<BytesMut>,
    /// Where it was cut, as lengths, for filters that see each piece by itself.
    cuts: RefCell<VecDeque<usize>>,
    /// The head stands: what follows is body.
    begun: Cell<bool>,
    /// The script has said that it writes no more.
    ended: Cell<bool>,
    /// Nothing leaves before the script has ended, so that the length is known (HTTP/1.0).
    held: Cell<bool>,
    /// Nobody takes it any more.
    gone: Cell<bool>,
    /// Bytes that the head promises.
    length: Cell<Option<u64>>,
    /// All that was written has left.
    flushed: Cell<bool>,
    /// Bytes that the script's time does not hold yet.
    uncounted: Cell<u64>,
}

impl Output {
    /// Whether nobody else has it, and nobody has written or said anything.
    pub(crate) fn is_unused(this: &Rc<Output>) -> bool {
        let said = this.begun.get() || this.ended.get() || this.held.get() || this.gone.get();
        Rc::strong_count(this) == 1
            && !said
            && this.length.get().is_none()
            && this.written.borrow().capacity() == 0
            && this.cuts.borrow().is_empty()
    }

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

    /// The client has left: what is written from here on is lost, and its script learns of it.
    pub(crate) fn lose(&self) {
        drop(self.take());
        self.gone.set(true);
        self.flushed.set(true);
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.gone.get()
    }

    pub(crate) fn hold(&self, held: bool) {
        self.held.set(held);
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.get()
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
        self.uncounted.set(self.uncounted.get() + text.len() as u64);
        self.flushed.set(false);
        let most = if self.held.get() { limit::BODY_COLLECT as usize } else { HIGH_WATER };
        written.len() >= most
    }

    /// What it takes to send what was written since the last look.
    pub(crate) fn take_cost(&self) -> Duration {
        Duration::from_nanos(self.uncounted.take() * 1_000_000 / BYTES_A_MILLISECOND)
    }

    /// What was written since the last cut is a piece of its own.
    pub(crate) fn cut(&self) {
        let mut cuts = self.cuts.borrow_mut();
        let before: usize = cuts.iter().sum();
        let piece = self.written.borrow().len().saturating_sub(before);
        if piece > 0 {
            cuts.push_back(piece);
        }
    }

    /// Whether what was written is more than one piece.
    pub(crate) fn is_cut(&self) -> bool {
        self.cuts.borrow().len() > 1
    }

    /// All that was written, to be sent.
    pub(crate) fn take(&self) -> Bytes {
        self.cuts.borrow_mut().clear();
        self.written.borrow_mut().split().freeze()
    }

    /// The next frame, when something was written.
    pub(crate) fn frame(&self) -> Option<Frame> {
        let bytes = match self.cuts.borrow_mut().pop_front() {
            Some(piece) => self.written.borrow_mut().split_to(piece).freeze(),
            None => self.written.borrow_mut().split().freeze(),
        };
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
