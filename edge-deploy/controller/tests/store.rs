//! What any store must do: the same suite for all of them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod postgresql;

use std::path::{Path, PathBuf};

use pilotlight_controller::store::{
    Audit, Begun, Entry, Error, Happened, Opened, Postgres, Record, Role, Snapshot, Sqlite, Store,
    Token, Write,
};
use pilotlight_fleet::manifest::{Fleet, From, Rollout};
use pilotlight_fleet::plan::{Content, Digest, Node, Plan};
use pilotlight_fleet::rollout::{Now, Reported, Rollout as Machine};
use postgresql::Server;

/// A store that is opened again and again.
type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;

fn now(steady: u64) -> Now {
    Now { steady, wall: 1_000_000 }
}

fn begun(id: u64) -> Begun {
    let text = "kind = \"rollout\"\nrelease = \"edge@1\"\ntarget = 'role == \"pop\"'\n\
                pace = { start = \"50/min\" }\n[[waves]]\nname = \"all\"\npick = \"rest\"\n[gate]\nsoak = \"1m\"\n";
    let from = From { env: &|_| None, disk: &pilotlight_config::Local };
    let (rollout, _) = Rollout::parse(text, &PathBuf::from("rollout.toml"), from)
        .unwrap_or_else(|report| panic!("{}", report.render(false)));
    let nodes = [Node {
        id: "n1".into(),
        labels: [("role".to_owned(), "pop".into())].into(),
        ..Node::default()
    }];
    let content = Content { digest: Digest::of_bytes(b"x"), ..Content::default() };
    let plan = Plan::new(&rollout, &content, &Fleet::default(), &nodes);
    Begun { id, plan, fleet: Fleet::default(), by: "ann".into(), now: now(5) }
}

fn record(id: &str, seq: u64) -> Record {
    let node = Node { id: id.into(), ..Node::default() };
    Record { node, seq, boots: vec!["a".into()], ..Record::default() }
}

fn entry(rollout: u64, seq: u64, what: Happened) -> Entry {
    Entry { rollout, seq, now: now(seq), what }
}

fn line(seq: u64, before: Option<Digest>) -> Audit {
    Audit { seq, at: 7, who: "ann".into(), what: format!("did {seq}"), before }
}

fn suite(open: Open<'_>) {
    // Nothing is there yet.
    let mut store = open();
    let saved = store.load().unwrap();
    assert!(saved.nodes.is_empty() && saved.audit.is_none() && saved.steady == 0);
    assert!(store.journal(1).unwrap().is_empty());

    // What was written is there, also for who opens it again; the last row of a name counts.
    let first = line(1, None);
    let second = line(2, Some(first.digest()));
    let report = Happened::Report { node: 0, reported: Reported::Ready };
    let token = Token { name: "ann".into(), role: Role::Operator, hash: Digest::of_bytes(b"t") };
    let all = [
        Write::Node(Box::new(record("n1", 1))),
        Write::Node(Box::new(record("n1", 2))),
        Write::Node(Box::new(record("n0", 9))),
        Write::Rollout(Box::new(begun(1))),
        Write::Rollout(Box::new(begun(2))),
        Write::Entry(entry(1, 1, Happened::Tick)),
        Write::Entry(entry(1, 2, report.clone())),
        Write::Entry(entry(2, 1, Happened::Approve { by: "bob".into() })),
        Write::Token(token.clone()),
        Write::Token(Token { name: "gone".into(), ..token.clone() }),
        Write::Revoke("gone".into()),
        Write::Audit(first.clone()),
        Write::Audit(second.clone()),
        Write::Steady(77),
    ];
    store.commit(&all).unwrap();
    drop(store);
    let mut store = open();
    let saved = store.load().unwrap();
    assert_eq!(saved.nodes, [record("n0", 9), record("n1", 2)]);
    assert_eq!(saved.rollouts, [begun(1), begun(2)]);
    assert_eq!(saved.tokens, [token]);
    assert_eq!((saved.steady, saved.audit), (77, Some(second.clone())));
    assert_eq!(store.journal(1).unwrap(), [entry(1, 1, Happened::Tick), entry(1, 2, report)]);
    assert_eq!(store.audit(0, 10).unwrap(), [first.clone(), second.clone()]);
    assert_eq!(store.audit(1, 10).unwrap(), std::slice::from_ref(&second));
    assert_eq!(store.audit(0, 1).unwrap(), [first]);

    // All or nothing; and nobody writes over a journal or a log.
    for twice in
        [Write::Entry(entry(1, 2, Happened::Tick)), Write::Audit(line(2, Some(second.digest())))]
    {
        let batch = [Write::Node(Box::new(record("n9", 1))), twice, Write::Steady(99)];
        assert!(store.commit(&batch).is_err());
    }
    let saved = store.load().unwrap();
    assert_eq!((saved.nodes.len(), saved.steady), (2, 77));
    assert_eq!(store.journal(1).unwrap().len(), 2);

    // Another part of the same journal goes behind.
    store.commit(&[Write::Entry(entry(1, 3, Happened::Seen { node: 0 }))]).unwrap();
    drop(store);
    let mut store = open();
    assert_eq!(store.journal(1).unwrap().len(), 3);

    // A snapshot takes the place of what it knows, and of an older one; other rollouts keep theirs.
    assert_eq!(store.snapshot(1).unwrap(), None);
    for (seq, left) in [(1, 2), (2, 1)] {
        let writes = [Write::Snapshot(Box::new(snapshot(1, seq))), Write::Trim(1, seq)];
        store.commit(&writes).unwrap();
        assert_eq!(store.journal(1).unwrap().len(), left);
    }
    assert_eq!(store.journal(2).unwrap().len(), 1);
    // What nobody asks about any more is not loaded.
    store.commit(&[Write::Forget(1), Write::Forget(1)]).unwrap();
    drop(store);
    let mut store = open();
    assert_eq!(store.snapshot(1).unwrap(), Some(snapshot(1, 2)));
    assert_eq!(store.load().unwrap().rollouts, [begun(2)]);
}

