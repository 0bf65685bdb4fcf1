//! What any store must do: the same suite for all of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use pilotlight_controller::store::{
    Audit, Begun, Entry, Happened, Postgres, Record, Role, Sqlite, Store, Token, Write,
};
use pilotlight_fleet::manifest::{Fleet, From, Rollout};
use pilotlight_fleet::plan::{Content, Digest, Node, Plan};
use pilotlight_fleet::rollout::{Now, Reported};

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
    assert_eq!(open().journal(1).unwrap().len(), 3);
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

/// A server of Debian's, with a database of its own, for as long as this lives.
struct Server {
    programs: PathBuf,
    folder: Scratch,
}

impl Server {
    /// Without one on this machine there is nothing to try.
    fn start() -> Option<Server> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let programs = versions.filter_map(Result::ok).map(|version| version.path().join("bin"));
        let programs = programs.filter(|path| path.join("initdb").is_file()).max()?;
        let server = Server { programs, folder: scratch("postgres") };
        let folder = server.folder.0.display().to_string();
        // It refuses to run as root.
        if is_root() {
            assert!(Command::new("chown").args(["postgres", &folder]).status().unwrap().success());
        }
        let data = format!("{folder}/data");
        server.run("initdb", &["-D", &data, "-A", "trust", "-U", "fleet", "--no-sync"]);
        let options = format!("-k {folder} -c listen_addresses= -c fsync=off");
        let log = format!("{folder}/log");
        server.run("pg_ctl", &["-D", &data, "-l", &log, "-o", &options, "-w", "start"]);
        Some(server)
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.programs.join(program);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(path);
                command
            }
            false => Command::new(path),
        };
        command.args(arguments).current_dir(&self.folder.0).stdin(Stdio::null());
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program}: {status}");
    }

    fn url(&self) -> String {
        format!("host={} user=fleet dbname=postgres", self.folder.0.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.0.join("data").display().to_string();
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

#[test]
fn postgresql_keeps_what_it_is_told() {
    let Some(server) = Server::start() else {
        eprintln!("there is no PostgreSQL here");
        return;
    };
    suite(&|| Box::new(again(&server.url())));
    // It has one controller; one that was cut off is none any more.
    let mut first = again(&server.url());
    first.commit(&[Write::Steady(100)]).unwrap();
    let second = Postgres::open(&server.url()).err().unwrap().to_string();
    assert!(second.contains("another controller"), "{second}");
    let data = server.folder.0.join("data").display().to_string();
    server.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "restart"]);
    assert!(first.commit(&[Write::Steady(101)]).is_err());
    assert_eq!(again(&server.url()).load().unwrap().steady, 100);
}

/// A connection that was closed is gone for the server a moment later.
fn again(url: &str) -> Postgres {
    for _ in 0..100 {
        if let Ok(store) = Postgres::open(url) {
            return store;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    Postgres::open(url).unwrap()
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
