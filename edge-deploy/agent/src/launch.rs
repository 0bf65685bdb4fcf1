//! What a launcher decides: which generation a gateway starts with, and when it has crashed too often. It needs the
//! pointer, and neither a network nor an agent.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use pilotlight_fleet::rollout::Failure;

use crate::{Files, Generation, Pointer};

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub generation: Generation,
    /// Whether it is on trial.
    pub trial: bool,
}

/// The node starts: what the gateway is started with. A trial has two starts; the first is
/// written down before it is made, so a node that dies by it goes back.
///
/// Errors: the disk cannot be read.
pub fn start(files: &mut dyn Files) -> io::Result<Option<Start>> {
    let pointer = Pointer::read(files)?;
    let good = |pointer: &Pointer| {
        let good = pointer.good.clone();
        good.map(|generation| Start { generation, trial: false })
    };
    let Some(trial) = &pointer.trial else { return Ok(good(&pointer)) };
    if trial.tries == 0 && pointer.good.is_some() {
        let why = (Failure::RolledBack, "the node was restarted twice in its probation");
        // A disk that cannot be written does not keep what is good from running.
        let written = Pointer::take_back(files, Some(why));
        return Ok(good(written.as_ref().unwrap_or(&pointer)));
    }
    let counted = Pointer::update(files, &mut |pointer| {
        if let Some(trial) = &mut pointer.trial {
            trial.tries = trial.tries.saturating_sub(1);
        }
    });
    match (counted, pointer.good.is_some()) {
        (Err(_), true) => Ok(good(&pointer)),
        _ => Ok(Some(Start { generation: trial.generation.clone(), trial: true })),
    }
}

/// Exits of a gateway, counted.
#[derive(Debug)]
pub struct Exits {
    most: usize,
    within: Duration,
    times: VecDeque<Duration>,
}

impl Exits {
    /// So many within a time are too many.
    pub fn new(most: u64, within: Duration) -> Exits {
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        Exits { most, within, times: VecDeque::new() }
    }

    /// The gateway has ended. True if it has too often.
    pub fn count(&mut self, now: Duration) -> bool {
        self.times.push_back(now);
        while self.times.front().is_some_and(|first| now.saturating_sub(*first) > self.within) {
            self.times.pop_front();
        }
        self.times.len() >= self.most
    }

    /// Another generation begins anew.
    pub fn clear(&mut self) {
        self.times.clear();
    }

    /// How long to wait before the next start: a gateway that ends at once is not started in a loop.
    pub fn pause(&self) -> Duration {
        let doublings = u32::try_from(self.times.len().saturating_sub(1)).unwrap_or(5).min(5);
        Duration::from_millis(100) * 2u32.pow(doublings)
    }
}

/// A gateway on trial has ended too often.
pub fn crashed(files: &mut dyn Files, exits: u64, how: &str) -> io::Result<Pointer> {
    let message = format!("the gateway ended {exits} times: {how}");
    Pointer::take_back(files, Some((Failure::CrashLoop, &message)))
}

/// The agent that should watch a trial has gone.
pub fn unwatched(files: &mut dyn Files) -> io::Result<Pointer> {
    let message = "the agent ended in the probation";
    Pointer::take_back(files, Some((Failure::RolledBack, message)))
}
