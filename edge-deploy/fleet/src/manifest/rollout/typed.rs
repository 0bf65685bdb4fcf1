//! `rollout.toml` as typed, with its defaults and limits.

use std::time::Duration;

use pilotlight_config::Place;
use pilotlight_config::typed::row::{Row, count, time};
use pilotlight_config::typed::{
    self, At, Json, Reader, Scene, Share, TextOr, Typed, Value, Whole, tables, words,
};

use super::super::{Expression, or};
use super::{
    Abort, Action, Approve, Lane, LateJoiners, MetricKind, NoData, Pick, RuleKind, Threshold,
};
use crate::manifest::rollout as meant;
use crate::quantity::{Amount, Budget, Limit, Rate, Worse};
use crate::rollout::Failure;
use crate::window::Window;

tables! {
    /// Who gets a release, how fast, what stops it.
    struct Rollout needs [kind, release, target] {
        /// "rollout"
        kind: String,
        /// "NAME@VERSION"
        release: String,
        /// A condition on labels.
        target: Expression,
        /// How fast.
        pace: Pace,
        /// What happens with nodes that are not there.
        offline: Offline,
        /// When nodes may switch. Default: at any time.
        windows: Windows,
        /// In this order. Default: 5 nodes, a quarter, the rest.
        waves: Vec<At<Wave>>,
        /// What lets the next wave begin.
        gate: Gate,
        /// What stops it.
        abort: Vec<At<Rule>>,
        /// "normal" (default), or "emergency": a tenth of the soak, approved by a second person.
        lane: Lane,
        /// Nodes that enrol while it goes on: "last-complete" (default) or "exclude".
        late_joiners: LateJoiners,
        /// Whether nodes that have rolled this very release back try it again. Default false.
        retry: bool,
    }

    /// How fast.
    struct Pace {
        /// At first. Default "50/min".
        start: Rate,
        /// What the rate is multiplied by as nodes commit. Default 2.
        grow: Factor,
        /// After so many commits. Default: as many as the rate allows in a minute.
        grow_after: Whole,
        /// At most. Default "5000/min".
        max: Rate,
        /// How many nodes may be switching or on probation at once: "10% per site", "10%", "5". A share is rounded
        /// down, and one is always allowed. Default "10%".
        max_unavailable: Budget,
    }

    /// What happens with nodes that are not there.
    struct Offline {
        /// A node that was heard of within this time is there. Default "15m".
        reachable: Duration,
        /// The share of a wave's reachable nodes that must commit. Default "90%".
        advance_on: Share,
        /// After this time nodes that were never there are given up. Default "30d".
        expire: Duration,
    }

    /// When nodes may switch.
    struct Windows needs [switch] {
        /// An IANA zone, or "site": that of each node's label `tz`. Default "UTC".
        tz: String,
        /// "Mon-Thu 01:00-05:00"; any of these.
        switch: Vec<At<Window>>,
    }

    /// A part of the nodes.
    struct Wave needs [name, pick] {
        /// Its name.
        name: String,
        /// Which of the nodes that are left; "rest" for all.
        pick: TextOr<PickOne>,
        /// Whether an operator must say yes before it begins; or the names of those who may.
        approve: Approval,
    }

    /// Which of the nodes that are left. One of `count`, `percent` and `where`.
    struct PickOne {
        /// So many.
        count: Whole,
        /// A part of all targets, from 0 to 100.
        percent: Factor,
        /// Those with these labels.
        r#where: Expression,
        /// A label: its values are taken in turn, so that a wave is not one site.
        spread: String,
    }

    /// What lets the next wave begin.
    struct Gate {
        /// On the node, before it commits. Default "2m".
        probation: Duration,
        /// After a wave has committed. Default "15m".
        soak: Duration,
        /// What is compared.
        metrics: Vec<At<Metric>>,
        /// So many requests must have been seen, on both sides. Default 1000.
        requests: Whole,
        /// When there were fewer: "hold" (default) or "abort".
        no_data: NoData,
        /// A gate that holds so long pauses the rollout. Default "6h".
        hold_max: Duration,
        /// When a metric is worse: "revert" (default) or "pause".
        fail: Action,
        /// A node that is not heard of so long after its probation is silent. Default "5m".
        silent: Duration,
        /// A wave that takes longer pauses the rollout. Default "24h", with windows "8d".
        deadline: Duration,
    }

    /// What is compared.
    struct Metric needs [name] {
        /// "error_ratio", "latency_p50" or "latency_p99".
        name: MetricKind,
        /// "control": nodes of later waves in the same minutes; where there are none, the same nodes before.
        against: Against,
        /// How much worse it may be: "0.5pp" or "20%".
        worse_by: Worse,
        /// The most that it may be: "1%" or "250ms".
        max: Limit,
        /// How sure one must be that it is worse. Default "95%".
        confidence: Share,
    }

    /// What stops a rollout. One of `nodes` and `ratio`.
    struct Rule needs [kind, r#do] {
        /// "rejected", "crash_loop", "probe", "slo", "silent", "rolled_back", or "any" of them.
        kind: RuleKind,
        /// So many nodes of the whole rollout.
        nodes: Whole,
        /// A share of those of a wave that tried.
        ratio: Share,
        /// Once so many of them have tried. Default 20.
        after_attempts: Whole,
        /// "revert" or "pause".
        r#do: Action,
    }
}

