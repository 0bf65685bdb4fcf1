//! What a scaler is asked for, by the `scalerMetadata` of a trigger.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pilotlight_core::breaker::Limit;

use super::wire::Message;
use super::{INVALID, Refusal};
use crate::admission::{At, Figures, Gate};
use crate::clock;
use crate::control::Control;
use crate::metrics::PLACES;
use crate::shipped::Desk;
use crate::upstream::Shared;

/// A latency is that of the exchanges since a time at least so long ago.
const WINDOW: Duration = Duration::from_secs(15);
/// Latencies that are followed.
const FOLLOWED: usize = 256;

/// What is wanted.
pub(super) struct Wanted {
    metric: Metric,
    /// Of which route or upstream; `None`: of the gateway.
    of: Option<(At, String)>,
    target: Option<f64>,
    /// It is active above this.
    activation: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum Metric {
    /// What is under way, and what waits.
    Load,
    InFlight,
    Queue,
    /// The load by the limit, in percent.
    Utilization,
    /// What 95 of 100 take at most, in milliseconds.
    Latency,
}

const METRICS: [(&str, Metric); 5] = [
    ("load", Metric::Load),
    ("in-flight", Metric::InFlight),
    ("queue", Metric::Queue),
    ("utilization", Metric::Utilization),
    ("latency", Metric::Latency),
];

impl Wanted {
    /// Reads a `ScaledObjectRef`; `None`: it is malformed.
    pub(super) fn read(message: &[u8]) -> Option<Result<Wanted, Refusal>> {
        let mut told = BTreeMap::new();
        for (number, pair) in Message(message).each()? {
            if number == 3 {
                let text = |at| std::str::from_utf8(Message(pair).find(at).unwrap_or_default());
                told.insert(text(1).ok()?.to_owned(), text(2).ok()?.to_owned());
            }
        }
        Some(Wanted::meant(&told))
    }

    /// Keys that are none of ours are KEDA's.
    fn meant(told: &BTreeMap<String, String>) -> Result<Wanted, Refusal> {
        let refuse = |why: String| Err((INVALID, why));
        let number = |key: &str| match told.get(key).map(|text| text.parse::<f64>()) {
            None => Ok(None),
            Some(Ok(number)) if number.is_finite() && number >= 0.0 => Ok(Some(number)),
            Some(_) => Err((INVALID, format!("{key} is not a number from 0 on"))),
        };
        let named = told.get("metric").map_or("load", String::as_str);
        let Some((_, metric)) = METRICS.iter().find(|(name, _)| *name == named) else {
            let names = METRICS.map(|(name, _)| name).join(", ");
            return refuse(format!("metric is none of {names}"));
        };
        let of = match (told.get("route"), told.get("upstream")) {
            (Some(_), Some(_)) => return refuse("route or upstream, not both".to_owned()),
            (Some(route), None) => Some((At::Route, route.clone())),
            (None, Some(upstream)) => Some((At::Upstream, upstream.clone())),
            (None, None) => None,
        };
        let (target, activation) = (number("target")?, number("activation")?.unwrap_or(0.0));
        if target == Some(0.0) {
            return refuse("target is 0".to_owned());
        }
        Ok(Wanted { metric: *metric, of, target, activation })
    }

    /// What each replica is to have of it.
    pub(super) fn target(&self) -> Result<f64, Refusal> {
        self.target.ok_or_else(|| (INVALID, "target is missing".to_owned()))
    }

    /// Its name for the HPA.
    pub(super) fn name(&self) -> String {
        let metric = METRICS.iter().find(|(_, metric)| *metric == self.metric);
        let metric = metric.map_or("", |(name, _)| name);
        let whole = match &self.of {
            Some((at, name)) => format!("pilotlight-{metric}-{}-{name}", at.name()),
            None => format!("pilotlight-{metric}"),
        };
        whole.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
    }

    pub(super) fn is_active(&self, control: &Control, desk: &Desk) -> Result<bool, Refusal> {
        Ok(self.figure(control, desk)? > self.activation)
    }

