//! What a connection has said and no script has taken yet, and what scripts ask for of it.

use std::rc::Rc;

use super::until::{Found, Pattern, Search};

/// Bytes read ahead.
#[derive(Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// Those before are taken.
    from: usize,
}

/// What a script asks for.
#[derive(Clone)]
pub(crate) enum Want {
    /// Up to the next line's end.
    Line,
    /// All that comes until the peer ends.
    All,
    /// So many bytes.
    Exactly(usize),
    /// What is there, at most so many bytes.
    Any(usize),
    /// Up to a text, or (not 0) so many bytes of what is before it.
    Until { pattern: Rc<Pattern>, size: usize, inclusive: bool },
}

/// A want on its way.
pub(crate) struct Reading {
    want: Want,
    /// How far a line's end was looked for.
    seen: usize,
    search: Search,
}

/// What a want came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) bytes: Vec<u8>,
    /// It ended at the text that it goes up to.
    pub(crate) at_text: bool,
}

impl Input {
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.from..]
    }

    /// The place where the next bytes go.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        if self.from == self.bytes.len() {
            self.clear();
        } else if self.from > self.bytes.len() / 2 {
            self.bytes.drain(..self.from);
            self.from = 0;
        }
        &mut self.bytes
    }

    /// Takes the first `count` bytes.
    fn take(&mut self, count: usize) -> Vec<u8> {
        if self.from == 0 && count == self.bytes.len() {
            return std::mem::take(&mut self.bytes);
        }
        let taken = self.unread()[..count].to_vec();
        self.skip(count);
        taken
    }

    pub(super) fn skip(&mut self, count: usize) {
        self.from += count;
    }

    /// Forgets what is there.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.from = 0;
    }
}

impl Reading {
    pub(crate) fn new(want: Want) -> Reading {
        Reading { want, seen: 0, search: Search::default() }
    }

    /// Takes what is wanted, if it is there.
    pub(crate) fn take(&mut self, input: &mut Input) -> Option<Data> {
        let there = input.unread().len();
        let plain = |bytes| Data { bytes, at_text: false };
        match &self.want {
            Want::Line => {
                let Some(end) = memchr::memchr(b'\n', &input.unread()[self.seen..]) else {
                    self.seen = there;
                    return None;
                };
                let mut line = input.take(self.seen + end + 1);
                line.pop();
                Some(plain(without_returns(line)))
            }
            Want::All => None,
            Want::Exactly(count) => (there >= *count).then(|| plain(input.take(*count))),
            Want::Any(most) => (there > 0).then(|| plain(input.take(there.min(*most)))),
            Want::Until { pattern, size, inclusive } => {
                let (before, at_text) = match pattern.find(&mut self.search, input.unread(), *size)
                {
                    Found::More => return None,
                    Found::Text(before) => (before, true),
                    Found::Enough(before) => (before, false),
                };
                let text = if at_text { pattern.text().len() } else { 0 };
                let kept = if *inclusive { text } else { 0 };
                let bytes = input.take(before + kept);
                input.skip(text - kept);
                Some(Data { bytes, at_text })
            }
        }
    }

    /// Whether the peer's end is the end of what is wanted.
    pub(crate) fn ends_with_peer(&self) -> bool {
        matches!(self.want, Want::All)
    }

    /// Bytes to ask the system for, where a buffer has `size`.
    pub(crate) fn chunk(&self, input: &Input, size: usize) -> usize {
        const LARGE: usize = 64 * 1024;
        let missing = match self.want {
            Want::Exactly(count) => count - input.unread().len().min(count),
            Want::All => input.unread().len(),
            _ => 0,
        };
        missing.clamp(size, LARGE.max(size))
    }

    /// Takes what came of it, which is not all.
    pub(crate) fn rest(&self, input: &mut Input) -> Vec<u8> {
        let there = input.unread().len();
        match self.want {
            Want::Line => without_returns(input.take(there)),
            Want::Until { .. } => input.take(self.search.passed()),
            _ => input.take(there),
        }
    }
}

/// Carriage returns are no part of a line, wherever they stand.
fn without_returns(mut line: Vec<u8>) -> Vec<u8> {
    line.retain(|byte| *byte != b'\r');
    line
}

#[cfg(test)]
mod tests;