/// Whom a metric is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Against {
    Control,
}

words! {
    Lane, "a lane" = ["normal" => Lane::Normal, "emergency" => Lane::Emergency], later [];
    LateJoiners, "a rule for late joiners" = [
        "last-complete" => LateJoiners::LastComplete, "exclude" => LateJoiners::Exclude,
    ], later [];
    NoData, "a rule" = ["hold" => NoData::Hold, "abort" => NoData::Abort], later [];
    Action, "an action" = ["revert" => Action::Revert, "pause" => Action::Pause], later [];
    Against, "a side" = ["control" => Against::Control], later [];
    MetricKind, "a metric" = [
        "error_ratio" => MetricKind::ErrorRatio, "latency_p50" => MetricKind::LatencyP50,
        "latency_p99" => MetricKind::LatencyP99,
    ], later [];
    RuleKind, "a kind of failure" = [
        "rejected" => RuleKind::Only(Failure::Rejected),
        "crash_loop" => RuleKind::Only(Failure::CrashLoop),
        "probe" => RuleKind::Only(Failure::Probe), "slo" => RuleKind::Only(Failure::Slo),
        "silent" => RuleKind::Only(Failure::Silent),
        "rolled_back" => RuleKind::Only(Failure::RolledBack), "any" => RuleKind::Any,
    ], later [];
}

/// A number with a fraction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Factor(f64);

impl Typed for Factor {
    fn expected() -> String {
        "a number such as 2 or 1.5".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let number = typed::Free::read(value, reader)?.0.as_f64();
        if number.is_none() {
            reader.wrong::<Self>(value);
        }
        number.map(Self)
    }
    fn schema() -> Json {
        serde_json::json!({ "type": "number" })
    }
}

/// true, false, or names.
#[derive(Debug)]
pub(crate) struct Approval(pub(crate) Option<Approve>);

impl Typed for Approval {
    fn expected() -> String {
        "true, false or a list of names".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        if let Some(must) = value.get_ref().as_bool() {
            return Some(Self(must.then_some(Approve::Anyone)));
        }
        if value.get_ref().as_array().is_none() {
            reader.wrong::<Self>(value);
            return None;
        }
        let names = Vec::<At<String>>::read(value, reader)?;
        Some(Self(Some(Approve::One(names.into_iter().map(|name| name.value).collect()))))
    }
    fn schema() -> Json {
        serde_json::json!({ "anyOf": [bool::schema(), Vec::<At<String>>::schema()] })
    }
}

