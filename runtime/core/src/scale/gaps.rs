//! How long it is quiet between requests, and what to do with instances meanwhile.
//!
//! After "Serverless in the Wild" (ATC 2020): a histogram of gaps says when an instance is worth its
//! time, and when it is to be back. The choice is the cheapest over the gaps that were seen, where a cold
//! start costs as much as an instance does in the configured idle time: what that time says a cold start
//! is worth. So the plan never costs more than that time would have, gaps being as before.

use super::state::{Reader, Writer};

/// Minutes that have a bin each.
const BINS: usize = 240;

/// Shorter gaps are no matter, in milliseconds.
const SHORTEST: u64 = 10_000;

const MINUTE: u64 = 60_000;

/// Gaps before they say something.
const ENOUGH: u32 = 8;

/// Past so many all are halved, so that old ones fade.
const MOST: u32 = 256;

/// What is known of the gaps.
#[derive(Debug, Clone)]
pub(super) struct Gaps {
    /// The last counts those past all bins.
    counts: [u16; BINS + 1],
}

/// When instances are there in a gap, in milliseconds from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Until then what is there stays.
    pub(super) stop: u64,
    /// From then on one is there again, until `give_up`; both 0 if not.
    pub(super) back: u64,
    pub(super) give_up: u64,
}

impl Gaps {
    pub(super) const NONE: Gaps = Gaps { counts: [0; BINS + 1] };

    /// It was quiet for so long. False: that is no matter.
    pub(super) fn add(&mut self, millis: u64) -> bool {
        if millis < SHORTEST {
            return false;
        }
        let bin = usize::try_from(millis / MINUTE).unwrap_or(BINS).min(BINS);
        self.counts[bin] += 1;
        if self.total() > MOST {
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
        true
    }

    fn total(&self) -> u32 {
        self.counts.iter().map(|count| u32::from(*count)).sum()
    }

    /// What to do in the next gap. `idle` is the configured time, `least` the shortest that instances stay.
    pub(super) fn plan(&self, idle: u64, least: u64) -> Plan {
        let plain = Plan { stop: idle, back: 0, give_up: 0 };
        if self.total() < ENOUGH {
            return plain;
        }
        let sums = Sums::new(&self.counts);
        let mut best = (sums.staying(idle, idle), plain);
        let mut offer = |cost: u64, plan: Plan| {
            if cost < best.0 {
                best = (cost, plan);
            }
        };
        offer(sums.staying(least, idle), Plan { stop: least, ..plain });
        let seen = |bin: &usize| self.counts[*bin] > 0 && (*bin as u64 + 1) * MINUTE > least;
        for last in (0..BINS).filter(seen) {
            let until = (last as u64 + 1) * MINUTE;
            offer(sums.staying(until, idle), Plan { stop: until, ..plain });
            for first in (0..=last).filter(seen) {
                let from = first as u64 * MINUTE;
                // Going is for more than a moment.
                if from >= least + idle {
                    let plan = Plan { stop: least, back: from, give_up: until };
                    offer(sums.returning(plan, idle), plan);
                }
            }
        }
        best.1
    }

    pub(super) fn save(&self, out: &mut Writer) {
        self.counts.iter().for_each(|count| out.u16(*count));
    }

    pub(super) fn load(from: &mut Reader<'_>) -> Option<Gaps> {
        let mut gaps = Gaps::NONE;
        for count in &mut gaps.counts {
            // As many as can have been counted.
            *count = from.u16()?.min(MOST as u16);
        }
        Some(gaps)
    }
}

/// Of gaps that end within the first bins: how many, and how long together. A gap counts as long as its bin.
struct Sums {
    numbers: [u64; BINS + 1],
    times: [u64; BINS + 1],
    all: u64,
}

impl Sums {
    fn new(counts: &[u16]) -> Sums {
        let mut sums = Sums { numbers: [0; BINS + 1], times: [0; BINS + 1], all: 0 };
        for (bin, count) in counts.iter().take(BINS).map(|count| u64::from(*count)).enumerate() {
            sums.numbers[bin + 1] = sums.numbers[bin] + count;
            sums.times[bin + 1] = sums.times[bin] + count * (bin as u64 + 1) * MINUTE;
        }
        sums.all = counts.iter().map(|count| u64::from(*count)).sum();
        sums
    }

    fn bins(until: u64) -> usize {
        usize::try_from(until / MINUTE).unwrap_or(BINS).min(BINS)
    }

    /// The cost of staying so long in each gap, where a cold start costs `price`.
    fn staying(&self, until: u64, price: u64) -> u64 {
        let within = Sums::bins(until);
        self.times[within] + (self.all - self.numbers[within]) * (until + price)
    }

    /// That of a plan by which an instance comes back.
    fn returning(&self, plan: Plan, price: u64) -> u64 {
        let [stop, back, give_up] = [plan.stop, plan.back, plan.give_up].map(Sums::bins);
        let stay = self.times[stop] + (self.all - self.numbers[stop]) * plan.stop;
        let cold = self.numbers[back] - self.numbers[stop] + self.all - self.numbers[give_up];
        let served = self.numbers[give_up] - self.numbers[back];
        let waiting = self.times[give_up] - self.times[back] - served * plan.back;
        let in_vain = (self.all - self.numbers[give_up]) * (plan.give_up - plan.back);
        stay + cold * price + waiting + in_vain
    }
}
