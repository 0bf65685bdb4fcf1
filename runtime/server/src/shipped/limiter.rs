//! A rate limit with all its buckets, shared by the workers; with a ledger, by all nodes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;
use pilotlight_config::manifest::RateLimit;
use pilotlight_core::allowance::{Allowance, Grant, LEASE, Lease, Step};
use pilotlight_filter::host::Shared;

use super::Ground;
use crate::clock::Clock;
use crate::ledger::{Ask, Commands, Ledger, Script};
use crate::park::state::{Reader, Writer};

/// Keys with leases; those past them are limited as if the server were lost.
const LEASES: usize = 65_536;
/// Exchanges that wait for one key's lease. Others are limited alone.
const WAITING: usize = 1024;

pub(crate) struct Limiter {
    pub(crate) name: Arc<str>,
    pub(crate) meant: RateLimit,
    of: Allowance,
    /// Its buckets: how long an entry lives is how long its bucket takes to be full.
    dictionary: Arc<dyn Shared>,
    /// With other nodes.
    beyond: Option<Beyond>,
    clock: Clock,
    pub(crate) counts: Counts,
}

/// Exchanges so far.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) passed: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// Of these, those that this node decided alone though it has a server for it.
    pub(crate) alone: AtomicU64,
}

impl Counts {
    fn all(&self) -> [&AtomicU64; 3] {
        [&self.passed, &self.refused, &self.alone]
    }
}

struct Beyond {
    ledger: Arc<Ledger>,
    leases: Mutex<Leases>,
}

#[derive(Default)]
struct Leases {
    all: HashMap<Box<[u8]>, Entry, RandomState>,
    /// When what is over was last taken away.
    swept: f64,
}

#[derive(Default)]
struct Entry {
    lease: Lease,
    waiting: Vec<Waker>,
    /// Asked for it in vain: until then the node decides by its share.
    alone_until: f64,
}

/// How a key stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) passes: bool,
    /// Whole tokens that are left.
    pub(crate) left: f64,
    /// Seconds: if it does not pass, until one would; else until all are there again.
    pub(crate) after: f64,
}

impl Limiter {
    /// One that means the same and counts in the same place is the one that was there.
    pub(super) fn open(
        name: &Arc<str>,
        meant: &RateLimit,
        ground: &Ground<'_>,
    ) -> Option<Arc<Limiter>> {
        let dictionary = ground.dictionaries.get(&meant.dictionary)?.clone();
        let ledger = meant
            .redis
            .as_ref()
            .and_then(|name| ground.ledgers.iter().find(|ledger| ledger.name() == name));
        let same = |old: &&Arc<Limiter>| {
            let before = old.beyond.as_ref().map(|beyond| &beyond.ledger);
            old.name == *name
                && old.meant == *meant
                && Arc::ptr_eq(&old.dictionary, &dictionary)
                && before.map(Arc::as_ptr) == ledger.map(Arc::as_ptr)
        };
        let kept = ground.old.iter().find(same).cloned();
        Some(kept.unwrap_or_else(|| {
            let per_second = meant.count as f64 * 1000.0 / meant.per_millis as f64;
            let beyond =
                |ledger: &Arc<Ledger>| Beyond { ledger: ledger.clone(), leases: Mutex::default() };
            Arc::new(Limiter {
                name: name.clone(),
                meant: meant.clone(),
                of: Allowance { per_second, burst: meant.burst as f64 },
                beyond: ledger.map(beyond),
                dictionary,
                clock: ground.clock,
                counts: Counts::default(),
            })
        }))
    }

    /// A request of `key` comes. While it waits for a lease it may [give up](Limiter::give_up).
    pub(super) fn poll(self: &Arc<Limiter>, cx: &mut Context<'_>, key: &[u8]) -> Poll<Standing> {
        let standing = match &self.beyond {
            None => self.alone(key, &self.of),
            Some(beyond) => std::task::ready!(self.together(cx, beyond, key)),
        };
        Poll::Ready(self.counted(standing))
    }

    /// It has waited for long enough.
    pub(super) fn give_up(&self, key: &[u8]) -> Standing {
        self.counted(match &self.beyond {
            None => self.alone(key, &self.of),
            Some(beyond) => self.share(beyond, key),
        })
    }

    fn counted(&self, standing: Standing) -> Standing {
        let count = if standing.passes { &self.counts.passed } else { &self.counts.refused };
        count.fetch_add(1, Ordering::Relaxed);
        standing
    }

    /// By this node's own bucket.
    fn alone(&self, key: &[u8], of: &Allowance) -> Standing {
        let key = [self.name.as_bytes(), b"\0", key].concat();
        match self.dictionary.prolong(&key, of.cost(), of.fills_in()) {
            Ok(full_in) => Standing { passes: true, left: of.tokens(full_in), after: full_in },
            Err(full_in) => Standing { passes: false, left: 0.0, after: of.next_in(full_in) },
        }
    }

