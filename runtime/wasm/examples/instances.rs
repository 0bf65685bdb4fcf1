//! What an instance costs, without a gateway:
//! `cargo run --release -p pilotlight-wasm --example instances FILE.wasm [shared|fresh|load] [CONFIG]`.
//! `shared` calls a filter's long-lived instance for the head of a request, `fresh` one that was put back each time, `load`
//! loads 50 filters from the cache. For `perf stat` and callgrind, too.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{Plan, Source, Spec};
use pilotlight_filter::exchange::Request;
use pilotlight_filter::{Call, Engine, Exchange, Peer, Services};
use pilotlight_wasm::{CompileWith, WasmEngine};

struct Nothing;

impl Services for Nothing {}

fn spec(name: &str, file: PathBuf, config: &str, fresh: bool) -> Spec {
    Spec {
        name: Arc::from(name),
        program: Source::Native(file),
        config: config.as_bytes().to_vec(),
        config_is_json: false,
        cpu: Duration::from_millis(10),
        memory: None,
        fresh,
        proxy: Default::default(),
        target: false,
        flow: false,
    }
}

fn exchange() -> Exchange {
    let peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4321, "web");
    let mut request = Request::default();
    request.head.set_method(b"GET").unwrap();
    request.head.set_authority(b"localhost").unwrap();
    request.head.set_path(b"/1k").unwrap();
    request.head.fields.push_checked(b"x-a", b"abcdef");
    Exchange::new(77, Rc::new(peer), request)
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let file = given.first().unwrap();
    let what = given.get(1).map_or("fresh", String::as_str);
    let config = given.get(2).map_or("", String::as_str);
    let wasm = std::fs::read(file).unwrap();
    // It stays, so that a later run finds all of it in the cache.
    let folder = std::env::temp_dir().join(format!("instances-{}", wasm.len()));
    let plan = |filters| Plan { filters, cache_dir: folder.join("cache"), ..Plan::default() };
    std::fs::create_dir_all(&folder).unwrap();
    if what == "load" {
        let all = (0..50).map(|number| {
            let file = folder.join(format!("{number}.wasm"));
            if !file.exists() {
                let own = format!("\0\u{5}\u{4}{number:04}");
                std::fs::write(&file, [&wasm[..], own.as_bytes()].concat()).unwrap();
            }
            spec(&number.to_string(), file, config, false)
        });
        let plan = plan(all.collect());
        let mut least = Duration::MAX;
        for _ in 0..10 {
            let engine = Box::leak(Box::new(WasmEngine::new(CompileWith::Here)));
            let began = Instant::now();
            let library = engine.load(&plan).unwrap();
            least = least.min(began.elapsed());
            std::mem::forget(library);
        }
        println!("50 filters: {least:?}");
        return;
    }
    let engine = WasmEngine::new(CompileWith::Here);
    let library =
        engine.load(&plan(vec![spec("f", file.into(), config, what == "fresh")])).unwrap();
    let realm = library.open(Rc::new(Nothing));
    let mut exchange = exchange();
    let mut cx = Context::from_waker(Waker::noop());
    let mut once = || {
        let mut filter = realm.start(0);
        let call = Call { phase: Phase::Request, exchange: &mut exchange, chunk: None };
        let Poll::Ready(Ok(_)) = filter.poll(&mut cx, call) else { return };
        drop(filter);
    };
    const ROUNDS: u32 = 50_000;
    (0..1000).for_each(|_| once());
    let began = Instant::now();
    (0..ROUNDS).for_each(|_| once());
    println!("{what}: {} ns", began.elapsed().as_nanos() / u128::from(ROUNDS));
}
