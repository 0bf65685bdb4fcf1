use pilotlight_config::manifest::Log as Settings;

use super::*;
use crate::clock::Clock;
use crate::metrics::Registry;
use crate::park::state::{Reader, Writer};

fn log() -> Log {
    let manifest =
        "[log]\naccess = \"off\"\nlevel = \"error\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let loaded = pilotlight_config::parse_str(manifest, std::path::Path::new("/")).unwrap();
    let settings: Settings = loaded.manifest.log;
    Log::new(&settings, Clock::new(), Arc::new(Registry::new()))
}

fn upstream(ports: &[u16], keys: &str) -> manifest::Upstream {
    let urls: Vec<String> =
        ports.iter().map(|port| format!("\"http://10.0.0.1:{port}\"")).collect();
    of(&urls.join(", "), keys)
}

fn of(urls: &str, keys: &str) -> manifest::Upstream {
    let text = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\n[upstreams.app]\nendpoints = [{urls}]\n{keys}\n"
    );
    let loaded = pilotlight_config::parse_str(&text, std::path::Path::new("/")).unwrap();
    loaded.manifest.upstreams.into_iter().next().unwrap()
}

/// The ports that take requests.
fn takes(roster: &Roster) -> Vec<u16> {
    let (_, members) = roster.members();
    let all = members.iter().filter(|(_, weight)| *weight > 0);
    let ports: Vec<u16> = all.map(|(member, _)| member.endpoint.port).collect();
    assert_eq!(ports.len(), roster.ready());
    ports
}

fn fail(roster: &Roster, port: u16, now: u64, log: &Log) {
    let (_, members) = roster.members();
    let member = &members.iter().find(|(member, _)| member.endpoint.port == port).unwrap().0;
    roster.probed(member.number, Err("status 500".into()), now, log);
}

fn err(roster: &Roster, port: u16, now: u64, log: &Log) {
    let (_, members) = roster.members();
    let member = &members.iter().find(|(member, _)| member.endpoint.port == port).unwrap().0;
    roster.saw(member, false, now, log);
}

const BOTH: &str = "health = { unhealthy = 1 }\noutlier = { errors = 2, eject = \"1s\" }";

#[test]
fn workers_see_changes_by_the_version() {
    let (log, roster) = (log(), Roster::new(&upstream(&[1, 2, 3, 4], BOTH), None));
    let before = roster.version();
    fail(&roster, 2, 0, &log);
    assert!(roster.version() > before);
    let before = roster.version();
    fail(&roster, 2, 0, &log);
    assert_eq!(roster.version(), before, "nothing has changed");
    assert_eq!(takes(&roster), [1, 3, 4]);
    err(&roster, 3, 10, &log);
    assert_eq!(takes(&roster), [1, 3, 4]);
    err(&roster, 3, 11, &log);
    assert_eq!(takes(&roster), [1, 4]);
    assert_eq!(roster.tick(1010, &log), Some(1011));
    assert_eq!(takes(&roster), [1, 4]);
    assert_eq!(roster.tick(1011, &log), None);
    assert_eq!(takes(&roster), [1, 3, 4]);
}

#[test]
fn an_ejected_one_comes_back_when_probes_take_out_the_rest() {
    let (log, roster) = (log(), Roster::new(&upstream(&[1, 2], BOTH), None));
    err(&roster, 1, 0, &log);
    err(&roster, 1, 0, &log);
    assert_eq!(takes(&roster), [2]);
    err(&roster, 2, 0, &log);
    err(&roster, 2, 0, &log);
    assert_eq!(takes(&roster), [2], "half of them is out");
    fail(&roster, 2, 0, &log);
    assert_eq!(takes(&roster), [1]);
    fail(&roster, 1, 0, &log);
    assert!(takes(&roster).is_empty());
}

#[test]
fn a_reload_keeps_what_is_known_of_those_that_stay() {
    let (log, old) = (log(), Roster::new(&upstream(&[1, 2], BOTH), None));
    fail(&old, 2, 0, &log);
    let new = Roster::new(&upstream(&[3, 2], "health = {}"), Some(&old));
    assert_eq!(takes(&new), [3]);
    let number = |roster: &Roster, at: usize| roster.members().1[at].0.number;
    assert_eq!((number(&new, 0), number(&new, 1)), (2, number(&old, 1)));
    // The old one still serves its exchanges.
    assert_eq!(takes(&old), [1]);
    // Nobody would ever bring it back.
    assert_eq!(takes(&Roster::new(&upstream(&[2], "outlier = {}"), Some(&old))), [2]);
    // Whoever stands there twice is there twice.
    let twice = upstream(&[1, 1], BOTH);
    let again = Roster::new(&twice, Some(&Roster::new(&twice, Some(&old))));
    assert_eq!(takes(&again), [1, 1]);
}

