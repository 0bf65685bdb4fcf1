mod books;

use super::*;
use crate::plan::tests::{content, nodes, rollout};

/// A rollout whose nodes are told what to say, and its time.
struct Test {
    rollout: Rollout,
    now: u64,
    said: Vec<Command>,
}

const MINUTE: u64 = 60_000;
const QUICK: &str = "pace = { start = \"1000/s\", max = \"1000/s\", max_unavailable = \"100%\" }\n\
    [gate]\nsoak = \"10m\"\nprobation = \"2m\"\n";
const WAVES: &str = "[[waves]]\nname = \"canary\"\npick = { count = 5 }\n\
    [[waves]]\nname = \"rest\"\npick = \"rest\"\n";

impl Test {
    fn new(text: &str, count: usize) -> Test {
        let plan = Plan::new(&rollout(text), &content(), &Fleet::default(), &nodes(count));
        let now = Now { steady: 0, wall: 0 };
        let (rollout, said) = Rollout::new(plan, "ada", now);
        Test { rollout, now: 0, said }
    }

    fn quick(more: &str) -> Test {
        let mut test = Test::new(&format!("{QUICK}{more}{WAVES}"), 20);
        test.all_seen();
        test
    }

    fn step(&mut self, event: Event<'_>) -> Vec<Command> {
        let commands = self.rollout.step(event, Now { steady: self.now, wall: 0 });
        self.said.extend(commands.clone());
        commands
    }

    fn report(&mut self, node: usize, reported: Reported) -> Vec<Command> {
        self.step(Event::Report { node, reported })
    }

    fn all_seen(&mut self) {
        for node in 0..self.rollout.members().len() {
            self.step(Event::Seen { node });
        }
    }

    /// Time goes by, a second a tick.
    fn wait(&mut self, ms: u64) {
        let until = self.now + ms;
        while self.now < until {
            self.now += 1000;
            self.step(Event::Tick);
        }
    }

    /// The nodes that were given leave to switch since the last call.
    fn permitted(&mut self) -> Vec<usize> {
        let said = std::mem::take(&mut self.said);
        let leave = |command: &Command| match command {
            Command::Switch { node, .. } => Some(*node),
            _ => None,
        };
        said.iter().filter_map(leave).collect()
    }

    /// Brings these nodes to this end.
    fn take(&mut self, nodes: std::ops::Range<usize>, end: Reported) {
        self.wait(2000);
        for node in nodes.clone() {
            self.report(node, Reported::Ready);
        }
        self.wait(1000);
        for node in nodes {
            assert_eq!(self.step_of(node), Step::Permitted, "{node}");
            self.report(node, Reported::Switching);
            self.report(node, end);
        }
    }

    fn step_of(&self, node: usize) -> Step {
        self.rollout.member(node).unwrap().step
    }

    fn wave(&self) -> Option<usize> {
        match self.rollout.phase() {
            Phase::Wave { wave, .. } => Some(*wave),
            _ => None,
        }
    }

    fn notes(&self) -> Vec<String> {
        let note = |command: &Command| match command {
            Command::Note(note) => Some(note.text(self.rollout.plan())),
            _ => None,
        };
        self.said.iter().filter_map(note).collect()
    }
}

#[test]
fn waves_follow_each_other_when_their_gates_pass() {
    let mut test = Test::quick("");
    test.take(0..5, Reported::Committed);
    assert!((5..20).all(|node| test.step_of(node) == Step::Waiting));
    test.wait(9 * MINUTE);
    assert_eq!(test.wave(), Some(0));
    test.all_seen();
    test.wait(2 * MINUTE);
    assert_eq!(test.wave(), Some(1));
    test.take(5..20, Reported::Committed);
    test.wait(11 * MINUTE);
    assert_eq!(test.rollout.outcome(), Some(Outcome::Done));
    let words = [
        "wave canary begins",
        "wave canary soaks",
        "wave canary passes",
        "wave rest begins",
        "wave rest soaks",
        "wave rest passes",
        "done",
    ];
    assert_eq!(test.notes(), words);
}

#[test]
fn enough_is_a_share_of_those_within_reach() {
    let mut test = Test::new(&format!("{QUICK}{WAVES}"), 20);
    // Nobody is there: nobody is not enough, however long it takes.
    test.wait(30 * MINUTE);
    assert_eq!((test.wave(), test.rollout.tallies()[0].tried), (Some(0), 0));
    // Two of five are there, and commit.
    for node in 0..2 {
        test.step(Event::Seen { node });
    }
    test.take(0..2, Reported::Committed);
    test.wait(11 * MINUTE);
    assert_eq!(test.wave(), Some(1));
    // Who comes later gets it all the same.
    test.step(Event::Seen { node: 3 });
    test.take(3..4, Reported::Committed);
    assert_eq!(test.rollout.tallies()[0].committed, 3);
}

