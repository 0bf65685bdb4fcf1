//! Runs the hot filter (two headers read, one set) many times: `hot [COUNT [plain]]`.
//!
//! For counting instructions: `valgrind --tool=callgrind --smc-check=all-non-file hot 20000`, once
//! more with 40000, and the difference through 20000. With `plain`, the same without a filter.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{Engine, Plan, Source, Spec};
use pilotlight_filter::exchange::Request;
use pilotlight_filter::host::Services;
use pilotlight_filter::{Call, Exchange, Peer};

const SCRIPT: &str = "local filter = {}
function filter.request(req)
  local agent, host = req.headers['user-agent'], req.headers['x-b']
  if agent == 'bad' then return { status = 403 } end
  req.headers['x-seen'] = host
end
return filter";

struct Nothing;

impl Services for Nothing {}

/// CPU time of this thread.
fn cpu_nanos() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: u64 = arguments.next().map_or(20_000, |n| n.parse().unwrap());
    let plain = arguments.next().is_some();
    let file = std::env::temp_dir().join(format!("pilotlight-hot-{}.lua", std::process::id()));
    std::fs::write(&file, SCRIPT).unwrap();
    let mut plan = Plan::default();
    plan.filters.push(Spec {
        name: Arc::from("hot"),
        program: Source::Native(file.clone()),
        config: Vec::new(),
        config_is_json: false,
        cpu: Duration::from_millis(10),
        memory: None,
        fresh: false,
        target: false,
    });
    let library = pilotlight_lua::LuaEngine::new().load(&plan).unwrap();
    std::fs::remove_file(file).unwrap();
    let realm = library.open(Rc::new(Nothing));
    let peer = Rc::new(Peer {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        text: "127.0.0.1".into(),
        port: 1,
        local: None,
        tls: None,
        listener: Arc::from("web"),
        number: 0,
        requests: Default::default(),
        heirlooms: Default::default(),
    });
    let mut cx = Context::from_waker(Waker::noop());
    let mut exchange = Exchange::new(0, peer, Request::default());
    let start = cpu_nanos();
    for serial in 1..=count {
        exchange.serial = serial;
        let fields = &mut exchange.request.head.fields;
        fields.clear();
        for (name, value) in [
            ("user-agent", "curl/8.5.0"),
            ("accept", "*/*"),
            ("x-a", "something or other"),
            ("x-b", "value"),
            ("cookie", "session=0123456789abcdef"),
        ] {
            fields.push_checked(name.as_bytes(), value.as_bytes());
        }
        if plain {
            continue;
        }
        let mut filter = realm.start(0);
        let call = Call { phase: Phase::Request, exchange: &mut exchange, chunk: None };
        assert!(filter.poll(&mut cx, call).is_ready());
    }
    let each = (cpu_nanos() - start) as f64 / count as f64;
    println!("{count} calls, {each:.0} ns each");
    realm.gauges(&mut |name, _, bytes| println!("{name} {bytes}"));
}
