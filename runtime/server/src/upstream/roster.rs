//! The endpoints of an upstream that come and go, as all workers know them: by probes, by what exchanges have
//! shown, by names.
//!
//! ```text
//! health::watch (one task a process) ─ probes, ends of ejections ─▶ Roster ── version ─▶ workers' Members
//! exchanges that err (a lock, at errors only) ─────────────────────────┘
//! ```

mod found;
mod kept;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pilotlight_config::manifest;
use pilotlight_core::health::Health;
use pilotlight_core::outlier::Outlier;
use pilotlight_core::rotation::{self, Seat};
use pilotlight_filter::host::Level;
use tokio::sync::Notify;

pub(crate) use self::found::{Answer, Found};
use super::pool::address;
use crate::log::Log;

/// See the module.
pub(crate) struct Roster {
    name: Arc<str>,
    pub(crate) health: Option<manifest::Health>,
    outlier: Option<manifest::Outlier>,
    /// Grows with each change of who takes requests.
    version: AtomicU64,
    /// How many do.
    ready: AtomicUsize,
    /// Endpoints of the manifest, some of which stand for those that are found.
    pub(crate) sources: Vec<manifest::Endpoint>,
    /// Some are there, or all that stand for some have been looked up.
    known: AtomicBool,
    /// Tells those that wait for that.
    first: Notify,
    inside: Mutex<Inside>,
    /// There is something else to wait for.
    pub(crate) bell: Notify,
}

#[derive(Default)]
struct Inside {
    members: Vec<Seated>,
    /// The number of the next member.
    next: usize,
    /// Sources that have been looked up, whatever came of it.
    heard: BTreeSet<usize>,
    /// Those that could not be looked up, or not wholly, when that was last tried.
    lost: BTreeSet<usize>,
}

/// A member, and what is known of it.
#[derive(Clone)]
struct Seated {
    member: Arc<Member>,
    /// Of the manifest, what it is or stands for.
    source: usize,
    weight: u32,
    priority: u16,
    health: Health,
    outlier: Outlier,
    /// Why it is out.
    why: String,
}

/// An endpoint.
pub(crate) struct Member {
    /// No other one of this upstream has or had it.
    pub(crate) number: usize,
    pub(crate) endpoint: Arc<manifest::Endpoint>,
    pub(crate) address: String,
    /// Its last answer was an error, so that a good one is news.
    troubled: AtomicBool,
    pub(crate) counts: Counts,
}

/// What happened to a member.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) probes_ok: AtomicU64,
    pub(crate) probes_failed: AtomicU64,
    /// By `CHANGES`.
    pub(crate) changes: [AtomicU64; CHANGES.len()],
}

/// How a member's state changes.
pub(crate) const CHANGES: [&str; 4] = ["up", "down", "ejected", "returned"];
const UP: usize = 0;
const DOWN: usize = 1;
const EJECTED: usize = 2;
const RETURNED: usize = 3;

/// How a member stands, for people.
pub(crate) struct Stand {
    pub(crate) member: Arc<Member>,
    pub(crate) up: bool,
    /// Milliseconds of its ejection that are left.
    pub(crate) ejected: Option<u64>,
    pub(crate) why: String,
}

impl Stand {
    pub(crate) fn state(&self) -> &'static str {
        match (self.up, self.ejected) {
            (false, _) => "down",
            (true, Some(_)) => "ejected",
            (true, None) => "up",
        }
    }
}