#[test]
fn too_few_commits_hold_a_wave_until_its_deadline_pauses_it() {
    let mut test = Test::quick("deadline = \"1h\"\n");
    test.take(0..3, Reported::Committed);
    test.take(3..4, Reported::Failed(Failure::Probe));
    // The fifth goes away: it may yet come.
    test.wait(50 * MINUTE);
    assert_eq!((test.wave(), test.rollout.paused()), (Some(0), None));
    test.wait(11 * MINUTE);
    assert_eq!(test.rollout.paused(), Some("the wave takes longer than 1h"));
    test.step(Event::Resume { by: "ada" });
    test.wait(59 * MINUTE);
    assert_eq!(test.rollout.paused(), None);
    // It comes, and fails: nobody is left to wait for.
    test.step(Event::Seen { node: 4 });
    test.take(4..5, Reported::Failed(Failure::Probe));
    test.wait(1000);
    let why = "3 of 5 nodes of wave canary committed, 90 % must";
    assert_eq!((test.wave(), test.rollout.paused()), (Some(0), Some(why)));
}

const CRASHES: &str = "[[abort]]\nkind = \"crash_loop\"\nnodes = 2\ndo = \"revert\"\n";

#[test]
fn a_rule_that_is_met_takes_all_back() {
    let mut test = Test::quick(CRASHES);
    test.take(0..3, Reported::Committed);
    test.take(3..4, Reported::Failed(Failure::CrashLoop));
    assert_eq!(test.wave(), Some(0));
    test.report(4, Reported::Ready);
    test.wait(1000);
    test.report(4, Reported::Switching);
    let commands = test.report(4, Reported::Failed(Failure::CrashLoop));
    let reverts: Vec<_> = commands.iter().filter(|c| matches!(c, Command::Revert { .. })).collect();
    assert_eq!(reverts.len(), 3);
    assert!(test.notes().contains(
        &"all who took it go back: 2 nodes failed (crash_loop), 2 are too many".to_owned()
    ));
    test.report(0, Reported::Reverted);
    // It had gone back before it was told to.
    test.report(1, Reported::Idle);
    assert_eq!(test.rollout.outcome(), None);
    // It is told again as often as it comes.
    assert_eq!(test.step(Event::Seen { node: 2 }), [Command::Revert { node: 2 }]);
    test.report(2, Reported::Reverted);
    assert_eq!(test.rollout.outcome(), Some(Outcome::Reverted));
    // A node that was away and says only now that it took it goes back, too.
    assert!(test.report(7, Reported::Committed).contains(&Command::Revert { node: 7 }));
    // Nobody gets it any more.
    test.said.clear();
    test.all_seen();
    test.wait(MINUTE);
    assert!(test.said.iter().all(|command| *command == Command::Revert { node: 7 }));
}

#[test]
fn a_ratio_needs_its_sample() {
    let rule = "[[abort]]\nkind = \"any\"\nratio = \"30%\"\nafter_attempts = 4\ndo = \"pause\"\n";
    let mut test = Test::quick(rule);
    test.take(0..2, Reported::Failed(Failure::Slo));
    assert_eq!(test.rollout.paused(), None);
    test.take(2..3, Reported::Committed);
    assert_eq!(test.rollout.paused(), None);
    test.report(3, Reported::Rejected);
    assert_eq!(test.rollout.paused(), Some("3 of 4 nodes failed (any), 30 % are too many"));
    // An operator who goes on has seen these three: it takes a fourth.
    test.step(Event::Resume { by: "ada" });
    test.wait(MINUTE);
    assert_eq!(test.rollout.paused(), None);
    test.take(4..5, Reported::Failed(Failure::Slo));
    assert!(test.rollout.paused().is_some());
}

