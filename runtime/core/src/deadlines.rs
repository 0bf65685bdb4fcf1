//! Many timeouts, few of which ever fire.
//!
//! A gateway arms a timeout at each step of each connection, and nearly all of them are armed
//! anew before they are due. So arming is a store into a table, and a scan of the whole table, at
//! most every so often, finds those that are due: a heap or a wheel would work for each step.
//!
//! Times are milliseconds of any clock that never goes back. A timeout fires late by up to the
//! granularity of scans: 1 ms, with 64 timeouts or more 10 ms, with 1,000 or more 100 ms.

/// Not armed. No clock gets there.
const NEVER: u64 = u64::MAX;

/// Free places that are kept for the next.
const FEW: usize = 64;

/// Timeouts, and milliseconds between scans, with at least as many.
const GRANULARITY: [(usize, u64); 3] = [(1000, 100), (64, 10), (0, 1)];

/// One worker's timeouts.
#[derive(Debug)]
pub struct Deadlines {
    /// When each is due.
    due: Vec<u64>,
    /// Told apart from a former user of the same place.
    generations: Vec<u32>,
    free: Vec<u32>,
    /// Of a place that was never used, or was let go.
    first: u32,
    /// Not later than the earliest that is armed.
    earliest: u64,
    /// No scan before that.
    rest_until: u64,
}

/// A timeout's place. After [`Deadlines::remove`] it does nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// Its place: below the most timeouts that there ever were at once, and taken by one at a time.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            due: Vec::new(),
            generations: Vec::new(),
            free: Vec::new(),
            first: 0,
            earliest: NEVER,
            rest_until: 0,
        }
    }
}

impl Deadlines {
    /// A timeout, not armed. There are as many as the caller has connections and streams, which
    /// are bounded.
    pub fn insert(&mut self) -> Key {
        if let Some(index) = self.free.pop() {
            return Key { index, generation: self.generations[index as usize] };
        }
        let index = self.due.len() as u32;
        self.due.push(NEVER);
        self.generations.push(self.first);
        Key { index, generation: self.first }
    }

    /// Lets it fire at a time, instead of when it was armed for before.
    #[inline]
    pub fn arm(&mut self, key: Key, at_millis: u64) {
        if let Some(due) = self.due_of(key) {
            *due = at_millis;
            if at_millis < self.earliest {
                self.earliest = at_millis;
            }
        }
    }

    /// Does not let it fire.
    #[inline]
    pub fn disarm(&mut self, key: Key) {
        if let Some(due) = self.due_of(key) {
            *due = NEVER;
        }
    }

    /// Gives its place back.
    pub fn remove(&mut self, key: Key) {
        if let Some(due) = self.due_of(key) {
            *due = NEVER;
            self.generations[key.index()] = key.generation.wrapping_add(1);
            self.free.push(key.index);
        }
    }

    /// Lets go of the places past the last that is taken, unless there are few; how many are left.
    pub fn shrink(&mut self) -> usize {
        let places = self.due.len();
        if self.free.len() < FEW {
            return places;
        }
        // The next take the first places.
        self.free.sort_unstable_by(|a, b| b.cmp(a));
        let last = (0..places as u32).rev();
        let gone = self.free.iter().zip(last).take_while(|(free, last)| **free == *last).count();
        self.free.drain(..gone);
        let left = places - gone;
        // Keys of former users fit none of those to come.
        self.first = self.generations.drain(left..).fold(self.first, u32::max);
        self.due.truncate(left);
        self.due.shrink_to_fit();
        self.generations.shrink_to_fit();
        self.free.shrink_to_fit();
        left
    }

    /// How many there are, armed or not.
    pub fn len(&self) -> usize {
        self.due.len() - self.free.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When to call [`Deadlines::expired`] next. It may find nothing then: what was armed for that
    /// time was armed anew since. `None`: nothing is armed.
    pub fn next_scan(&self) -> Option<u64> {
        (self.earliest != NEVER).then(|| self.earliest.max(self.rest_until))
    }

    /// Disarms all that are due and hands them on. Does nothing before [`Deadlines::next_scan`].
    pub fn expired(&mut self, now_millis: u64, fire: &mut impl FnMut(Key)) {
        if self.next_scan().is_none_or(|at| now_millis < at) {
            return;
        }
        self.earliest = NEVER;
        for (index, due) in self.due.iter_mut().enumerate() {
            if *due <= now_millis {
                *due = NEVER;
                fire(Key { index: index as u32, generation: self.generations[index] });
            } else if *due < self.earliest {
                self.earliest = *due;
            }
        }
        let step = GRANULARITY.iter().find(|(least, _)| self.len() >= *least);
        self.rest_until = now_millis.saturating_add(step.map_or(1, |(_, step)| *step));
    }

    #[inline]
    fn due_of(&mut self, key: Key) -> Option<&mut u64> {
        match self.generations.get(key.index()) {
            Some(generation) if *generation == key.generation => self.due.get_mut(key.index()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
