//! The thread that has core and store. It takes what waits, all at once, writes what comes of it in one go, and only
//! then answers: however many ask, the disk is synced once a batch.
//!
//! Where several controllers share a store one of them leads; the others stand by, say who leads to whoever asks, and
//! look every second whether it still does.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::time::Duration;

use pilotlight_fleet::manifest::Fleet;
use pilotlight_fleet::release::Trust;
use pilotlight_fleet::rollout::Now;
use tokio::sync::oneshot;

use crate::core::{Answer, Core, Outcome, Request, Settings};
use crate::serve::{Clock, News, Open, chance};
use crate::store::{Error, Opened, Store, Write};

/// Requests of a batch, and those that wait for one.
pub(crate) const BATCH: usize = 1024;
const SECOND: u64 = 1000;
/// The time that has gone by is written down so often, if nothing else is.
const STEADY: u64 = 60 * SECOND;
/// So often it is looked whether the store is still ours.
const BEAT: u64 = 5 * SECOND;
/// One who stands by looks so often whether it should lead.
const LOOK: Duration = Duration::from_secs(1);

/// What comes to the keeper.
pub(crate) enum Errand {
    /// A request.
    Ask(Asking),
    /// Other values and holds.
    Fleet(Fleet),
    /// Other keys that sign.
    Trust(Trust),
}

