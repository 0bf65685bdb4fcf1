use std::time::Duration;

use super::chance::Chance;
use super::*;
use crate::manifest::Fleet;
use crate::plan::tests::{content, rollout};

fn setup(text: &str, nodes: usize, faults: Faults, seed: u64) -> Setup {
    let rollout = rollout(text);
    let nodes = inventory(nodes, &rollout.target, seed);
    let plan = Plan::new(&rollout, &content(), &Fleet::default(), &nodes);
    assert_eq!(plan.nodes.len() + plan.excluded.len(), nodes.len());
    Setup { plan, faults, seed, wall: 1_767_571_200, approve: true }
}

fn go(setup: Setup) -> (Summary, Vec<String>) {
    let mut notes = Vec::new();
    let summary = run(setup, &mut |_, note, rollout| notes.push(note.text(rollout.plan())));
    assert_eq!(summary.violations, [""; 0], "{summary}");
    (summary, notes)
}

const RULES: &str = r#"
pace = { start = "50/min", grow = 2.0, max = "5000/min", max_unavailable = "10% per site" }
[[waves]]
name = "canary"
pick = { count = 5, spread = "site" }
[[waves]]
name = "quarter"
pick = { percent = 25 }
[[waves]]
name = "rest"
pick = "rest"
[[abort]]
kind = "crash_loop"
nodes = 2
do = "revert"
[[abort]]
kind = "any"
ratio = "5%"
after_attempts = 20
do = "revert"
"#;

#[test]
fn a_good_release_reaches_everyone() {
    let (summary, notes) = go(setup(RULES, 1000, Faults::default(), 1));
    assert_eq!((summary.outcome, summary.running), (Some(Outcome::Done), 1000), "{notes:?}");
}

#[test]
fn a_bad_release_reaches_a_handful() {
    let faults = Faults { crash_loop: 1.0, ..Faults::default() };
    let (summary, _) = go(setup(RULES, 1000, faults, 1));
    let crashed: usize = summary.failed.iter().map(|(_, count)| count).sum();
    assert_eq!((summary.outcome, summary.running), (Some(Outcome::Reverted), 0));
    assert!(crashed <= 5, "{summary}");
}

#[test]
fn what_only_the_gate_can_see_is_seen_by_the_gate() {
    let gate = "[gate]\nmetrics = [{ name = \"error_ratio\", against = \"control\", worse_by = \"0.5pp\" }]\n";
    let faults = Faults { errors_after: 0.02, ..Faults::default() };
    let (summary, notes) = go(setup(&format!("{RULES}{gate}"), 500, faults, 3));
    assert_eq!((summary.outcome, summary.running), (Some(Outcome::Reverted), 0), "{notes:?}");
    assert!(!notes.contains(&"wave quarter begins".to_owned()), "{notes:?}");
}

#[test]
fn those_who_were_away_get_it_when_they_come() {
    let away = Duration::from_secs(4 * 3600);
    let faults = Faults { offline: 0.5, away, drops: 0.05, lost: 0.02, ..Faults::default() };
    let (summary, _) = go(setup(RULES, 500, faults, 5));
    assert_eq!((summary.outcome, summary.running), (Some(Outcome::Done), 500), "{summary}");
}

