//! A core with a store and without sockets, and nodes that do at once what they may.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pilotlight_controller::core::{Answer, Content, Core, Outcome, Request, Settings};
use pilotlight_controller::store::{Sqlite, Store};
use pilotlight_fleet::manifest::{Enrol, Fleet, From, Rollout};
use pilotlight_fleet::message::{Denied, Desired, Progress, Status};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{File, PrivateKey, Release, Trust};
use pilotlight_fleet::rollout::{Failure, Now, Reported};
use serde_json::{Value, json};

pub(crate) const ROLLOUT: &str = r#"
kind = "rollout"
target = 'role == "pop"'
pace = { start = "6000/min" }
gate = { probation = "1s", soak = "3s" }
[[waves]]
name = "canary"
pick = { count = 2 }
[[waves]]
name = "rest"
pick = "rest"
[[abort]]
kind = "crash_loop"
nodes = 2
do = "revert"
"#;

pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) core: Option<(Core, Sqlite)>,
    pub(crate) settings: Settings,
    key: PrivateKey,
    pub(crate) token: String,
    pub(crate) steady: u64,
    chance: u8,
    /// Whether it is read again after each request.
    pub(crate) restless: bool,
}

/// A node that does at once what it may.
#[derive(Default)]
pub(crate) struct Node {
    pub(crate) status: Status,
    pub(crate) tag: String,
    pub(crate) desired: Desired,
    before: Option<Digest>,
    pub(crate) crashes: Option<Digest>,
}

