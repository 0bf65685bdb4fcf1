//! One shard: a slab of entries, found by a chained hash table and linked in the order of use.
//!
//! ```text
//!   buckets  [ 3 | - | 0 ]         newest ─▶ 0 ⇄ 3 ⇄ 1 ◀─ oldest
//!              │       └─▶ entry 0
//!              └─▶ entry 3 ─chain─▶ entry 1
//! ```
//! All links are indexes into the slab; an entry is unlinked from both before its place is free.

use super::Stored;

const NONE: u32 = u32::MAX;

/// Entries that each write looks at for being expired, beside those it touches.
const SWEEP: usize = 4;

/// What an entry costs beside its key and value: its place in the slab, in the table, and what the
/// allocator adds to two allocations.
const OVERHEAD: usize = size_of::<Entry>() + 2 * size_of::<u32>() + 32;

/// It is larger than the shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Shard {
    /// Heads of chains; a power of two.
    buckets: Vec<u32>,
    entries: Vec<Entry>,
    /// First of the free places, linked by `chain`.
    free: u32,
    newest: u32,
    oldest: u32,
    len: usize,
    used: usize,
    budget: usize,
    /// Where the next sweep begins.
    hand: usize,
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    key: Box<[u8]>,
    value: Stored,
    /// When it expires; infinite: never. NaN marks a free place.
    until: f64,
    chain: u32,
    newer: u32,
    older: u32,
}

impl Entry {
    fn cost(key: &[u8], value: &Stored) -> usize {
        OVERHEAD + key.len() + value.size()
    }

    fn is_free(&self) -> bool {
        self.until.is_nan()
    }

    fn is_live(&self, now: f64) -> bool {
        now < self.until
    }
}

impl Shard {
    pub(super) fn new(budget: usize) -> Shard {
        Shard {
            buckets: Vec::new(),
            entries: Vec::new(),
            free: NONE,
            newest: NONE,
            oldest: NONE,
            len: 0,
            used: 0,
            budget,
            hand: 0,
        }
    }

    /// The value, now the newest. One that has expired is taken away.
    pub(super) fn get(&mut self, hash: u64, key: &[u8], now: f64) -> Option<&mut Stored> {
        let at = self.find(hash, key)?;
        if !self.entries[at as usize].is_live(now) {
            self.remove(at);
            return None;
        }
        self.touch(at);
        Some(&mut self.entries[at as usize].value)
    }

    /// Sets a value, and evicts until it fits. Nothing changes when it can't.
    pub(super) fn put(
        &mut self,
        hash: u64,
        key: &[u8],
        value: Stored,
        until: f64,
        now: f64,
    ) -> Result<(), Full> {
        let cost = Entry::cost(key, &value);
        if cost > self.budget {
            return Err(Full);
        }
        self.sweep(now);
        if let Some(at) = self.find(hash, key) {
            self.remove(at);
        }
        if now >= until {
            return Ok(());
        }
        while self.used + cost > self.budget && self.oldest != NONE {
            self.remove(self.oldest);
        }
        self.insert(Entry {
            hash,
            key: key.into(),
            value,
            until,
            chain: NONE,
            newer: NONE,
            older: NONE,
        });
        Ok(())
    }

    pub(super) fn delete(&mut self, hash: u64, key: &[u8]) {
        if let Some(at) = self.find(hash, key) {
            self.remove(at);
        }
    }

    /// Sets when a value expires; false when it is not there.
    pub(super) fn expire(&mut self, hash: u64, key: &[u8], until: f64, now: f64) -> bool {
        let Some(at) = self.find(hash, key) else { return false };
        let was_live = self.entries[at as usize].is_live(now);
        if was_live && now < until {
            self.entries[at as usize].until = until;
        } else {
            self.remove(at);
        }
        was_live
    }

    /// When a value expires.
    pub(super) fn until(&self, hash: u64, key: &[u8], now: f64) -> Option<f64> {
        let entry = &self.entries[self.find(hash, key)? as usize];
        entry.is_live(now).then_some(entry.until)
    }

    pub(super) fn keys(&self, now: f64) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter(move |entry| entry.is_live(now)).map(|entry| &*entry.key)
    }

    pub(super) fn flush(&mut self) {
        *self = Shard::new(self.budget);
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Takes away what has expired among the next few entries: all are seen in time, and no write
    /// waits for many.
    fn sweep(&mut self, now: f64) {
        for _ in 0..SWEEP.min(self.entries.len()) {
            self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
            let entry = &self.entries[self.hand];
            if !entry.is_free() && !entry.is_live(now) {
                self.remove(self.hand as u32);
            }
        }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let mut at = *self.buckets.get(self.bucket(hash))?;
        while let Some(entry) = self.entries.get(at as usize) {
            if entry.hash == hash && *entry.key == *key {
                return Some(at);
            }
            at = entry.chain;
        }
        None
    }

    fn bucket(&self, hash: u64) -> usize {
        hash as usize & self.buckets.len().wrapping_sub(1)
    }

    fn insert(&mut self, entry: Entry) {
        if self.len == self.buckets.len() {
            self.grow();
        }
        self.used += Entry::cost(&entry.key, &entry.value);
        self.len += 1;
        let bucket = self.bucket(entry.hash);
        let at = match self.entries.get_mut(self.free as usize) {
            Some(place) => {
                let at = self.free;
                self.free = place.chain;
                *place = entry;
                at
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.entries[at as usize].chain = std::mem::replace(&mut self.buckets[bucket], at);
        self.link(at);
    }

    fn remove(&mut self, at: u32) {
        self.unlink(at);
        let bucket = self.bucket(self.entries[at as usize].hash);
        let next = self.entries[at as usize].chain;
        let mut link = self.buckets[bucket];
        if link == at {
            self.buckets[bucket] = next;
        } else {
            while let Some(entry) = self.entries.get_mut(link as usize) {
                if entry.chain == at {
                    entry.chain = next;
                    break;
                }
                link = entry.chain;
            }
        }
        let entry = &mut self.entries[at as usize];
        self.used -= Entry::cost(&entry.key, &entry.value);
        self.len -= 1;
        // The bytes go at once; the place stays.
        (entry.key, entry.value, entry.until) = (Box::default(), Stored::Bool(false), f64::NAN);
        entry.chain = std::mem::replace(&mut self.free, at);
    }

    /// Twice as many buckets; each entry is chained anew.
    fn grow(&mut self) {
        let count = (self.buckets.len() * 2).max(8);
        self.buckets.clear();
        self.buckets.resize(count, NONE);
        for at in 0..self.entries.len() {
            if !self.entries[at].is_free() {
                let bucket = self.bucket(self.entries[at].hash);
                self.entries[at].chain = std::mem::replace(&mut self.buckets[bucket], at as u32);
            }
        }
    }

    fn touch(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link(at);
        }
    }

    /// Puts an entry before the newest.
    fn link(&mut self, at: u32) {
        let second = std::mem::replace(&mut self.newest, at);
        match self.entries.get_mut(second as usize) {
            Some(entry) => entry.newer = at,
            None => self.oldest = at,
        }
        let entry = &mut self.entries[at as usize];
        (entry.newer, entry.older) = (NONE, second);
    }

    fn unlink(&mut self, at: u32) {
        let Entry { newer, older, .. } = self.entries[at as usize];
        match self.entries.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.entries.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}