const SECOND: u64 = 1000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
const REACHABLE: Row = time("reachable", HOUR / 4, SECOND, 7 * DAY);
const EXPIRE: Row = time("expire", 30 * DAY, 60 * SECOND, 365 * DAY);
const GROW_AFTER: Row = count("grow_after", 0, 1, 1_000_000_000);
const PROBATION: Row = time("probation", 120 * SECOND, 0, DAY);
const SOAK: Row = time("soak", HOUR / 4, 0, 30 * DAY);
const REQUESTS: Row = count("requests", 1000, 1, 1_000_000_000_000);
const HOLD_MAX: Row = time("hold_max", 6 * HOUR, 0, 30 * DAY);
const SILENT: Row = time("silent", 300 * SECOND, SECOND, DAY);
const DEADLINE: Row = time("deadline", DAY, 60 * SECOND, 365 * DAY);
const DEADLINE_WITH_WINDOWS: Row = time("deadline", 8 * DAY, 60 * SECOND, 365 * DAY);
const COUNT: Row = count("count", 1, 1, 1_000_000_000);
const NODES: Row = count("nodes", 1, 1, 1_000_000_000);
const AFTER_ATTEMPTS: Row = count("after_attempts", 20, 1, 1_000_000_000);

impl Pace {
    pub(super) fn meant(self, scene: &mut Scene<'_>) -> meant::Pace {
        const START: Rate = Rate { count: 50, per: 60_000 };
        const MAX: Rate = Rate { count: 5000, per: 60_000 };
        let grow = self.grow.as_ref().map_or(2.0, |grow| grow.value.0);
        if let Some(at) = self.grow.filter(|_| !(1.0..=100.0).contains(&grow)) {
            scene.error(&at.place, "grow must be from 1 to 100", None);
        }
        let after = self.grow_after.as_ref();
        let start = or(self.start, START);
        let max = match self.max {
            Some(max) => {
                if max.per_ms() < start.per_ms() {
                    scene.error(&max.place, "max is less than start", None);
                }
                max.value
            }
            None if start.per_ms() > MAX.per_ms() => start,
            None => MAX,
        };
        let all = Budget { amount: Amount::Share(0.1), per: None };
        meant::Pace {
            start,
            grow,
            grow_after: after.map(|after| scene.whole(Some(after), &GROW_AFTER)),
            max,
            max_unavailable: or(self.max_unavailable, all),
        }
    }
}

impl Offline {
    pub(super) fn meant(self, scene: &mut Scene<'_>) -> meant::Offline {
        let advance_on = self.advance_on.as_ref().map_or(0.9, |share| share.value.0);
        if let Some(at) = self.advance_on.filter(|_| advance_on <= 0.0) {
            scene.error(&at.place, "a wave of which nobody must commit is no wave", None);
        }
        meant::Offline {
            reachable: scene.time(self.reachable.as_ref(), &REACHABLE),
            advance_on,
            expire: scene.time(self.expire.as_ref(), &EXPIRE),
        }
    }
}

/// What `pick` picks.
pub(super) fn pick(typed: TextOr<PickOne>, place: &Place, scene: &mut Scene<'_>) -> Option<Pick> {
    let one = match typed {
        TextOr::Text(text) if text == "rest" => return Some(Pick::Rest),
        TextOr::Text(text) => {
            let hint = "\"rest\", { count = 5 }, { percent = 25 } or { where = \"...\" }";
            scene.error(place, format!("{text:?} picks nothing"), Some(hint.into()));
            return None;
        }
        TextOr::Other(one) => one,
    };
    let spread = one.spread.map(|spread| spread.value);
    match (one.count, one.percent, one.r#where) {
        (Some(count), None, None) => {
            Some(Pick::Count { count: scene.usize(Some(&count), &COUNT), spread })
        }
        (None, Some(percent), None) => {
            if !(percent.0 > 0.0 && percent.0 <= 100.0) {
                scene.error(&percent.place, "percent must be over 0, at most 100", None);
            }
            Some(Pick::Percent { share: percent.0 / 100.0, spread })
        }
        (None, None, Some(selector)) => Some(Pick::Where(selector.value.0)),
        _ if one.broken => None,
        _ => {
            scene.error(place, "pick needs one of count, percent and where", None);
            None
        }
    }
}

