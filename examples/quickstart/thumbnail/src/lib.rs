//! A filter that answers with a smaller picture: the chain's Lua script says how wide, in the
//! request's `x-width`. Scripts can also call it as a module: see `module`.

// On other machines, `free` would be everyone's.
#[cfg(target_arch = "wasm32")]
mod module;
mod resize;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

proxy_wasm::main! {{
    proxy_wasm::set_http_context(|_, _| Box::new(Thumbnail { width: None }));
}}

/// One exchange.
struct Thumbnail {
    /// The width asked for, as long as the picture is still to be made.
    width: Option<u32>,
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
        let is_picture = self
            .get_http_response_header("content-type")
            .is_some_and(|kind| kind == "image/png" || kind == "image/jpeg");
        let is_whole = self.get_http_response_header(":status").is_some_and(|code| code == "200");
        if !(is_picture && is_whole) {
            self.width = None;
        }
        if self.width.is_some() {
            // They describe the picture as it was.
            for name in ["content-length", "etag", "accept-ranges"] {
                self.set_http_response_header(name, None);
            }
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, last: bool) -> Action {
        let Some(width) = self.width else { return Action::Continue };
        if !last {
            return Action::Pause;
        }
        self.width = None;
        if let Some(picture) = self.get_http_response_body(0, size) {
            match resize::resize(&picture, width) {
                Ok(smaller) => self.set_http_response_body(0, size, &smaller),
                // What can't be read is passed on as it came.
                Err(problem) => {
                    let text = format!("not resized: {problem}");
                    let _ = proxy_wasm::hostcalls::log(proxy_wasm::types::LogLevel::Warn, &text);
                }
            }
        }
        Action::Continue
    }
}
