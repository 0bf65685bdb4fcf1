//! What outlives sleep, as bytes: each part is written and read by whoever owns it.
//!
//! ```text
//! PLSTATE1 | SHA-256 of the rest | wall clock, monotonic clock | name, part | name, part | ...
//! ```
//! What can't be read is not there: the gateway starts without it, and says so.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use super::bed::memory_file;
use crate::clock;

const MAGIC: &[u8; 8] = b"PLSTATE1";
const SUM: usize = 32;
/// Bytes that are kept at most. Past them dictionaries lose what was used longest ago.
pub(crate) const STATE_MAX: usize = 64 << 20;

/// Writes numbers and bytes, one after the other.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(crate) fn float(&mut self, number: f64) {
        self.number(number.to_bits());
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A part with its name.
    pub(crate) fn part(&mut self, name: &str, write: impl FnOnce(&mut Writer)) {
        let mut part = Writer::default();
        write(&mut part);
        self.bytes(name.as_bytes());
        self.bytes(&part.0);
    }
}

/// Reads them again; `None` where there is no more.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    pub(crate) fn float(&mut self) -> Option<f64> {
        self.number().map(f64::from_bits)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes()?.try_into().ok()
    }
}

/// What was kept, checked.
pub(crate) struct State {
    /// How long ago.
    pub(crate) age: Duration,
    bytes: Vec<u8>,
}

/// What comes before the parts: magic, sum, two clocks.
const HEAD: usize = MAGIC.len() + SUM + 16;

impl State {
    /// `same_boot`: it was written since the kernel started, whose clock then counts.
    ///
    /// # Errors
    /// Why it can't be read.
    pub(crate) fn open(bytes: Vec<u8>, same_boot: bool) -> Result<State, &'static str> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("of another version")?;
        let (sum, body) = rest.split_at_checked(SUM).ok_or("too short")?;
        if digest(&SHA256, body).as_ref() != sum {
            return Err("damaged");
        }
        let mut parts = Reader(body);
        let (wall, monotonic) = parts.number().zip(parts.number()).ok_or("too short")?;
        let (now, then) = match same_boot {
            true => (clock::monotonic(), monotonic),
            // A clock that was set back meanwhile has not made it younger than new.
            false => (clock::wall().as_nanos() as u64, wall),
        };
        Ok(State { age: Duration::from_nanos(now.saturating_sub(then)), bytes })
    }

    /// The parts by their names, in the order in which they were written.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&str, Reader<'_>)> {
        let mut left = Reader(self.bytes.get(HEAD..).unwrap_or_default());
        std::iter::from_fn(move || Some((left.text()?, Reader(left.bytes()?))))
    }
}

/// The whole, as bytes.
pub(crate) fn written(parts: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut body = Writer::default();
    body.number(clock::wall().as_nanos() as u64);
    body.number(clock::monotonic());
    parts(&mut body);
    [MAGIC, digest(&SHA256, &body.0).as_ref(), &body.0].concat()
}

/// The whole, in memory that outlives the program.
///
/// # Errors
/// As the system says.
pub(crate) fn file(bytes: &[u8]) -> io::Result<OwnedFd> {
    memory_file(c"pilotlight-state", bytes)
}

#[cfg(test)]
mod tests;