impl Gate {
    pub(super) fn meant(self, scene: &mut Scene<'_>, has_windows: bool) -> meant::Gate {
        let deadline = if has_windows { &DEADLINE_WITH_WINDOWS } else { &DEADLINE };
        let metrics = super::listed(self.metrics);
        meant::Gate {
            probation: scene.time(self.probation.as_ref(), &PROBATION),
            soak: scene.time(self.soak.as_ref(), &SOAK),
            metrics: metrics.into_iter().filter_map(|metric| metric.meant(scene)).collect(),
            requests: scene.whole(self.requests.as_ref(), &REQUESTS),
            no_data: or(self.no_data, NoData::Hold),
            hold_max: scene.time(self.hold_max.as_ref(), &HOLD_MAX),
            fail: or(self.fail, Action::Revert),
            silent: scene.time(self.silent.as_ref(), &SILENT),
            deadline: scene.time(self.deadline.as_ref(), deadline),
        }
    }
}

impl Metric {
    fn meant(self, scene: &mut Scene<'_>) -> Option<meant::Metric> {
        let name = self.name?;
        let confidence = self.confidence.as_ref().map_or(0.95, |share| share.value.0);
        if let Some(at) = self.confidence.filter(|_| !(0.5..1.0).contains(&confidence)) {
            scene.error(&at.place, "confidence must be from 50 % to less than 100 %", None);
        }
        if self.worse_by.is_none() && self.max.is_none() {
            let hint =
                "against = \"control\" with worse_by = \"0.5pp\", or max = \"1%\"".to_owned();
            scene.error(&name.place, "nothing says what is too much", Some(hint));
        }
        let errors = name.value == MetricKind::ErrorRatio;
        if let Some(max) =
            self.max.as_ref().filter(|max| errors != matches!(max.value, Limit::Share(_)))
        {
            let hint = if errors { "such as \"1%\"" } else { "such as \"250ms\"" };
            scene.error(&max.place, "this is no limit of that metric", Some(hint.into()));
        }
        if let Some(worse) =
            self.worse_by.as_ref().filter(|w| !errors && matches!(w.value, Worse::Points(_)))
        {
            scene.error(
                &worse.place,
                "a latency has no percentage points",
                Some("such as \"20%\"".into()),
            );
        }
        Some(meant::Metric {
            kind: name.value,
            worse_by: self.worse_by.map(|worse| worse.value),
            max: self.max.map(|max| max.value),
            confidence,
        })
    }
}

impl Rule {
    pub(super) fn meant(self, scene: &mut Scene<'_>) -> Option<Abort> {
        let (kind, action) = self.kind.zip(self.r#do)?;
        let threshold = match (self.nodes, self.ratio) {
            (Some(nodes), None) => {
                if let Some(after) = self.after_attempts {
                    scene.error(&after.key, "after_attempts has no meaning without ratio", None);
                }
                Threshold::Nodes(scene.whole(Some(&nodes), &NODES))
            }
            (None, Some(ratio)) => {
                if ratio.value.0 <= 0.0 {
                    let hint = "nodes = 1 stops at the first failure".to_owned();
                    scene.error(&ratio.place, "a ratio of nothing is always met", Some(hint));
                }
                let after = scene.whole(self.after_attempts.as_ref(), &AFTER_ATTEMPTS);
                Threshold::Ratio { share: ratio.value.0, after_attempts: after }
            }
            _ if self.broken => return None,
            _ => {
                scene.error(&kind.place, "a rule needs one of nodes and ratio", None);
                return None;
            }
        };
        Some(Abort { kind: kind.value, threshold, action: action.value })
    }
}
