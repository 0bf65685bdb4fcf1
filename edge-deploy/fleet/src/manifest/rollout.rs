//! `rollout.toml`: who gets a release, how fast, what stops it.

use std::path::Path;
use std::time::Duration;

use pilotlight_config::typed::{At, Refusal, Scene};
use serde::{Deserialize, Serialize};

use super::{From, Parsed, kind, listed, or};
use crate::quantity::{Budget, Limit, Rate, Worse};
use crate::selector::Selector;
use crate::window::{Windows, Zone, zone};

pub(super) mod typed;

/// Who gets a release, how fast, what stops it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// The release's name.
    pub release: String,
    /// The release's version.
    pub version: String,
    /// Which nodes.
    pub target: Selector,
    /// How fast.
    pub pace: Pace,
    /// What happens with nodes that are not there.
    pub offline: Offline,
    /// When nodes may switch; without it at any time.
    pub windows: Option<Windows>,
    /// In this order.
    pub waves: Vec<Wave>,
    /// What lets the next wave begin.
    pub gate: Gate,
    /// What stops it.
    pub abort: Vec<Abort>,
    /// Normal, or with a short soak and a second pair of eyes.
    pub lane: Lane,
    /// What happens with nodes that enrol while it goes on.
    pub late_joiners: LateJoiners,
    /// Whether nodes that have rolled this very release back try it again.
    pub retry: bool,
}

/// How fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// At first.
    pub start: Rate,
    /// The rate is multiplied by this...
    pub grow: f64,
    /// ...each time that so many have committed; without it, as many as the rate allows in a minute.
    pub grow_after: Option<u64>,
    /// At most.
    pub max: Rate,
    /// How many nodes may be switching or on probation at once.
    pub max_unavailable: Budget,
}

/// What happens with nodes that are not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offline {
    /// A node that was heard of within this time is there.
    pub reachable: Duration,
    /// The share of a wave's reachable nodes that must commit.
    pub advance_on: f64,
    /// After this time nodes that were never there are given up.
    pub expire: Duration,
}

/// A part of the nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// Its name.
    pub name: String,
    /// Which of those that are left.
    pub pick: Pick,
    /// Who must say yes before it begins.
    pub approve: Option<Approve>,
}

/// Who must say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Approve {
    /// Any operator.
    Anyone,
    /// One of these.
    One(Vec<String>),
}

/// Which of the nodes that are left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Pick {
    /// So many.
    Count {
        /// How many.
        count: usize,
        /// Taken in turn from the values of this label.
        spread: Option<String>,
    },
    /// A share of all targets.
    Percent {
        /// From 0 to 1.
        share: f64,
        /// Taken in turn from the values of this label.
        spread: Option<String>,
    },
    /// Those with these labels.
    Where(Selector),
    /// All.
    Rest,
}

/// What lets the next wave begin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// On the node, before it commits.
    pub probation: Duration,
    /// After a wave has committed.
    pub soak: Duration,
    /// What is compared.
    pub metrics: Vec<Metric>,
    /// So many requests must have been seen.
    pub requests: u64,
    /// What happens when there were fewer.
    pub no_data: NoData,
    /// A gate that holds so long pauses the rollout.
    pub hold_max: Duration,
    /// What happens when a metric is worse.
    pub fail: Action,
    /// A node that is not heard of so long after its probation is silent.
    pub silent: Duration,
    /// A wave that takes longer pauses the rollout.
    pub deadline: Duration,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Which.
    pub kind: MetricKind,
    /// How much worse than nodes without the release it may be.
    pub worse_by: Option<Worse>,
    /// The most that it may be.
    pub max: Option<Limit>,
    /// How sure one must be that it is worse.
    pub confidence: f64,
}

/// Which metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetricKind {
    /// Errors per request.
    ErrorRatio,
    /// Half of the requests are faster.
    LatencyP50,
    /// All but one in a hundred are faster.
    LatencyP99,
}

/// What happens without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoData {
    /// It waits.
    Hold,
    /// As if the gate had failed.
    Abort,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// All who took it go back.
    Revert,
    /// Nothing further begins.
    Pause,
}

/// A rule that stops a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Abort {
    /// Which failures count.
    pub kind: RuleKind,
    /// How many are too many.
    pub threshold: Threshold,
    /// What is done.
    pub action: Action,
}

/// How many failures are too many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Threshold {
    /// So many nodes of the whole rollout.
    Nodes(u64),
    /// A share of those of a wave that tried, once so many of them have.
    Ratio {
        /// From 0 to 1.
        share: f64,
        /// So many tries.
        after_attempts: u64,
    },
}

/// Which failures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleKind {
    /// One kind.
    Only(crate::rollout::Failure),
    /// All kinds.
    Any,
}

