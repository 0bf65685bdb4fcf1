//! What the wildcards of a path, or the groups of an expression, matched, as ranges into it.

use std::ops::Range;

/// More wildcards than that match, and are not kept.
pub const MAX: usize = 8;

/// Up to [`MAX`] ranges.
#[derive(Debug, Clone, Copy, Default)]
pub struct Captures {
    len: u32,
    ranges: [(u32, u32); MAX],
}

impl Captures {
    /// How many there are.
    pub fn len(&self) -> usize {
        (self.len as usize).min(MAX)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes of a path that the `number`th wildcard matched, counted from 1 as templates do.
    /// Empty when there is no such wildcard, or the path is not the one that was matched.
    pub fn get<'p>(&self, number: usize, path: &'p [u8]) -> &'p [u8] {
        let range = number.checked_sub(1).and_then(|index| self.range(index));
        range.and_then(|range| path.get(range)).unwrap_or_default()
    }

    /// The bytes of each, in order.
    pub fn iter<'p>(&self, path: &'p [u8]) -> impl Iterator<Item = &'p [u8]> + use<'p> {
        let captures = *self;
        (1..=captures.len()).map(move |number| captures.get(number, path))
    }

    /// The range of the wildcard at `index`, counted from 0.
    pub fn range(&self, index: usize) -> Option<Range<usize>> {
        let (start, end) = *self.ranges[..self.len()].get(index)?;
        Some(start as usize..end as usize)
    }

    pub(super) fn push(&mut self, start: usize, end: usize) {
        if let Some(range) = self.ranges.get_mut(self.len as usize) {
            *range = (start as u32, end as u32);
        }
        self.len += 1;
    }

    pub(super) fn pop(&mut self) {
        self.len -= 1;
    }
}

/// What was pushed and popped again does not count.
impl PartialEq for Captures {
    fn eq(&self, other: &Captures) -> bool {
        self.ranges[..self.len()] == other.ranges[..other.len()]
    }
}

impl Eq for Captures {}
