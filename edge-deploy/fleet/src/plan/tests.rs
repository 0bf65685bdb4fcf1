use std::path::Path;

use pilotlight_config::Pretend;

use super::*;
use crate::manifest::From;

pub(crate) fn rollout(text: &str) -> Rollout {
    let base = "kind = \"rollout\"\nrelease = \"shop-edge@1.42.0\"\n";
    let target = if text.contains("target =") { "" } else { "target = 'role == \"pop\"'\n" };
    let from = From { env: &|_| None, disk: &Pretend };
    let parsed =
        Rollout::parse(&format!("{base}{target}{text}"), Path::new("/f/rollout.toml"), from);
    parsed.unwrap_or_else(|report| panic!("{report}")).0
}

pub(crate) fn nodes(count: usize) -> Vec<Node> {
    let node = |at: usize| {
        let site = format!("s{}", at % 10);
        let labels = [("role", Value::from("pop")), ("site", site.as_str().into())];
        let labels = labels.map(|(name, value)| (name.to_owned(), value)).into();
        Node { id: format!("n{at}"), labels, ..Node::default() }
    };
    (0..count).map(node).collect()
}

pub(crate) fn content() -> Content {
    let blob = |name: &str, size| (Digest::of_bytes(name.as_bytes()), size);
    Content {
        digest: Digest::of_bytes(b"release"),
        bytes: 900,
        blobs: vec![blob("a", 3000), blob("b", 70_000)],
        ..Content::default()
    }
}

fn plan(text: &str, nodes: &[Node]) -> Plan {
    Plan::new(&rollout(text), &content(), &Fleet::default(), nodes)
}

fn ids(plan: &Plan, wave: usize) -> Vec<&str> {
    plan.nodes[plan.waves[wave].clone()].iter().map(|turn| turn.id.as_str()).collect()
}

const WAVES: &str = r#"
[[waves]]
name = "canary"
pick = { count = 5, spread = "site" }
[[waves]]
name = "tenth"
pick = { where = 'site == "s3"' }
[[waves]]
name = "quarter"
pick = { percent = 25 }
[[waves]]
name = "rest"
pick = "rest"
"#;