#[test]
fn budgets_hold_and_silence_fills_them() {
    let text = "pace = { start = \"1000/s\", max = \"1000/s\", max_unavailable = \"10%\" }\n";
    let mut test = Test::new(&format!("{text}[[waves]]\nname = \"all\"\npick = \"rest\"\n"), 20);
    test.all_seen();
    test.wait(2000);
    for node in 0..20 {
        test.report(node, Reported::Ready);
    }
    test.wait(10_000);
    assert_eq!((test.permitted(), test.rollout.held(0)), (vec![0, 1], 2));
    test.report(0, Reported::Switching);
    test.report(1, Reported::Switching);
    test.report(1, Reported::Committed);
    test.wait(1000);
    assert_eq!(test.permitted(), [2]);
    // The first is not heard of again: probation and patience, then it is silent, and still counts as away.
    test.wait(8 * MINUTE);
    assert_eq!((test.step_of(0), test.rollout.held(0)), (Step::Silent, 2));
    assert_eq!(test.rollout.tallies()[0].failures(), 1);
    // The leave of the third ran out long ago; it was given to others since.
    assert_ne!(test.step_of(2), Step::Switching);
    // It had only lost its network.
    test.report(0, Reported::Committed);
    assert_eq!(test.rollout.tallies()[0].failures(), 0);
}

#[test]
fn leave_that_is_not_used_comes_back() {
    let mut test = Test::quick("");
    test.wait(2000);
    test.report(0, Reported::Ready);
    test.wait(1000);
    assert_eq!(test.step_of(0), Step::Permitted);
    test.wait(61_000);
    // It is still there, so it is given anew.
    assert_eq!(test.permitted(), [0, 0]);
    // Gone for good: it is no failure, it never said that it would switch.
    test.wait(20 * MINUTE);
    assert_eq!(test.step_of(0), Step::Waiting);
    assert!(test.said.contains(&Command::Withdraw { node: 0 }));
    assert_eq!(test.rollout.tallies()[0].tried, 0);
}

#[test]
fn approval_is_asked_for_and_given_by_who_may() {
    let waves = "[[waves]]\nname = \"all\"\npick = \"rest\"\napprove = [\"captain\"]\n";
    let mut test = Test::new(&format!("{QUICK}{waves}"), 5);
    test.all_seen();
    test.wait(5000);
    assert_eq!(*test.rollout.phase(), Phase::Approval { wave: 0 });
    test.step(Event::Approve { by: "ada" });
    assert_eq!(*test.rollout.phase(), Phase::Approval { wave: 0 });
    test.step(Event::Approve { by: "captain" });
    assert_eq!(test.wave(), Some(0));
    // In an emergency it takes another person than who started it.
    let mut test = Test::new(&format!("lane = \"emergency\"\n{QUICK}{WAVES}"), 20);
    test.step(Event::Approve { by: "ada" });
    assert_eq!(test.wave(), None);
    test.step(Event::Approve { by: "grace" });
    test.all_seen();
    test.take(0..5, Reported::Committed);
    // And soaks a tenth of the time.
    test.wait(62_000);
    assert_eq!(test.wave(), Some(1));
}

const GATE: &str =
    "metrics = [{ name = \"error_ratio\", against = \"control\", worse_by = \"0.5pp\" }]\n";

fn sample(errors: u64) -> Sample {
    Sample { requests: 10_000, errors, ..Sample::default() }
}

#[test]
fn a_gate_compares_with_those_who_do_not_have_it() {
    for (errors, expected) in [(10, Some(1)), (500, None)] {
        let mut test = Test::quick(GATE);
        test.take(0..5, Reported::Committed);
        test.wait(1000);
        test.step(Event::Sample { node: 0, sample: &sample(errors) });
        test.step(Event::Sample { node: 9, sample: &sample(10) });
        test.all_seen();
        test.wait(11 * MINUTE);
        assert_eq!(test.wave(), expected, "{:?}", test.notes());
        assert_eq!(*test.rollout.phase() == Phase::Reverting, expected.is_none());
    }
}

#[test]
fn a_gate_that_fails_lets_nobody_switch_in_the_same_moment() {
    let half = "offline = { advance_on = \"50%\" }\n";
    let mut test = Test::new(&format!("{half}{QUICK}{GATE}{WAVES}"), 20);
    test.all_seen();
    test.take(0..3, Reported::Committed);
    test.wait(1000);
    test.step(Event::Sample { node: 0, sample: &sample(500) });
    test.step(Event::Sample { node: 9, sample: &sample(10) });
    test.wait(10 * MINUTE - 1000);
    assert_eq!(test.wave(), Some(0));
    test.report(4, Reported::Ready);
    test.now += 1000;
    let commands = test.step(Event::Tick);
    assert_eq!(*test.rollout.phase(), Phase::Reverting);
    assert!(!commands.iter().any(|command| matches!(command, Command::Switch { .. })));
}