/// How a rollout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// As it is written.
    Normal,
    /// A tenth of the soak; another person than who started it must approve. Canary and probation stay.
    Emergency,
}

/// What happens with nodes that enrol while a rollout goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LateJoiners {
    /// They get it once a wave has passed its gate.
    LastComplete,
    /// They do not get it.
    Exclude,
}

impl Rollout {
    /// Reads `rollout.toml`.
    pub fn parse(text: &str, file: &Path, from: From<'_>) -> Parsed<Rollout> {
        let (typed, mut scene) = from.open::<typed::Rollout>(text, file)?;
        kind(typed.kind.as_ref(), "rollout", &mut scene);
        let scene_ref = &mut scene;
        let (release, version) = typed.release.map_or_else(Default::default, |name| {
            let both = name
                .split_once('@')
                .filter(|(name, version)| !name.is_empty() && !version.is_empty());
            let refuse = || {
                Refusal::new(
                    format!("{:?} names no release", name.value),
                    "such as \"shop-edge@1.42.0\"",
                )
            };
            let both = scene_ref.accept(&name.place, both.ok_or_else(refuse));
            both.map_or_else(Default::default, |(name, version)| (name.into(), version.into()))
        });
        let has_windows = typed.windows.is_some();
        let windows = typed.windows.and_then(|windows| windows.value.meant(&mut scene));
        let rollout = Rollout {
            release,
            version,
            target: typed.target.map_or(Selector::All(Vec::new()), |target| target.value.0),
            pace: typed.pace.map(|pace| pace.value).unwrap_or_default().meant(&mut scene),
            offline: typed
                .offline
                .map(|offline| offline.value)
                .unwrap_or_default()
                .meant(&mut scene),
            windows,
            waves: waves(typed.waves, &mut scene),
            gate: typed
                .gate
                .map(|gate| gate.value)
                .unwrap_or_default()
                .meant(&mut scene, has_windows),
            abort: listed(typed.abort)
                .into_iter()
                .filter_map(|rule| rule.meant(&mut scene))
                .collect(),
            lane: or(typed.lane, Lane::Normal),
            late_joiners: or(typed.late_joiners, LateJoiners::LastComplete),
            retry: or(typed.retry, false),
        };
        scene.finish(rollout)
    }

    /// How long a wave soaks.
    pub fn soak(&self) -> Duration {
        match self.lane {
            Lane::Normal => self.gate.soak,
            Lane::Emergency => self.gate.soak / 10,
        }
    }
}

/// The waves; "rest" comes last, and names are there once.
fn waves(raw: Option<At<Vec<At<typed::Wave>>>>, scene: &mut Scene<'_>) -> Vec<Wave> {
    let Some(raw) = raw else {
        // The default is as careful as a default should be.
        let wave = |name: &str, pick| Wave { name: name.into(), pick, approve: None };
        return vec![
            wave("canary", Pick::Count { count: 5, spread: None }),
            wave("quarter", Pick::Percent { share: 0.25, spread: None }),
            wave("rest", Pick::Rest),
        ];
    };
    const MOST: usize = 64;
    if raw.value.len() > MOST {
        scene.error(&raw.place, format!("at most {MOST} waves"), None);
    }
    let mut waves: Vec<Wave> = Vec::new();
    let last = raw.value.len().saturating_sub(1);
    for (at, wave) in raw.value.into_iter().take(MOST).enumerate() {
        let Some((name, pick)) = wave.value.name.zip(wave.value.pick) else { continue };
        scene.name(&name, "wave");
        if waves.iter().any(|other| other.name == name.value) {
            scene.error(&name.place, format!("a second wave {:?}", name.value), None);
        }
        let place = pick.place.clone();
        let Some(pick) = typed::pick(pick.value, &place, scene) else { continue };
        if pick == Pick::Rest && at < last {
            scene.error(
                &place,
                "nothing is left for the waves after this one",
                Some("the wave with pick = \"rest\" comes last".into()),
            );
        }
        let approve = wave.value.approve.and_then(|approve| approve.value.0);
        waves.push(Wave { name: name.value, pick, approve });
    }
    waves
}

impl typed::Windows {
    pub(super) fn meant(self, scene: &mut Scene<'_>) -> Option<Windows> {
        let named = match self.tz {
            None => Zone::Named("UTC".into()),
            Some(name) if name.value == "site" => Zone::Site,
            Some(name) => {
                let known = zone(&name).map(|_| name.value.clone());
                let refuse = || {
                    Refusal::new(
                        format!("there is no time zone {:?}", name.value),
                        "\"site\", or an IANA name such as \"Europe/Berlin\"",
                    )
                };
                Zone::Named(scene.accept(&name.place, known.ok_or_else(refuse))?)
            }
        };
        Some(Windows { zone: named, switch: listed(self.switch) })
    }
}