impl Roster {
    /// The endpoints of an upstream; what `old` knows of those that stay is known on.
    #[cold]
    pub(crate) fn new(meant: &manifest::Upstream, old: Option<&Roster>) -> Arc<Roster> {
        let mut inside = Inside::default();
        let mut before = Vec::new();
        if let Some(old) = old.map(|old| old.inside()) {
            (inside.next, before) = (old.next, old.members.clone());
        }
        let sources = meant.endpoints.clone();
        let mut left: Vec<_> = old.iter().flat_map(|old| old.sources.iter().enumerate()).collect();
        for (at, endpoint) in sources.iter().enumerate() {
            let was = left.iter().position(|(_, was)| is_same(was, endpoint));
            let was = was.map(|was| left.remove(was).0);
            let (mut known, others): (Vec<Seated>, Vec<Seated>) =
                before.into_iter().partition(|known| Some(known.source) == was);
            before = others;
            for seated in &mut known {
                seated.source = at;
                if !endpoint.is_sought() {
                    seated.weight = endpoint.weight;
                }
                if meant.health.is_none() {
                    seated.health = Health::default();
                }
                if meant.outlier.is_none() {
                    seated.outlier = Outlier::default();
                }
            }
            match known.is_empty() && !endpoint.is_sought() {
                true => inside.seat(at, endpoint.clone(), 0),
                false => inside.members.append(&mut known),
            }
        }
        let known = !inside.members.is_empty() || !sources.iter().any(|one| one.is_sought());
        let roster = Roster {
            sources,
            known: AtomicBool::new(known),
            first: Notify::new(),
            name: meant.name.clone(),
            health: meant.health.clone(),
            outlier: meant.outlier,
            version: AtomicU64::new(1),
            ready: AtomicUsize::new(0),
            inside: Mutex::new(inside),
            bell: Notify::new(),
        };
        roster.settle(&roster.inside());
        Arc::new(roster)
    }

