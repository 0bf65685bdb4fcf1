//! A dictionary whose counters are added up over all nodes.
//!
//! Each node counts for itself at once, and tells Redis ten times a second by how much; what it hears back is
//! what all have counted. What is no counter stays where it is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use foldhash::fast::RandomState;
use pilotlight_filter::abi::Value;
use pilotlight_filter::abi::shared::{End, Found, Kept, Put, Scalar};
use pilotlight_filter::host::Shared;

use super::link::{Commands, Script};
use super::{Ask, Ledger};

/// Adds ARGV[1] to a counter that begins with ARGV[2] and lives for ARGV[3] milliseconds (0: for ever), after taking
/// away what was there if ARGV[4] is `del`; `see` only looks. What it has come to, and how long it still lives.
pub(super) const COUNT: &str = "local k=KEYS[1] if ARGV[4]=='del' then redis.call('DEL',k) end \
if ARGV[1]=='see' then local v=redis.call('GET',k) return v and {v,redis.call('PTTL',k)} end \
local new=redis.call('EXISTS',k)==0 if new then redis.call('SET',k,ARGV[2]) end \
local v=redis.call('INCRBYFLOAT',k,ARGV[1]) \
if new and ARGV[3]~='0' then redis.call('PEXPIRE',k,ARGV[3]) end return {v,redis.call('PTTL',k)}";

/// Counters that wait to be added up; what is counted past them is counted on this node alone.
const WAITING: usize = 16_384;
/// Flags of what is known from Redis: it ends when it does there. Nobody else sees them.
const LEARNT: i32 = i32::MIN;

pub(crate) struct Counts {
    name: String,
    /// What this node knows.
    own: Arc<dyn Shared>,
    ledger: Arc<Ledger>,
    waiting: Mutex<HashMap<Box<[u8]>, Change, RandomState>>,
    /// The ledger has been told.
    told: AtomicBool,
    me: Weak<Counts>,
}

/// What has become of a counter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Change {
    by: f64,
    init: f64,
    ttl: f64,
    counted: bool,
    deleted: bool,
}

