//! Counts what costs us work and the peer nothing: floods of PING, SETTINGS, PRIORITY, empty DATA and
//! unknown frames (CVE-2019-9512 and its kin), streams opened to be reset (CVE-2023-44487), and
//! streams that we are made to reset (CVE-2025-8671).

use super::frame::{self, Header};
use crate::clock::Clock;

/// A connection's score of such frames. It leaks away with time and with bytes that we send.
pub(super) struct Guard {
    clock: Clock,
    score: u32,
    leaked: u64,
    provoked: u32,
    unseen: u32,
}

/// Past this, the connection ends.
const CALM: u32 = 150;
/// Points that leak away in a second.
const LEAK: u64 = 50;
/// Bytes sent that pay for a point: peers ping and widen windows while they download.
const PAID: usize = 1024;
/// Streams that the peer may make us reset.
const PROVOKED_MAX: u32 = 200;
/// Streams that the peer may reset before we have looked at them.
const UNSEEN_MAX: u32 = 20;

/// What a frame costs, by its type (RFC 9113 section 6) and whether it is empty.
fn weight(header: Header) -> u32 {
    match header.kind {
        // An empty one that does not end the stream says nothing.
        frame::DATA => u32::from(header.length == 0 && !header.has(frame::END_STREAM)),
        // These have limits of their own.
        frame::HEADERS | frame::RST_STREAM | frame::WINDOW_UPDATE | frame::CONTINUATION => 0,
        // Each is answered, and may touch every stream.
        frame::SETTINGS => 4,
        _ => 1,
    }
}

impl Guard {
    pub(super) fn new(clock: Clock) -> Guard {
        Guard { clock, score: 0, leaked: 0, provoked: 0, unseen: 0 }
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.score > CALM || self.provoked > PROVOKED_MAX || self.unseen > UNSEEN_MAX
    }

    /// A frame has come.
    pub(super) fn frame(&mut self, header: Header) {
        self.add(weight(header));
    }

    /// A stream beyond the limit was refused.
    pub(super) fn refused(&mut self) {
        self.add(1);
    }

    /// The peer made us reset a stream.
    pub(super) fn provoked(&mut self) {
        self.provoked += 1;
    }

    /// The peer reset a stream that nobody has looked at.
    pub(super) fn unseen(&mut self) {
        self.unseen += 1;
    }

    /// All streams have been looked at.
    pub(super) fn seen(&mut self) {
        self.unseen = 0;
    }

    fn add(&mut self, points: u32) {
        if points > 0 {
            let tick = self.clock.millis() * LEAK / 1000;
            let leak = tick.saturating_sub(std::mem::replace(&mut self.leaked, tick));
            let left = self.score.saturating_sub(u32::try_from(leak).unwrap_or(u32::MAX));
            self.score = left.saturating_add(points);
        }
    }

    /// Bytes were sent.
    pub(super) fn pay(&mut self, bytes: usize) {
        let paid = u32::try_from(bytes / PAID).unwrap_or(u32::MAX);
        self.score = self.score.saturating_sub(paid);
    }
}

#[cfg(test)]
mod tests;
