//! What waits to be written: frames of many streams in one run of bytes, bodies as slices between.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::frame::{self, HEADER};
use super::hpack;

/// Bytes that wait before streams are asked for no more.
pub(super) const WIRE_MAX: usize = 64 * 1024;
/// Slices up to this size are copied among our own bytes.
const COPY_MAX: usize = 1024;
/// Slices of one write.
const SLICES: usize = 64;
/// Bytes of a fresh buffer.
const FRESH: usize = 2 * 1024;
/// Bytes that are sent and stay, lest others move for each write.
const SENT_MAX: usize = 4 * 1024;

/// The queue of bytes to a peer. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(super) struct Wire {
    own: Vec<u8>,
    /// Slices of bodies: how far `own` goes before each.
    slices: VecDeque<(usize, Bytes)>,
    /// Bytes of `own` that are sent.
    sent: usize,
    pending: usize,
    /// Bytes of `own` before its first one now, over the connection's life.
    base: u64,
    /// A field block has been written.
    coded: bool,
}

impl Wire {
    /// Bytes that wait.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Whether there is room for more of what can wait.
    pub(super) fn has_room(&self) -> bool {
        self.pending < WIRE_MAX
    }

    /// Adds frames.
    #[inline]
    pub(super) fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.own.capacity() == 0 {
            self.own.reserve(FRESH);
        }
        let before = self.own.len();
        write(&mut self.own);
        self.pending += self.own.len() - before;
    }

    /// Adds bytes of a body.
    pub(super) fn slice(&mut self, bytes: Bytes) {
        if bytes.len() <= COPY_MAX {
            return self.put(|out| out.extend_from_slice(&bytes));
        }
        self.pending += bytes.len();
        self.slices.push_back((self.own.len(), bytes));
    }

    /// Adds HEADERS; gives the place of its flags.
    pub(super) fn block(&mut self, stream: u32, flags: u8, fill: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let first = !std::mem::replace(&mut self.coded, true);
        let at = self.own.len();
        self.put(|out| {
            out.extend_from_slice(&[0; HEADER]);
            if first {
                out.push(hpack::NO_TABLE);
            }
            fill(out);
            frame::close_block(out, at, stream, flags);
        });
        self.base + at as u64 + 4
    }

    /// Adds a flag to a frame, unless it is on its way already.
    pub(super) fn flag(&mut self, place: u64, flag: u8) -> bool {
        let unsent = place.checked_sub(self.base + self.sent as u64).is_some();
        let at = usize::try_from(place.saturating_sub(self.base)).unwrap_or(usize::MAX);
        match self.own.get_mut(at) {
            Some(flags) if unsent => {
                *flags |= flag;
                true
            }
            _ => false,
        }
    }

    /// What comes next, in order.
    pub(super) fn gather<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let (mut count, mut from) = (0, self.sent);
        for (until, slice) in self.slices.iter().take(SLICES / 2 - 1) {
            if *until > from {
                slices[count] = IoSlice::new(&self.own[from..*until]);
                count += 1;
            }
            slices[count] = IoSlice::new(slice);
            (count, from) = (count + 1, *until);
        }
        if self.slices.len() < SLICES / 2 && from < self.own.len() {
            slices[count] = IoSlice::new(&self.own[from..]);
            count += 1;
        }
        write(&slices[..count])
    }

    /// So many bytes were written.
    pub(super) fn advance(&mut self, mut bytes: usize) {
        self.pending -= bytes;
        while let Some((until, slice)) = self.slices.front_mut() {
            let own = bytes.min(*until - self.sent);
            (self.sent, bytes) = (self.sent + own, bytes - own);
            let part = bytes.min(slice.len());
            slice.advance(part);
            bytes -= part;
            if !slice.is_empty() {
                break;
            }
            self.slices.pop_front();
        }
        self.sent += bytes;
        if self.pending == 0 {
            self.base += self.own.len() as u64;
            (self.own, self.slices, self.sent) = (Vec::new(), VecDeque::new(), 0);
        } else if self.sent > SENT_MAX {
            self.own.drain(..self.sent);
            self.base += self.sent as u64;
            self.slices.iter_mut().for_each(|(until, _)| *until -= self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests;
