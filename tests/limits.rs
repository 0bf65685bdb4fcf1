//! Rate limits on one node and on many, with a Redis server that dies in the midst of it; and what nodes count
//! together.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::pressure::metrics;
use crate::sleep::asleep;
use crate::support::gateway::Setup;
use crate::support::message::{ALL, ask};
use crate::support::{Answer, Gateway, Request, free_address, h1, run, soon};

/// A real server, which ends with its test.
struct Redis {
    child: Child,
    address: SocketAddr,
}

impl Redis {
    async fn start() -> Redis {
        Redis::start_at(free_address()).await
    }

    async fn start_at(address: SocketAddr) -> Redis {
        let (ip, port) = (address.ip().to_string(), address.port().to_string());
        let mut command = Command::new("redis-server");
        command.args(["--bind", &ip, "--port", &port, "--save", "", "--appendonly", "no"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let redis = Redis { child: command.spawn().expect("redis-server"), address };
        let ready = async {
            while !matches!(redis.said("PING").await.as_deref(), Some("+PONG\r\n")) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("the Redis server", ready).await;
        redis
    }

    async fn said(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).await.ok()?;
        let mut reply = [0; 512];
        let count = stream.read(&mut reply).await.ok()?;
        Some(String::from_utf8_lossy(&reply[..count]).into_owned())
    }

    fn signal(&self, signal: i32) {
        // SAFETY: no memory is involved; the process is our child and not yet waited for.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A route with a limit; more for the manifest.
fn limited(config: &str, more: &str) -> Setup {
    let rest = format!(
        "[[routes]]\nfilters = [\"limit\"]\nrespond = {{ body = \"here\" }}\n\
         [filters.limit]\nuse = \"rate-limit\"\nconfig = {{ {config} }}\n{more}"
    );
    Setup::new(rest).quiet()
}

async fn get(gateway: &Gateway, user: &str) -> Answer {
    let mut client = h1::Client::connect(gateway.clear).await;
    client.send(&Request::get("/").field("x-user", user).field("connection", "close")).await
}

#[test]
fn a_rate_is_held_and_clients_are_told() {
    run(async {
        let limit = limited("rate = \"3/min\", by = \"header:x-user\", headers = true", "");
        let gateway = limit.start().await;
        for left in ["2", "1", "0"] {
            let answer = get(&gateway, "ann").await;
            assert_eq!(answer.assert(200).field("ratelimit-remaining"), Some(left));
            assert_eq!(answer.field("ratelimit-policy"), Some("\"limit\";q=3;w=60"));
        }
        let answer = get(&gateway, "ann").await;
        assert_eq!(answer.assert(429).field("retry-after"), Some("20"));
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        assert_eq!(answer.field("ratelimit"), Some("\"limit\";r=0;t=20"));
        assert_eq!(answer.field("ratelimit-limit"), Some("3"));
        assert_eq!(answer.field("proxy-status"), Some("pilotlight; error=http_request_denied"));
        assert!(answer.text().contains("\"detail\":\"too many requests\""), "{}", answer.text());
        // Others are not held up by it; who says nothing is known by the address.
        get(&gateway, "bob").await.assert(200);
        for wanted in [200, 200, 200, 429] {
            let mut client = h1::Client::connect(gateway.clear).await;
            client.send(&Request::get("/")).await.assert(wanted);
        }
    });
}

#[test]
fn one_host_has_one_bucket_however_it_is_written() {
    run(async {
        let gateway = limited("rate = \"1/h\", by = [\"host\", \"cookie:user\"]", "").start().await;
        for (host, status) in [
            ("a.test", 200),
            ("A.Test", 429),
            ("a.test.", 429),
            ("a.test:80", 429),
            ("b.test", 200),
        ] {
            let mut client = h1::Client::connect(gateway.clear).await;
            let request = Request::get("/").host(host);
            // It is looked for on every line.
            let request = request.field("cookie", "a=b").field("cookie", "c=d; user=ann");
            client.send(&request).await.assert(status);
        }
    });
}

#[test]
fn all_workers_and_protocols_have_one_limit() {
    run(async {
        let admin = free_address();
        let mut setup = limited("rate = \"20/h\"", "");
        setup.gateway = format!("workers = 2\nadmin = \"{admin}\"");
        let gateway = Arc::new(setup.start().await);
        let mut all = JoinSet::new();
        for round in 0..60 {
            let gateway = gateway.clone();
            all.spawn_local(async move {
                ask(ALL[round % 3], &gateway, &Request::get("/")).await.status
            });
        }
        let statuses = all.join_all().await;
        let passed = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(passed, 20, "{statuses:?}");
        let page = metrics(admin).await;
        for line in [
            "pilotlight_rate_limit_total{filter=\"limit\",result=\"passed\"} 20",
            "pilotlight_rate_limit_total{filter=\"limit\",result=\"refused\"} 40",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    });
}

#[test]
fn a_limit_outlives_reloads_and_sleep() {
    run(async {
        let mut setup = limited("rate = \"2/h\"", "");
        let admin = free_address();
        setup.gateway = format!("idle = {{ sleep = \"300ms\" }}\nadmin = \"{admin}\"");
        let gateway = setup.start().await;
        get(&gateway, "").await.assert(200);
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"reloaded\""]).await.unwrap();
        get(&gateway, "").await.assert(200);
        get(&gateway, "").await.assert(429);
        asleep(&gateway).await;
        get(&gateway, "").await.assert(429);
        // So does what was counted.
        let page = metrics(admin).await;
        for line in ["result=\"passed\"} 2", "result=\"refused\"} 2"] {
            let line = format!("pilotlight_rate_limit_total{{filter=\"limit\",{line}");
            assert!(page.contains(&line), "{line}\n{page}");
        }
    });
}

/// Asks two nodes for so long, as fast as they answer; how many passed, and the slowest answer.
async fn hammer(nodes: &[Arc<Gateway>; 2], time: Duration) -> (usize, Duration) {
    let end = Instant::now() + time;
    let mut all = JoinSet::new();
    for node in nodes.iter().cycle().take(4).cloned() {
        all.spawn_local(async move {
            let (mut passed, mut slowest) = (0, Duration::ZERO);
            let mut client = h1::Client::connect(node.clear).await;
            while Instant::now() < end {
                let begun = Instant::now();
                let answer = client.send(&Request::get("/")).await;
                slowest = slowest.max(begun.elapsed());
                match answer.status {
                    200 => passed += 1,
                    429 => {}
                    other => panic!("{other}: {answer:?}"),
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (passed, slowest)
        });
    }
    let all = all.join_all().await;
    (all.iter().map(|one| one.0).sum(), all.iter().map(|one| one.1).max().unwrap())
}

async fn two_nodes(redis: &Redis, admin: SocketAddr) -> [Arc<Gateway>; 2] {
    let config = "rate = \"10/s\", burst = 20, by = \"all\", redis = \"main\"";
    let more = format!(
        "[redis.main]\nurl = \"redis://{}\"\ntimeouts = {{ connect = \"500ms\" }}\n",
        redis.address
    );
    let mut first = limited(config, &more);
    first.gateway = format!("admin = \"{admin}\"");
    let nodes = [first.start().await, limited(config, &more).start().await].map(Arc::new);
    // Both are known.
    for node in &nodes {
        get(node, "").await;
    }
    nodes
}

#[test]
fn nodes_have_one_limit_and_their_shares_of_it_while_the_server_is_lost() {
    run(async {
        let redis = Redis::start().await;
        let (admin, address) = (free_address(), redis.address);
        let nodes = two_nodes(&redis, admin).await;
        let (passed, _) = hammer(&nodes, Duration::from_secs(3)).await;
        println!("together: {passed}");
        // The burst, the rate, and what a lease's life allows.
        assert!((40..=20 + 30 + 10 + 2).contains(&passed), "{passed}");
        assert_eq!(redis.said("ZCARD pilotlight:nodes").await.as_deref(), Some(":2\r\n"));

        let dying = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(redis);
        };
        let ((passed, slowest), ()) = tokio::join!(hammer(&nodes, Duration::from_secs(3)), dying);
        println!("lost in the midst of it: {passed}, the slowest took {slowest:?}");
        // Each node has a burst and a rate of its own: half of both, or all until it has heard of the other.
        assert!((25..=10 + 30 + 2 * 20 + 30).contains(&passed), "{passed}");
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        nodes[0].logged(&["redis is lost", "\"redis\":\"main\""]).await.unwrap();
        let page = metrics(admin).await;
        assert!(page.contains("pilotlight_redis_up{redis=\"main\"} 0"), "{page}");
        assert!(!page.contains("pilotlight_rate_limit_alone_total{filter=\"limit\"} 0"), "{page}");

        let _redis = Redis::start_at(address).await;
        let back = async {
            for node in &nodes {
                while node.logged(&["redis is back"]).await.is_err() {}
            }
        };
        soon(
            "the nodes' return",
            tokio::task::LocalSet::new()
                .run_until(async { tokio::join!(back, hammer(&nodes, Duration::from_secs(6))) }),
        )
        .await;
        let (passed, _) = hammer(&nodes, Duration::from_secs(3)).await;
        println!("together again: {passed}");
        assert!((24..=20 + 30 + 10 + 2).contains(&passed), "{passed}");
        let lost = nodes[0].log().iter().filter(|line| line.contains("redis is lost")).count();
        assert_eq!(lost, 1);
    });
}

#[test]
fn a_server_that_hangs_holds_nobody_up() {
    run(async {
        let redis = Redis::start().await;
        let nodes = two_nodes(&redis, free_address()).await;
        redis.signal(libc::SIGSTOP);
        let (passed, slowest) = hammer(&nodes, Duration::from_secs(2)).await;
        println!("{passed} passed, the slowest took {slowest:?}");
        assert!(passed > 10);
        assert!(slowest < Duration::from_millis(700), "{slowest:?}");
        redis.signal(libc::SIGCONT);
    });
}

#[test]
fn a_ledger_signs_in_to_its_database() {
    run(async {
        let redis = Redis::start().await;
        redis.said("CONFIG SET requirepass secret").await.unwrap();
        let more = format!("[redis.main]\nurl = \"redis://:secret@{}/1\"\n", redis.address);
        let gateway =
            limited("rate = \"2/h\", by = \"all\", redis = \"main\"", &more).start().await;
        // The bucket, and the nodes.
        let size = async || redis.said("AUTH secret\r\nSELECT 1\r\nDBSIZE").await;
        let counted = async {
            while size().await.as_deref() != Some("+OK\r\n+OK\r\n:2\r\n") {
                get(&gateway, "").await;
            }
        };
        soon("what it keeps there", counted).await;
    });
}

#[test]
fn one_refusal_is_that_of_one_key() {
    run(async {
        let redis = Redis::start().await;
        let script = "local f = {}\nfunction f.request(req)\n  local d = gateway.shared 'counts'\n\
            for _, k in ipairs { 'bad', 'k', 'l' } do d:incr(k, 1, 0) end\n\
            return { body = 'counted' }\nend\nreturn f\n";
        let config = "rate = \"2/h\", by = \"header:x-user\", redis = \"main\"";
        let more = format!(
            "[[routes]]\nmatch = {{ path = \"/count\" }}\nlua = \"count.lua\"\n\
             [shared.counts]\nsize = \"1MiB\"\nredis = \"main\"\n\
             [redis.main]\nurl = \"redis://{}\"\n",
            redis.address
        );
        redis.said("LPUSH pilotlight:count:counts:bad x").await.unwrap();
        redis.said("LPUSH \"pilotlight:limit:limit:fbad\\x00\" x").await.unwrap();
        let gateway = limited(config, &more).file("count.lua", script).start().await;
        for _ in 0..4 {
            ask(ALL[0], &gateway, &Request::get("/count")).await.assert(200);
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        for key in ["k", "l"] {
            let counted = redis.said(&format!("GET pilotlight:count:counts:{key}")).await;
            assert_eq!(counted.as_deref(), Some("$1\r\n4\r\n"), "{key}");
        }
        // Its bucket is this node's, at once; that of others is shared.
        let begun = Instant::now();
        for (user, status) in [("bad", 200), ("ann", 200), ("bad", 200), ("bad", 429)] {
            get(&gateway, user).await.assert(status);
        }
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
        let full = redis.said("EXISTS \"pilotlight:limit:limit:fann\\x00\"").await;
        assert_eq!(full.as_deref(), Some(":1\r\n"));
        let said = |text: &str| gateway.log().iter().filter(|line| line.contains(text)).count();
        assert_eq!((said("redis refuses"), said("redis is lost")), (1, 0));
        // A server that has forgotten the scripts is asked anew.
        redis.said("SCRIPT FLUSH").await.unwrap();
        get(&gateway, "bob").await.assert(200);
        gateway.logged(&["redis is back"]).await.unwrap();
    });
}

#[test]
fn nodes_count_together() {
    run(async {
        let redis = Redis::start().await;
        let script = "local f = {}\nfunction f.request(req)\n  local d = gateway.shared 'counts'\n\
            if req.path == '/count' then d:incr('k', 1, 100, 60) end\n\
            if req.path == '/anew' then d:delete('k') end\n\
            d:set('own', req.host)\n\
            return { body = tostring(d:get 'k') }\nend\nreturn f\n";
        let rest = format!(
            "[[routes]]\nlua = \"count.lua\"\n[shared.counts]\nsize = \"1MiB\"\nredis = \"main\"\n\
             [redis.main]\nurl = \"redis://{}\"\n",
            redis.address
        );
        let node = || Setup::new(rest.as_str()).file("count.lua", script).quiet().start();
        let nodes = [node().await, node().await];
        let said = async |node: &Gateway, path: &str| {
            ask(ALL[0], node, &Request::get(path)).await.assert(200).text()
        };
        let all = async |wanted: &str| {
            for node in &nodes {
                let look = async {
                    while said(node, "/look").await != wanted {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                };
                soon(wanted, look).await;
            }
        };
        for _ in 0..5 {
            said(&nodes[0], "/count").await;
            said(&nodes[1], "/count").await;
        }
        all("110").await;
        said(&nodes[1], "/anew").await;
        // What begins anew begins for all.
        let count = async |redis: &Redis| {
            let reply = redis.said("GET pilotlight:count:counts:k").await.unwrap_or_default();
            reply.lines().nth(1).unwrap_or_default().to_owned()
        };
        let gone = async {
            while !count(&redis).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon("the counter's end", gone).await;
        // Also for those that only look.
        all("nil").await;
        said(&nodes[0], "/count").await;
        all("101").await;
        // What is counted while nobody can be told is told later.
        let address = redis.address;
        drop(redis);
        for wanted in ["102", "103", "104"] {
            assert_eq!(said(&nodes[0], "/count").await, wanted);
        }
        nodes[0].logged(&["redis is lost"]).await.unwrap();
        let redis = Redis::start_at(address).await;
        let look = async {
            // The server has forgotten what it knew.
            while count(&redis).await != "103" {
                said(&nodes[0], "/look").await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon("what was counted meanwhile", look).await;
    });
}