/// A request, how long it may wait, and where the outcome goes.
pub(crate) struct Asking {
    pub(crate) request: Request,
    pub(crate) wait: Duration,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// The way to the keeper.
#[derive(Clone)]
pub(crate) struct Desk(pub(crate) SyncSender<Errand>);

impl Desk {
    /// Asks; `None` if there is too much to do, or an end.
    pub(crate) async fn ask(&self, request: Request, wait: Duration) -> Option<Outcome> {
        let (reply, outcome) = oneshot::channel();
        match self.0.try_send(Errand::Ask(Asking { request, wait, reply })) {
            Ok(()) => outcome.await.ok(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}

/// Leads, or stands by.
pub(crate) struct Keeper {
    pub(crate) settings: Settings,
    pub(crate) open: Open,
    /// Others may have the store: then one that was lost is another one's, and not an end.
    pub(crate) shared: bool,
    pub(crate) clock: Clock,
    pub(crate) news: Box<dyn Fn(News) + Send>,
}

/// How a lead ends.
enum End {
    /// Nobody can ask any more.
    Stopped,
    /// The store does not take what must last. Nobody was told of it; whoever leads next goes on from before.
    Lost(Error),
}

impl Keeper {
    /// Until nobody can ask any more.
    ///
    /// Errors: the store cannot be opened at all, or is lost and nobody else's.
    pub(crate) fn run(mut self, asked: &Receiver<Errand>) -> Result<(), Error> {
        // What is said once is not said every second.
        let mut said = None;
        let mut has_opened = false;
        loop {
            let why = match (self.open)() {
                Ok(Opened::Ours(store)) => {
                    has_opened = true;
                    match self.lead(store, asked, &mut said) {
                        End::Stopped => return Ok(()),
                        End::Lost(error) if !self.shared => return Err(error),
                        End::Lost(error) => (News::Lost(error.to_string()), None),
                    }
                }
                Ok(Opened::Theirs(leader)) => {
                    has_opened = true;
                    (News::StandsBy(leader.clone()), leader)
                }
                // It may be a server that starts again; at the first time it is a mistake.
                Err(error) if has_opened && self.shared => (News::Lost(error.to_string()), None),
                Err(error) => return Err(error),
            };
            let (news, leader) = why;
            if said.as_ref() != Some(&news) {
                (self.news)(news.clone());
                said = Some(news);
            }
            if self.stand_by(leader.as_deref(), asked) {
                return Ok(());
            }
        }
    }

    /// Says for a while who leads; whether nobody can ask any more.
    fn stand_by(&mut self, leader: Option<&str>, asked: &Receiver<Errand>) -> bool {
        let until = (self.clock)().0 + LOOK;
        loop {
            let left = until.saturating_sub((self.clock)().0);
            match asked.recv_timeout(left) {
                Ok(Errand::Fleet(fleet)) => self.settings.fleet = fleet,
                Ok(Errand::Trust(trust)) => self.settings.trust = trust,
                Ok(Errand::Ask(asking)) => {
                    let answer = Answer::stands_by(&asking.request, leader);
                    drop(asking.reply.send(Outcome::Answer(answer)));
                }
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    fn lead(
        &mut self,
        mut store: Box<dyn Store>,
        asked: &Receiver<Errand>,
        said: &mut Option<News>,
    ) -> End {
        let mut lead = match Lead::begin(self, &mut *store) {
            Ok(lead) => lead,
            Err(error) => return End::Lost(error),
        };
        // That it leads was said since.
        *said = None;
        loop {
            match lead.turn(self, &mut *store, asked) {
                Ok(true) => {}
                Ok(false) => return End::Stopped,
                Err(error) => return End::Lost(error),
            }
        }
    }
}

struct Waits {
    until: u64,
    reply: oneshot::Sender<Outcome>,
}

/// One who leads.
struct Lead {
    core: Core,
    /// What the clocks said when it began: time in which nobody led has not gone by.
    base: u64,
    begun: Duration,
    waits: HashMap<String, Waits>,
    ticked: u64,
    steady: u64,
    beaten: u64,
}

impl Lead {
    fn begin(keeper: &mut Keeper, store: &mut dyn Store) -> Result<Lead, Error> {
        let saved = store.load()?;
        let base = saved.steady;
        let core = Core::new(keeper.settings.clone(), store, saved)?;
        let base = base.max(core.latest());
        let (begun, waits) = ((keeper.clock)().0, HashMap::new());
        let mut lead = Lead { core, base, begun, waits, ticked: 0, steady: 0, beaten: base };
        let now = lead.now(keeper);
        let token = lead.core.first_token(&chance().map_err(Error)?, now);
        lead.core.heed_holds(now);
        // Nobody is told of a token that is not kept.
        store.commit(&lead.core.writes())?;
        (keeper.news)(News::Leads(token));
        Ok(lead)
    }

    fn now(&self, keeper: &Keeper) -> Now {
        let (run, wall) = (keeper.clock)();
        let run = u64::try_from(run.saturating_sub(self.begun).as_millis()).unwrap_or(u64::MAX);
        Now { steady: self.base.saturating_add(run), wall }
    }

    /// A batch; whether anybody may still ask.
    fn turn(
        &mut self,
        keeper: &mut Keeper,
        store: &mut dyn Store,
        asked: &Receiver<Errand>,
    ) -> Result<bool, Error> {
        let first = match asked.recv_timeout(Duration::from_millis(200)) {
            Ok(errand) => Some(errand),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return self.end(keeper, store).map(|()| false),
        };
        let now = self.now(keeper);
        let mut answers = Vec::new();
        for errand in first.into_iter().chain(asked.try_iter().take(BATCH)) {
            match errand {
                Errand::Ask(asking) => answers.extend(self.take(asking, store, now)),
                Errand::Fleet(fleet) => {
                    keeper.settings.fleet = fleet.clone();
                    self.core.heed(fleet, now);
                }
                Errand::Trust(trust) => {
                    keeper.settings.trust = trust.clone();
                    self.core.believe(trust, now);
                }
            }
        }
        if now.steady >= self.ticked + SECOND {
            self.ticked = now.steady;
            self.core.tick(now);
            let over = |_: &String, waits: &mut Waits| {
                waits.until <= now.steady || waits.reply.is_closed()
            };
            let over = self.waits.extract_if(over);
            answers.extend(over.map(|(_, waits)| (waits.reply, nothing())));
        }
        for node in self.core.changed() {
            if let Some(waits) = self.waits.remove(&node) {
                answers.push((waits.reply, Outcome::Answer(self.core.told(&node, now))));
            }
        }
        let mut writes = self.core.writes();
        if !writes.is_empty() || now.steady >= self.steady + STEADY {
            self.steady = now.steady;
            writes.push(Write::Steady(now.steady));
            store.commit(&writes)?;
            self.beaten = now.steady;
        } else if now.steady >= self.beaten + BEAT {
            self.beaten = now.steady;
            store.beat()?;
        }
        for (reply, outcome) in answers {
            // Who has gone is not told.
            drop(reply.send(outcome));
        }
        Ok(true)
    }

    /// Whom to answer, and what.
    fn take(
        &mut self,
        asking: Asking,
        store: &mut dyn Store,
        now: Now,
    ) -> Option<(oneshot::Sender<Outcome>, Outcome)> {
        let until = now.steady + u64::try_from(asking.wait.as_millis()).unwrap_or(0);
        match self.core.ask(&asking.request, store, now) {
            Outcome::Wait { node } if until > now.steady => {
                let waits = self.waits.insert(node, Waits { until, reply: asking.reply });
                // One of a node waits at a time.
                waits.map(|old| (old.reply, nothing()))
            }
            Outcome::Wait { .. } => Some((asking.reply, nothing())),
            outcome => Some((asking.reply, outcome)),
        }
    }

    fn end(&mut self, keeper: &Keeper, store: &mut dyn Store) -> Result<(), Error> {
        let mut writes = self.core.writes();
        writes.push(Write::Steady(self.now(keeper).steady));
        store.commit(&writes)
    }
}

fn nothing() -> Outcome {
    Outcome::Answer(Answer::nothing())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::sync::mpsc::sync_channel;

    use pilotlight_fleet::manifest::Enrol;
    use pilotlight_fleet::release::Trust;

    use super::*;
    use crate::store::{Audit, Entry, Opened, Saved, Snapshot};

    /// A store that is lost once it has been taken.
    struct Frail(bool);

    impl Store for Frail {
        fn load(&mut self) -> Result<Saved, Error> {
            Ok(Saved::default())
        }

        fn snapshot(&mut self, _: u64) -> Result<Option<Snapshot>, Error> {
            Ok(None)
        }

        fn journal(&mut self, _: u64) -> Result<Vec<Entry>, Error> {
            Ok(Vec::new())
        }

        fn audit(&mut self, _: u64, _: usize) -> Result<Vec<Audit>, Error> {
            Ok(Vec::new())
        }

        fn commit(&mut self, _: &[Write]) -> Result<(), Error> {
            let is_lost = std::mem::replace(&mut self.0, true);
            if is_lost { Err(Error("gone".into())) } else { Ok(()) }
        }
    }

    #[test]
    fn what_is_lost_again_is_said_again() {
        let (desk, asked) = sync_channel::<Errand>(1);
        let (told, news) = sync_channel(16);
        let mut opened = 0;
        let open = move || {
            opened += 1;
            match opened {
                1 | 2 | 5 => Ok(Opened::Ours(Box::new(Frail(false)))),
                // That others have it is said once.
                _ => Ok(Opened::Theirs(None)),
            }
        };
        // Each look at the clock is a minute later.
        let minutes = AtomicU64::new(0);
        let clock = move || (Duration::from_secs(60 * minutes.fetch_add(1, Relaxed)), 0);
        let desk = Mutex::new((Some(desk), 0));
        let keeper = Keeper {
            settings: Settings {
                trust: Trust { keys: Vec::new(), threshold: 1 },
                fleet: Fleet::default(),
                enrol: Enrol::Open,
            },
            open: Box::new(open),
            shared: true,
            clock: Box::new(clock),
            news: Box::new(move |news| {
                let mut desk = desk.lock().unwrap();
                desk.1 += 1;
                if desk.1 == 7 {
                    desk.0 = None;
                }
                told.send(news).unwrap();
            }),
        };
        keeper.run(&asked).unwrap();
        let kinds = news.iter().map(|news| match news {
            News::Leads(_) => "leads",
            News::StandsBy(_) => "stands by",
            News::Lost(_) => "lost",
        });
        let kinds: Vec<&str> = kinds.collect();
        assert_eq!(kinds, ["leads", "lost", "leads", "lost", "stands by", "leads", "lost"]);
    }
}