#[test]
fn nodes_switch_in_the_night_of_their_site() {
    let windows = "target = 'a'\nwindows = { tz = \"site\", switch = [\"daily 01:00-05:00\"] }\n";
    let (summary, _) = go(setup(&format!("{windows}{RULES}"), 300, Faults::default(), 6));
    assert_eq!((summary.outcome, summary.running), (Some(Outcome::Done), 300));
    assert!(summary.took > 12 * 3_600_000, "{summary}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let faults = || Faults { offline: 0.2, drops: 0.1, lost: 0.05, slo: 0.03, ..Faults::default() };
    let log = |seed| go(setup(RULES, 300, faults(), seed)).0;
    assert_eq!(log(7), log(7));
    assert_ne!(log(7).log, log(8).log);
}

#[test]
fn made_up_nodes_are_what_the_target_means() {
    for target in [
        "role == \"pop\" and country in [\"DE\", \"CH\"] and not frozen",
        "ram_mb >= 4096 or (tier != \"small\" and not (site == \"site-0\"))",
        "not (a or b < 3) and version > 7",
    ] {
        let target = crate::selector::Selector::parse(target).unwrap();
        let nodes = inventory(200, &target, 1);
        let fit = nodes.iter().filter(|node| target.matches(&node.id, &node.labels)).count();
        assert_eq!(fit, 200, "{target}");
    }
}

/// A rollout and faults out of nothing but a seed.
fn anything(seed: u64) -> Setup {
    let mut chance = Chance::new(seed);
    let mut share = |most: f64| if chance.hits(0.5) { chance.part() * most } else { 0.0 };
    let faults = Faults {
        offline: share(0.6),
        away: Duration::from_secs(600 + (share(1.0) * 20_000.0) as u64),
        drops: share(0.5),
        lost: share(0.2),
        power_cuts: share(0.1),
        rejected: share(0.05),
        crash_loop: share(0.08),
        probe: share(0.05),
        slo: share(0.05),
        silent: share(0.05),
        errors_after: 0.001 + share(0.01),
        ..Faults::default()
    };
    let mut one = |of: &[&str]| of[chance.of(of.len())].to_owned();
    let text = [
        one(&["", "windows = { tz = \"site\", switch = [\"daily 22:00-04:00\"] }\n"]),
        one(&["", "lane = \"emergency\"\n"]),
        one(&["", "late_joiners = \"exclude\"\n"]),
        format!(
            "offline = {{ reachable = \"{}\", advance_on = \"{}\", expire = \"{}\" }}\n",
            one(&["5m", "15m"]),
            one(&["50%", "90%", "100%"]),
            one(&["6h", "2d"])
        ),
        format!(
            "pace = {{ start = \"{}\", grow = {}, max_unavailable = \"{}\" }}\n",
            one(&["20/min", "2/s", "100/s"]),
            one(&["1", "2", "10.0"]),
            one(&["1", "10%", "10% per site", "1 per country", "50%"])
        ),
        "[gate]\n".into(),
        format!("probation = \"{}\"\nsoak = \"{}\"\n", one(&["10s", "2m"]), one(&["0s", "5m"])),
        one(&["", "fail = \"pause\"\n"]),
        one(&["", "no_data = \"abort\"\n", "hold_max = \"30m\"\n"]),
        one(&["", "metrics = [{ name = \"error_ratio\", worse_by = \"0.3pp\" }]\n"]),
        one(&["", "[[waves]]\nname = \"canary\"\npick = { count = 3, spread = \"site\" }\n"]),
        one(&["", "[[waves]]\nname = \"half\"\npick = { percent = 50 }\napprove = true\n"]),
        "[[waves]]\nname = \"rest\"\npick = \"rest\"\n".into(),
        one(&["", "[[abort]]\nkind = \"crash_loop\"\nnodes = 2\ndo = \"revert\"\n"]),
        one(&[
            "",
            "[[abort]]\nkind = \"any\"\nratio = \"8%\"\nafter_attempts = 10\ndo = \"revert\"\n",
        ]),
        one(&["", "[[abort]]\nkind = \"silent\"\nnodes = 3\ndo = \"pause\"\n"]),
    ];
    let nodes = 5 + chance.of(60);
    setup(&text.concat(), nodes, faults, seed)
}

/// Never more away than the budget, never past a failed gate, an abort takes all back, and everyone ends with the
/// release or without: the world looks at each step, `go` at what it saw.
#[test]
fn promises_hold_over_a_thousand_plans() {
    let mut ends = std::collections::BTreeMap::new();
    for seed in 0..1000 {
        let setup = anything(seed);
        let text = serde_json::to_string(&setup.plan.rollout).unwrap();
        let mut last = None;
        let summary = run(setup, &mut |_, note, _| last = Some(note.clone()));
        let said = format!("seed {seed}: {summary}{text}");
        assert_eq!(summary.violations, [""; 0], "{said}");
        let failed: usize = summary.failed.iter().map(|(_, count)| count).sum();
        match summary.outcome {
            Some(Outcome::Reverted) => assert_eq!(summary.running, 0, "{said}"),
            Some(_) => {
                // Who was silent to the end may have it, or will go back by itself.
                let silent = summary.failed[Failure::Silent as usize].1;
                let known = summary.committed..=summary.committed + silent;
                assert!(known.contains(&summary.running), "{said}");
                let others = failed + summary.untouched + summary.reverted;
                assert_eq!(summary.committed + others, summary.nodes, "{said}");
            }
            None => assert!(summary.paused.is_some(), "{said}"),
        }
        *ends.entry(summary.outcome.map(Outcome::name)).or_insert(0) += 1;
    }
    // All ends were seen often enough to mean something.
    for end in [Some("done"), Some("reverted"), None] {
        assert!(ends.get(&end).is_some_and(|count| *count > 20), "{ends:?}");
    }
}
