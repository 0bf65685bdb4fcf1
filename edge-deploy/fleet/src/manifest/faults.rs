//! `faults.toml`: what goes wrong in a simulated fleet.

use std::path::Path;
use std::time::Duration;

use pilotlight_config::typed::row::{Row, count, time};
use pilotlight_config::typed::{Share, Whole, tables};

use super::{From, Parsed, kind, or};

/// What goes wrong in a simulated fleet. Shares are of all nodes where nothing else is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Away when the rollout begins.
    pub offline: f64,
    /// How long nodes are away, on average.
    pub away: Duration,
    /// Of the nodes that are there, go away within an hour.
    pub drops: f64,
    /// Reports that are lost on their way.
    pub lost: f64,
    /// Switches during which the power fails.
    pub power_cuts: f64,
    /// Nodes that refuse the release before the switch.
    pub rejected: f64,
    /// Nodes whose gateway crashes again and again with it.
    pub crash_loop: f64,
    /// Nodes on which its probe fails.
    pub probe: f64,
    /// Nodes that see too many errors in probation.
    pub slo: f64,
    /// Nodes that lose their network with it.
    pub silent: f64,
    /// Requests a second of a node.
    pub requests: u64,
    /// Errors per request without the release.
    pub errors_before: f64,
    /// Errors per request with it.
    pub errors_after: f64,
}

impl Default for Faults {
    /// A good day.
    fn default() -> Faults {
        Faults {
            offline: 0.0,
            away: Duration::from_secs(3600),
            drops: 0.0,
            lost: 0.0,
            power_cuts: 0.0,
            rejected: 0.0,
            crash_loop: 0.0,
            probe: 0.0,
            slo: 0.0,
            silent: 0.0,
            requests: 10,
            errors_before: 0.001,
            errors_after: 0.001,
        }
    }
}

tables! {
    /// What goes wrong in a simulated fleet.
    struct Typed needs [kind] {
        /// "faults"
        kind: String,
        /// Nodes that are away when the rollout begins.
        offline: Share,
        /// How long nodes are away, on average. Default "1h".
        away: Duration,
        /// Nodes that go away within an hour.
        drops: Share,
        /// Reports that are lost on their way.
        lost: Share,
        /// Switches during which the power fails.
        power_cuts: Share,
        /// Nodes on which the release fails, by the kind of failure.
        fails: Fails,
        /// What nodes serve.
        traffic: Traffic,
    }

    /// Nodes on which the release fails.
    struct Fails {
        /// They refuse it before the switch.
        rejected: Share,
        /// Their gateway crashes again and again.
        crash_loop: Share,
        /// Its probe fails.
        probe: Share,
        /// They see too many errors in probation.
        slo: Share,
        /// They lose their network.
        silent: Share,
    }

    /// What nodes serve.
    struct Traffic {
        /// Requests a second of a node. Default 10.
        requests: Whole,
        /// Errors per request without the release. Default "0.1%".
        errors_before: Share,
        /// Errors per request with it. Default "0.1%".
        errors_after: Share,
    }
}

const AWAY: Row = time("away", 3_600_000, 1_000, 365 * 24 * 3_600_000);
const REQUESTS: Row = count("requests", 10, 0, 1_000_000);

impl Faults {
    /// Reads `faults.toml`.
    pub fn parse(text: &str, file: &Path, from: From<'_>) -> Parsed<Faults> {
        let (typed, mut scene) = from.open::<Typed>(text, file)?;
        kind(typed.kind.as_ref(), "faults", &mut scene);
        let fails = typed.fails.map(|fails| fails.value).unwrap_or_default();
        let traffic = typed.traffic.map(|traffic| traffic.value).unwrap_or_default();
        let share = |typed, default| or(typed, Share(default)).0;
        let faults = Faults {
            offline: share(typed.offline, 0.0),
            away: scene.time(typed.away.as_ref(), &AWAY),
            drops: share(typed.drops, 0.0),
            lost: share(typed.lost, 0.0),
            power_cuts: share(typed.power_cuts, 0.0),
            rejected: share(fails.rejected, 0.0),
            crash_loop: share(fails.crash_loop, 0.0),
            probe: share(fails.probe, 0.0),
            slo: share(fails.slo, 0.0),
            silent: share(fails.silent, 0.0),
            requests: scene.whole(traffic.requests.as_ref(), &REQUESTS),
            errors_before: share(traffic.errors_before, 0.001),
            errors_after: share(traffic.errors_after, 0.001),
        };
        scene.finish(faults)
    }
}
