//! What proxy-wasm filters are told of TLS on both sides, and of the connection to an upstream.

use super::*;
use crate::support::message::{Protocol, ask};
use crate::support::{Request, free_address};
use crate::tidy::root;

/// Logs each of these as a filter's last word.
fn asks(names: &[&str]) -> String {
    let names = names.iter().map(|name| name.replacen('.', "\\0", 1));
    names.fold("on log\n".into(), |all, name| format!("{all}  get_property \"{name}\"\n"))
}

/// What the filter has logged past the first lines, without the call's name; it is waited for.
async fn said(gateway: &Gateway, first: usize, lines: usize) -> Vec<String> {
    let mine = |line: &String| {
        let line = serde_json::from_str::<serde_json::Value>(line).ok()?;
        let own = line["filter"] == "see" && line["phase"].is_null();
        let text = line["message"].as_str()?.strip_prefix("get_property ")?;
        own.then(|| text.to_owned())
    };
    let all = async {
        loop {
            let all: Vec<String> = gateway.log().iter().skip(first).filter_map(mine).collect();
            if all.len() >= lines {
                return all;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    soon("the filter's words", all).await
}

struct Seen {
    door: Door,
    setup: Setup,
    /// Listeners for connections without HTTP.
    bytes: SocketAddr,
    lost: SocketAddr,
}

/// A gateway with a filter `see` before upstreams that are its own listener `inner`, or nobody.
fn seen(names: &[&str], inner: &Certificate) -> Seen {
    let script = format!(
        r#"{CHOOSE}
        if ssl.server_name() ~= "chosen.test" then return end
        assert(ssl.clear_certs())
        assert(ssl.set_cert(assert(ssl.parse_pem_cert(pems.chosen))))
        assert(ssl.set_priv_key(assert(ssl.parse_pem_priv_key(pems.chosen_key))))
        "#
    );
    let mut door = Door::new(&[("ssl_certificate", &script)]);
    door.chosen = Certificate::new(&["127.0.0.2", "chosen.test", "spiffe://here/chosen"]);
    let (at, dead) = (free_address(), free_address());
    door.rest = format!(
        r#"
[[listeners]]
name = "inner"
address = "{at}"
tls = {{ certificate = "inner.pem", key = "inner.key" }}
[[routes]]
name = "inner"
match = {{ listeners = ["inner"] }}
respond = {{ body = "ok" }}
[filters.see]
wasm = "guest.wasm"
config = '''
{}'''
"#,
        asks(names)
    );
    for (name, endpoint, server_name, protocol) in [
        ("one", format!("https://{at}"), "inner.test", "http1"),
        ("many", format!("https://{at}"), "inner.test", "http2"),
        ("other", format!("https://{at}"), "other.test", "auto"),
        ("dead", format!("http://{dead}"), "", "auto"),
        ("bytes", format!("tls://{at}"), "inner.test", "tcp"),
        ("lost", format!("tcp://{dead}"), "", "tcp"),
    ] {
        door.rest += &format!(
            "[upstreams.{name}]\nendpoints = [\"{endpoint}\"]\nprotocol = \"{protocol}\"\n"
        );
        if !server_name.is_empty() {
            door.rest +=
                &format!("tls = {{ ca = \"authority.pem\", server_name = \"{server_name}\" }}\n");
        }
        if protocol != "tcp" {
            door.rest += &format!(
                r#"
[[routes]]
name = "{name}"
match = {{ path = "/{name}", listeners = ["door", "clear", "tls"] }}
filters = ["see"]
upstream = "{name}"
"#
            );
        }
    }
    let (bytes, lost) = (free_address(), free_address());
    for (name, address) in [("bytes", bytes), ("lost", lost)] {
        door.rest += &format!(
            r#"
[[listeners]]
name = "{name}"
address = "{address}"
protocols = ["tcp"]
filters = ["see"]
upstream = "{name}"
"#
        );
    }
    let guest = std::fs::read(root().join("tests/conformance/proxy-wasm/guest.wasm")).unwrap();
    let setup = door.setup().file("guest.wasm", guest).file("authority.pem", authority_pem());
    let setup = setup.file("inner.pem", &inner.pem).file("inner.key", &inner.key);
    Seen { door, setup, bytes, lost }
}

#[test]
fn a_filter_sees_the_certificate_of_an_upstream() {
    let inner = Certificate::new(&["127.0.0.1", "inner.test", "spiffe://there/inner"]);
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let digest = suite.tls13().unwrap().common.hash_provider.hash(&der(&inner.pem));
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let names = [
        "upstream.tls_version",
        "upstream.subject_peer_certificate",
        "upstream.dns_san_peer_certificate",
        "upstream.uri_san_peer_certificate",
        "upstream.sha256_peer_certificate_digest",
        "upstream.transport_failure_reason",
        "upstream.local_address",
    ];
    let Seen { door: _door, setup, bytes, lost } = seen(&names, &inner);
    run(async {
        let gateway = setup.start().await;
        let mut ports = Vec::new();
        // The second is told of the connection of the first.
        for path in ["/one", "/one", "/many", "/many", "bytes"] {
            let first = gateway.log().len();
            if path == "bytes" {
                let mut stream = TcpStream::connect(bytes).await.unwrap();
                stream
                    .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                    .await
                    .unwrap();
                let mut answer = String::new();
                soon("an answer", stream.read_to_string(&mut answer)).await.unwrap();
                assert!(answer.ends_with("ok"), "{answer}");
            } else {
                let answer = ask(Protocol::H1, &gateway, &Request::get(path)).await;
                assert_eq!((answer.status, answer.text()), (200, "ok".into()));
            }
            let mut said = said(&gateway, first, names.len()).await;
            let local = said.pop().unwrap();
            assert!(local.starts_with("OK \"127.0.0.1:"), "{local}");
            ports.push(local);
            let wanted = [
                "OK \"TLSv1.3\"",
                "OK \"CN=rcgen self signed cert\"",
                "OK \"inner.test\"",
                "OK \"spiffe://there/inner\"",
                &format!("OK \"{digest}\""),
                "OK \"\"",
            ];
            assert_eq!(said, wanted, "{path}");
        }
        assert_eq!((&ports[0], &ports[2]), (&ports[1], &ports[3]));
        assert_ne!(ports[0], ports[2]);
        for (path, why) in [
            ("/other", "tls_certificate_error"),
            ("/dead", "connection_refused"),
            ("lost", "connection_refused"),
        ] {
            let first = gateway.log().len();
            if path == "lost" {
                // Reset before the client has looked, or after.
                if let Ok(mut client) = TcpStream::connect(lost).await {
                    drop(client.read(&mut [0]).await);
                }
            } else {
                assert_eq!(ask(Protocol::H1, &gateway, &Request::get(path)).await.status, 502);
            }
            let said = said(&gateway, first, names.len()).await;
            let mut wanted = ["NOT_FOUND"; 7].map(str::to_owned);
            wanted[5] = format!("OK \"{why}\"");
            assert_eq!(said, wanted, "{path}");
        }
    });
}

#[test]
fn a_filter_sees_the_certificate_that_a_client_was_shown() {
    let names = [
        "connection.subject_local_certificate",
        "connection.dns_san_local_certificate",
        "connection.uri_san_local_certificate",
    ];
    let Seen { door, setup, .. } = seen(&names, &Certificate::new(&["inner.test"]));
    let subject = "OK \"CN=rcgen self signed cert\"";
    run(async {
        let gateway = setup.start().await;
        for (name, dns, uri) in [
            ("a.test", "OK \"a.test\"", "NOT_FOUND"),
            ("chosen.test", "OK \"chosen.test\"", "OK \"spiffe://here/chosen\""),
        ] {
            let first = gateway.log().len();
            let mut stream = connect(door.address, name, plain()).await.unwrap();
            let ask = format!("GET /one HTTP/1.1\r\nhost: {name}\r\n\r\n");
            stream.write_all(ask.as_bytes()).await.unwrap();
            assert_eq!(said(&gateway, first, names.len()).await, [subject, dns, uri], "{name}");
        }
        for protocol in [Protocol::H2, Protocol::H3] {
            let first = gateway.log().len();
            assert_eq!(ask(protocol, &gateway, &Request::get("/one")).await.status, 200);
            let said = said(&gateway, first, names.len()).await;
            assert_eq!(said, [subject, "OK \"a.test\"", "NOT_FOUND"], "{protocol:?}");
        }
    });
}
