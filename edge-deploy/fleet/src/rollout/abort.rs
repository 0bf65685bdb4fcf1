//! Rules that stop a rollout: looked at whenever a node changes.

use super::Rollout;
use super::event::{Command, Failure};
use crate::manifest::{Abort, Action, RuleKind, Threshold};
use crate::quantity::percent;
use crate::rollout::Tally;

/// Failures that a rule counts.
fn failures(kind: RuleKind, tally: &Tally) -> usize {
    match kind {
        RuleKind::Any => tally.failures(),
        RuleKind::Only(failure) => tally.failed.get(failure as usize).copied().unwrap_or(0),
    }
}

fn name(kind: RuleKind) -> &'static str {
    match kind {
        RuleKind::Any => "any",
        RuleKind::Only(failure) => Failure::name(failure),
    }
}

impl Rollout {
    /// Looks at the rules, after a node of this wave has changed.
    pub(super) fn check(&mut self, wave: usize, out: &mut Vec<Command>) {
        if self.is_over() {
            return;
        }
        let rules = self.plan.rollout.abort.iter().zip(&self.acknowledged);
        let met = rules.filter_map(|(rule, seen)| {
            // An operator who went on has seen what there was: it takes another one.
            let all = self.failures(rule.kind);
            let why = (all > *seen).then(|| self.is_met(rule, all, wave))??;
            Some((rule.action, why))
        });
        // Going back counts more than a pause.
        let met = met.max_by_key(|(action, _)| *action == Action::Revert);
        if let Some((action, why)) =
            met.filter(|(a, _)| *a == Action::Revert || self.paused.is_none())
        {
            self.act(action, why, out);
        }
    }

    fn is_met(&self, rule: &Abort, all: u64, wave: usize) -> Option<String> {
        let kind = name(rule.kind);
        match rule.threshold {
            Threshold::Nodes(nodes) => {
                (all >= nodes).then(|| format!("{all} nodes failed ({kind}), {nodes} are too many"))
            }
            Threshold::Ratio { share, after_attempts } => {
                let tally = self.tallies.get(wave)?;
                let (failed, tried) = (failures(rule.kind, tally), tally.tried);
                let met = failed > 0
                    && tried as u64 >= after_attempts
                    && failed as f64 >= share * tried as f64;
                met.then(|| {
                    let share = percent(share);
                    format!("{failed} of {tried} nodes failed ({kind}), {share} are too many")
                })
            }
        }
    }

    /// Failures of the whole rollout.
    pub(super) fn failures(&self, kind: RuleKind) -> u64 {
        self.tallies.iter().map(|tally| failures(kind, tally) as u64).sum()
    }
}
