//! `simulate`: a rollout over a fleet that is made up.

use std::fmt::Write as _;
use std::process::ExitCode;

use pilotlight_fleet::manifest::{Faults, Fleet, Rollout};
use pilotlight_fleet::plan::{Content, Digest, Plan};
use pilotlight_fleet::rollout::{Note, Outcome};
use pilotlight_fleet::simulate::{self, Setup, Summary, clock, inventory};
use serde_json::json;

use crate::{FAILED, flags, manifests, print};

/// A Monday at midnight: simulations do not depend on the day.
const MONDAY: i64 = 1_767_571_200;
/// Failures that are told one by one.
const TOLD: usize = 10;

pub(crate) fn simulate(flags: &flags::Simulate) -> ExitCode {
    match setup(flags) {
        Ok(setup) => run(setup, flags),
        Err(refused) => refused,
    }
}

fn setup(flags: &flags::Simulate) -> Result<Setup, ExitCode> {
    let rollout = manifests::read(Rollout::parse, &flags.rollout)?;
    let faults = match &flags.faults {
        Some(file) => manifests::read(Faults::parse, file)?,
        None => Faults::default(),
    };
    let fleet = match &flags.fleet {
        Some(file) => manifests::read(Fleet::parse, file)?,
        None => Fleet::default(),
    };
    // The release need not be there: what nodes make of it is said by the faults.
    let name = format!("{}@{}", rollout.release, rollout.version);
    let content = Content { digest: Digest::of_bytes(name.as_bytes()), ..Content::default() };
    let nodes = inventory(flags.nodes, &rollout.target, flags.seed);
    let plan = Plan::new(&rollout, &content, &fleet, &nodes);
    if plan.nodes.is_empty() {
        eprintln!("edge-deploy: no node is in this rollout");
        for (id, why) in plan.excluded.iter().take(TOLD) {
            eprintln!("  {id}: {why}");
        }
        return Err(ExitCode::from(FAILED));
    }
    Ok(Setup { plan, faults, seed: flags.seed, wall: MONDAY, approve: true })
}

fn run(setup: Setup, flags: &flags::Simulate) -> ExitCode {
    if !flags.json {
        print(&describe(&setup.plan));
    }
    let mut events = Vec::new();
    let mut failures = 0;
    let summary = simulate::run(setup, &mut |at, note, rollout| {
        if matches!(note, Note::Failed { .. }) {
            failures += 1;
            if failures > TOLD {
                return;
            }
        }
        let text = note.text(rollout.plan());
        if flags.json {
            events.push(json!({ "at_ms": at, "event": text }));
        } else {
            print(&format!("{} {text}\n", clock(at)));
        }
        if failures == TOLD && !flags.json {
            print("         ... further failures are counted\n");
            failures += 1;
        }
    });
    match flags.json {
        true => print(&format!("{}\n", to_json(&summary, events))),
        false => print(&format!("\n{summary}")),
    }
    let fine = summary.outcome == Some(Outcome::Done) && summary.violations.is_empty();
    if fine { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// The plan, in a few lines.
fn describe(plan: &Plan) -> String {
    let rollout = &plan.rollout;
    let mut text = format!(
        "{}@{} to {} nodes in {} groups\nplan {}\n",
        rollout.release,
        rollout.version,
        plan.nodes.len(),
        plan.groups.len(),
        plan.digest
    );
    for (at, wave) in plan.waves.iter().enumerate() {
        let _ = writeln!(text, "  {:<12} {:>8} nodes", plan.wave_name(at), wave.len());
    }
    if !plan.excluded.is_empty() {
        let _ = writeln!(text, "  {:<12} {:>8} nodes", "(left out)", plan.excluded.len());
    }
    for warning in &plan.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text.push('\n');
    text
}

fn to_json(summary: &Summary, events: Vec<serde_json::Value>) -> serde_json::Value {
    let failed =
        summary.failed.iter().map(|(kind, count)| (kind.name().to_owned(), (*count).into()));
    json!({
        "outcome": summary.outcome.map(Outcome::name),
        "paused": summary.paused,
        "took_ms": summary.took,
        "nodes": summary.nodes,
        "running": summary.running,
        "committed": summary.committed,
        "reverted": summary.reverted,
        "untouched": summary.untouched,
        "failed": failed.collect::<serde_json::Map<_, _>>(),
        "violations": summary.violations,
        "events": events,
        "events_total": summary.events,
        "log": summary.log.as_str(),
    })
}
