//! WebSocket through the tunnel (RFC 6455): masked frames one way, plain ones the other.

use crate::support::gateway::Setup;
use crate::support::upstream::Step;
use crate::support::{Gateway, Script, Upstream, h1, run};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

async fn stage(script: Script) -> (Upstream, Gateway) {
    let upstream = Upstream::always(script).await;
    let rest = format!(
        "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nendpoints = [\"http://{}\"]\n",
        upstream.address
    );
    let gateway = Setup::new(rest).start().await;
    (upstream, gateway)
}

/// A masked text frame.
fn text(payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x81];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0xff);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

async fn switched(client: &mut h1::Client) {
    client.write(ASK).await;
    let answer = client.answer(false).await;
    assert_eq!(answer.status, 101, "{answer}");
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert!(answer.field("connection").is_some_and(|c| c.eq_ignore_ascii_case("upgrade")));
}

async fn echoes(client: &mut h1::Client, bytes: &[u8]) {
    client.write(bytes).await;
    let mut back = Vec::new();
    while back.len() < bytes.len() {
        let more = client.read_some().await;
        assert!(!more.is_empty(), "the tunnel ended after {} bytes", back.len());
        back.extend(more);
    }
    assert!(back == bytes, "other bytes came back");
}

#[test]
fn frames_go_both_ways() {
    run(async {
        let (upstream, gateway) = stage(Script::raw(SWITCH).then(Step::Echo)).await;
        for secure in [false, true] {
            let mut client = match secure {
                false => h1::Client::connect(gateway.clear).await,
                true => h1::Client::tls(gateway.tls, "a.test").await,
            };
            switched(&mut client).await;
            echoes(&mut client, &text(b"hello")).await;
            echoes(&mut client, &text(&[b'x'; 50_000])).await;
            // A byte at a time: nobody waits for a frame's end.
            for byte in text(b"slow") {
                echoes(&mut client, &[byte]).await;
            }
            drop(client);
        }
        upstream.until("the tunnels' end", |s| s.ended == 2).await;
        let seen = &upstream.requests()[0];
        assert_eq!(seen.field("upgrade"), Some("websocket"));
        assert_eq!(seen.field("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        gateway.logged(&["\"status\":101"]).await.unwrap();
    });
}

#[test]
fn what_the_upstream_says_at_once_is_not_lost() {
    run(async {
        let greeting = [SWITCH.as_bytes(), b"\x81\x02hi"].concat();
        let (_upstream, gateway) = stage(Script::raw(greeting).then(Step::Echo)).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        switched(&mut client).await;
        let mut said = Vec::new();
        while said.len() < 4 {
            said.extend(client.read_some().await);
        }
        assert_eq!(said, b"\x81\x02hi");
    });
}

/// Frames behind the request, before the switch: they go up only once it is there.
#[test]
fn what_the_client_says_at_once_is_not_lost() {
    run(async {
        let (_upstream, gateway) = stage(Script::raw(SWITCH).then(Step::Echo)).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write([ASK.as_bytes(), &text(b"early")].concat()).await;
        let answer = client.answer(false).await;
        assert_eq!(answer.status, 101);
        let mut back = Vec::new();
        while back.len() < text(b"early").len() {
            back.extend(client.read_some().await);
        }
        assert_eq!(back, text(b"early"));
    });
}

#[test]
fn an_upstream_that_closes_ends_the_tunnel() {
    run(async {
        let (_upstream, gateway) =
            stage(Script::raw(SWITCH).then(Step::Send("\u{1}bye".into())).then(Step::Close)).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        switched(&mut client).await;
        assert_eq!(client.rest().await, b"\x01bye");
    });
}

/// A refusal is an answer like others, and the connection lives.
#[test]
fn an_upstream_that_does_not_switch() {
    run(async {
        let refusal = "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno";
        let (_upstream, gateway) = stage(Script::raw(refusal)).await;
        let mut client = h1::Client::connect(gateway.clear).await;
        for _ in 0..2 {
            client.write(ASK).await;
            let answer = client.answer(false).await;
            assert_eq!(answer.assert(426).text(), "no");
        }
    });
}

/// RFC 9110 section 7.8: any protocol that the client names and the upstream takes, but none that is HTTP again.
#[test]
fn other_protocols_are_tunnelled_too() {
    run(async {
        let (upstream, gateway) = stage(Script::raw(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: IRC/6.9\r\n\r\n",
        )
        .then(Step::Echo))
        .await;
        let mut client = h1::Client::connect(gateway.clear).await;
        let ask = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AA\r\n\
                   upgrade: h2c, irc/6.9, HTTP/2.0, rta/x11\r\n\r\n";
        client.write(ask).await;
        let answer = client.answer(false).await;
        assert_eq!((answer.status, answer.field("upgrade")), (101, Some("IRC/6.9")), "{answer}");
        echoes(&mut client, b"PING").await;
        let seen = &upstream.requests()[0];
        assert_eq!(seen.field("upgrade"), Some("irc/6.9, rta/x11"));
        assert_eq!(seen.field("http2-settings"), None);
    });
}

#[test]
fn a_switch_to_what_nobody_asked_for_is_no_answer() {
    run(async {
        let (_upstream, gateway) = stage(Script::raw(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: irc\r\n\r\n",
        ))
        .await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write(ASK).await;
        client.answer(false).await.assert(502);
    });
}
