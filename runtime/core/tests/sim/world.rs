//! An application whose instances take time to start, second by second.

use std::collections::VecDeque;

use pilotlight_core::scale::Sample;

use super::dice::Dice;
use super::rules::Rule;

/// What an application is like.
#[derive(Clone, Copy)]
pub(crate) struct App {
    /// Requests that an instance takes at a time.
    pub(crate) concurrency: u32,
    /// Seconds that an instance takes to start.
    pub(crate) start: i64,
    /// Seconds that a request takes on average.
    pub(crate) service: i64,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    /// Instances that were started.
    pub(crate) starts: u64,
    /// Those that requests waited for.
    pub(crate) cold: u64,
    /// Seconds of instances, ready and starting.
    pub(crate) instance_time: u64,
    /// When the number of instances began to go the other way.
    pub(crate) reversals: Vec<i64>,
    /// How many requests waited for how many seconds; the last counts all longer ones.
    waits: Vec<u64>,
}

impl Outcome {
    /// The wait that a share of the requests does not pass.
    pub(crate) fn wait(&self, share: f64) -> usize {
        let most = (self.requests as f64 * share).ceil() as u64;
        let mut sum = 0;
        self.waits
            .iter()
            .position(|count| {
                sum += count;
                sum >= most
            })
            .unwrap_or(self.waits.len())
    }

    pub(crate) fn waited(&self) -> u64 {
        self.waits.iter().skip(1).sum()
    }

    /// The most reversals in any span of a length.
    pub(crate) fn reversals_within(&self, seconds: i64) -> usize {
        let from = |first: &i64| self.reversals.partition_point(|at| at < first);
        let spans = self.reversals.iter().map(|at| from(&(at + seconds)) - from(at));
        spans.max().unwrap_or(0)
    }
}

/// Runs a load, which says how many requests come in each second, until `until`, and tells of what happened
/// from `from` on.
pub(crate) fn run(
    app: App,
    load: &mut dyn FnMut(i64) -> u32,
    rule: &mut dyn Rule,
    seed: u64,
    from: i64,
    until: i64,
) -> Outcome {
    let mut dice = Dice(seed ^ 0x5eed);
    let mut out = Outcome { waits: vec![0; 120], ..Outcome::default() };
    // When each starting instance is ready, and was asked for.
    let mut starting: VecDeque<(i64, i64)> = VecDeque::new();
    let (mut ready, mut busy) = (0u32, 0u32);
    // Requests that end in each of the next seconds.
    let mut ends: VecDeque<u32> = VecDeque::new();
    // When waiting requests came, and how many.
    let mut queue: VecDeque<(i64, u32)> = VecDeque::new();
    let (mut before, mut direction) = (0u32, 0i32);
    for second in 0..until {
        let counts = second >= from;
        busy -= ends.pop_front().unwrap_or(0);
        while starting.front().is_some_and(|(at, _)| *at <= second) {
            let (at, asked) = starting.pop_front().unwrap_or_default();
            ready += 1;
            rule.started(at - asked);
            // Somebody waited for this one.
            let used = busy + queue.iter().map(|(_, count)| count).sum::<u32>();
            if counts && used > (ready - 1) * app.concurrency {
                out.cold += 1;
            }
        }
        let arrivals = load(second);
        if arrivals > 0 {
            queue.push_back((second, arrivals));
        }
        while let Some((came, count)) = queue.front_mut() {
            let free = (ready * app.concurrency).saturating_sub(busy);
            let taken = free.min(*count);
            for _ in 0..taken {
                let takes = 1 + (dice.unit() * 2.0 * (app.service - 1) as f64).round() as usize;
                if ends.len() < takes {
                    ends.resize(takes, 0);
                }
                ends[takes - 1] += 1;
            }
            busy += taken;
            *count -= taken;
            if counts {
                out.requests += u64::from(taken);
                let wait = ((second - *came) as usize).min(out.waits.len() - 1);
                out.waits[wait] += u64::from(taken);
            }
            if *count > 0 {
                break;
            }
            queue.pop_front();
        }
        let queued = queue.iter().map(|(_, count)| count).sum();
        let desired = rule.decide(second, Sample { in_flight: busy, queued, arrivals, ready });
        while ready + (starting.len() as u32) < desired {
            starting.push_back((second + app.start, second));
            out.starts += u64::from(counts);
        }
        // Those that are not ready yet go first.
        while ready + (starting.len() as u32) > desired && starting.pop_back().is_some() {}
        ready = ready.min(desired);
        let moved = (i64::from(desired) - i64::from(before)).signum() as i32;
        if moved != 0 {
            if counts && direction != 0 && moved != direction {
                out.reversals.push(second);
            }
            (before, direction) = (desired, moved);
        }
        if counts {
            out.instance_time += u64::from(ready) + starting.len() as u64;
        }
    }
    out
}
