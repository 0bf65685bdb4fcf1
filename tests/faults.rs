//! The nth read, write or connect fails: at every byte, until the exchange completes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::gateway::Setup;
use crate::support::message::{ALL, Client, ask};
use crate::support::upstream::Step;
use crate::support::{Gateway, Request, Script, Upstream, free_address, h1, run};

const LENGTH: &str = "HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 10\r\n\r\n0123456789";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\nx-t: 1\r\n\r\n";

async fn gateway(upstream: &Upstream) -> Gateway {
    let rest = format!(
        "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nendpoints = [\"http://{}\"]\n",
        upstream.address
    );
    Setup::new(rest).quiet().start().await
}

/// Cuts an upstream's answer at every byte; `end` is how the connection goes.
async fn cut_everywhere(answer: &str, end: Step) {
    let upstream = Upstream::always(Script::default()).await;
    let gateway = gateway(&upstream).await;
    for protocol in ALL {
        let mut client = Client::connect(protocol, &gateway, "a.test").await;
        for at in 0..=answer.len() {
            let cut = Script::raw(&answer.as_bytes()[..at]).then(end.clone());
            upstream.reset(vec![cut, Script::ok("good")]);
            // What is not idempotent is not sent again.
            let got = client.send(&Request::new("PATCH", "/cut")).await;
            let name = format!("{} bytes of {} over {}", at, answer.len(), protocol.name());
            let whole = got.status == 200 && got.broken.is_none();
            // A reset may overtake the last bytes; an end never does.
            let may_be_whole = at == answer.len();
            let must_be_whole = may_be_whole && matches!(end, Step::Close);
            assert!(!whole || may_be_whole && got.text() == "0123456789", "{name}: whole: {got}");
            assert!(whole || !must_be_whole, "{name}: {got}");
            assert!(whole || got.broken.is_some() || got.status == 502, "{name}: {got}");
            if got.closed || got.broken.is_some() {
                client = Client::connect(protocol, &gateway, "a.test").await;
            }
            let good = client.send(&Request::get("/good")).await;
            assert!(good.is(200) && good.text() == "good", "{name}, the next one: {good}");
        }
    }
}

#[test]
fn an_upstream_that_closes_at_byte_n_of_a_sized_answer() {
    run(cut_everywhere(LENGTH, Step::Close));
}

#[test]
fn an_upstream_that_closes_at_byte_n_of_a_chunked_answer() {
    run(cut_everywhere(CHUNKED, Step::Close));
}

#[test]
fn an_upstream_that_resets_at_byte_n() {
    run(cut_everywhere(CHUNKED, Step::Reset));
}

/// The answer in two writes, with a wait between them, at every byte: no reader depends on where reads end.
#[test]
fn an_answer_in_two_reads_at_byte_n() {
    run(async {
        for answer in [LENGTH, CHUNKED] {
            let upstream = Upstream::always(Script::default()).await;
            let gateway = gateway(&upstream).await;
            let mut client = Client::connect(ALL[0], &gateway, "a.test").await;
            for at in 1..answer.len() {
                let (first, second) = answer.as_bytes().split_at(at);
                let pause = Step::Pause(std::time::Duration::from_millis(2));
                let script = Script::raw(first).then(pause);
                upstream.reset(vec![script.then(Step::Send(second.to_vec().into()))]);
                let got = client.send(&Request::get("/")).await;
                assert!(got.is(200) && got.text() == "0123456789", "{at}: {got}");
            }
        }
    });
}

/// The request in two writes, at every byte.
#[test]
fn a_request_in_two_reads_at_byte_n() {
    run(async {
        let upstream = Upstream::always(Script::ok("ok")).await;
        let gateway = gateway(&upstream).await;
        let text = "POST /p HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n\
                    5\r\n01234\r\n5;x=y\r\n56789\r\n0\r\nx-t: 1\r\n\r\n";
        let mut client = h1::Client::connect(gateway.clear).await;
        for at in 1..text.len() {
            client.write(&text[..at]).await;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            client.write(&text[at..]).await;
            let got = client.answer(false).await;
            assert!(got.is(200), "{at}: {got}");
        }
        upstream
            .until("all requests", |s| {
                s.requests.len() == text.len() - 1 && s.requests.iter().all(|r| r.whole)
            })
            .await;
        for seen in upstream.requests() {
            assert_eq!(seen.body, b"0123456789");
            assert_eq!(seen.trailers, [("x-t".to_owned(), "1".to_owned())]);
        }
    });
}

