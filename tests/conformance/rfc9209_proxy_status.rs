//! RFC 9209: Proxy-Status says which hop failed and how.

use crate::support::message::{ALL, ask};
use crate::support::upstream::Step;
use crate::support::{Gateway, Request, Script, Upstream, free_address, run};

#[test]
fn each_failure_has_its_error_type() {
    run(async {
        let silent = Script { early: false, steps: vec![Step::Stall] };
        let rows = [
            (Some(silent), "http_response_timeout", 504),
            (Some(Script::raw("").then(Step::Close)), "connection_terminated", 502),
            (Some(Script::raw("garbage\r\n\r\n")), "http_protocol_error", 502),
            (None, "connection_refused", 502),
        ];
        for (script, error, status) in rows {
            let upstream = match script {
                Some(script) => Some(Upstream::always(script).await),
                None => None,
            };
            let address = upstream.as_ref().map_or_else(free_address, |u| u.address);
            let gateway = Gateway::start(format!(
                "[[routes]]\nupstream = \"app\"\ntimeouts = {{ upstream = \"100ms\" }}\n[upstreams.app]\nendpoints = [\"http://{address}\"]\n"
            ))
            .await;
            for protocol in ALL {
                let answer = ask(protocol, &gateway, &Request::new("PATCH", "/")).await;
                let wanted = format!("pilotlight; error={error}");
                assert_eq!(answer.assert(status).field("proxy-status"), Some(&*wanted));
            }
        }
    });
}

/// Section 2: what an upstream answered well carries no Proxy-Status of ours.
#[test]
fn nothing_is_said_of_what_went_well() {
    run(async {
        let (gateway, _upstream) =
            super::forwarding(Script::raw("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")).await;
        for protocol in ALL {
            assert_eq!(
                ask(protocol, &gateway, &Request::get("/")).await.assert(503).field("proxy-status"),
                None
            );
        }
    });
}
