//! Runs a script of `tests/bench/conf` many times: `scripts NAME COUNT`. `tests/bench/checkhook` counts
//! its instructions.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::disallowed_methods)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_core::shared::{Dict, Timed};
use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{Engine, OpenResty, Plan, ScriptFile, ScriptSpec, Source, Spec};
use pilotlight_filter::exchange::Request;
use pilotlight_filter::host::{Services, Shared};
use pilotlight_filter::{Body, Call, Exchange, Origin, Peer};

struct World(Arc<dyn Shared>);

impl Services for World {
    fn now(&self) -> f64 {
        1.8e9
    }

    fn shared(&self, _: &str) -> Option<Arc<dyn Shared>> {
        Some(self.0.clone())
    }
}

/// The text of a token in `chain/tokens.lua`.
fn token(conf: &Path, name: &str) -> String {
    let tokens = std::fs::read_to_string(conf.join("chain/tokens.lua")).unwrap();
    let from = tokens.split_once(&format!("{name} = \"")).unwrap().1;
    from.split_once('"').unwrap().0.to_owned()
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = &arguments[..] else { panic!("usage: scripts NAME COUNT") };
    let conf = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/bench/conf"));
    let is_body = matches!(&**name, "scan" | "sha");
    let program = match &**name {
        "headers" => Source::Native(conf.join("headers.lua")),
        _ if is_body => Source::Native(conf.join("body.lua")),
        _ => {
            let path = conf.join(format!("chain/on_{name}.lua"));
            let file = ScriptFile { path, name: Arc::from(&**name) };
            let settings = "{}".into();
            Source::OpenResty(OpenResty { phases: vec![("access", file)], set: vec![], settings })
        }
    };
    let path = ["?.lua", "chain/?.lua"].map(|file| conf.join(file).to_string_lossy().into_owned());
    let script = ScriptSpec { path: path.to_vec(), ..ScriptSpec::default() };
    let mut plan = Plan { script, shared: vec!["counts".into()], ..Plan::default() };
    plan.filters.push(Spec {
        name: Arc::from(&**name),
        program,
        config: Vec::new(),
        config_is_json: false,
        cpu: Duration::from_secs(10),
        memory: None,
        fresh: false,
        proxy: Default::default(),
        target: false,
        flow: false,
    });
    let library = pilotlight_lua::LuaEngine::new().load(&plan).unwrap();
    let realm = library.open(Rc::new(World(Arc::new(Timed::new(Dict::new(1 << 20), || 1.8e9)))));
    let peer = Rc::new(Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1, "web"));
    let fields = [
        ("user-agent", "h2load nghttp2/1.52.0".to_owned()),
        ("x-a", "abcdef".to_owned()),
        ("x-hs", token(&conf, "hs256")),
        ("x-es", token(&conf, "es256")),
    ];
    // As the upstream of the benchmarks answers.
    let line = r#"{"id": 12345, "name": "some \"quoted\" name", "tags": ["a", "b"]},"#;
    let body = Bytes::from(line.repeat(65536 / line.len()));
    let mut cx = Context::from_waker(Waker::noop());
    for serial in 1..=count.parse().unwrap() {
        let mut request = Request::default();
        request.head.set_method(b"GET").unwrap();
        request.head.set_authority(b"localhost").unwrap();
        request.head.set_path(format!("/{name}/1k").as_bytes()).unwrap();
        for (name, value) in &fields {
            request.head.fields.push_checked(name.as_bytes(), value.as_bytes());
        }
        let mut exchange = Exchange::new(serial, peer.clone(), request);
        let mut phase = Phase::Request;
        if is_body {
            phase = Phase::Response;
            exchange.response.origin = Some(Origin::Upstream);
            exchange.response.body = Body::full(body.clone());
        }
        let mut filter = realm.start(0);
        let call = Call { phase, exchange: &mut exchange, chunk: None };
        let polled = filter.poll(&mut cx, call);
        assert!(matches!(&polled, std::task::Poll::Ready(Ok(_))), "{polled:?}");
        drop((filter, exchange));
    }
}
