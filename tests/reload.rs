//! Changes under load: a reload, and a second instance that takes over. No request fails.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::support::gateway::Setup;
use crate::support::message::{Client, Protocol, ask};
use crate::support::{Certificate, Gateway, Request, Script, Upstream, full, run, soon};

/// One version of everything that a reload can change.
pub fn version(number: u32, upstream: &Upstream) -> Setup {
    let rest = format!(
        r#"
[[routes]]
match = {{ path = "/proxied" }}
filters = ["script", "module"]
upstream = "app"
[[routes]]
match = {{ path = "/fixed" }}
respond = {{ body = "version {number}" }}
[[routes]]
match = {{ path = "/only/{number}" }}
respond = {{ body = "here" }}
[filters.script]
lua = "script.lua"
[filters.module]
wasm = "module.wasm"
[upstreams.app]
endpoints = ["http://{}"]
"#,
        upstream.address
    );
    let script =
        format!("return {{ response = function(res) res.headers['x-script'] = '{number}' end }}");
    let module = format!(
        r#"(module {} (data (i32.const 256) "x-module{number}")
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
          (call $replace (i32.const 2) (i32.const 256) (i32.const 8) (i32.const 264) (i32.const 1))))"#,
        include_str!("cases/prelude.wat")
    );
    Setup::new(rest)
        .file("script.lua", script)
        .file("module.wasm", wat::parse_str(module).unwrap())
        .quiet()
}

/// Clients that ask all the time.
#[derive(Default)]
struct Load {
    sent: Cell<u32>,
    failed: RefCell<Vec<String>>,
    over: Cell<bool>,
}

/// Beats of all clients together: 1,000 requests a second. A beat that was missed is made up for.
const CLIENTS: [(Protocol, u32); 3] = [(Protocol::H1, 12), (Protocol::H2, 5), (Protocol::H3, 3)];
const BEAT: Duration = Duration::from_millis(20);
/// What must be reached where the machine is quiet. In a hand-over a QUIC client whose first packet
/// meets the old process sends it again after a second, or two more.
pub const RATE: f64 = 950.0;
const RATE_OF_HAND_OVER: f64 = 800.0;

impl Load {
    /// One client: on one connection as long as it lasts, as browsers do.
    async fn client(self: Rc<Load>, gateway: Rc<Gateway>, protocol: Protocol) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut client = Client::connect(protocol, &gateway, "a.test").await;
        let mut at = 0;
        while !self.over.get() {
            beat.tick().await;
            let path = ["/proxied", "/fixed"][at % 2];
            at += 1;
            let mut answer = client.send(&Request::get(path)).await;
            if is_unprocessed(protocol, answer.broken.as_deref()) {
                client = Client::connect(protocol, &gateway, "a.test").await;
                answer = client.send(&Request::get(path)).await;
            }
            self.sent.set(self.sent.get() + 1);
            if !answer.is(200) {
                self.failed.borrow_mut().push(format!("{path} over {}: {answer}", protocol.name()));
                client = Client::connect(protocol, &gateway, "a.test").await;
            } else if answer.closed {
                client = Client::connect(protocol, &gateway, "a.test").await;
            }
        }
    }
}

/// The peer said that it has not looked at the request (GOAWAY with a lower stream, REFUSED_STREAM,
/// H3_REQUEST_REJECTED): every client sends it again on a new connection (RFC 9113 section 8.7, RFC 9114 section 4.1.1).
pub fn is_unprocessed(protocol: Protocol, why: Option<&str>) -> bool {
    let Some(why) = why else { return false };
    match protocol {
        Protocol::H1 => false,
        Protocol::H2 => why.contains("not a result of an error") || why.contains("refused stream"),
        Protocol::H3 => {
            why.contains("H3_REQUEST_REJECTED")
                || why.contains("H3_NO_ERROR")
                || why.contains("closing")
        }
    }
}

/// Runs `change` under load: no request fails, and the load is what it claims to be.
pub async fn under_load<F: Future<Output = ()>>(
    what: &str,
    least: f64,
    gateway: &Rc<Gateway>,
    change: impl FnOnce() -> F,
) {
    let load = Rc::new(Load::default());
    let local = tokio::task::LocalSet::new();
    let mut clients = Vec::new();
    for (protocol, count) in CLIENTS {
        for _ in 0..count {
            clients.push(local.spawn_local(load.clone().client(gateway.clone(), protocol)));
        }
    }
    let begun = Instant::now();
    local
        .run_until(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            change().await;
            tokio::time::sleep(Duration::from_millis(700)).await;
            load.over.set(true);
            for client in clients {
                soon("a client's end", client).await.unwrap();
            }
        })
        .await;
    let (sent, failed) = (load.sent.get(), load.failed.take());
    let rate = f64::from(sent) / begun.elapsed().as_secs_f64();
    eprintln!("{what}: {sent} requests, {rate:.0} a second, {} failed", failed.len());
    assert!(failed.is_empty(), "{} of {sent} failed, the first: {}", failed.len(), failed[0]);
    assert!(!full() || rate >= least, "only {rate:.0} requests a second");
}

