//! A filter in Rust: greets in a header, and turns away who says too little of itself.

use pilotlight_sdk::filter::prelude::*;

/// One exchange.
struct Greeter {
    greeting: Rc<String>,
}

impl Filter for Greeter {
    type Config = String;

    /// The manifest's `config`, a string here; an error refuses the manifest.
    fn configure(config: &[u8]) -> Result<String, String> {
        match str::from_utf8(config) {
            Ok("") => Ok("hello".into()),
            Ok(greeting) if greeting.len() <= 64 => Ok(greeting.into()),
            _ => Err("the greeting is too long, or not UTF-8".into()),
        }
    }

    fn begin(greeting: &Rc<String>) -> Greeter {
        Greeter { greeting: Rc::clone(greeting) }
    }
}

impl Context for Greeter {}

impl HttpContext for Greeter {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if self.get_http_request_header("user-agent").is_none() {
            self.send_http_response(403, vec![], Some(b"who are you?\n"));
            return Action::Pause;
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        self.set_http_response_header("x-greeting", Some(&self.greeting));
        Action::Continue
    }
}

pilotlight_sdk::filter!(Greeter);

#[cfg(test)]
mod tests {
    use pilotlight_sdk::testing::{Host, Request, Response};

    use super::Greeter;

    #[test]
    fn it_greets() {
        let mut host = Host::of::<Greeter>("good day").unwrap();
        let request = Request::get("/").header("user-agent", "curl");
        let outcome = host.exchange(request, Response::new(200).body("hi"));
        assert_eq!(outcome.headers.get("x-greeting"), Some("good day"));
        assert_eq!(outcome.text(), "hi");
    }

    #[test]
    fn it_turns_away() {
        let mut host = Host::of::<Greeter>("").unwrap();
        let outcome = host.exchange(Request::get("/"), Response::new(200));
        assert_eq!((outcome.status, outcome.request), (403, None));
    }
}