#[test]
fn a_client_that_leaves_at_byte_n_of_its_request() {
    run(async {
        let upstream = Upstream::always(Script::ok("ok")).await;
        let mut gateway = gateway(&upstream).await;
        for text in [
            "POST /left HTTP/1.1\r\nhost: a.test\r\ncontent-length: 10\r\n\r\n0123456789",
            "POST /left HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n",
        ] {
            for at in 0..text.len() {
                let mut client = h1::Client::connect(gateway.clear).await;
                client.write(&text[..at]).await;
                drop(client);
            }
            for _ in 0..3 {
                ask(ALL[0], &gateway, &Request::get("/good")).await.assert(200);
            }
        }
        assert!(gateway.is_alive());
        let whole =
            upstream.requests().into_iter().filter(|r| r.whole && r.line.contains("/left")).count();
        assert_eq!(whole, 0, "an unfinished request was forwarded as whole");
        // Every request that had begun is given up: no connection to the upstream stays with half of one.
        upstream
            .until("the end of half requests", |s| {
                let open = s.requests.iter().filter(|r| !r.whole).count();
                s.ended >= open
            })
            .await;
    });
}

/// The client stops reading and leaves: the upstream is told by the end of its connection.
#[test]
fn a_client_that_leaves_at_byte_n_of_its_answer() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n";
        let upstream = Upstream::always(Script::raw(head).then(Step::Fill(100 << 20))).await;
        let gateway = gateway(&upstream).await;
        for (round, bytes) in [1usize, 10, 100, 10_000, 1_000_000].into_iter().enumerate() {
            let mut client = h1::Client::connect(gateway.clear).await;
            client.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
            let mut read = 0;
            while read < bytes {
                read += client.read_some().await.len();
            }
            drop(client);
            upstream.until("the end of the download", |s| s.ended == round + 1).await;
        }
    });
}

#[test]
fn the_nth_connect_fails() {
    run(async {
        for dead in 1..4 {
            let upstream = Upstream::always(Script::ok("ok")).await;
            let mut endpoints: Vec<String> =
                (0..dead).map(|_| format!("\"http://{}\"", free_address())).collect();
            endpoints.push(format!("\"http://{}\"", upstream.address));
            let rest = format!(
                "[[routes]]\nupstream = \"app\"\nretry = {{ attempts = {dead}, on = [\"connect\"], budget = \"100%\" }}\n\
                 [upstreams.app]\nendpoints = [{}]\n",
                endpoints.join(", ")
            );
            // A gateway each: the budget of retries is one request's.
            for (protocol, method) in ALL.into_iter().zip(["GET", "POST", "GET"]) {
                let gateway = Gateway::start(&*rest).await;
                ask(protocol, &gateway, &Request::new(method, "/")).await.assert(200);
            }
        }
    });
}

/// All is refused: an error at once, with its reason, and again and again.
#[test]
fn every_connect_fails() {
    run(async {
        let rest = format!(
            "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nendpoints = [\"http://{}\"]\n",
            free_address()
        );
        let gateway = Gateway::start(rest).await;
        for protocol in ALL {
            for _ in 0..20 {
                let got = ask(protocol, &gateway, &Request::get("/")).await;
                assert_eq!(
                    got.assert(502).field("proxy-status"),
                    Some("pilotlight; error=connection_refused")
                );
            }
        }
    });
}

/// An HTTP/1.0 body ends with its connection: one that broke off must not end in order.
#[test]
fn a_body_until_close_that_breaks_is_reset() {
    run(async {
        let answer = Script::raw("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc");
        let upstream = Upstream::always(answer.then(Step::Close)).await;
        let gateway = gateway(&upstream).await;
        let mut client = tokio::net::TcpStream::connect(gateway.clear).await.unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let error = client.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}
