//! One shard: a slab of entries, found by a chained hash table and linked in the order of use.
//!
//! ```text
//!   buckets  [ 3 | - | 0 ]         newest ─▶ 0 ⇄ 3 ⇄ 1 ◀─ oldest
//!              │       └─▶ entry 0
//!              └─▶ entry 3 ─chain─▶ entry 1
//! ```
//! All links are indexes into the slab; an entry is unlinked from both before its place is free.

use super::value::{Stored, piece};

const NONE: u32 = u32::MAX;

/// Expired entries that each call takes away, from those used longest ago.
const SWEEP: usize = 2;

/// What an entry costs beside its key and value: its place in the slab and in the table.
const OVERHEAD: usize = size_of::<Entry>() + 2 * size_of::<u32>();

/// There is no room for it.
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
}

#[derive(Debug)]
pub(super) struct Entry {
    hash: u64,
    key: Box<[u8]>,
    pub(super) value: Stored,
    /// When it expires; infinite: never. NaN marks a free place.
    pub(super) until: f64,
    /// Its writer's.
    pub(super) flags: i32,
    chain: u32,
    newer: u32,
    older: u32,
}

/// What is written to an entry.
pub(super) struct Write {
    pub(super) value: Stored,
    pub(super) until: f64,
    pub(super) flags: i32,
    /// Nothing that has not expired is evicted for it.
    pub(super) safe: bool,
}

impl Entry {
    pub(super) fn is_live(&self, now: f64) -> bool {
        now < self.until
    }

    fn is_free(&self) -> bool {
        self.until.is_nan()
    }

    fn cost(&self) -> usize {
        cost(&self.key, &self.value)
    }
}

fn cost(key: &[u8], value: &Stored) -> usize {
    OVERHEAD + piece(key.len()) + value.cost()
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
        }
    }

    /// The entry, expired or not, in its place in the order of use.
    pub(super) fn peek(&mut self, hash: u64, key: &[u8]) -> Option<&mut Entry> {
        let at = self.find(hash, key)?;
        Some(&mut self.entries[at as usize])
    }

    /// The entry, now the newest; an expired one stays where it is, and is not for the caller.
    pub(super) fn live(&mut self, hash: u64, key: &[u8], now: f64) -> Option<&mut Entry> {
        let at = self.find(hash, key)?;
        if !self.entries[at as usize].is_live(now) {
            return None;
        }
        self.touch(at);
        Some(&mut self.entries[at as usize])
    }

    /// Writes an entry, and evicts until it fits; says whether it had to evict one that lives.
    /// Nothing changes when it can't fit.
    pub(super) fn put(
        &mut self,
        hash: u64,
        key: &[u8],
        write: Write,
        now: f64,
    ) -> Result<bool, Full> {
        let price = cost(key, &write.value);
        let known = self.find(hash, key);
        let old = known.map_or(0, |at| self.entries[at as usize].cost());
        if price > self.budget || write.safe && self.used - old + price > self.budget {
            return Err(Full);
        }
        let Write { value, until, flags, .. } = write;
        match known {
            Some(at) => {
                let entry = &mut self.entries[at as usize];
                (entry.value, entry.until, entry.flags) = (value, until, flags);
                self.used = self.used - old + price;
                self.touch(at);
            }
            None => self.insert(Entry {
                hash,
                key: key.into(),
                value,
                until,
                flags,
                chain: NONE,
                newer: NONE,
                older: NONE,
            }),
        }
        // It is the newest, and fits alone: it stays.
        let mut forced = false;
        while self.used > self.budget {
            forced |= self.entries[self.oldest as usize].is_live(now);
            self.remove(self.oldest);
        }
        Ok(forced)
    }

    /// Changes a value in its place; the cost of all changes with it. `None` when it is not there.
    pub(super) fn change<T>(
        &mut self,
        hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut Stored) -> T,
    ) -> Option<T> {
        let at = self.find(hash, key)?;
        self.touch(at);
        let entry = &mut self.entries[at as usize];
        let before = entry.cost();
        let result = change(&mut entry.value);
        self.used = self.used - before + self.entries[at as usize].cost();
        Some(result)
    }

    pub(super) fn delete(&mut self, hash: u64, key: &[u8]) {
        if let Some(at) = self.find(hash, key) {
            self.remove(at);
        }
    }

    /// The keys of those that live, those used longest ago first.
    pub(super) fn keys(&self, now: f64) -> impl Iterator<Item = &[u8]> {
        self.by_age()
            .map(|at| &self.entries[at as usize])
            .filter(move |e| e.is_live(now))
            .map(|e| &*e.key)
    }

    pub(super) fn flush(&mut self) {
        *self = Shard::new(self.budget);
    }

    /// From now on all have expired; they stand there until their places are wanted.
    pub(super) fn expire_all(&mut self, now: f64) {
        // Free places have no time: NaN is not above anything.
        for entry in self.entries.iter_mut().filter(|entry| entry.until > now) {
            entry.until = now;
        }
    }

    /// Takes away at most so many expired entries, wherever they are; how many it were.
    pub(super) fn flush_expired(&mut self, most: usize, now: f64) -> usize {
        let expired = |at: &u32| !self.entries[*at as usize].is_live(now);
        let gone: Vec<u32> = self.by_age().filter(expired).take(most).collect();
        gone.iter().for_each(|at| self.remove(*at));
        gone.len()
    }

    /// Takes away what has expired among those used longest ago: no call waits for many, and what
    /// nobody asks for any more is there in time.
    pub(super) fn sweep(&mut self, now: f64) {
        for _ in 0..SWEEP {
            match self.entries.get(self.oldest as usize) {
                Some(entry) if !entry.is_live(now) => self.remove(self.oldest),
                _ => break,
            }
        }
    }

    /// Bytes that are left.
    pub(super) fn room(&self) -> usize {
        self.budget - self.used
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The places of all, those used longest ago first.
    fn by_age(&self) -> impl Iterator<Item = u32> {
        let next = |at: &u32| Some(self.entries[*at as usize].newer).filter(|at| *at != NONE);
        std::iter::successors(Some(self.oldest).filter(|at| *at != NONE), next)
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
        self.used += entry.cost();
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
        self.used -= entry.cost();
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