#[test]
fn what_is_known_outlives_sleep() {
    let (log, old) = (log(), Roster::new(&upstream(&[1, 2, 3, 4], BOTH), None));
    fail(&old, 1, 0, &log);
    err(&old, 2, 0, &log);
    err(&old, 2, 0, &log);
    let mut kept = Writer::default();
    old.keep(300, &mut kept);
    let read = |age: u64, ports: &[u16]| {
        let new = Roster::new(&upstream(ports, BOTH), None);
        let mut from = Reader(&kept.0);
        assert_eq!(from.text(), Some("app"));
        Roster::take_back(Some(&new), age, 5, &mut from).unwrap();
        assert!(from.0.is_empty());
        new
    };
    let new = read(400, &[4, 3, 2, 1]);
    assert_eq!(takes(&new), [4, 3]);
    // 700 ms were left, of which 400 went by.
    assert_eq!(new.tick(304, &log), Some(305));
    assert_eq!(new.tick(305, &log), None);
    assert_eq!(takes(&new), [4, 3, 2]);
    assert_eq!(takes(&read(700, &[1, 2])), [2]);
    // One probe is enough for what nobody has looked at for so long.
    let (_, members) = new.members();
    new.probed(members[3].0.number, Ok(()), 9, &log);
    assert_eq!(takes(&new).len(), 4);
    let stand = &new.stands(9)[3];
    assert_eq!(stand.member.counts.probes_failed.load(Ordering::Relaxed), 1);
    assert_eq!(stand.state(), "up");
    // An upstream that is not there any more.
    let mut from = Reader(&kept.0);
    assert!(from.text().is_some() && Roster::take_back(None, 0, 0, &mut from).is_some());
    assert!(from.0.is_empty());
}

fn answer(found: &[(u8, &str, u16)], lost: &[&str]) -> Result<Answer, String> {
    let found = found.iter().map(|(last, host, priority)| Found {
        address: [10, 0, 0, *last].into(),
        port: u16::from(*last),
        host: (*host).to_owned(),
        weight: 1,
        priority: *priority,
    });
    let lost = lost.iter().map(|host| ((*host).to_owned(), "no answer".to_owned()));
    Ok(Answer { found: found.collect(), lost: lost.collect() })
}

const SOUGHT: &str = "{ dns = \"a.test:1\" }, { srv = \"_b._tcp.test\" }";

#[test]
fn what_names_stand_for_comes_and_goes_and_stays_without_an_answer() {
    let (log, roster) = (log(), Roster::new(&of(SOUGHT, BOTH), None));
    roster.found(0, Err("no answer".into()), &log);
    // The other one may bring some.
    assert!(!roster.is_known());
    roster.found(1, answer(&[(2, "two", 0), (3, "three", 0), (4, "spare", 1)], &[]), &log);
    assert!(roster.is_known());
    assert_eq!(takes(&roster), [2, 3]);
    fail(&roster, 3, 0, &log);
    let before = roster.version();
    roster.found(1, Err("no answer".into()), &log);
    roster.found(1, answer(&[(4, "spare", 1), (3, "three", 0), (2, "two", 0)], &[]), &log);
    assert_eq!(roster.version(), before, "nothing has changed");
    assert_eq!(takes(&roster), [2]);
    // Of one host nobody can say anything just now; another one is gone.
    roster.found(1, answer(&[(4, "spare", 1)], &["three"]), &log);
    assert_eq!(takes(&roster), [4]);
    assert_eq!(roster.members().1.len(), 2);
    roster.found(0, answer(&[(9, "a.test", 0)], &[]), &log);
    assert_eq!(takes(&roster), [9]);
    // A reload keeps them, wherever their names stand.
    let more = format!("\"http://10.0.0.8:8\", {SOUGHT}");
    let new = Roster::new(&of(&more, BOTH), Some(&roster));
    assert_eq!((takes(&new), new.members().1.len()), (vec![8, 9], 4));
    new.found(2, answer(&[], &[]), &log);
    assert_eq!((takes(&new), new.members().1.len()), (vec![8, 9], 2));
}

#[test]
fn what_names_stood_for_outlives_sleep() {
    let (log, old) = (log(), Roster::new(&of(SOUGHT, BOTH), None));
    old.found(0, answer(&[(1, "a.test", 0)], &[]), &log);
    old.found(1, answer(&[(2, "two", 0), (4, "spare", 1)], &[]), &log);
    fail(&old, 1, 0, &log);
    let mut kept = Writer::default();
    old.keep(0, &mut kept);
    let take_back = |keys: &str| {
        let new = Roster::new(&of(keys, BOTH), None);
        let mut from = Reader(&kept.0);
        assert!(!new.is_known() && from.text().is_some());
        Roster::take_back(Some(&new), 0, 0, &mut from).unwrap();
        new
    };
    let new = take_back(SOUGHT);
    assert!(new.is_known());
    assert_eq!((takes(&new), new.members().1.len()), (vec![2], 3));
    let endpoint = &new.members().1[1].0.endpoint;
    assert_eq!((&*endpoint.host, endpoint.port), ("two", 2));
    assert!(!take_back("{ dns = \"c.test:1\" }").is_known());
}

/// Others go away, and those that are left were ejected: somebody has to take requests.
#[test]
fn ejections_end_when_the_rest_is_gone() {
    let log = log();
    let all = Roster::new(&upstream(&[1, 2, 3, 4], BOTH), None);
    for port in [1, 1, 2, 2] {
        err(&all, port, 0, &log);
    }
    assert_eq!(takes(&all), [3, 4]);
    let few = Roster::new(&upstream(&[1, 2], BOTH), Some(&all));
    assert!(takes(&few).is_empty());
    few.tick(1, &log);
    assert_eq!(takes(&few).len(), 1);
}
