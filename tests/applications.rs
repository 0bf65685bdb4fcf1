//! Applications: components that answer a route's requests.

mod bounds;
mod forward;
mod keyvalue;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::support::gateway::{Gateway, Setup};
use crate::support::message::{ALL, Protocol, ask};
use crate::support::{Request, Script, Upstream, h1, run};
use crate::tidy::root;

/// The guest of `tests/guests/application`, as a component.
fn component() -> Vec<u8> {
    let file: PathBuf = root().join("tests/guests/application/application.wasm");
    let module = std::fs::read(file).unwrap();
    let mut encoder = wit_component::ComponentEncoder::default().module(&module).unwrap();
    encoder.encode().unwrap()
}

async fn gateway(route: &str, rest: &str) -> Gateway {
    let rest = format!(
        r#"
[[routes]]
name = "app"
[routes.component]
wasm = "app.wasm"
{route}
{rest}
"#
    );
    Setup::new(rest).file("app.wasm", component()).start().await
}

/// Sends so many bytes in pieces, with a trailer, to where they come back, and gives them.
async fn echoes(gateway: &Gateway, protocol: Protocol, path: &str, length: u32) -> Vec<u8> {
    let sent: Vec<u8> = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
    let mut request = Request::new("POST", path);
    for piece in sent.chunks(100_000) {
        request = request.body(Bytes::copy_from_slice(piece));
    }
    request.sized = false;
    request.trailers.push(("x-sum".into(), "42".into()));
    let answer = ask(protocol, gateway, &request).await;
    answer.assert(200);
    assert!(answer.body == sent, "{} bytes of {}", answer.body.len(), sent.len());
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "42".to_owned())], "{protocol:?}");
    sent
}

#[test]
fn an_application_sees_the_request_and_its_answer_is_the_clients() {
    run(async {
        let gateway = gateway("env = { MODE = \"edge\", N = \"1\" }", "").await;
        for protocol in ALL {
            let request = Request::get("/request?a=b").field("x-y", "z");
            let answer = ask(protocol, &gateway, &request).await;
            answer.assert(200);
            assert_eq!(answer.field("x-app"), Some("yes"));
            let text = answer.text();
            assert!(text.starts_with("Method::Get Some(Scheme::Http"), "{text}");
            assert!(text.contains("Some(\"/request?a=b\")\n"), "{text}");
            assert!(text.contains("x-y: z\n") && !text.contains("host:"), "{text}");
            let rules = "Err(HeaderError::Immutable)\nOk(())\nErr(HeaderError::Forbidden)\n\
                         Err(HeaderError::InvalidSyntax)\nErr(HeaderError::InvalidSyntax)\ntrue 1\n";
            assert!(text.ends_with(rules), "{text}");
            let answer = ask(protocol, &gateway, &Request::get("/env")).await;
            assert_eq!(answer.text(), "[(\"MODE\", \"edge\"), (\"N\", \"1\")]");
            let answer = ask(protocol, &gateway, &Request::get("/world")).await;
            assert_eq!(answer.text(), "true true true 7");
            ask(protocol, &gateway, &Request::get("/none-such")).await.assert(404);
            ask(protocol, &gateway, &Request::get("/teapot")).await.assert(418);
            let answer = ask(protocol, &gateway, &Request::new("HEAD", "/env")).await;
            assert!(answer.is(200) && answer.body.is_empty());
        }
    });
}

#[test]
fn bodies_and_trailers_stream_through_an_application() {
    run(async {
        let gateway = gateway("", "").await;
        for protocol in ALL {
            let sent = echoes(&gateway, protocol, "/echo", 1 << 20).await;
            let request = Request::new("POST", "/count").body(sent);
            assert_eq!(ask(protocol, &gateway, &request).await.text(), (1 << 20).to_string());
        }
    });
}