#[test]
fn every_target_is_in_one_wave() {
    let plan = plan(WAVES, &nodes(200));
    let sizes: Vec<_> = plan.waves.iter().map(|wave| wave.len()).collect();
    assert_eq!(sizes[0], 5);
    assert!(sizes[1] == 19 || sizes[1] == 20, "{sizes:?}");
    assert_eq!(sizes[2], 50);
    assert_eq!(sizes.iter().sum::<usize>(), 200);
    let mut all: Vec<_> = plan.nodes.iter().map(|turn| &turn.id).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 200);
    assert!(plan.excluded.is_empty() && plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn a_spread_canary_is_of_many_sites() {
    let nodes = nodes(200);
    let plan = plan(WAVES, &nodes);
    let site = |id: &str| nodes.iter().find(|node| node.id == id).unwrap().labels["site"].clone();
    let mut sites: Vec<_> = ids(&plan, 0).into_iter().map(|id| site(id).to_string()).collect();
    sites.sort();
    sites.dedup();
    assert_eq!(sites.len(), 5);
}

#[test]
fn canaries_change_with_the_release_and_plans_do_not_change_by_themselves() {
    let (mut other, all) = (content(), nodes(200));
    other.digest = Digest::of_bytes(b"another");
    let one = plan(WAVES, &all);
    let two = Plan::new(&rollout(WAVES), &other, &Fleet::default(), &all);
    assert_ne!(ids(&one, 0), ids(&two, 0));
    assert_ne!(one.digest, two.digest);
    // The order in which the inventory lists nodes is nothing.
    let mut reversed = all.clone();
    reversed.reverse();
    let again = plan(WAVES, &reversed);
    assert_eq!(ids(&one, 2), ids(&again, 2));
    let seen = |plan: &Plan| plan.digest.clone();
    assert_eq!(seen(&plan(WAVES, &all)), seen(&one));
    // Another fleet, or another rule, is another plan.
    assert_ne!(seen(&plan(WAVES, &all[1..])), seen(&one));
    assert_ne!(seen(&plan(&format!("retry = true\n{WAVES}"), &all)), seen(&one));
}

#[test]
fn says_who_is_left_out_and_why() {
    let mut all = nodes(6);
    let mut content = content();
    content.needs = Needs::parse(">=0.2");
    content.free_disk = 8 << 20;
    all[0].runs = Some(content.digest.clone());
    all[1].denied = vec![content.digest.clone()];
    all[2].gateway = Some("0.1.9".into());
    all[3].free_disk = Some(4096);
    let from = From { env: &|_| None, disk: &Pretend };
    let text = "kind = \"fleet\"\n[nodes.n4]\nhold = \"hardware swap\"\n";
    let fleet = Fleet::parse(text, Path::new("/f/fleet.toml"), from).unwrap().0;
    let all_waves = "[[waves]]\nname = \"all\"\npick = { count = 1 }\n";
    let plan = Plan::new(&rollout(all_waves), &content, &fleet, &all);
    let why = |id: &str| plan.excluded.get(id).map(ToString::to_string).unwrap_or_default();
    assert_eq!(why("n0"), "runs it");
    assert_eq!(why("n1"), "has rolled it back");
    assert_eq!(why("n2"), "its gateway is 0.1.9, the release needs >=0.2");
    assert_eq!(why("n3"), "4096 bytes free, 8388608 are needed");
    assert_eq!(why("n4"), "held: hardware swap");
    assert_eq!((why("n5").as_str(), plan.nodes.len()), ("", 1));
    // What was rolled back is tried again when the operator says so.
    let retry = Plan::new(&rollout(&format!("retry = true\n{all_waves}")), &content, &fleet, &all);
    assert_eq!(
        retry.excluded.get("n1"),
        retry
            .excluded
            .get("n5")
            .or(Some(&Excluded::Unpicked))
            .filter(|_| retry.nodes[0].id == "n5")
    );
}

#[test]
fn windows_in_the_time_of_sites_need_one() {
    let text = "windows = { tz = \"site\", switch = [\"daily 01:00-05:00\"] }\n";
    let mut all = nodes(3);
    all[0].labels.insert("tz".into(), "Europe/Berlin".into());
    all[1].labels.insert("tz".into(), "Europe/Nowhere".into());
    let plan = plan(text, &all);
    assert_eq!(plan.zones, ["Europe/Berlin"]);
    assert_eq!(plan.excluded.get("n1"), Some(&Excluded::Zone(Some("Europe/Nowhere".into()))));
    assert_eq!(plan.excluded.get("n2"), Some(&Excluded::Zone(None)));
}

#[test]
fn budgets_are_of_groups() {
    let text = "pace = { max_unavailable = \"10% per site\" }\n";
    let plan = plan(text, &nodes(205));
    assert_eq!(plan.groups.len(), 10);
    assert!(plan.groups.iter().all(|g| g.budget == 2 && (20..=21).contains(&g.size)));
    let plan = Plan::new(&rollout(""), &content(), &Fleet::default(), &nodes(205));
    assert_eq!((plan.groups.len(), plan.groups[0].budget), (1, 20));
}

#[test]
fn counts_the_bytes_that_a_node_lacks() {
    let plan = plan("", &nodes(1));
    let known = content().blobs[1].0.clone();
    assert_eq!(plan.bytes(|_| false), 73_900);
    assert_eq!(plan.bytes(|digest| *digest == known), 3900);
}

#[test]
fn misspelt_labels_are_named() {
    let plan = plan("target = 'roel == \"pop\" or role == \"pop\"'\n", &nodes(3));
    assert_eq!(plan.warnings[0], "no node has a label \"roel\"; did you mean \"role\"?");
}

#[test]
fn late_joiners_take_a_seat_behind_the_others() {
    let mut plan = plan("pace = { max_unavailable = \"10% per site\" }\n", &nodes(20));
    let digest = plan.digest.clone();
    let more = nodes(22);
    assert_eq!(plan.join(&Fleet::default(), &more[21]), Ok(20));
    assert_eq!(plan.join(&Fleet::default(), &more[21]), Err(None));
    assert_eq!((plan.wave(20), plan.groups.iter().map(|g| g.size).sum::<usize>()), (None, 21));
    assert_eq!(plan.digest, digest);
}
