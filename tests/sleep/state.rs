//! What outlives sleep: clients and scripts find what they left.

use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use tokio::net::TcpStream;

use super::{asleep, lasting, plain, sleeper};
use crate::support::certificate;
use crate::support::message::{ALL, ask};
use crate::support::{Request, free_address, run, soon};

const COUNTING: &str = "local d = gateway.shared('seen')
local hits = gateway.metric.counter('hits')
return { request = function(req)
  hits:add(1)
  if req.path == '/long' then
    d:set('text', 'a\\0b') d:set('yes', true) d:set('short', 1, 1.5) d:set('long', 'x', 100)
  end
  local text, yes = d:get('text'), d:get('yes')
  return { body = string.format('%d %s %s %s %s', d:incr('n', 1, 0), #(text or ''), tostring(yes),
    tostring(d:get('short')), tostring(d:get('long'))) }
end }";

fn counting(admin: std::net::SocketAddr) -> crate::support::gateway::Setup {
    let mut setup = sleeper(&format!("admin = \"{admin}\"")).file("f.lua", COUNTING);
    setup.rest.push_str("[shared.seen]\nsize = \"1MiB\"\n");
    setup
}

#[test]
fn dictionaries_and_counters_are_as_they_were() {
    run(async {
        let admin = free_address();
        let gateway = counting(admin).start().await;
        let first = ask(ALL[0], &gateway, &Request::get("/long")).await;
        assert_eq!(first.assert(200).text(), "1 3 true 1 x");
        for count in 2..=3 {
            asleep(&gateway).await;
            // Its time to live goes on while it sleeps.
            tokio::time::sleep(Duration::from_millis(1600)).await;
            let answer = ask(ALL[0], &gateway, &Request::get("/")).await;
            assert_eq!(answer.assert(200).text(), format!("{count} 3 true nil x"));
        }
        let page = plain(admin, "/metrics").await.text();
        for line in ["hits_total 3", "pilotlight_sleeps_total 2", "pilotlight_wake_seconds_count 2"]
        {
            assert!(page.contains(line), "{line}: {page}");
        }
        // A client may have its answer before that is counted.
        let counted = async {
            let is = |line: &str| {
                line.starts_with("pilotlight_requests_total") && line.contains("\"http1\"")
            };
            let three = |page: &str| page.lines().any(|line| is(line) && line.ends_with(" 3"));
            while !three(&plain(admin, "/metrics").await.text()) {}
        };
        soon("the third request to be counted", counted).await;
    });
}

#[test]
fn tls_sessions_are_resumed_after_sleep() {
    run(async {
        let gateway = sleeper("").start().await;
        let config = Arc::new(certificate::client(&[b"http/1.1"]));
        for round in 0..3 {
            let connector = tokio_rustls::TlsConnector::from(config.clone());
            let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
            let tcp = TcpStream::connect(gateway.tls).await.unwrap();
            let mut stream = soon("a handshake", connector.connect(name, tcp)).await.unwrap();
            let asked = b"GET /fixed HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, asked).await.unwrap();
            let mut answer = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
            assert!(answer.starts_with(b"HTTP/1.1 200"));
            let kind = stream.get_ref().1.handshake_kind();
            let resumed = kind == Some(rustls::HandshakeKind::Resumed);
            assert_eq!(resumed, round > 0, "{kind:?}");
            drop(stream);
            asleep(&gateway).await;
        }
    });
}

/// A connection that the gateway does not know any more: its client is told so at once.
#[test]
fn clients_of_lost_quic_connections_get_a_reset() {
    run(async {
        // It is told that its connection is over when the gateway drains; here the gateway has crashed
        // into its parked form, which it does only shortly after it woke.
        let gateway = lasting().start().await;
        asleep(&gateway).await;
        let tls = certificate::client(&[b"h3"]);
        let config = QuicClientConfig::try_from(tls).unwrap();
        let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(config));
        let connecting = endpoint.connect_with(config, gateway.tls, "a.test").unwrap();
        let connection = soon("a QUIC handshake", connecting).await.unwrap();
        gateway.signal(libc::SIGSEGV);
        gateway.logged(&["crashed while it woke"]).await.unwrap();
        asleep(&gateway).await;
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"failed_tries\":\"1\""]).await.unwrap();
        // Anything that it sends is answered by a reset; it may have sent something already.
        if let Ok((mut up, _)) = connection.open_bi().await {
            let _ = up.write_all(&[0; 2000]).await;
        }
        let ended = soon("a reset", connection.closed()).await;
        assert!(matches!(ended, quinn::ConnectionError::Reset), "{ended}");
    });
}