#[test]
fn no_data_holds_and_then_pauses() {
    let mut test = Test::quick(&format!("{GATE}hold_max = \"1h\"\n"));
    test.take(0..5, Reported::Committed);
    test.wait(60 * MINUTE);
    assert_eq!((test.wave(), test.rollout.paused()), (Some(0), None));
    test.wait(12 * MINUTE);
    let why = "the gate of wave canary: 0 requests of nodes with the release, 1000 are needed";
    assert_eq!(test.rollout.paused(), Some(why));
}

#[test]
fn the_last_wave_is_compared_with_itself_before() {
    let mut test =
        Test::new(&format!("{QUICK}{GATE}[[waves]]\nname = \"all\"\npick = \"rest\"\n"), 5);
    test.all_seen();
    test.step(Event::Sample { node: 0, sample: &sample(10) });
    test.take(0..5, Reported::Committed);
    test.wait(1000);
    test.step(Event::Sample { node: 1, sample: &sample(12) });
    test.wait(11 * MINUTE);
    assert_eq!(test.rollout.outcome(), Some(Outcome::Done), "{:?}", test.notes());
}

#[test]
fn who_joins_late_gets_it_once_a_wave_has_passed() {
    let mut test = Test::quick("");
    let more = nodes(22);
    test.step(Event::Join { fleet: &Fleet::default(), node: &more[20] });
    test.wait(2000);
    assert_eq!(test.step_of(20), Step::Waiting);
    test.take(0..5, Reported::Committed);
    test.wait(11 * MINUTE);
    test.step(Event::Seen { node: 20 });
    test.wait(2000);
    assert_eq!(test.step_of(20), Step::Offered);
    let mut test = Test::quick("");
    test.rollout.plan.rollout.late_joiners = crate::manifest::LateJoiners::Exclude;
    test.step(Event::Join { fleet: &Fleet::default(), node: &more[21] });
    assert_eq!(test.rollout.members().len(), 20);
}

#[test]
fn what_was_never_reached_is_given_up() {
    let mut test = Test::new(
        &format!(
            "offline = {{ expire = \"2h\" }}\n{QUICK}[[waves]]\nname = \"all\"\npick = \"rest\"\n"
        ),
        5,
    );
    for node in 0..4 {
        test.step(Event::Seen { node });
    }
    test.take(0..4, Reported::Committed);
    test.wait(30 * MINUTE);
    assert_eq!(*test.rollout.phase(), Phase::Converging);
    test.wait(120 * MINUTE);
    assert_eq!(test.rollout.outcome(), Some(Outcome::Done));
    // Too late.
    test.said.clear();
    test.step(Event::Seen { node: 4 });
    test.wait(2000);
    assert_eq!(test.said, []);
    // What is done can be taken back.
    test.step(Event::Revert { by: "ada", reason: "no longer wanted" });
    for node in 0..4 {
        test.report(node, Reported::Reverted);
    }
    assert_eq!(test.rollout.outcome(), Some(Outcome::Reverted));
}

#[test]
fn held_nodes_are_left_alone() {
    let mut test = Test::quick("");
    test.wait(2000);
    assert!(
        test.step(Event::Hold { node: 0, held: true }).contains(&Command::Withdraw { node: 0 })
    );
    test.step(Event::Seen { node: 0 });
    test.wait(2000);
    assert_eq!(test.step_of(0), Step::Waiting);
    test.step(Event::Hold { node: 0, held: false });
    test.wait(2000);
    assert_eq!(test.step_of(0), Step::Offered);
}

#[test]
fn clocks_order_nothing() {
    let mut test = Test::quick("");
    test.take(0..5, Reported::Committed);
    // A clock that jumps back ends no soak, and breaks nothing.
    test.now = 0;
    test.wait(9 * MINUTE);
    assert_eq!(test.wave(), Some(0));
    test.all_seen();
    test.wait(2 * MINUTE);
    assert_eq!(test.wave(), Some(1));
}

#[test]
fn a_stored_rollout_goes_on_as_it_was() {
    let mut test = Test::quick(CRASHES);
    test.take(0..3, Reported::Committed);
    let text = serde_json::to_string(&test.rollout).unwrap();
    let mut other: Rollout = serde_json::from_str(&text).unwrap();
    assert_eq!(other, test.rollout);
    let now = Now { steady: test.now + 1000, wall: 0 };
    let event = || Event::Report { node: 3, reported: Reported::Ready };
    assert_eq!(other.step(event(), now), test.rollout.step(event(), now));
    assert_eq!(other.step(Event::Tick, now), test.rollout.step(Event::Tick, now));
    assert_eq!(other, test.rollout);
}