    /// Grows with each change of who takes requests.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// How many take requests.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.ready.load(Ordering::Relaxed)
    }

    /// Whether there is anything to wait for yet.
    #[inline]
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    /// Whether some stand for endpoints that have to be found.
    pub(crate) fn is_sought(&self) -> bool {
        self.sources.iter().any(|source| source.is_sought())
    }

    /// Whether exchanges are to tell how they went.
    pub(crate) fn listens(&self) -> bool {
        self.outlier.is_some()
    }

    /// The members with their weights, which are 0 for those that take no requests, and the version of that.
    pub(crate) fn members(&self) -> (u64, Vec<(Arc<Member>, u32)>) {
        let inside = self.inside();
        let weights = rotation::weights(&inside.seats());
        let members = inside.members.iter().map(|seated| seated.member.clone());
        (self.version(), members.zip(weights).collect())
    }

    /// A probe of a member has ended: well, or why not.
    pub(crate) fn probed(&self, number: usize, outcome: Result<(), String>, now: u64, log: &Log) {
        let Some(rules) = &self.health else { return };
        let mut inside = self.inside();
        let Some(at) = inside.find(number) else { return };
        let seated = &mut inside.members[at];
        let counts = &seated.member.counts;
        let count = if outcome.is_ok() { &counts.probes_ok } else { &counts.probes_failed };
        count.fetch_add(1, Ordering::Relaxed);
        if !seated.health.probed(outcome.is_ok(), rules) {
            return;
        }
        match outcome {
            Ok(()) => self.tell(&inside, at, UP, &[], log),
            Err(why) => {
                seated.why.clone_from(&why);
                self.tell(&inside, at, DOWN, &[("reason", &*why)], log);
            }
        }
        self.pardon(&mut inside, now, log);
    }

    /// An exchange with a member has ended: with an answer, or an error.
    #[inline]
    pub(crate) fn saw(&self, member: &Member, well: bool, now: u64, log: &Log) {
        if !well {
            self.erred(member.number, now, log);
        } else if member.troubled.load(Ordering::Relaxed) {
            self.answered(member.number);
        }
    }

    #[cold]
    fn answered(&self, number: usize) {
        let mut inside = self.inside();
        if let Some(at) = inside.find(number) {
            let seated = &mut inside.members[at];
            seated.outlier.answered();
            seated.member.troubled.store(false, Ordering::Relaxed);
        }
    }

    #[cold]
    fn erred(&self, number: usize, now: u64, log: &Log) {
        let Some(rules) = &self.outlier else { return };
        let mut inside = self.inside();
        let seats = inside.seats();
        let Some(at) = inside.find(number) else { return };
        let seated = &mut inside.members[at];
        let many = seated.outlier.erred(now, rules);
        seated.member.troubled.store(seated.outlier.is_in_trouble(), Ordering::Relaxed);
        // What is down already needs no ejection.
        let may = seated.health.is_up() && rotation::may_eject(&seats, rules.max_ejected);
        if !many || !may {
            return;
        }
        let time = seated.outlier.eject(now, rules);
        seated.member.troubled.store(false, Ordering::Relaxed);
        seated.why = format!("{} errors in a row", rules.errors);
        let (why, time) = (seated.why.clone(), (time as f64 / 1000.0).to_string());
        self.tell(&inside, at, EJECTED, &[("reason", &*why), ("seconds", &*time)], log);
        // Somebody has to end it.
        self.bell.notify_one();
    }

    /// Ends ejections whose time is over, or that leave too few now that others are gone; says when the next one's is.
    pub(crate) fn tick(&self, now: u64, log: &Log) -> Option<u64> {
        let mut inside = self.inside();
        for at in 0..inside.members.len() {
            let outlier = &mut inside.members[at].outlier;
            if outlier.until().is_some_and(|until| until <= now) {
                outlier.come_back(now);
                self.tell(&inside, at, RETURNED, &[("reason", "its time is over")], log);
            }
        }
        self.pardon(&mut inside, now, log);
        inside.members.iter().filter_map(|seated| seated.outlier.until()).min()
    }

    /// How all stand.
    pub(crate) fn stands(&self, now: u64) -> Vec<Stand> {
        let stand = |seated: &Seated| Stand {
            member: seated.member.clone(),
            up: seated.health.is_up(),
            ejected: seated.outlier.until().map(|until| until.saturating_sub(now)),
            why: seated.why.clone(),
        };
        self.inside().members.iter().map(stand).collect()
    }

    /// Ejected ones are taken back as long as too few are left.
    fn pardon(&self, inside: &mut Inside, now: u64, log: &Log) {
        let Some(rules) = &self.outlier else { return };
        while let Some(at) = rotation::pardoned(&inside.seats(), rules.max_ejected) {
            inside.members[at].outlier.come_back(now);
            self.tell(inside, at, RETURNED, &[("reason", "too few are left")], log);
        }
    }

    /// Counts a change of a member, and says it when workers can see it.
    fn tell(&self, inside: &Inside, at: usize, change: usize, more: &[(&str, &str)], log: &Log) {
        self.settle(inside);
        let seated = &inside.members[at];
        seated.member.counts.changes[change].fetch_add(1, Ordering::Relaxed);
        let message = ["endpoint up", "endpoint down", "endpoint ejected", "endpoint returned"];
        let level = if matches!(change, UP | RETURNED) { Level::Info } else { Level::Warn };
        let mut fields = vec![("upstream", &*self.name), ("endpoint", &seated.member.address)];
        fields.extend_from_slice(more);
        log.event(level, message[change], &fields);
    }

    /// Workers look anew.
    fn settle(&self, inside: &Inside) {
        let weights = rotation::weights(&inside.seats());
        self.ready.store(weights.iter().filter(|weight| **weight > 0).count(), Ordering::Relaxed);
        self.version.fetch_add(1, Ordering::Release);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn find(&self, number: usize) -> Option<usize> {
        self.members.iter().position(|seated| seated.member.number == number)
    }

    fn seats(&self) -> Vec<Seat> {
        let seat = |seated: &Seated| Seat {
            weight: seated.weight,
            priority: seated.priority,
            up: seated.health.is_up(),
            until: seated.outlier.until(),
        };
        self.members.iter().map(seat).collect()
    }

    /// Adds an endpoint of which nothing is known.
    fn seat(&mut self, source: usize, endpoint: manifest::Endpoint, priority: u16) {
        let number = self.next;
        self.next += 1;
        self.members.push(Seated {
            source,
            weight: endpoint.weight,
            priority,
            health: Health::default(),
            outlier: Outlier::default(),
            why: String::new(),
            member: Arc::new(Member {
                number,
                address: address(&endpoint),
                endpoint: Arc::new(endpoint),
                troubled: AtomicBool::new(false),
                counts: Counts::default(),
            }),
        });
    }
}

/// Whether it is the same server, whatever its weight is.
fn is_same(a: &manifest::Endpoint, b: &manifest::Endpoint) -> bool {
    let place = |one: &manifest::Endpoint| manifest::Endpoint {
        place: Default::default(),
        weight: 1,
        ..one.clone()
    };
    place(a) == place(b)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