#[test]
fn filters_work_on_the_body_before_an_application_takes_it() {
    run(async {
        let manifest = r#"
[[routes]]
filters = ["upper"]
component = "app.wasm"
[filters.upper]
lua = "upper.lua"
"#;
        let upper = "return { request_body = function(chunk) return chunk:upper() end }";
        let setup = Setup::new(manifest).file("upper.lua", upper);
        let gateway = setup.file("app.wasm", component()).start().await;
        for protocol in ALL {
            let request = Request::new("POST", "/echo").body("ab").body("cd");
            assert_eq!(ask(protocol, &gateway, &request).await.text(), "ABCD");
        }
    });
}

#[test]
fn what_an_application_has_written_is_on_its_way_while_it_waits() {
    run(async {
        let gateway = gateway("", "").await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let began = Instant::now();
        let mut seen = Vec::new();
        while !seen.windows(3).any(|part| part == b"one") {
            seen.extend(client.read_some().await);
        }
        assert!(began.elapsed() < Duration::from_millis(250) || cfg!(debug_assertions));
        assert!(!seen.windows(5).any(|part| part == b"three"));
        while !seen.ends_with(b"0\r\n\r\n") {
            seen.extend(client.read_some().await);
        }
    });
}

#[test]
fn a_client_that_does_not_read_holds_its_application_up_and_nobody_else() {
    run(async {
        let gateway = gateway("limits = { cpu = \"60s\" }", "").await;
        let mut idle = h1::Client::connect(gateway.clear).await;
        idle.write("GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = gateway.resident();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(gateway.resident() < before + (8 << 20));
        ask(Protocol::H1, &gateway, &Request::get("/env")).await.assert(200);
        drop(idle);
        let answer = ask(Protocol::H1, &gateway, &Request::get("/flood?1000")).await;
        assert_eq!(answer.body.len(), 4096 * 1000);
    });
}

#[test]
fn requests_of_an_application_go_to_the_upstreams_that_it_is_granted() {
    run(async {
        let upstream = Upstream::always(Script::ok("from upstream")).await;
        let rest = format!("[upstreams.api]\nendpoints = [\"http://{}\"]\n", upstream.address);
        let gateway = gateway("upstreams = { \"api.example.com\" = \"api\" }", &rest).await;
        let request = Request::get("/fetch?api.example.com,/a/b,text");
        let answer = ask(Protocol::H1, &gateway, &request).await;
        assert_eq!(answer.text(), "200 from upstream");
        let seen = upstream.requests();
        assert_eq!(seen[0].line, "POST /a/b HTTP/1.1");
        assert_eq!(seen[0].field("host"), Some("api.example.com"));
        assert_eq!((seen[0].field("x-from"), &seen[0].body[..]), (Some("app"), &b"text"[..]));
        let answer = ask(Protocol::H1, &gateway, &Request::get("/fetch?other.example.com,/")).await;
        assert!(answer.is(502) && answer.text().contains("HttpRequestDenied"), "{answer}");
    });
}

#[test]
fn what_an_application_prints_is_in_the_log_with_the_request() {
    run(async {
        let gateway = gateway("", "").await;
        ask(Protocol::H1, &gateway, &Request::get("/noise")).await.assert(200);
        gateway.logged(&["noise 99 of many", "route:app"]).await.unwrap();
        ask(Protocol::H1, &gateway, &Request::get("/log")).await.assert(200);
        for line in ["a line", "and another", "it ends so"] {
            gateway.logged(&[line, "route:app"]).await.unwrap();
        }
        assert!(!gateway.log().iter().any(|line| line.contains("noise 100 of many")));
    });
}

#[test]
fn an_application_that_fails_harms_its_own_exchange_alone() {
    run(async {
        let gateway = gateway("limits = { cpu = \"100ms\", memory = \"8MiB\" }", "").await;
        for (path, message) in [
            ("/trap", "unreachable"),
            ("/spin", "cpu limit"),
            ("/grow", "memory limit"),
            ("/none", "it ended without an answer"),
            ("/refuse", "it gave up with LoopDetected"),
        ] {
            ask(Protocol::H1, &gateway, &Request::get(path)).await.assert(500);
            gateway.logged(&["route:app", message]).await.unwrap();
            ask(Protocol::H1, &gateway, &Request::get("/env")).await.assert(200);
        }
        for protocol in ALL {
            let answer = ask(protocol, &gateway, &Request::get("/half")).await;
            assert!(answer.broken.is_some(), "{answer}");
        }
        gateway.logged(&["it ended without finishing its body"]).await.unwrap();
    });
}

#[test]
fn a_client_that_leaves_ends_its_application() {
    run(async {
        let gateway = gateway("limits = { cpu = \"60s\" }", "").await;
        let mut client = h1::Client::connect(gateway.clear).await;
        client.write("GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await;
        client.read_some().await;
        drop(client);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = gateway.worker_cpu();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(gateway.worker_cpu() - before < Duration::from_millis(100));
    });
}

const COMMAND: &[u8] = br#"(component
    (instance $i)
    (export "wasi:cli/run@0.2.0" (instance $i)))"#;

/// An application, as far as its types go, with something in front.
macro_rules! handler {
    ($first:literal) => {
        concat!(
            "(component ",
            $first,
            r#"(import "wasi:http/types@0.2.0" (instance $types
                    (export "incoming-request" (type (sub resource)))
                    (export "response-outparam" (type (sub resource)))))
                (alias export $types "incoming-request" (type $request))
                (alias export $types "response-outparam" (type $out))
                (core module $m (func (export "handle") (param i32 i32)))
                (core instance $m (instantiate $m))
                (func $handle (param "request" (own $request)) (param "response-out" (own $out))
                    (canon lift (core func $m "handle")))
                (component $c
                    (import "request" (type $request (sub resource)))
                    (import "out" (type $out (sub resource)))
                    (import "handle" (func $handle
                        (param "request" (own $request)) (param "response-out" (own $out))))
                    (export "handle" (func $handle)))
                (instance $handler (instantiate $c
                    (with "request" (type $request)) (with "out" (type $out))
                    (with "handle" (func $handle))))
                (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
        )
        .as_bytes()
    };
}

