//! A filter that answers with a smaller picture: the chain's Lua script says how wide, in the
//! request's `x-width`. Scripts can also call it as a module: `resize` is one of its functions.

mod resize;

use pilotlight_sdk::filter::{log, prelude::*};

/// One exchange.
struct Thumbnail {
    /// The width asked for, as long as the picture is still to be made.
    width: Option<u32>,
}

impl Filter for Thumbnail {
    type Config = ();

    fn configure(_: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn begin(_: &Rc<()>) -> Thumbnail {
        Thumbnail { width: None }
    }
}

impl Context for Thumbnail {}

impl HttpContext for Thumbnail {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        self.width = self.get_http_request_header("x-width").and_then(|text| text.parse().ok());
        // It is between this chain's filters only.
        self.set_http_request_header("x-width", None);
        if self.width.is_some() {
            // A part of a picture can't be resized.
            for name in ["range", "if-range"] {
                self.set_http_request_header(name, None);
            }
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let is_picture = self.response_is("image/png") || self.response_is("image/jpeg");
        let is_whole = self.get_http_response_header(":status").is_some_and(|code| code == "200");
        if !(is_picture && is_whole) {
            self.width = None;
        }
        if self.width.is_some() {
            self.response_will_change();
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, last: bool) -> Action {
        let Some(width) = self.width else { return Action::Continue };
        let Some(picture) = self.whole_response_body(size, last) else { return Action::Pause };
        self.width = None;
        match resize::resize(&picture, width) {
            Ok(smaller) => self.set_http_response_body(0, size, &smaller),
            // What can't be read is passed on as it came.
            Err(problem) => log::warn!("not resized: {problem}"),
        }
        Action::Continue
    }
}

pilotlight_sdk::filter!(Thumbnail);
