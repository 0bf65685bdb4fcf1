//! Compiled patterns, found by their text and flags. When there is no room, one goes that was not
//! used since the hand came by last.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use pilotlight_filter::abi::limit::REGEX_BYTES;

use super::code::{Code, Mistake};
use super::flags::{COMPILED, MACHINE};
use super::template::Template;

/// The patterns of a VM.
pub(super) struct Cache {
    /// By the hash of text and flags; of two with the same hash the later one stays.
    places: HashMap<u64, usize, FixedState>,
    entries: Vec<Entry>,
    hand: usize,
    bytes: usize,
    most: usize,
    /// Where patterns were found last, by where their text lies: Lua has each text once.
    recent: [usize; RECENT],
}

/// A power of two.
const RECENT: usize = 32;

struct Entry {
    hash: u64,
    pattern: Box<[u8]>,
    flags: u32,
    used: bool,
    size: usize,
    code: Code,
    /// What took the place of its matches last: most patterns have one replacement.
    template: Option<Template>,
}

impl Cache {
    /// A cache of at most so many patterns, with a seed against patterns that collide.
    pub(super) fn new(most: usize, seed: u64) -> Cache {
        Cache {
            places: HashMap::with_hasher(FixedState::with_seed(seed)),
            entries: Vec::new(),
            hand: 0,
            bytes: 0,
            most: most.max(1),
            recent: [0; RECENT],
        }
    }

    /// A pattern by its place.
    #[inline]
    pub(super) fn code(&self, place: usize) -> Option<&Code> {
        self.entries.get(place).map(|entry| &entry.code)
    }

    /// The replacement `source`, for matches of the pattern at `place`: to be put back there.
    pub(super) fn take_template(
        &mut self,
        place: usize,
        source: &[u8],
    ) -> Result<Template, Vec<u8>> {
        let kept = self.entries.get_mut(place).and_then(|entry| entry.template.take());
        match kept.filter(|template| template.is_of(source)) {
            Some(template) => Ok(template),
            None => Template::read(source),
        }
    }

    pub(super) fn keep_template(&mut self, place: usize, template: Template) {
        if let Some(entry) = self.entries.get_mut(place).filter(|_| template.is_small()) {
            entry.template = Some(template);
        }
    }

    /// The place of a pattern, compiled now if it was not.
    pub(super) fn find(&mut self, pattern: &[u8], flags: u32) -> Result<usize, Mistake> {
        let compiled = flags & COMPILED;
        let recent = pattern.as_ptr().addr() / 16 % RECENT;
        let place = match self.recent[recent] {
            place if self.is_at(place, pattern, compiled) => place,
            _ => self.look_up(pattern, compiled)?,
        };
        self.recent[recent] = place;
        let entry = &mut self.entries[place];
        entry.used = true;
        if entry.code.warm(flags & MACHINE != 0) {
            let size = entry.code.size();
            self.bytes = self.bytes - entry.size + size;
            entry.size = size;
        }
        Ok(place)
    }

    #[inline]
    fn is_at(&self, place: usize, pattern: &[u8], flags: u32) -> bool {
        let entry = self.entries.get(place);
        entry.is_some_and(|entry| entry.flags == flags && *entry.pattern == *pattern)
    }

    fn look_up(&mut self, pattern: &[u8], flags: u32) -> Result<usize, Mistake> {
        let hash = self.places.hasher().hash_one((pattern, flags));
        match self.places.get(&hash).copied() {
            Some(place) if self.is_at(place, pattern, flags) => Ok(place),
            _ => self.insert(hash, pattern, flags),
        }
    }

    #[cold]
    fn insert(&mut self, hash: u64, pattern: &[u8], flags: u32) -> Result<usize, Mistake> {
        let code = Code::new(pattern, flags)?;
        if let Some(place) = self.places.get(&hash).copied() {
            self.remove(place);
        }
        while !self.entries.is_empty()
            && (self.entries.len() >= self.most || self.bytes + code.size() > REGEX_BYTES)
        {
            self.evict();
        }
        let (size, place) = (code.size(), self.entries.len());
        let (pattern, template) = (pattern.into(), None);
        self.entries.push(Entry { hash, pattern, flags, used: true, size, code, template });
        self.places.insert(hash, place);
        self.bytes += size;
        Ok(place)
    }

    /// Takes one away: the first from the hand on that was not used; the hand forgets who was.
    fn evict(&mut self) {
        loop {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            if !std::mem::take(&mut self.entries[self.hand].used) {
                return self.remove(self.hand);
            }
            self.hand += 1;
        }
    }

    /// The last takes its place.
    fn remove(&mut self, place: usize) {
        let gone = self.entries.swap_remove(place);
        self.places.remove(&gone.hash);
        self.bytes -= gone.size;
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.hash, place);
        }
    }

    /// Whether a pattern without flags is there.
    #[cfg(test)]
    pub(super) fn holds(&self, pattern: &[u8]) -> bool {
        self.entries.iter().any(|entry| *entry.pattern == *pattern && entry.flags == 0)
    }

    /// How many patterns it holds, and their bytes.
    #[cfg(test)]
    pub(super) fn load(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }
}
