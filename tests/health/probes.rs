//! Probes.

use super::*;
use crate::support::run;
use crate::tcp;

const FAST: &str =
    "health = { path = \"/healthz\", interval = \"40ms\", healthy = 2, unhealthy = 2 }";

#[test]
fn one_that_fails_its_probes_gets_no_requests_until_it_passes_them() {
    run(async {
        let (a, b) = (Server::start("a").await, Server::start("b").await);
        let (at, setup) = gateway(&[a.address, b.address], FAST);
        let gateway = setup.start().await;
        assert_eq!(who(&gateway, 8).await, "a b");
        a.health(503);
        let line = gateway.logged(&["\"endpoint down\"", "\"status 503\""]).await.unwrap();
        assert!(line.contains(&a.address.to_string()) && line.contains("\"app\""), "{line}");
        assert_eq!(who(&gateway, 20).await, "b");
        let status: serde_json::Value = serde_json::from_str(&admin(at, "/status").await).unwrap();
        let states: Vec<&str> =
            (0..2).map(|i| status["endpoints"][i]["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["down", "up"]);
        assert_eq!(status["endpoints"][0]["reason"], "status 503");
        let page = admin(at, "/metrics").await;
        let labels =
            |server: &Server| format!("{{upstream=\"app\",endpoint=\"{}\"", server.address);
        for (name, server, rest) in [
            ("pilotlight_endpoint_up", &a, "} 0"),
            ("pilotlight_endpoint_up", &b, "} 1"),
            ("pilotlight_endpoint_changes_total", &a, ",to=\"down\"} 1"),
            ("pilotlight_endpoint_changes_total", &b, ",to=\"down\"} 0"),
        ] {
            let line = format!("{name}{}{rest}", labels(server));
            assert!(page.contains(&line), "{line}\n{page}");
        }
        assert!(
            page.contains(&format!("pilotlight_endpoint_probes_total{}", labels(&b))),
            "{page}"
        );
        a.health(204);
        gateway.logged(&["\"endpoint up\""]).await.unwrap();
        assert_eq!(who(&gateway, 20).await, "a b");
        // A line a transition, however many probes and workers there are.
        assert_eq!((times(&gateway, "endpoint down"), times(&gateway, "endpoint up")), (1, 1));
        let probe = a.state.probes.lock().unwrap()[0].clone();
        assert!(probe.contains(&format!("\r\nhost: {}\r\n", a.address)), "{probe}");
    });
}

#[test]
fn without_one_that_is_well_the_answer_is_503() {
    run(async {
        let a = Server::start("a").await;
        a.health(500);
        let keys = "health = { path = \"/healthz?full=1\", host = \"app.test\", status = [200], interval = \"40ms\" }";
        let (_, setup) = gateway(&[a.address], keys);
        let gateway = setup.start().await;
        // The first probe decides alone.
        gateway.logged(&["\"endpoint down\"", "\"status 500\""]).await.unwrap();
        let answer = get(&gateway).await;
        answer.assert(503);
        assert!(answer.field("retry-after").is_some());
        let why = answer.field("proxy-status").unwrap_or_default();
        assert!(why.contains("destination_unavailable"), "{why}");
        a.health(204);
        let before = a.probes();
        let look = async {
            while a.probes() < before + 4 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon("more probes", look).await;
        get(&gateway).await.assert(503);
        a.health(200);
        gateway.logged(&["\"endpoint up\""]).await.unwrap();
        get(&gateway).await.assert(200);
        let probe = a.state.probes.lock().unwrap()[0].clone();
        assert!(probe.starts_with("GET /healthz?full=1 HTTP/1.1\r\nhost: app.test\r\n"), "{probe}");
    });
}

/// A server that takes connections and says nothing.
#[test]
fn a_probe_has_its_time() {
    run(async {
        let silent = tcp::serve(|mut stream| async move {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let a = Server::start("a").await;
        let keys = "health = { path = \"/healthz\", interval = \"50ms\", timeout = \"100ms\" }";
        let (_, setup) = gateway(&[silent, a.address], keys);
        let gateway = setup.start().await;
        gateway.logged(&["\"endpoint down\"", "no answer within 100ms"]).await.unwrap();
        assert_eq!(who(&gateway, 6).await, "a");
    });
}

/// The gateway's own TLS listener stands in for a server.
#[test]
fn probes_speak_as_the_upstream_does() {
    run(async {
        let (clear, tls) = (free_address(), free_address());
        let rest = format!(
            "[[routes]]\nname = \"well\"\nmatch = {{ path = \"/healthz\" }}\nrespond = {{ body = \"well\" }}\n\
             [[routes]]\nupstream = \"second\"\n\
             [upstreams.second]\nendpoints = [\"https://{tls}\"]\ntls = {{ verify = false }}\n\
             health = {{ path = \"/healthz?second\", host = \"a.test\", interval = \"50ms\" }}\n\
             [upstreams.first]\nendpoints = [\"https://{tls}\"]\nprotocol = \"http1\"\ntls = {{ verify = false }}\n\
             health = {{ path = \"/healthz?first\", host = \"a.test\", interval = \"50ms\" }}\n\
             [upstreams.prior]\nendpoints = [\"http://{clear}\"]\nprotocol = \"http2\"\n\
             health = {{ path = \"/healthz?prior\", interval = \"50ms\" }}\n\
             [upstreams.strict]\nendpoints = [\"https://{tls}\"]\nhealth = {{ interval = \"50ms\" }}\n"
        );
        let gateway = Setup::new(rest).start_at(clear, tls).await;
        for (query, version) in [("second", "2"), ("first", "1.1"), ("prior", "2")] {
            let query = format!("\"query\":\"{query}\"");
            let version = format!("\"version\":\"{version}\"");
            gateway.logged(&["/healthz", &query, &version, "\"status\":200"]).await.unwrap();
        }
        // What nobody trusts is not well, whether something is asked for or not.
        gateway.logged(&["\"endpoint down\"", "strict", "tls_certificate_error"]).await.unwrap();
        assert_eq!(times(&gateway, "endpoint down"), 1);
    });
}

#[test]
fn listeners_for_tcp_keep_away_from_what_takes_no_connection() {
    run(async {
        let (at, live, dead) = (free_address(), tcp::echo().await, free_address());
        let rest = "health = { interval = \"40ms\" }";
        let gateway = tcp::start(at, "", &[dead, live], rest).await;
        gateway.logged(&["\"endpoint down\"", "connection_refused"]).await.unwrap();
        for _ in 0..4 {
            let mut stream = tcp::connect(at).await;
            tcp::say(&mut stream, "hello").await;
            tcp::hear(&mut stream, "hello").await;
        }
        let log = gateway.log();
        let passed = log.iter().filter(|line| line.contains("\"listener\":\"raw\""));
        assert!(passed.filter(|line| line.contains("\"retries\"")).count() == 0, "{log:?}");
    });
}

#[test]
fn a_reload_keeps_what_is_known_and_what_is_gone_is_not_asked_any_more() {
    run(async {
        let (a, b, c) =
            (Server::start("a").await, Server::start("b").await, Server::start("c").await);
        a.health(500);
        let (_, setup) = gateway(&[a.address, b.address], FAST);
        let gateway = setup.start().await;
        gateway.logged(&["\"endpoint down\""]).await.unwrap();
        // From now on it is well, and probes come too late to tell.
        a.health(200);
        let keys = FAST.replace("40ms", "1h");
        let (_, setup) = super::gateway(&[a.address, c.address], &keys);
        gateway.folder.write("pilotlight.toml", setup.manifest(gateway.clear, gateway.tls));
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"reloaded\""]).await.unwrap();
        assert_eq!(who(&gateway, 1).await, "c");
        let before = b.probes();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(b.probes(), before);
    });
}
