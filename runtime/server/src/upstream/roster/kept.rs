//! What is known of endpoints outlives sleep.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use pilotlight_config::manifest::{Endpoint, Lookup};

use super::{Counts, Health, Inside, Outlier, Roster};
use crate::park::state::{Reader, Writer};

impl Counts {
    fn all(&self) -> impl Iterator<Item = &std::sync::atomic::AtomicU64> {
        [&self.probes_ok, &self.probes_failed].into_iter().chain(&self.changes)
    }
}

impl Roster {
    /// Writes down how its members stand.
    pub(crate) fn keep(&self, now: u64, to: &mut Writer) {
        let inside = self.inside();
        to.bytes(self.name.as_bytes());
        to.number(inside.members.len() as u64);
        for seated in &inside.members {
            to.bytes(seated.member.address.as_bytes());
            // What it takes to have it without asking name servers.
            let endpoint = &seated.member.endpoint;
            let source = &self.sources[seated.source];
            to.bytes(if source.is_sought() { source.host.as_bytes() } else { b"" });
            to.bytes(endpoint.host.as_bytes());
            let numbers = [endpoint.port.into(), endpoint.weight, seated.priority.into()];
            numbers.iter().for_each(|number| to.number(u64::from(*number)));
            to.number(u64::from(seated.health.is_up()));
            to.number(u64::from(seated.outlier.times()));
            to.number(seated.outlier.until().map_or(0, |until| until.saturating_sub(now)));
            to.bytes(seated.why.as_bytes());
            seated.member.counts.all().for_each(|count| to.number(count.load(Ordering::Relaxed)));
        }
    }

    /// Takes back what follows its name, so old by now; `None` forgets it, as the manifest has no such
    /// upstream any more.
    pub(crate) fn take_back(
        this: Option<&Roster>,
        age: u64,
        now: u64,
        from: &mut Reader<'_>,
    ) -> Option<()> {
        let mut none = Inside::default();
        let mut held = this.map(Roster::inside);
        let inside = held.as_deref_mut().unwrap_or(&mut none);
        for _ in 0..from.number()? {
            let address = from.text()?;
            let (sought, host) = (from.text()?, from.text()?);
            let [port, weight, priority] = [from.number()?, from.number()?, from.number()?];
            let (up, times, left) = (from.number()? == 1, from.number()?, from.number()?);
            let why = from.text()?;
            let is_source = |one: &Endpoint| match one.lookup {
                Lookup::Dns => one.host == sought && u64::from(one.port) == port,
                Lookup::Srv => one.host == sought,
                _ => false,
            };
            if let Some(this) = this
                && let Some(at) = this.sources.iter().position(is_source)
                && let Ok(found) = address.parse::<SocketAddr>()
                && !inside.members.iter().any(|known| known.member.address == address)
            {
                let endpoint = Endpoint {
                    host: host.to_owned(),
                    port: port as u16,
                    weight: weight as u32,
                    lookup: Lookup::Found(found.ip()),
                    ..this.sources[at].clone()
                };
                inside.seat(at, endpoint, priority as u16);
                this.known.store(true, Ordering::Relaxed);
            }
            let known = inside.members.iter_mut().find(|known| known.member.address == address);
            let counts = Counts::default();
            let counts = known.as_ref().map_or(&counts, |known| &known.member.counts);
            for count in counts.all() {
                count.fetch_add(from.number()?, Ordering::Relaxed);
            }
            let (Some(this), Some(known)) = (this, known) else { continue };
            if this.health.is_some() {
                known.health = Health::remembered(!up);
            }
            if this.outlier.is_some() {
                let until = left.checked_sub(age).filter(|left| *left > 0).map(|left| now + left);
                let times = u32::try_from(times).unwrap_or(u32::MAX);
                known.outlier = Outlier::remembered(times, until, now);
            }
            known.why = why.to_owned();
        }
        if let (Some(this), Some(inside)) = (this, held) {
            this.settle(&inside);
            this.bell.notify_one();
        }
        Some(())
    }
}
