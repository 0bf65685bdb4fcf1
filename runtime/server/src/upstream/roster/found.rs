//! Endpoints that names stand for.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pilotlight_config::manifest::{Endpoint, Lookup};
use pilotlight_filter::host::Level;

use super::{Inside, Roster};
use crate::log::Log;

/// Endpoints that one name stands for.
const FOUND_MAX: usize = 256;

/// Where a server is that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// What its certificate must hold.
    pub(crate) host: String,
    pub(crate) weight: u32,
    pub(crate) priority: u16,
}

/// What a look-up has found out.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) found: Vec<Found>,
    /// Hosts that could not be looked up, and why: what they stood for stays.
    pub(crate) lost: Vec<(String, String)>,
}

impl Roster {
    /// Waits for the first answer of name servers, within a limit.
    pub(crate) async fn known(&self, limit: Duration) {
        let first = self.first.notified();
        if !self.is_known() {
            drop(tokio::time::timeout(limit, first).await);
        }
    }

    /// A source has been looked up: this is what it stands for from now on. What could not be looked up stays
    /// as it was.
    pub(crate) fn found(&self, source: usize, outcome: Result<Answer, String>, log: &Log) {
        let mut inside = self.inside();
        let name = &*self.sources[source].host;
        let (changes, why) = match outcome {
            Err(why) => (false, Some(why)),
            Ok(Answer { found, lost }) => {
                let changes = self.seat_all(&mut inside, source, found, &lost);
                (changes, lost.into_iter().next().map(|(_, why)| why))
            }
        };
        let was_lost = why.is_none() && inside.lost.remove(&source);
        if let Some(why) = why
            && inside.lost.insert(source)
        {
            let fields = [("upstream", &*self.name), ("name", name), ("error", &*why)];
            log.event(Level::Warn, "endpoints not found", &fields);
        }
        if changes {
            self.settle(&inside);
        }
        if changes || was_lost {
            let of = inside.members.iter().filter(|seated| seated.source == source);
            let all: Vec<&str> = of.map(|seated| &*seated.member.address).collect();
            let all = all.join(", ");
            let fields = [("upstream", &*self.name), ("name", name), ("endpoints", &all)];
            log.event(Level::Info, "endpoints found", &fields);
        }
        inside.heard.insert(source);
        let sought = self.sources.iter().filter(|source| source.is_sought()).count();
        if !inside.members.is_empty() || inside.heard.len() == sought {
            self.known.store(true, Ordering::Relaxed);
            self.first.notify_waiters();
        }
    }

    /// True: others are there than before, or others are gone.
    fn seat_all(
        &self,
        inside: &mut Inside,
        source: usize,
        mut found: Vec<Found>,
        lost: &[(String, String)],
    ) -> bool {
        found.sort();
        found.dedup_by(|a, b| (a.address, a.port) == (b.address, b.port));
        found.truncate(FOUND_MAX);
        let meant = &self.sources[source];
        let (before, mut changes) = (inside.members.len(), false);
        inside.members.retain_mut(|seated| {
            let member = &seated.member.endpoint;
            let same = |found: &Found| {
                let place = (member.lookup, member.port, &member.host);
                place == (Lookup::Found(found.address), found.port, &found.host)
            };
            let at = found.iter().position(same);
            if let Some(found) = at.filter(|_| seated.source == source).map(|at| found.remove(at)) {
                let share = (found.weight, found.priority);
                changes |= share != (seated.weight, seated.priority);
                (seated.weight, seated.priority) = share;
                return true;
            }
            seated.source != source || lost.iter().any(|(host, _)| *host == member.host)
        });
        changes |= inside.members.len() != before || !found.is_empty();
        for Found { address, port, host, weight, priority } in found {
            let lookup = Lookup::Found(address);
            let endpoint = Endpoint { host, port, weight, lookup, ..meant.clone() };
            inside.seat(source, endpoint, priority);
        }
        changes
    }
}
