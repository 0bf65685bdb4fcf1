//! More than an upstream can do: who is let in, who waits in what order, who is sent away, and what is left of
//! what it could do.

mod cgroup;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::pressure::{metrics, told};
use crate::support::gateway::Setup;
use crate::support::message::{ALL, Client, Protocol};
use crate::support::upstream::Step;
use crate::support::{Answer, Gateway, Request, Script, Upstream, free_address, full, run, soon};

/// An upstream with so many hands: what it has taken waits for one of them, however long.
struct Workshop {
    address: SocketAddr,
    hands: Arc<Semaphore>,
    /// What was asked for, in the order in which it came.
    came: Arc<std::sync::Mutex<Vec<String>>>,
    /// How many it has taken, now and at most.
    taken: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Workshop {
    async fn start(hands: usize, takes: Duration) -> Workshop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shop = Workshop {
            address: listener.local_addr().unwrap(),
            hands: Arc::new(Semaphore::new(hands)),
            came: Arc::default(),
            taken: Arc::default(),
            most: Arc::default(),
        };
        let (hands, came) = (shop.hands.clone(), shop.came.clone());
        let (taken, most) = (shop.taken.clone(), shop.most.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (hands, came) = (hands.clone(), came.clone());
                let (taken, most) = (taken.clone(), most.clone());
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(path) = asked(&mut stream).await {
                        came.lock().unwrap().push(path);
                        let now = taken.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        let hand = hands.acquire().await.unwrap();
                        tokio::time::sleep(takes).await;
                        drop(hand);
                        taken.fetch_sub(1, Ordering::SeqCst);
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                        if stream.get_mut().write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        shop
    }

    async fn holds(&self, count: usize) {
        let look = async {
            while self.taken.load(Ordering::SeqCst) != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        soon("what the upstream holds", look).await;
    }
}

/// The path of a request without a body.
async fn asked(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut path = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return path;
        }
        path = path.or_else(|| line.split(' ').nth(1).map(str::to_owned));
    }
}

/// A route for each priority to `app`, with these keys of its; the admin interface at an address.
async fn gateway(keys: &str, shop: &Workshop) -> (Arc<Gateway>, SocketAddr) {
    let routes = ["critical", "normal", "low", "background"].map(|priority| {
        format!(
            "[[routes]]\nname = \"{priority}\"\nmatch = {{ path = \"/{priority}/*\" }}\n\
             upstream = \"app\"\npriority = \"{priority}\"\n"
        )
    });
    let short = "[[routes]]\nmatch = { path = \"/short\" }\nupstream = \"app\"\n\
                 timeouts = { total = \"50ms\" }\n";
    let app =
        format!("{short}[upstreams.app]\nendpoints = [\"http://{}\"]\n{keys}\n", shop.address);
    let mut setup = Setup::new(routes.concat() + &app).quiet();
    let admin = free_address();
    setup.gateway = format!("admin = \"{admin}\"\nworkers = 2");
    (Arc::new(setup.start().await), admin)
}

async fn ask(gateway: Arc<Gateway>, path: &'static str) -> Answer {
    Client::connect(Protocol::H1, &gateway, "a.test").await.send(&Request::get(path)).await
}

/// The value of a series; 0 where there is none.
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until a series has this value.
async fn until(admin: SocketAddr, series: &str, wanted: f64) {
    let look = async {
        while value(&metrics(admin).await, series) != wanted {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(&format!("{series} {wanted}"), look).await;
}

const DEPTH: &str = "pilotlight_admission_queue_depth{upstream=\"app\"}";

fn shed(reason: &str) -> String {
    format!("pilotlight_admission_shed_total{{upstream=\"app\",reason=\"{reason}\"}}")
}

#[test]
fn the_important_are_let_in_first_and_the_like_in_their_order() {
    run(async {
        // Nobody waits for more than a second: on a machine that is slower than that, once more.
        for _ in 0..10 {
            let shop = Workshop::start(0, Duration::ZERO).await;
            let keys = "admission = { min = 1, max = 1, queue = 9 }";
            let (gateway, admin) = gateway(keys, &shop).await;
            let mut all = JoinSet::new();
            // One within the limit, and an important one past it.
            for (path, count) in [("/normal/0", 1), ("/critical/0", 2)] {
                all.spawn(ask(gateway.clone(), path));
                shop.holds(count).await;
            }
            let waiting = ["/background/1", "/low/1", "/normal/1", "/critical/1", "/normal/2"];
            for (path, count) in waiting.into_iter().zip(1..) {
                all.spawn(ask(gateway.clone(), path));
                let look = until(admin, DEPTH, f64::from(count));
                if tokio::time::timeout(Duration::from_secs(2), look).await.is_err() {
                    break;
                }
            }
            shop.hands.add_permits(9);
            let answers = soon("all answers", all.join_all()).await;
            let late = answers.iter().any(|answer| answer.is(503)) || answers.len() < 7;
            let came = shop.came.lock().unwrap().clone();
            assert!(answers.iter().all(|answer| answer.is(200) || answer.is(503)));
            if late {
                continue;
            }
            let wanted =
                ["/normal/0", "/critical/0", "/critical/1", "/normal/1", "/normal/2", "/low/1"];
            assert_eq!((&came[..6], &*came[6]), (&wanted.map(str::to_owned)[..], "/background/1"));
            assert_eq!(gateway.log().iter().filter(|line| line.contains("overloaded")).count(), 0);
            return;
        }
        panic!("nobody was let in within a second, ten times");
    });
}

#[test]
fn who_is_sent_away_hears_when_to_come_back() {
    run(async {
        let shop = Workshop::start(0, Duration::ZERO).await;
        let keys = "admission = { min = 1, max = 1, queue = 0 }";
        let (gateway, admin) = gateway(keys, &shop).await;
        let holder = tokio::spawn(ask(gateway.clone(), "/normal/0"));
        shop.holds(1).await;
        for protocol in ALL {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            let mut request = Request::new("POST", "/normal/1").body("not taken");
            request.authority = "a.test".into();
            let refused = client.send(&request).await;
            refused.assert(503);
            let retry_after: u64 = refused.field("retry-after").unwrap().parse().unwrap();
            assert!((1..=90).contains(&retry_after), "{retry_after}");
            assert_eq!(refused.field("content-type"), Some("application/problem+json"));
            let status = refused.field("proxy-status");
            assert_eq!(status, Some("pilotlight; error=http_request_denied"));
            assert!(refused.text().contains("overloaded"), "{}", refused.text());
        }
        until(admin, &shed("full"), 3.0).await;
        gateway
            .logged(&["\"overloaded\"", "\"upstream\":\"app\"", "\"reason\":\"full\""])
            .await
            .unwrap();
        let page = metrics(admin).await;
        for (series, wanted) in [
            ("pilotlight_admission_in_flight{upstream=\"app\"}", 1.0),
            ("pilotlight_admission_limit{upstream=\"app\"}", 1.0),
            ("pilotlight_upstream_requests_in_flight{upstream=\"app\"}", 1.0),
            ("pilotlight_utilization{upstream=\"app\"}", 1.0),
            ("pilotlight_requests_in_flight", 1.0),
            ("pilotlight_workers", 2.0),
        ] {
            assert_eq!(value(&page, series), wanted, "{series} in\n{page}");
        }
        assert!(value(&page, "pilotlight_process_cpu_seconds_total") > 0.0);
        let status = told(admin, "/status").await;
        let status: serde_json::Value =
            serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
        let gate = &status["admission"][0];
        assert_eq!((gate["upstream"].as_str(), gate["in_flight"].as_u64()), (Some("app"), Some(1)));
        assert!(status["memory"]["pressure"].is_f64(), "{status}");
        shop.hands.add_permits(1);
        soon("the answer", holder).await.unwrap().assert(200);
        // What it held is given back.
        until(admin, "pilotlight_admission_in_flight{upstream=\"app\"}", 0.0).await;
        ask(gateway.clone(), "/normal/2").await.assert(200);
        until(admin, "pilotlight_requests_in_flight", 0.0).await;
    });
}

#[test]
fn waiting_ends_late_by_leaving_or_by_who_is_more_important() {
    run(async {
        let shop = Workshop::start(0, Duration::ZERO).await;
        let keys = "admission = { min = 1, max = 1, queue = 1 }";
        let (gateway, admin) = gateway(keys, &shop).await;
        // One after the other: what is critical would take the place of all others, and not one of its own.
        let mut holders = Vec::new();
        for path in ["/normal/0", "/critical/0"] {
            holders.push(tokio::spawn(ask(gateway.clone(), path)));
            shop.holds(holders.len()).await;
        }
        // It has waited for too long.
        ask(gateway.clone(), "/normal/late").await.assert(503);
        until(admin, &shed("late"), 1.0).await;
        // The exchange's own time is over.
        ask(gateway.clone(), "/short").await.assert(504);
        until(admin, DEPTH, 0.0).await;
        // Its client leaves.
        for protocol in ALL {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            let request = Request::get("/low/left");
            let waiter = tokio::spawn(async move { client.send(&request).await });
            until(admin, DEPTH, 1.0).await;
            waiter.abort();
            until(admin, DEPTH, 0.0).await;
        }
        // Another has its place, if it comes within the second.
        let mut displaced = 0.0;
        while displaced == 0.0 {
            let low = tokio::spawn(ask(gateway.clone(), "/low/1"));
            let other = tokio::spawn(ask(gateway.clone(), "/critical/1"));
            soon("the answer", low).await.unwrap().assert(503);
            soon("the other", other).await.unwrap().assert(503);
            displaced = value(&metrics(admin).await, &shed("displaced"));
        }
        shop.hands.add_permits(2);
        for holder in holders {
            soon("the answer", holder).await.unwrap().assert(200);
        }
        assert_eq!(shop.came.lock().unwrap().len(), 2, "nobody else got there");
    });
}

#[test]
fn routes_have_gates_and_one_exchange_passes_several() {
    run(async {
        let shop = Workshop::start(0, Duration::ZERO).await;
        let rest = format!(
            "[[routes]]\nname = \"a\"\nmatch = {{ path = \"/a/*\" }}\nupstream = \"app\"\n\
             admission = {{ min = 1, max = 1, queue = 0 }}\nerrors = [{{ on = [503], to = \"/busy\" }}]\n\
             [[routes]]\nmatch = {{ path = \"/b/*\" }}\nupstream = \"app\"\n\
             [[routes]]\nmatch = {{ path = \"/busy\" }}\nrespond = {{ status = 200, body = \"busy\" }}\n\
             [upstreams.app]\nendpoints = [\"http://{}\"]\nadmission = {{ min = 2, max = 2, queue = 0 }}\n",
            shop.address
        );
        let mut setup = Setup::new(rest).quiet();
        let admin = free_address();
        setup.gateway = format!("admin = \"{admin}\"");
        let gateway = Arc::new(setup.start().await);
        let first = tokio::spawn(ask(gateway.clone(), "/a/1"));
        shop.holds(1).await;
        // The route is full, the upstream is not; and its own page answers for it.
        let refused = ask(gateway.clone(), "/a/2").await;
        assert_eq!(
            (refused.assert(503).text().as_str(), shop.taken.load(Ordering::SeqCst)),
            ("busy", 1)
        );
        let second = tokio::spawn(ask(gateway.clone(), "/b/1"));
        shop.holds(2).await;
        ask(gateway.clone(), "/b/2").await.assert(503);
        let page = metrics(admin).await;
        let series = "pilotlight_admission_shed_total{route=\"a\",reason=\"full\"}";
        assert_eq!((value(&page, series), value(&page, &shed("full"))), (1.0, 1.0), "{page}");
        assert_eq!(value(&page, "pilotlight_admission_in_flight{route=\"a\"}"), 1.0);
        assert_eq!(value(&page, "pilotlight_admission_in_flight{upstream=\"app\"}"), 2.0);
        shop.hands.add_permits(2);
        soon("the first", first).await.unwrap().assert(200);
        soon("the second", second).await.unwrap().assert(200);
        until(admin, "pilotlight_admission_in_flight{upstream=\"app\"}", 0.0).await;
        until(admin, "pilotlight_admission_in_flight{route=\"a\"}", 0.0).await;
    });
}

#[test]
fn a_retry_has_leave_already_and_a_tunnel_needs_none() {
    run(async {
        let switched =
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
        let scripts = vec![Script::raw(*switched).then(Step::Echo), Script::ok("second")];
        let upstream = Upstream::start(scripts).await;
        let (dead, live) = (free_address(), upstream.address);
        let rest = format!(
            "[[routes]]\nupstream = \"app\"\nretry = {{ attempts = 2, on = [\"connect\"] }}\n\
             [upstreams.app]\nendpoints = [\"http://{dead}\", \"http://{live}\"]\n\
             admission = {{ min = 1, max = 1, queue = 0 }}\n"
        );
        let gateway = Arc::new(Setup::new(rest).start().await);
        let mut tunnel = TcpStream::connect(gateway.clear).await.unwrap();
        let ask_for = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
        tunnel.write_all(ask_for).await.unwrap();
        let mut head = [0; 12];
        soon("an answer", tunnel.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
        // The tunnel is open, and in nobody's way.
        for _ in 0..2 {
            assert_eq!(ask(gateway.clone(), "/").await.assert(200).text(), "second");
        }
    });
}

/// How it went for a while: answers in time, and how many the upstream had at most at the end.
struct Load {
    good: usize,
    most: usize,
    waiting: f64,
}

const HANDS: usize = 4;
const TAKES: Duration = Duration::from_millis(25);

/// Requests come in a stream that waits for nobody, half of what the upstream can do at first, and then `times` as
/// many; each client waits for a second.
async fn load(keys: &str, times: f64, lasts: Duration) -> Load {
    let shop = Workshop::start(HANDS, TAKES).await;
    let (gateway, admin) = gateway(keys, &shop).await;
    let gap = |times: f64| tokio::time::interval(TAKES.div_f64(HANDS as f64 * times));
    let (quiet, warm) = (Duration::from_secs(3), Duration::from_secs(3) + lasts / 4);
    let (lasts, begin) = (quiet + lasts, tokio::time::Instant::now());
    let good = Arc::new(AtomicUsize::new(0));
    let (mut ticks, mut rises) = (gap(0.5), true);
    let (ends, mut ended) = mpsc::unbounded_channel::<()>();
    let (mut waiting, mut warmed) = (0.0f64, false);
    while begin.elapsed() < lasts {
        ticks.tick().await;
        if rises && begin.elapsed() > quiet {
            (ticks, rises) = (gap(times), false);
        }
        if !warmed && begin.elapsed() > warm {
            warmed = true;
            good.store(0, Ordering::SeqCst);
            shop.most.store(0, Ordering::SeqCst);
            waiting = value(&metrics(admin).await, DEPTH);
        }
        let (gateway, good, ends) = (gateway.clone(), good.clone(), ends.clone());
        tokio::spawn(async move {
            let answer = ask(gateway, "/normal/x");
            let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
            if answer.is_ok_and(|answer| answer.is(200)) {
                good.fetch_add(1, Ordering::SeqCst);
            }
            drop(ends);
        });
    }
    let out =
        Load { good: good.load(Ordering::SeqCst), most: shop.most.load(Ordering::SeqCst), waiting };
    drop(ends);
    soon("the last clients", ended.recv()).await;
    out
}

#[test]
fn five_times_too_much_leaves_what_the_upstream_can_do() {
    run(async {
        let lasts = Duration::from_secs(if full() { 20 } else { 6 });
        let gate = "admission = { queue = 20 }";
        let peak = load("", 0.95, lasts).await;
        let over = load(gate, 5.0, lasts).await;
        let bare = load("", 5.0, lasts).await;
        eprintln!(
            "good at 0.95 {}, at 5 {}, without admission {}; upstream held {} and {}; {} waited",
            peak.good, over.good, bare.good, over.most, bare.most, over.waiting
        );
        // On a machine that has other work the stream itself is thin.
        let least = if full() { 90 } else { 60 };
        assert!(over.good * 100 >= peak.good * least, "{} of {}", over.good, peak.good);
        // What the upstream holds is how long one takes there.
        assert!(over.most <= 6 * HANDS && over.waiting <= 20.0, "{} {}", over.most, over.waiting);
        assert!(bare.most > 3 * over.most, "{} against {}", bare.most, over.most);
    });
}