fn snapshot(rollout: u64, seq: u64) -> Snapshot {
    let begun = begun(rollout);
    let (machine, _) = Machine::new(begun.plan, &begun.by, begun.now);
    let said = [(0, Reported::Failed(pilotlight_fleet::rollout::Failure::Probe))].into();
    Snapshot { rollout, seq, at: 9, machine, said, notes: [(7, "it begins".to_owned())].into() }
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn scratch(name: &str) -> Scratch {
    let folder =
        std::env::temp_dir().join(format!("pilotlight-store-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    Scratch(folder)
}

#[test]
fn sqlite_keeps_what_it_is_told() {
    let folder = scratch("suite");
    let file = folder.0.join("controller.db");
    suite(&|| Box::new(Sqlite::open(&file).unwrap()));
}

#[test]
fn postgresql_keeps_what_it_is_told() {
    let server = Server::start("suite");
    suite(&|| again(&server.url()));
    // One leads; one that was cut off does not any more.
    let mut first = again(&server.url());
    first.commit(&[Write::Steady(100)]).unwrap();
    let second = open(&server.url(), "https://b").unwrap();
    assert!(matches!(second, Opened::Theirs(Some(url)) if url == "https://a"));
    server.crash();
    assert!(first.commit(&[Write::Steady(101)]).is_err());
    assert_eq!(again(&server.url()).load().unwrap().steady, 100);
}

#[test]
fn who_was_followed_by_another_writes_nothing_more() {
    let server = Server::start("fence");
    let mut first = again(&server.url());
    first.commit(&[Write::Steady(1)]).unwrap();
    first.beat().unwrap();
    // Its lock is gone, its connection is not: a pool that gives each transaction another one, say.
    let mut client = postgres::Client::connect(&server.url(), postgres::NoTls).unwrap();
    client.execute("UPDATE leader SET epoch = epoch + 1", &[]).unwrap();
    for refused in [first.commit(&[Write::Steady(2)]), first.beat()] {
        assert!(refused.unwrap_err().to_string().contains("another controller leads"));
    }
    drop(first);
    assert_eq!(again(&server.url()).load().unwrap().steady, 1);
}

#[test]
fn postgresql_is_spoken_to_in_secret() {
    let server = Server::start("tls");
    server.secure();
    let fine = |host: &str, query: &str| {
        Postgres::open(&server.at(host, query), &server.folder, "https://a").map(drop)
    };
    let said = |host: &str, query: &str| fine(host, query).unwrap_err().to_string();
    // The server wants it, whatever a URL says.
    assert!(said("127.0.0.1", "sslmode=disable").contains("no encryption"));
    for (host, query) in [
        ("127.0.0.1", ""),
        ("127.0.0.1", "sslmode=require"),
        // A certificate for another name, of an authority that is known.
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=ca.pem"),
        ("localhost", "sslmode=verify-full&sslrootcert=ca.pem&hostaddr=127.0.0.1"),
    ] {
        let opened = fine(host, query);
        assert!(opened.is_ok(), "{host} {query}: {opened:?}");
    }
    let said = said("127.0.0.1", "sslmode=verify-full&sslrootcert=ca.pem");
    assert!(said.contains("not valid for name"), "{said}");
    // An authority that is not its own.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(server.folder.join("other.pem"), other.cert.pem()).unwrap();
    for query in
        ["sslmode=require&sslrootcert=other.pem", "sslmode=verify-full&sslrootcert=other.pem"]
    {
        assert!(fine("localhost", &format!("{query}&hostaddr=127.0.0.1")).is_err(), "{query}");
    }
    assert!(fine("localhost", "sslmode=verify-full&hostaddr=127.0.0.1").is_err());
}

fn open(url: &str, own: &str) -> Result<Opened, Error> {
    Postgres::open(url, Path::new("/"), own)
}

/// A connection that was closed is gone for the server a moment later.
fn again(url: &str) -> Box<dyn Store> {
    let mut failed = None;
    for _ in 0..100 {
        match open(url, "https://a") {
            Ok(Opened::Ours(store)) => return store,
            Ok(Opened::Theirs(_)) => {}
            Err(error) => failed = Some(error),
        }
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    panic!("it stays another one's: {failed:?}");
}

#[test]
fn a_file_of_sqlite_has_one_controller() {
    let folder = scratch("one");
    let file = folder.0.join("controller.db");
    let mut first = Sqlite::open(&file).unwrap();
    first.commit(&[Write::Steady(1)]).unwrap();
    let second = Sqlite::open(&file);
    assert!(
        second.is_err()
            || second.is_ok_and(|mut second| second.commit(&[Write::Steady(2)]).is_err())
    );
    drop(first);
    assert_eq!(Sqlite::open(&file).unwrap().load().unwrap().steady, 1);
}
