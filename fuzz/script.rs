//! A script that is handed the fuzzer's bytes as the body of a request; an error of its is a finding.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{Engine, Plan, Realm, ScriptSpec, Source, Spec};
use pilotlight_filter::{Body, Call, Exchange, Peer, Services, exchange};
use pilotlight_lua::LuaEngine;

/// A worker without a world.
struct Nowhere;

impl Services for Nowhere {}

/// The script, loaded.
pub struct Script {
    realm: Rc<dyn Realm>,
    peer: Rc<Peer>,
    runs: u64,
}

impl Script {
    /// Loads `text`: a request phase, of what `kind` makes of its file.
    pub fn new(name: &str, text: &str, kind: fn(PathBuf) -> Source) -> Script {
        let path = std::env::temp_dir().join(format!("{name}-{}.lua", std::process::id()));
        std::fs::write(&path, text).expect("room for a script");
        let plan = Plan {
            filters: vec![spec(name, kind(path))],
            script: ScriptSpec { memory: 64 << 20, ..ScriptSpec::default() },
            ..Plan::default()
        };
        let library = LuaEngine::new().load(&plan).expect("the script loads");
        let peer = Rc::new(Peer {
            address: [127, 0, 0, 1].into(),
            text: "127.0.0.1".into(),
            port: 1,
            local: None,
            tls: None,
            listener: "fuzz".into(),
            number: 0,
            requests: Default::default(),
            heirlooms: Default::default(),
        });
        Script { realm: library.open(Rc::new(Nowhere)), peer, runs: 0 }
    }

    /// Runs it on these bytes.
    pub fn run(&mut self, bytes: &[u8]) {
        self.runs += 1;
        let request = exchange::Request {
            body: Body::full(bytes.to_vec().into()),
            ..exchange::Request::default()
        };
        let mut exchange = Exchange::new(self.runs, self.peer.clone(), request);
        let mut filter = self.realm.start(0);
        let mut cx = Context::from_waker(Waker::noop());
        let call = Call { phase: Phase::Request, exchange: &mut exchange, chunk: None };
        match filter.poll(&mut cx, call) {
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(fault)) => panic!("{fault}"),
            Poll::Pending => panic!("it waits"),
        }
    }
}

fn spec(name: &str, program: Source) -> Spec {
    Spec {
        name: Arc::from(name),
        program,
        config: Vec::new(),
        config_is_json: false,
        cpu: Duration::from_secs(5),
        memory: None,
        fresh: false,
        target: false,
        flow: false,
        proxy: Default::default(),
    }
}
