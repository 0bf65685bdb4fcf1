//! A body as a filter sees it: what has gathered while it paused, with the chunk that passes.

use bytes::{Bytes, BytesMut};
use pilotlight_abi::limit::BODY_COLLECT;

use super::abi::Status;

/// The bytes that a filter may look at and change.
#[derive(Default)]
pub(crate) struct Held {
    bytes: Bytes,
    /// What was let through since, and has not gone yet.
    released: Bytes,
    /// Bytes to come that the filter has seen while it held the head.
    pub(crate) seen: usize,
    /// A callback of this body has run: its instance knows something that a new one would not.
    pub(crate) begun: bool,
}

impl Held {
    /// A chunk has come. `released`: what was held goes on, whatever becomes of the chunk.
    pub(crate) fn push(&mut self, chunk: Bytes, released: bool) {
        self.begun = true;
        if released {
            append(&mut self.released, std::mem::take(&mut self.bytes));
        }
        append(&mut self.bytes, chunk);
    }

    /// Whether a filter may hold as much.
    pub(crate) fn fits(&self) -> bool {
        self.bytes.len() as u64 <= BODY_COLLECT
    }

    /// What goes on, whatever is held back.
    pub(crate) fn take_released(&mut self) -> Bytes {
        std::mem::take(&mut self.released)
    }

    /// What is held back goes nowhere.
    pub(crate) fn drop_held(&mut self) {
        self.bytes = Bytes::new();
    }

    /// What is to go on.
    pub(crate) fn take(&mut self) -> Bytes {
        let mut all = self.take_released();
        append(&mut all, std::mem::take(&mut self.bytes));
        all
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Replaces `size` bytes from `start`: both are cut to what is there, so that 0, 0 puts in
    /// front, a large start appends, and 0 with a large size replaces all.
    pub(crate) fn splice(&mut self, start: usize, size: usize, data: &[u8]) -> Status {
        let start = start.min(self.bytes.len());
        let end = start.saturating_add(size).min(self.bytes.len());
        let length = self.bytes.len() - (end - start) + data.len();
        if length as u64 > BODY_COLLECT {
            return Status::BadArgument;
        }
        if start == self.bytes.len() {
            append(&mut self.bytes, Bytes::copy_from_slice(data));
            return Status::Ok;
        }
        let mut whole = BytesMut::with_capacity(length);
        whole.extend_from_slice(&self.bytes[..start]);
        whole.extend_from_slice(data);
        whole.extend_from_slice(&self.bytes[end..]);
        self.bytes = whole.freeze();
        Status::Ok
    }
}

/// Puts bytes behind others, in place where those are nobody else's.
pub(super) fn append(to: &mut Bytes, bytes: Bytes) {
    if to.is_empty() {
        *to = bytes;
    } else if !bytes.is_empty() {
        let own = std::mem::take(to).try_into_mut();
        let mut whole = own.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        whole.extend_from_slice(&bytes);
        *to = whole.freeze();
    }
}
