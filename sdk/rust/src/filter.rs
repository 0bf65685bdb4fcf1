//! Filters.
//!
//! ```
//! use pilotlight_sdk::filter::prelude::*;
//!
//! /// One exchange.
//! struct Greeter {
//!     config: Rc<String>,
//! }
//!
//! impl Filter for Greeter {
//!     type Config = String;
//!
//!     fn configure(config: &[u8]) -> Result<String, String> {
//!         String::from_utf8(config.to_vec()).map_err(|_| "the greeting is not UTF-8".into())
//!     }
//!
//!     fn begin(config: &Rc<String>) -> Greeter {
//!         Greeter { config: Rc::clone(config) }
//!     }
//! }
//!
//! impl Context for Greeter {}
//!
//! impl HttpContext for Greeter {
//!     fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
//!         self.set_http_response_header("x-greeting", Some(&self.config));
//!         Action::Continue
//!     }
//! }
//!
//! pilotlight_sdk::filter!(Greeter);
//! # fn main() {}
//! ```

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};

pub use log;

/// What a filter's file begins with.
pub mod prelude {
    pub use std::rc::Rc;

    pub use proxy_wasm::traits::{Context, HttpContext};
    pub use proxy_wasm::types::{Action, LogLevel};

    pub use super::{Exchange, Filter};
}

/// A filter: its configuration, and an exchange's state, which is an [`HttpContext`].
pub trait Filter: HttpContext + Sized + 'static {
    /// What the manifest's `config` means.
    type Config: 'static;

    /// Reads the manifest's `config`: a string as it is, a table as JSON.
    ///
    /// # Errors
    /// A sentence; it refuses the manifest.
    fn configure(config: &[u8]) -> Result<Self::Config, String>;

    /// An exchange begins.
    fn begin(config: &Rc<Self::Config>) -> Self;
}

/// Makes a [`Filter`] the module's.
#[macro_export]
macro_rules! filter {
    ($filter:ty) => {
        // Elsewhere it would be everyone's.
        #[cfg(target_arch = "wasm32")]
        $crate::proxy_wasm::main! {{ $crate::filter::start::<$filter>() }}

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = $crate::filter::start::<$filter>;
    };
}

/// Called once an instance, by `filter!`.
pub fn start<T: Filter>() {
    // Without a hook, a panic is a trap that says nothing.
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        let _ = hostcalls::log(LogLevel::Critical, &panic.to_string());
    }));
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Plugin::<T>::new()));
}

/// What all exchanges of an instance share.
pub struct Plugin<T: Filter> {
    config: Option<Rc<T::Config>>,
}

impl<T: Filter> Plugin<T> {
    /// One that has not been configured yet.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "the gateway makes it, nobody else")]
    pub fn new() -> Plugin<T> {
        Plugin { config: None }
    }
}

impl<T: Filter> Context for Plugin<T> {}

impl<T: Filter> RootContext for Plugin<T> {
    fn on_configure(&mut self, _: usize) -> bool {
        match T::configure(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => self.config = Some(Rc::new(config)),
            Err(problem) => {
                let _ = hostcalls::log(LogLevel::Error, &problem);
            }
        }
        self.config.is_some()
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(T::begin(self.config.as_ref()?)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Reads a configuration in JSON as a type of serde's.
///
/// # Errors
/// What is wrong with it, and where.
#[cfg(feature = "json")]
pub fn json<T: serde::de::DeserializeOwned>(config: &[u8]) -> Result<T, String> {
    // Without `config` the manifest says nothing: an empty table.
    let config = if config.is_empty() { &b"{}"[..] } else { config };
    serde_json::from_slice(config).map_err(|error| format!("config: {error}"))
}

/// What filters often do with an exchange.
pub trait Exchange: HttpContext {
    /// The request's body once it is whole; until then return [`Action::Pause`].
    ///
    /// [`Action::Pause`]: proxy_wasm::types::Action::Pause
    fn whole_request_body(&self, size: usize, last: bool) -> Option<Vec<u8>> {
        last.then(|| self.get_http_request_body(0, size).unwrap_or_default())
    }

    /// The response's body once it is whole; until then return [`Action::Pause`].
    ///
    /// [`Action::Pause`]: proxy_wasm::types::Action::Pause
    fn whole_response_body(&self, size: usize, last: bool) -> Option<Vec<u8>> {
        last.then(|| self.get_http_response_body(0, size).unwrap_or_default())
    }

    /// A property that is text, such as `["source", "address"]`.
    fn text_property(&self, path: &[&str]) -> Option<String> {
        String::from_utf8(self.get_property(path.to_vec())?).ok()
    }

    /// A property that is a number, such as `["response", "code"]`.
    fn number_property(&self, path: &[&str]) -> Option<i64> {
        let bytes = self.get_property(path.to_vec())?;
        bytes.try_into().ok().map(i64::from_le_bytes)
    }

    /// A property that is a truth, such as `["connection", "mtls"]`.
    fn truth_property(&self, path: &[&str]) -> Option<bool> {
        self.get_property(path.to_vec())?.first().map(|byte| *byte != 0)
    }

    /// Whether the response's media type is this one, whatever its parameters.
    fn response_is(&self, kind: &str) -> bool {
        is_kind(self.get_http_response_header("content-type"), kind)
    }

    /// Whether the request's media type is this one, whatever its parameters.
    fn request_is(&self, kind: &str) -> bool {
        is_kind(self.get_http_request_header("content-type"), kind)
    }

    /// Takes away what described the response's body before it was changed.
    fn response_will_change(&self) {
        for name in ["content-length", "etag", "accept-ranges", "content-md5", "digest"] {
            self.set_http_response_header(name, None);
        }
    }
}

fn is_kind(header: Option<String>, kind: &str) -> bool {
    let media = |header: &str| header.split(';').next().map(|media| media.trim().to_lowercase());
    header.as_deref().and_then(media).is_some_and(|media| media == kind)
}

impl<T: HttpContext + ?Sized> Exchange for T {}
