//! What was, over a while that slides: the mean of a value, the highest of a number.

/// Slots of a mean's window.
const SLOTS: usize = 12;

/// The mean of a value that holds from one look to the next.
#[derive(Debug, Clone)]
pub(super) struct Mean {
    /// Milliseconds of a slot.
    slot: u64,
    /// Slots since time 0, of the one that is filled now.
    newest: u64,
    /// For each slot, the value times milliseconds, and how many of them.
    slots: [(f64, f64); SLOTS],
}

impl Mean {
    pub(super) fn new(window_millis: u64) -> Mean {
        let slot = (window_millis / SLOTS as u64).max(1);
        Mean { slot, newest: 0, slots: [(0.0, 0.0); SLOTS] }
    }

    /// The value was so from `from` to `to`.
    pub(super) fn add(&mut self, from: u64, to: u64, value: f64) {
        let mut from = from.max(to.saturating_sub(self.slot * SLOTS as u64));
        while from < to {
            let index = from / self.slot;
            let end = to.min((index + 1) * self.slot);
            let slot = self.slot_at(index);
            slot.0 += value * (end - from) as f64;
            slot.1 += (end - from) as f64;
            from = end;
        }
    }

    /// The mean, of as much of the window as was seen.
    pub(super) fn get(&self) -> f64 {
        let (area, time) = self.slots.iter().fold((0.0, 0.0), |(a, t), s| (a + s.0, t + s.1));
        if time > 0.0 { area / time } else { 0.0 }
    }

    fn slot_at(&mut self, index: u64) -> &mut (f64, f64) {
        let first = (self.newest + 1).max(index.saturating_sub(SLOTS as u64 - 1));
        for skipped in first..=index {
            self.slots[skipped as usize % SLOTS] = (0.0, 0.0);
        }
        self.newest = self.newest.max(index);
        &mut self.slots[index as usize % SLOTS]
    }
}

/// Slots that a peak looks back, at most.
const BACK: usize = 64;

/// The highest number of a while, in slots.
#[derive(Debug, Clone)]
pub(super) struct Peak {
    slot: u64,
    newest: u64,
    highest: [u32; BACK],
}

impl Peak {
    pub(super) fn new(slot_millis: u64) -> Peak {
        Peak { slot: slot_millis.max(1), newest: 0, highest: [0; BACK] }
    }

    pub(super) fn add(&mut self, now: u64, number: u32) {
        let index = now / self.slot;
        let first = (self.newest + 1).max(index.saturating_sub(BACK as u64 - 1));
        for skipped in first..=index {
            self.highest[skipped as usize % BACK] = 0;
        }
        self.newest = self.newest.max(index);
        let slot = &mut self.highest[self.newest as usize % BACK];
        *slot = number.max(*slot);
    }

    /// The highest of the last `millis`, at most of 63 slots, up to the last addition.
    pub(super) fn over(&self, millis: u64) -> u32 {
        let slots = millis.div_ceil(self.slot).min(BACK as u64 - 1);
        let from = self.newest.saturating_sub(slots);
        (from..=self.newest).map(|slot| self.highest[slot as usize % BACK]).max().unwrap_or(0)
    }
}
