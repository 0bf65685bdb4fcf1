//! Starts and ends of applications' instances, and what asked for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::histogram::{Histogram, Scale};
use super::kept::{keep_histogram, read_histogram};
use super::lock;
use super::text::Page;
use crate::apps::{App, STATES};
use crate::park::state::{Reader, Writer};

/// All applications that there were.
#[derive(Default)]
pub(crate) struct Counts(Mutex<Data>);

#[derive(Default)]
struct Data {
    /// By what is counted, application and reason.
    events: BTreeMap<(Event, Box<str>, Box<str>), u64>,
    /// From start to ready, by application.
    times: BTreeMap<Box<str>, Histogram>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Start,
    End,
    Scale,
}

const EVENTS: [(Event, &str, &str); 3] = [
    (Event::Start, "pilotlight_instance_starts", "Instances started, by what asked for them."),
    (Event::End, "pilotlight_instance_ends", "Instances that ended, by why."),
    (Event::Scale, "pilotlight_scale_decisions", "Changes of how many instances there are to be."),
];

impl Counts {
    pub(crate) fn started(&self, app: &str, reason: &'static str) {
        self.count(Event::Start, app, reason);
    }

    pub(crate) fn ended(&self, app: &str, reason: &'static str) {
        self.count(Event::End, app, reason);
    }

    pub(crate) fn scaled(&self, app: &str, reason: &'static str) {
        self.count(Event::Scale, app, reason);
    }

    /// An instance was ready, so long after its start.
    pub(crate) fn ready(&self, app: &str, took: Duration) {
        let mut data = lock(&self.0);
        let times = data.times.entry(app.into()).or_insert_with(|| Histogram::new(Scale::Coarse));
        times.add(took.as_secs_f64());
    }

    fn count(&self, event: Event, app: &str, reason: &str) {
        *lock(&self.0).events.entry((event, app.into(), reason.into())).or_default() += 1;
    }

    #[cold]
    pub(super) fn show(&self, page: &mut Page, apps: &[Arc<App>]) {
        page.family("pilotlight_instances", "gauge", "Instances of an application, by state.");
        for app in apps {
            for (state, count) in STATES.iter().zip(app.facts().instances) {
                let labels = [("upstream", &*app.name), ("state", state)];
                page.sample("pilotlight_instances", &labels, count as f64);
            }
        }
        let name = "pilotlight_desired_instances";
        page.family(name, "gauge", "How many there are to be.");
        for app in apps {
            page.sample(name, &[("upstream", &*app.name)], f64::from(app.facts().desired));
        }
        let name = "pilotlight_instance_requests";
        page.family(name, "gauge", "Exchanges that instances are busy with.");
        for app in apps {
            page.sample(name, &[("upstream", &*app.name)], f64::from(app.facts().in_flight));
        }
        let data = lock(&self.0);
        for (event, family, help) in EVENTS {
            page.family(family, "counter", help);
            for ((of, app, reason), count) in &data.events {
                if *of == event {
                    page.counter(family, &[("upstream", app), ("reason", reason)], *count);
                }
            }
        }
        let name = "pilotlight_instance_start_seconds";
        page.family(name, "histogram", "From an instance's start to its being ready.");
        for (app, times) in &data.times {
            page.histogram(name, &[("upstream", app)], times);
        }
    }

    #[cold]
    pub(super) fn keep(&self, to: &mut Writer) {
        let data = lock(&self.0);
        to.number(data.events.len() as u64);
        for ((event, app, reason), count) in &data.events {
            to.number(*event as u64);
            to.bytes(app.as_bytes());
            to.bytes(reason.as_bytes());
            to.number(*count);
        }
        to.number(data.times.len() as u64);
        for (app, times) in &data.times {
            to.bytes(app.as_bytes());
            keep_histogram(times, to);
        }
    }

    #[cold]
    pub(super) fn take_back(&self, from: &mut Reader<'_>) -> Option<()> {
        let mut data = lock(&self.0);
        for _ in 0..from.number()? {
            let (event, ..) = EVENTS[(from.number()? as usize).min(EVENTS.len() - 1)];
            let key = (event, from.text()?.into(), from.text()?.into());
            *data.events.entry(key).or_default() += from.number()?;
        }
        for _ in 0..from.number()? {
            let app = from.text()?.into();
            let kept = read_histogram(from)?;
            data.times
                .entry(app)
                .or_insert_with(|| Histogram::new(Scale::Coarse))
                .merge(kept.counts(), kept.sum);
        }
        Some(())
    }
}