impl World {
    pub(crate) fn new(name: &str, enrol: Enrol) -> World {
        let folder = std::env::temp_dir().join(format!("edge-core-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder).unwrap();
        let key = PrivateKey::new([7; 32], "release").unwrap();
        let trust = Trust { keys: vec![key.public().clone()], threshold: 1 };
        let settings = Settings { trust, fleet: Fleet::default(), enrol };
        let (token, core) = (String::new(), None);
        let mut world =
            World { folder, core, settings, key, token, steady: 0, chance: 0, restless: false };
        world.open();
        let now = world.now();
        let (core, store) = world.core.as_mut().unwrap();
        world.token = core.first_token(&[1; 24], now).unwrap();
        store.commit(&core.writes()).unwrap();
        world
    }

    pub(crate) fn open(&mut self) {
        drop(self.core.take());
        let mut store = Sqlite::open(&self.folder.join("controller.db")).unwrap();
        let saved = store.load().unwrap();
        let core = Core::new(self.settings.clone(), &mut store, saved).unwrap();
        self.core = Some((core, store));
    }

    pub(crate) fn now(&self) -> Now {
        Now { steady: self.steady, wall: 1_800_000_000 + (self.steady / 1000) as i64 }
    }

    /// Everything that must last is written; then, perhaps, the controller dies.
    pub(crate) fn settle(&mut self) {
        let (core, store) = self.core.as_mut().unwrap();
        store.commit(&core.writes()).unwrap();
        if self.restless {
            let before = self.latest();
            self.open();
            assert_eq!(before, self.latest());
        }
    }

    pub(crate) fn latest(&mut self) -> Option<Value> {
        let request = self.request("GET", "/v1/rollouts", None);
        let now = self.now();
        let (core, store) = self.core.as_mut().unwrap();
        let Outcome::Answer(answer) = core.ask(&request, store, now) else { return None };
        serde_json::from_slice::<Vec<Value>>(&answer.body).unwrap().pop()
    }

    pub(crate) fn request(&mut self, method: &str, path: &str, body: Option<Value>) -> Request {
        self.chance = self.chance.wrapping_add(1).max(2);
        Request {
            method: method.into(),
            path: path.into(),
            token: Some(self.token.clone()),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            chance: [self.chance; 24],
            ..Request::default()
        }
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Outcome {
        let now = self.now();
        let (core, store) = self.core.as_mut().unwrap();
        let outcome = core.ask(request, store, now);
        self.settle();
        outcome
    }

    pub(crate) fn call(&mut self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = self.request(method, path, body);
        match self.ask(&request) {
            Outcome::Answer(Answer { status, body, .. }) => {
                (status, serde_json::from_slice(&body).unwrap_or_default())
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn tick(&mut self) {
        self.steady += 1000;
        let now = self.now();
        self.core.as_mut().unwrap().0.tick(now);
        self.settle();
    }

    pub(crate) fn release(&self, version: &str) -> (Vec<u8>, Digest) {
        let file = File { digest: Digest::of_bytes(version.as_bytes()), size: 9, program: false };
        let release = Release {
            name: "edge".into(),
            version: version.into(),
            epoch: 0,
            gateway: "pilotlight.toml".into(),
            needs: None,
            free_disk: 0,
            tests: Vec::new(),
            secrets: Vec::new(),
            render: Vec::new(),
            files: BTreeMap::from([("pilotlight.toml".into(), file)]),
            ..Release::default()
        };
        let signed = release.sign(std::slice::from_ref(&self.key)).unwrap();
        let digest = pilotlight_fleet::release::digest(&signed).unwrap();
        (signed, digest)
    }

    /// Plans and applies, as an operator does.
    pub(crate) fn roll_out(&mut self, version: &str) -> (u16, Value) {
        self.roll_out_of(version, ROLLOUT)
    }

    pub(crate) fn roll_out_of(&mut self, version: &str, rollout: &str) -> (u16, Value) {
        let text = format!("release = \"edge@{version}\"\n{rollout}");
        let from = From { env: &|_| None, disk: &pilotlight_config::Local };
        let (rollout, _) = Rollout::parse(&text, Path::new("rollout.toml"), from)
            .unwrap_or_else(|report| panic!("{}", report.render(false)));
        let (signed, _) = self.release(version);
        let mut digest = Value::Null;
        let mut answer = (0, Value::Null);
        for path in ["/v1/plan", "/v1/rollouts"] {
            let body = json!({ "rollout": rollout, "plan": digest });
            let mut request = self.request("POST", path, Some(body));
            assert!(matches!(self.ask(&request), Outcome::Fetch(Content::Release { .. })));
            request.fetched = Some(Ok(signed.clone()));
            let Outcome::Answer(told) = self.ask(&request) else { panic!("no answer") };
            answer = (told.status, serde_json::from_slice(&told.body).unwrap());
            digest = answer.1["digest"].clone();
        }
        answer
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Node {
    pub(crate) fn new(id: &str) -> Node {
        let status = Status {
            node: id.into(),
            boot: format!("boot of {id}"),
            labels: [("role".to_owned(), "pop".into())].into(),
            ..Status::default()
        };
        Node { status, ..Node::default() }
    }

    /// Asks; true if there was an answer with news.
    pub(crate) fn poll(&mut self, world: &mut World) -> u16 {
        self.status.seq += 1;
        let body = serde_json::to_value(&self.status).unwrap();
        let mut request = world.request("POST", "/v1/desired", Some(body));
        request.query.insert("have".into(), self.tag.clone());
        match world.ask(&request) {
            Outcome::Answer(answer) if answer.status == 200 => {
                let told: Value = serde_json::from_slice(&answer.body).unwrap();
                self.tag = told["tag"].as_str().unwrap().into();
                self.desired = serde_json::from_value(told["desired"].clone()).unwrap();
                200
            }
            Outcome::Answer(answer) => answer.status,
            _ => 204,
        }
    }

    pub(crate) fn say(&mut self, reported: Reported) {
        let serial = self.desired.serial;
        self.status.progress = Some(Progress { serial, reported, message: None });
    }

    /// A step towards what is desired.
    pub(crate) fn act(&mut self) {
        let Some(wanted) = self.desired.release.as_ref().and_then(|release| release.digest.clone())
        else {
            return;
        };
        if let Some(trial) = self.status.tries.take() {
            if self.crashes.as_ref() == Some(&trial) {
                let (failure, message) = (Failure::CrashLoop, "boom".to_owned());
                self.status.denied.push(Denied { release: trial, failure, message });
                return self.say(Reported::Failed(Failure::CrashLoop));
            }
            self.before = self.status.runs.replace(trial);
            return self.say(Reported::Committed);
        }
        if self.status.runs.as_ref() == Some(&wanted) {
            return self.say(Reported::Committed);
        }
        if self.status.denied.iter().any(|d| d.release == wanted) && !self.desired.retry {
            return;
        }
        if self.desired.switch {
            self.status.tries = Some(wanted);
            self.status.seen = self.desired.serial;
            return self.say(Reported::Switching);
        }
        self.say(Reported::Ready);
    }
}

/// Everybody polls and acts until the rollout is over.
pub(crate) fn run(world: &mut World, nodes: &mut [Node]) -> Value {
    for _ in 0..200 {
        for node in nodes.iter_mut() {
            node.poll(world);
            node.act();
        }
        world.tick();
        let told = world.latest().unwrap();
        if matches!(told["phase"].as_str(), Some("done" | "reverted" | "expired")) {
            return told;
        }
    }
    panic!("no end: {:?}", world.latest());
}

pub(crate) fn nodes(count: usize) -> Vec<Node> {
    (1..=count).map(|at| Node::new(&format!("n{at}"))).collect()
}