const STRANGER: &[u8] = handler!(r#"(import "a:b/c@0.1.0" (instance (export "f" (func)))) "#);
const SOCKETS: &[u8] =
    handler!(r#"(import "wasi:sockets/network@0.2.0" (instance (export "f" (func)))) "#);

fn checked(text: &[u8]) -> (Option<i32>, String) {
    let folder = crate::support::Folder::new();
    folder.write("app.wasm", wat::parse_bytes(text).unwrap());
    let manifest =
        "[[listeners]]\naddress = \"127.0.0.1:1\"\n[[routes]]\ncomponent = \"app.wasm\"\n";
    let file = folder.write("pilotlight.toml", manifest);
    crate::support::ahead::of_time(&folder);
    let mut check = std::process::Command::new(crate::support::gateway::binary());
    let said = check.arg("check").arg(file).output().unwrap();
    (said.status.code(), String::from_utf8(said.stderr).unwrap())
}

#[test]
fn what_an_application_imports_in_vain_is_said() {
    let (code, said) = checked(SOCKETS);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("it imports wasi:sockets/network@0.2.0: a call to that fails"), "{said}");
    assert!(said.contains("wasi:http/outgoing-handler"), "{said}");
}

#[test]
fn what_is_no_application_is_refused_with_a_reason() {
    let cases: [(&[u8], &str); 5] = [
        (b"(component)", "exports no `wasi:http/incoming-handler`"),
        (b"(module)", "a core module, not a component"),
        (br#"(component (import "a:b/c@0.1.0" (instance)))"#, "exports no `wasi:http"),
        (COMMAND, "it exports `wasi:cli/run@0.2.0`, which nobody runs here"),
        (STRANGER, "it imports `a:b/c@0.1.0`, which there is not here"),
    ];
    for (text, message) in cases {
        let (code, said) = checked(text);
        assert_eq!(code, Some(2));
        assert!(said.contains(message), "{said}");
    }
}