#[test]
fn a_reload_under_load_fails_no_request() {
    run(async {
        let upstream = Upstream::always(Script::ok("proxied")).await;
        let gateway = Rc::new(version(1, &upstream).start().await);
        under_load("4 reloads", RATE, &gateway, || async {
            for number in 2..6 {
                let setup = version(number, &upstream);
                for (name, bytes) in &setup.files {
                    gateway.folder.write(name, bytes);
                }
                let fresh = Certificate::new(&["a.test", "*.example.com"]);
                gateway.folder.write("edge.pem", &fresh.pem);
                gateway.folder.write("edge.key", &fresh.key);
                gateway.folder.write("pilotlight.toml", setup.manifest(gateway.clear, gateway.tls));
                let lines = gateway.log().len();
                gateway.signal(libc::SIGHUP);
                gateway.logged_after(lines, &["\"reloaded\""]).await.unwrap();
                for protocol in [Protocol::H1, Protocol::H2, Protocol::H3] {
                    let answer = ask(protocol, &gateway, &Request::get("/proxied")).await;
                    let number = number.to_string();
                    assert_eq!(answer.assert(200).field("x-script"), Some(&*number), "the script");
                    assert_eq!(answer.field("x-module"), Some(&*number), "the module");
                    let only =
                        ask(protocol, &gateway, &Request::get(&format!("/only/{number}"))).await;
                    assert_eq!(only.assert(200).text(), "here", "the route");
                }
            }
        })
        .await;
        ask(Protocol::H1, &gateway, &Request::get("/only/1")).await.assert(404);
    });
}

#[test]
fn a_reload_shows_its_certificate_and_keeps_open_connections() {
    run(async {
        let upstream = Upstream::always(Script::ok("x")).await;
        let gateway = version(1, &upstream).start().await;
        let serial = || async {
            let stream =
                crate::support::h1::tls(gateway.tls, "a.test", &[b"http/1.1"]).await.unwrap();
            stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
        };
        let before = serial().await;
        let mut old = Client::connect(Protocol::H2, &gateway, "a.test").await;
        old.send(&Request::get("/fixed")).await.assert(200);
        let fresh = Certificate::new(&["a.test"]);
        gateway.folder.write("edge.pem", &fresh.pem);
        gateway.folder.write("edge.key", &fresh.key);
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"reloaded\""]).await.unwrap();
        assert_ne!(serial().await, before);
        old.send(&Request::get("/fixed")).await.assert(200);
    });
}

#[test]
fn a_reload_that_is_refused_changes_nothing() {
    run(async {
        let upstream = Upstream::always(Script::ok("x")).await;
        let gateway = version(1, &upstream).start().await;
        for (name, broken, said) in [
            ("pilotlight.toml", "[[routes", "pilotlight.toml"),
            ("script.lua", "return {", "script.lua"),
            ("module.wasm", "no module", "not a Wasm module"),
            ("edge.key", "no key", "edge.key"),
        ] {
            let whole = std::fs::read(gateway.folder.path().join(name)).unwrap();
            gateway.folder.write(name, broken);
            let lines = gateway.log().len();
            gateway.signal(libc::SIGHUP);
            let line = gateway.logged_after(lines, &["\"reload refused\""]).await.unwrap();
            assert!(line.contains(said), "{name}: {line}");
            for protocol in [Protocol::H1, Protocol::H2, Protocol::H3] {
                let answer = ask(protocol, &gateway, &Request::get("/fixed")).await;
                assert_eq!(answer.assert(200).text(), "version 1", "{name}");
            }
            gateway.folder.write(name, whole);
        }
    });
}

#[test]
fn a_second_instance_takes_over_and_no_request_fails() {
    run(async {
        let upstream = Upstream::always(Script::ok("proxied")).await;
        let mut first = version(1, &upstream);
        first.gateway = "drain = \"5s\"".into();
        let first = Rc::new(first.start().await);
        let second: RefCell<Option<Gateway>> = RefCell::new(None);
        under_load("a hand-over", RATE_OF_HAND_OVER, &first, || async {
            *second.borrow_mut() =
                Some(version(2, &upstream).start_at(first.clear, first.tls).await);
            first.signal(libc::SIGTERM);
            first.logged(&["\"stopped\""]).await.unwrap();
        })
        .await;
        let answer = ask(Protocol::H1, &first, &Request::get("/fixed")).await;
        assert_eq!(answer.assert(200).text(), "version 2");
        let mut first = Rc::into_inner(first).unwrap();
        assert!(first.left().await.success());
    });
}
