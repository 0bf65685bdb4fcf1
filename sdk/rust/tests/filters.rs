//! Filters of every sort, driven by the test host.

use std::time::Duration;

use pilotlight_sdk::filter::prelude::*;
use pilotlight_sdk::testing::{Host, Request, Response};

/// Asks `auth` whose key it is, shouts what comes back, counts.
struct Gate {
    config: Rc<String>,
    counter: u32,
}

impl Filter for Gate {
    type Config = String;

    fn configure(config: &[u8]) -> Result<String, String> {
        match config {
            b"" => Err("a name is required".into()),
            name => Ok(String::from_utf8_lossy(name).into_owned()),
        }
    }

    fn begin(config: &Rc<String>) -> Gate {
        let metric = proxy_wasm::types::MetricType::Counter;
        let counter = proxy_wasm::hostcalls::define_metric(metric, "seen").unwrap();
        Gate { config: Rc::clone(config), counter }
    }
}

impl Context for Gate {
    fn on_http_call_response(&mut self, _: u32, headers: usize, size: usize, _: usize) {
        let who = self.get_http_call_response_body(0, size).unwrap_or_default();
        if headers == 0 || who.is_empty() {
            return self.send_http_response(403, vec![("x-by", &self.config)], Some(b"no"));
        }
        self.set_http_request_header("x-who", std::str::from_utf8(&who).ok());
        self.resume_http_request();
    }
}

impl HttpContext for Gate {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        proxy_wasm::hostcalls::increment_metric(self.counter, 1).unwrap();
        let Some(key) = self.get_http_request_header("x-key") else { return Action::Continue };
        let headers =
            vec![(":method", "GET"), (":path", key.as_str()), (":authority", "auth.test")];
        let second = Duration::from_secs(1);
        self.dispatch_http_call("auth", headers, None, vec![], second).unwrap();
        Action::Pause
    }

    fn on_http_request_body(&mut self, size: usize, last: bool) -> Action {
        let Some(body) = self.whole_request_body(size, last) else { return Action::Pause };
        self.set_http_request_body(0, size, &body.repeat(2));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.response_will_change();
        self.set_http_response_header(
            "x-code",
            Some(&format!("{:?}", self.number_property(&["response", "code"]))),
        );
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        let chunk = self.get_http_response_body(0, size).unwrap_or_default();
        self.set_http_response_body(0, size, &chunk.to_ascii_uppercase());
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        self.add_http_response_trailer("x-last", "1");
        Action::Continue
    }
}

fn host() -> Host {
    let mut host = Host::of::<Gate>("gate").unwrap();
    host.upstream("auth", |call| match call.headers.get(":path") {
        Some("k1") => Some(Response::new(200).body("ann")),
        Some("k2") => Some(Response::new(404)),
        _ => None,
    });
    host
}

#[test]
fn a_configuration_is_refused_with_its_reason() {
    assert_eq!(Host::of::<Gate>("").err().as_deref(), Some("a name is required"));
}

#[test]
fn a_call_lets_in_or_not() {
    let mut host = host();
    let ask = |host: &mut Host, key: &str| {
        host.exchange(Request::get("/").header("x-key", key), Response::new(204))
    };
    let inside = ask(&mut host, "k1");
    assert_eq!((inside.status, inside.answered), (204, false));
    assert_eq!(inside.request.unwrap().headers.get("X-Who"), Some("ann"));
    for key in ["k2", "k3"] {
        let outside = ask(&mut host, key);
        assert_eq!((outside.status, outside.text().as_str(), outside.request), (403, "no", None));
        assert_eq!(outside.headers.get("x-by"), Some("gate"));
    }
    assert_eq!(host.metric("seen"), Some(3));
}

#[test]
fn bodies_are_held_or_stream() {
    let mut host = host();
    host.property(&["response", "code"], 200_i64.to_le_bytes());
    let response = Response::new(200)
        .header("content-length", "4")
        .body("ab")
        .body("cd")
        .trailer("x-sum", "9");
    let outcome = host.exchange(Request::post("/", "12").chunk("34"), response);
    assert_eq!(outcome.request.as_ref().unwrap().body, b"12341234");
    assert_eq!(outcome.chunks, [b"AB", b"CD"]);
    assert_eq!(outcome.headers.get("content-length"), None);
    assert_eq!(outcome.headers.get("x-code"), Some("Some(200)"));
    assert_eq!(outcome.trailers.0.len(), 2);
}

#[test]
#[should_panic(expected = "nothing stands in")]
fn a_call_to_nobody_fails_the_test() {
    let mut host = Host::of::<Gate>("gate").unwrap();
    host.exchange(Request::get("/").header("x-key", "k"), Response::new(200));
}