impl Counts {
    pub(crate) fn new(name: &str, own: Arc<dyn Shared>, ledger: Arc<Ledger>) -> Arc<Counts> {
        Arc::new_cyclic(|me| Counts {
            name: name.to_owned(),
            own,
            ledger,
            waiting: Mutex::default(),
            told: AtomicBool::new(false),
            me: me.clone(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Change, RandomState>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(
        &self,
        waiting: &mut HashMap<Box<[u8]>, Change, RandomState>,
        key: &[u8],
        change: impl FnOnce(&mut Change),
    ) {
        let room = waiting.len() < WAITING;
        match waiting.get_mut(key) {
            Some(known) => change(known),
            None if room => change(waiting.entry(key.into()).or_default()),
            None => return,
        }
        if !self.told.swap(true, Ordering::AcqRel)
            && !self.me.upgrade().is_some_and(|me| self.ledger.ask(Ask::Count(me)))
        {
            self.told.store(false, Ordering::Release);
        }
    }

    /// What is to be added up, at most so many.
    pub(super) fn take(&self, most: usize) -> Vec<(Box<[u8]>, Change)> {
        let mut waiting = self.waiting();
        let keys: Vec<Box<[u8]>> = waiting.keys().take(most).cloned().collect();
        keys.into_iter().filter_map(|key| waiting.remove_entry(&key)).collect()
    }

    pub(super) fn write(&self, to: &mut Commands, key: &[u8], change: &Change) {
        let key = [b"pilotlight:count:", self.name.as_bytes(), b":", key].concat();
        let Change { by, init, ttl, counted, deleted } = *change;
        let by = if counted { by.to_string() } else { "see".to_owned() };
        let anew = if deleted { "del" } else { "" };
        let millis = (ttl * 1000.0).ceil().max(0.0);
        to.push(Script::Count, key, [by, init.to_string(), millis.to_string(), anew.to_owned()]);
    }

    /// What all have counted together, or that nobody has (any more).
    pub(super) fn learn(&self, key: &[u8], said: &Value) {
        let waiting = self.waiting();
        // What was counted meanwhile is on its way.
        let more = waiting.get(key).copied().unwrap_or_default();
        match said {
            _ if more.deleted => {}
            Value::Nil if more.counted => {}
            Value::Nil => {
                let found = self.own.get(key, &mut Vec::new());
                if found.is_some_and(|found| found.flags == LEARNT) {
                    self.own.delete(key);
                }
            }
            Value::List(all) => {
                let [Value::Bytes(total), Value::Int(left)] = &all[..] else { return };
                let total =
                    std::str::from_utf8(total).ok().and_then(|total| total.parse::<f64>().ok());
                let Some(total) = total else { return };
                let sum = more.by + total;
                let ttl = if *left < 0 { 0.0 } else { (*left).max(1) as f64 / 1000.0 };
                let put = Put { ttl, flags: LEARNT, ..Put::default() };
                let _ = self.own.put(key, Scalar::Number(sum), put);
            }
            _ => {}
        }
    }

    /// They could not be added up.
    pub(super) fn put_back(&self, taken: Vec<(Box<[u8]>, Change)>) {
        let mut waiting = self.waiting();
        for (key, change) in taken {
            match waiting.get_mut(&key) {
                Some(known) if !known.deleted => {
                    let by = known.by + change.by;
                    let counted = known.counted || change.counted;
                    let begun = if change.counted { change } else { *known };
                    *known = Change { by, counted, deleted: change.deleted, ..begun };
                }
                Some(_) => {}
                None => drop(waiting.insert(key, change)),
            }
        }
    }

    /// Whether there is more to add up; if not, it says so when there is.
    pub(super) fn is_due(&self) -> bool {
        let waiting = self.waiting();
        self.told.store(!waiting.is_empty(), Ordering::Release);
        !waiting.is_empty()
    }

    /// Somebody wants to know what others have counted.
    fn looked(&self, key: &[u8], found: Option<Found>) -> Option<Found> {
        if found.is_none_or(|found| matches!(found.kept, Kept::Number(_))) {
            self.note(&mut self.waiting(), key, |_| {});
        }
        let plain = |found: Found| match found.flags {
            LEARNT => Found { flags: 0, ..found },
            _ => found,
        };
        found.map(plain)
    }
}

impl Shared for Counts {
    fn get(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.looked(key, self.own.get(key, text))
    }

    fn get_stale(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found> {
        self.looked(key, self.own.get_stale(key, text))
    }

    fn put(&self, key: &[u8], value: Scalar<'_>, put: Put) -> Result<bool, &'static str> {
        self.own.put(key, value, put)
    }

    fn incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        ttl: f64,
    ) -> Result<(f64, bool), &'static str> {
        let mut waiting = self.waiting();
        let sum = self.own.incr(key, by, init, ttl)?;
        self.note(&mut waiting, key, |change| {
            let init = init.unwrap_or(0.0);
            // Redis has none that are not.
            if (change.by + by).is_finite() && init.is_finite() {
                if !change.counted {
                    (change.init, change.ttl) = (init, ttl);
                }
                change.by += by;
                change.counted = true;
            }
        });
        Ok(sum)
    }

    fn delete(&self, key: &[u8]) {
        let mut waiting = self.waiting();
        self.own.delete(key);
        self.note(&mut waiting, key, |change| {
            *change = Change { deleted: true, ..Change::default() }
        });
    }

    fn prolong(&self, key: &[u8], by: f64, most: f64) -> Result<f64, f64> {
        self.own.prolong(key, by, most)
    }

    fn expire(&self, key: &[u8], ttl: f64, revive: bool) -> bool {
        self.own.expire(key, ttl, revive)
    }

    fn ttl(&self, key: &[u8]) -> Option<f64> {
        self.own.ttl(key)
    }

    fn push(&self, key: &[u8], value: Scalar<'_>, end: End) -> Result<usize, &'static str> {
        self.own.push(key, value, end)
    }

    fn pop(&self, key: &[u8], end: End, text: &mut Vec<u8>) -> Result<Option<Kept>, &'static str> {
        self.own.pop(key, end, text)
    }

    fn len(&self, key: &[u8]) -> Result<usize, &'static str> {
        self.own.len(key)
    }

    fn keys(&self, max: usize) -> Vec<Vec<u8>> {
        self.own.keys(max)
    }

    fn flush(&self) {
        self.own.flush();
    }

    fn expire_all(&self) {
        self.own.expire_all();
    }

    fn flush_expired(&self, max: usize) -> usize {
        self.own.flush_expired(max)
    }

    fn capacity(&self) -> u64 {
        self.own.capacity()
    }

    fn used(&self) -> u64 {
        self.own.used()
    }
}

#[cfg(test)]
mod tests;
