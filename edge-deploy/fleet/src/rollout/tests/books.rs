//! Whatever happens, in whatever order: the counts are those of the members, and budgets hold.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Any {
    Wait(u64),
    Seen(usize),
    Report(usize, Reported),
    Sample(usize, u64),
    Hold(usize, bool),
    Approve,
    Pause,
    Resume,
    Revert,
    Join(usize),
}

fn reported() -> impl Strategy<Value = Reported> {
    prop_oneof![
        1 => Just(Reported::Idle),
        4 => Just(Reported::Ready),
        4 => Just(Reported::Switching),
        4 => Just(Reported::Committed),
        1 => Just(Reported::Rejected),
        1 => prop::sample::select(&Failure::ALL[1..]).prop_map(Reported::Failed),
        1 => Just(Reported::Reverted),
    ]
}

fn anything() -> impl Strategy<Value = Any> {
    let node = || 0usize..14;
    prop_oneof![
        20 => prop_oneof![Just(1000), Just(5000), Just(60_000), Just(1_200_000)].prop_map(Any::Wait),
        20 => node().prop_map(Any::Seen),
        40 => (node(), reported()).prop_map(|(node, reported)| Any::Report(node, reported)),
        4 => (node(), 0u64..300).prop_map(|(node, errors)| Any::Sample(node, errors)),
        2 => (node(), any::<bool>()).prop_map(|(node, held)| Any::Hold(node, held)),
        2 => Just(Any::Approve),
        1 => Just(Any::Pause),
        2 => Just(Any::Resume),
        1 => Just(Any::Revert),
        1 => (10usize..14).prop_map(Any::Join),
    ]
}

const RULES: &str = "pace = { start = \"2/s\", max_unavailable = \"20% per site\" }\n\
    [gate]\nsoak = \"5s\"\nprobation = \"10s\"\nhold_max = \"1m\"\n\
    metrics = [{ name = \"error_ratio\", worse_by = \"1pp\" }]\n\
    [[waves]]\nname = \"canary\"\npick = { count = 3 }\n\
    [[waves]]\nname = \"half\"\npick = { percent = 50 }\napprove = true\n\
    [[waves]]\nname = \"rest\"\npick = \"rest\"\n\
    [[abort]]\nkind = \"any\"\nratio = \"60%\"\nafter_attempts = 5\ndo = \"revert\"\n\
    [[abort]]\nkind = \"silent\"\nnodes = 1\ndo = \"pause\"\n";

fn balanced(rollout: &Rollout) -> Result<(), TestCaseError> {
    let mut tallies = vec![Tally::default(); rollout.tallies().len()];
    let mut held = vec![0; rollout.plan().groups.len()];
    for (member, turn) in rollout.members().iter().zip(&rollout.plan().nodes) {
        tallies[member.wave].count(member, true);
        held[turn.group] += usize::from(member.step.holds());
    }
    for (mine, theirs) in tallies.iter_mut().zip(rollout.tallies()) {
        mine.before = theirs.before.clone();
        prop_assert_eq!(&*mine, theirs);
    }
    prop_assert_eq!(held, rollout.held.clone());
    Ok(())
}

proptest! {
    #[test]
    fn the_books_balance(events in prop::collection::vec(anything(), 1..300)) {
        let mut test = Test::new(RULES, 10);
        let more = nodes(14);
        for any in events {
            let (sample, by) = (sample(0), "grace");
            let event = match any {
                Any::Wait(ms) => {
                    test.now += ms;
                    Event::Tick
                }
                Any::Seen(node) => Event::Seen { node },
                Any::Report(node, reported) => Event::Report { node, reported },
                Any::Sample(node, errors) => {
                    test.step(Event::Sample { node, sample: &Sample { errors, ..sample } });
                    continue;
                }
                Any::Hold(node, held) => Event::Hold { node, held },
                Any::Approve => Event::Approve { by },
                Any::Pause => Event::Pause { by, reason: "why not" },
                Any::Resume => Event::Resume { by },
                Any::Revert => Event::Revert { by, reason: "why not" },
                Any::Join(node) => Event::Join { fleet: &Fleet::default(), node: &more[node] },
            };
            let over = test.rollout.is_over();
            let commands = test.step(event);
            balanced(&test.rollout)?;
            for command in &commands {
                match command {
                    // Leave is given within the budget, and to nobody once it is over.
                    Command::Switch { node, .. } => {
                        prop_assert!(!over && test.rollout.paused().is_none());
                        let group = test.rollout.plan().nodes[*node].group;
                        let budget = test.rollout.plan().groups[group].budget;
                        prop_assert!(test.rollout.held(group) <= budget);
                    }
                    Command::Offer { .. } => prop_assert!(!over),
                    Command::Revert { node } => {
                        prop_assert!(test.rollout.is_reverting());
                        prop_assert!(test.step_of(*node).took());
                    }
                    _ => {}
                }
            }
        }
        let text = serde_json::to_string(&test.rollout).unwrap();
        prop_assert_eq!(serde_json::from_str::<Rollout>(&text).unwrap(), test.rollout);
    }
}