    /// What it is now.
    pub(super) fn figure(&self, control: &Control, desk: &Desk) -> Result<f64, Refusal> {
        let generation = control.generation();
        let unknown = || (INVALID, "the gateway has no such route or upstream".to_owned());
        let Busy { flying, waiting, limit } = match &self.of {
            None => {
                let gates = generation.gates.iter().map(|(_, gate)| gate.figures().waiting as f64);
                let behind = generation.upstreams.iter().map(|shared| waiting(shared));
                // Who asks for figures is nobody's load.
                let asking = desk.asking.load(Ordering::Relaxed);
                let flying = control.metrics.in_flight().saturating_sub(asking) as f64;
                Busy { flying, waiting: gates.chain(behind).sum(), limit: None }
            }
            Some((At::Upstream, name)) => upstream(control, name).ok_or_else(unknown)?,
            Some((At::Route, name)) => {
                let mut routes = generation.manifest.routes.iter();
                routes.find(|route| *route.name == **name).ok_or_else(unknown)?;
                let gate =
                    generation.gates.iter().find(|(at, g)| *at == At::Route && *g.name == **name);
                match gate {
                    Some((_, gate)) => gated(gate),
                    // What it does not count it can still have timed.
                    None if self.metric == Metric::Latency => Busy::default(),
                    None => {
                        let why = "the route has no admission, so its requests are not counted";
                        return Err((INVALID, why.to_owned()));
                    }
                }
            }
        };
        Ok(match self.metric {
            Metric::Load if self.of.is_some() => flying + waiting,
            // Who waits in the gateway is under way there.
            Metric::Load | Metric::InFlight => flying,
            Metric::Queue => waiting,
            Metric::Utilization => match limit {
                Some(limit) => 100.0 * (flying + waiting) / limit.max(1.0),
                None => {
                    return Err((INVALID, "utilization is of a route or an upstream".to_owned()));
                }
            },
            Metric::Latency => {
                let (at, name) = match &self.of {
                    Some((at, name)) => (*at, name.as_str()),
                    None => (At::Route, ""),
                };
                desk.latencies.look((at, name.to_owned()), control.metrics.durations(at, name))
            }
        })
    }
}

/// How busy something is.
#[derive(Default)]
struct Busy {
    flying: f64,
    waiting: f64,
    limit: Option<f64>,
}

fn gated(gate: &Gate) -> Busy {
    let Figures { limit, in_flight, waiting } = gate.figures();
    Busy { flying: f64::from(in_flight), waiting: waiting as f64, limit: Some(f64::from(limit)) }
}

fn upstream(control: &Control, name: &str) -> Option<Busy> {
    let generation = control.generation();
    let shared = generation.upstreams.iter().find(|shared| *shared.meant.name == *name)?;
    let gate = generation.gates.iter().find(|(at, g)| *at == At::Upstream && *g.name == *name);
    let gate = gate.map(|(_, gate)| gated(gate));
    let before = gate.as_ref().map_or(0.0, |gate| gate.waiting);
    let limit = gate.and_then(|gate| gate.limit);
    Some(Busy {
        flying: shared.breaker.used(Limit::Requests) as f64,
        waiting: before + waiting(shared),
        limit: limit.or(Some(shared.breaker.max(Limit::Requests) as f64)),
    })
}

/// Who waits for a connection or an instance.
fn waiting(shared: &Shared) -> f64 {
    let app = shared.app().map_or(0, |app| app.facts().waiting);
    shared.breaker.used(Limit::Pending) as f64 + app as f64
}

/// Counts by size, and the bounds of these.
pub(crate) type Sizes = (&'static [f64], [u64; PLACES]);

/// What was counted before, so that a latency is one of late.
#[derive(Default)]
pub(in crate::shipped) struct Latencies(Mutex<BTreeMap<(At, String), Followed>>);

/// Two looks, the older and the newer, with their times in nanoseconds.
struct Followed([(u64, [u64; PLACES]); 2]);

impl Latencies {
    /// Milliseconds that 95 of 100 exchanges of late took at most; 0: there were none.
    pub(super) fn look(&self, of: (At, String), (bounds, counts): Sizes) -> f64 {
        let now = clock::monotonic();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= FOLLOWED && !all.contains_key(&of) {
            all.clear();
        }
        let Followed([older, newer]) = all.entry(of).or_insert(Followed([(now, counts); 2]));
        if now.saturating_sub(newer.0) >= WINDOW.as_nanos() as u64 {
            (*older, *newer) = (*newer, (now, counts));
        }
        let mut late = counts;
        for (late, before) in late.iter_mut().zip(older.1) {
            *late = late.saturating_sub(before);
        }
        quantile(bounds, &late) * 1000.0
    }
}

/// As Prometheus' `histogram_quantile(0.95)`.
pub(super) fn quantile(bounds: &[f64], counts: &[u64; PLACES]) -> f64 {
    let total: u64 = counts.iter().sum();
    let rank = 0.95 * total as f64;
    let (mut below, mut from) = (0.0, 0.0);
    for (count, bound) in counts.iter().zip(bounds) {
        let count = *count as f64;
        if count > 0.0 && below + count >= rank {
            return from + (bound - from) * (rank - below) / count;
        }
        (below, from) = (below + count, *bound);
    }
    if total == 0 { 0.0 } else { from }
}