    fn share(&self, beyond: &Beyond, key: &[u8]) -> Standing {
        self.counts.alone.fetch_add(1, Ordering::Relaxed);
        self.alone(key, &self.of.share(beyond.ledger.nodes()))
    }

    /// By a lease of the bucket that all nodes have together.
    fn together(
        self: &Arc<Limiter>,
        cx: &mut Context<'_>,
        beyond: &Beyond,
        key: &[u8],
    ) -> Poll<Standing> {
        let now = self.clock.elapsed().as_secs_f64();
        let mut leases = beyond.lock();
        let Some(entry) = leases.entry(key, now) else {
            drop(leases);
            return Poll::Ready(self.share(beyond, key));
        };
        let passes = |left: f64| {
            let after = (self.of.burst - left).max(0.0) * self.of.cost();
            Poll::Ready(Standing { passes: true, left, after })
        };
        if beyond.ledger.is_lost() || now < entry.alone_until {
            if entry.lease.take_left(now) {
                return passes(0.0);
            }
            drop(leases);
            return Poll::Ready(self.share(beyond, key));
        }
        match entry.lease.take(now, &self.of) {
            Step::Pass(left) => passes(left),
            Step::Refuse(after) => Poll::Ready(Standing { passes: false, left: 0.0, after }),
            Step::Wait(ask) => {
                let asked = match ask {
                    Some(want) => {
                        let asked = beyond.ledger.ask(Ask::Lease(self.clone(), key.into(), want));
                        if !asked {
                            entry.lease.lost();
                        }
                        asked
                    }
                    None => true,
                };
                let known = entry.waiting.iter().any(|waker| waker.will_wake(cx.waker()));
                if !asked || !known && entry.waiting.len() >= WAITING {
                    drop(leases);
                    return Poll::Ready(self.share(beyond, key));
                }
                if !known {
                    entry.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Writes down what it has counted.
    #[cold]
    pub(crate) fn keep(&self, to: &mut Writer) {
        to.bytes(self.name.as_bytes());
        self.counts.all().iter().for_each(|count| to.number(count.load(Ordering::Relaxed)));
    }

    /// Gives it back to those that the manifest still has; there are as many as it has, and no more.
    #[cold]
    pub(crate) fn take_back(all: &[Arc<Limiter>], from: &mut Reader<'_>) -> Option<()> {
        while !from.0.is_empty() {
            let name = from.text()?;
            let known = all.iter().find(|limiter| *limiter.name == *name);
            for at in 0..3 {
                let count = from.number()?;
                if let Some(known) = known {
                    known.counts.all()[at].fetch_add(count, Ordering::Relaxed);
                }
            }
        }
        Some(())
    }

    /// The command that asks for tokens.
    pub(crate) fn write(&self, to: &mut Commands, key: &[u8], want: f64) {
        let Allowance { per_second, burst } = self.of;
        let key = [b"pilotlight:limit:", self.name.as_bytes(), b":", key].concat();
        to.push(Script::Grant, key, [per_second, burst, want].map(|number| number.to_string()));
    }

    /// The ledger's answer.
    #[cold]
    pub(crate) fn granted(&self, key: &[u8], grant: Grant) {
        let now = self.clock.elapsed().as_secs_f64();
        self.told(key, |entry| entry.lease.granted(now, grant));
    }

    /// There is none.
    #[cold]
    pub(crate) fn lost(&self, key: &[u8]) {
        let now = self.clock.elapsed().as_secs_f64();
        self.told(key, |entry| {
            entry.lease.lost();
            entry.alone_until = now + LEASE;
        });
    }

    fn told(&self, key: &[u8], tell: impl FnOnce(&mut Entry)) {
        let Some(beyond) = &self.beyond else { return };
        let mut leases = beyond.lock();
        let Some(entry) = leases.all.get_mut(key) else { return };
        tell(entry);
        let waiting = std::mem::take(&mut entry.waiting);
        drop(leases);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Beyond {
    fn lock(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leases {
    /// A key's; `None`: there is no room for it.
    fn entry(&mut self, key: &[u8], now: f64) -> Option<&mut Entry> {
        if !self.all.contains_key(key) {
            // Now and then, so that what is over does not stay; and no more often, when all live.
            if (self.all.len() >= LEASES || now > self.swept + 60.0) && now > self.swept + 1.0 {
                self.swept = now;
                self.all.retain(|_, entry| !entry.lease.is_over(now));
            }
            if self.all.len() >= LEASES {
                return None;
            }
            self.all.insert(key.into(), Entry::default());
        }
        self.all.get_mut(key)
    }
}
