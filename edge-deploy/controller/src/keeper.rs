//! The thread that has core and store. It takes what waits, all at once, writes what comes of it in one go, and only
//! then answers: however many ask, the disk is synced once a batch.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

use pilotlight_fleet::rollout::Now;
use tokio::sync::oneshot;

use crate::core::{Answer, Core, Outcome, Request};
use crate::store::{Error, Store, Write};

/// Requests of a batch, and those that wait for one.
pub(crate) const BATCH: usize = 1024;
const SECOND: u64 = 1000;
/// The time that has gone by is written down so often, if nothing else is.
const STEADY: u64 = 60 * SECOND;

/// A request, how long it may wait, and where the outcome goes.
pub(crate) struct Asking {
    pub(crate) request: Request,
    pub(crate) wait: Duration,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// The way to the keeper.
#[derive(Clone)]
pub(crate) struct Desk(pub(crate) SyncSender<Asking>);

impl Desk {
    /// Asks; `None` if there is too much to do, or an end.
    pub(crate) async fn ask(&self, request: Request, wait: Duration) -> Option<Outcome> {
        let (reply, outcome) = oneshot::channel();
        match self.0.try_send(Asking { request, wait, reply }) {
            Ok(()) => outcome.await.ok(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}

struct Waits {
    until: u64,
    reply: oneshot::Sender<Outcome>,
}

/// Core and store.
pub(crate) struct Keeper {
    pub(crate) core: Core,
    pub(crate) store: Box<dyn Store>,
    /// Milliseconds that were run before.
    pub(crate) base: u64,
    /// Time since the start, and seconds since 1970.
    pub(crate) clock: Box<dyn Fn() -> (Duration, i64) + Send>,
}

impl Keeper {
    pub(crate) fn now(&self) -> Now {
        let (run, wall) = (self.clock)();
        let run = u64::try_from(run.as_millis()).unwrap_or(u64::MAX);
        Now { steady: self.base.saturating_add(run), wall }
    }

    /// Until nobody can ask any more.
    ///
    /// Errors: the store does not take what must last. Nobody was told of it; the next start goes on from before.
    pub(crate) fn run(mut self, asked: &Receiver<Asking>) -> Result<(), Error> {
        let mut waits: HashMap<String, Waits> = HashMap::new();
        let (mut ticked, mut steady) = (0, 0);
        loop {
            let first = match asked.recv_timeout(Duration::from_millis(200)) {
                Ok(asking) => Some(asking),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            };
            let now = self.now();
            let mut answers = Vec::new();
            for asking in first.into_iter().chain(asked.try_iter().take(BATCH)) {
                let until = now.steady + u64::try_from(asking.wait.as_millis()).unwrap_or(0);
                match self.core.ask(&asking.request, &mut *self.store, now) {
                    Outcome::Wait { node } if until > now.steady => {
                        let waits = waits.insert(node, Waits { until, reply: asking.reply });
                        // One of a node waits at a time.
                        answers.extend(
                            waits.map(|old| (old.reply, Outcome::Answer(Answer::nothing()))),
                        );
                    }
                    Outcome::Wait { .. } => {
                        answers.push((asking.reply, Outcome::Answer(Answer::nothing())));
                    }
                    outcome => answers.push((asking.reply, outcome)),
                }
            }
            if now.steady >= ticked + SECOND {
                ticked = now.steady;
                self.core.tick(now);
                let over: Vec<String> = waits
                    .iter()
                    .filter(|(_, waits)| waits.until <= now.steady || waits.reply.is_closed())
                    .map(|(node, _)| node.clone())
                    .collect();
                for waits in over.iter().filter_map(|node| waits.remove(node)) {
                    answers.push((waits.reply, Outcome::Answer(Answer::nothing())));
                }
            }
            for node in self.core.changed() {
                if let Some(waits) = waits.remove(&node) {
                    answers.push((waits.reply, Outcome::Answer(self.core.told(&node, now))));
                }
            }
            let mut writes = self.core.writes();
            if !writes.is_empty() || now.steady >= steady + STEADY {
                steady = now.steady;
                writes.push(Write::Steady(now.steady));
                self.store.commit(&writes)?;
            }
            for (reply, outcome) in answers {
                // Who has gone is not told.
                drop(reply.send(outcome));
            }
        }
    }

    fn end(mut self) -> Result<(), Error> {
        let mut writes = self.core.writes();
        writes.push(Write::Steady(self.now().steady));
        self.store.commit(&writes)
    }
}
