//! Filters driven by `cargo test`: natively, without a gateway and without Wasm.
//!
//! ```
//! # use pilotlight_sdk::filter::prelude::*;
//! # struct Greeter(Rc<String>);
//! # impl Context for Greeter {}
//! # impl HttpContext for Greeter {
//! #     fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
//! #         self.set_http_response_header("x-greeting", Some(&self.0));
//! #         Action::Continue
//! #     }
//! # }
//! # impl Filter for Greeter {
//! #     type Config = String;
//! #     fn configure(config: &[u8]) -> Result<String, String> {
//! #         String::from_utf8(config.to_vec()).map_err(|error| error.to_string())
//! #     }
//! #     fn begin(config: &Rc<String>) -> Greeter { Greeter(Rc::clone(config)) }
//! # }
//! use pilotlight_sdk::testing::{Host, Request, Response};
//!
//! let mut host = Host::of::<Greeter>("hello").unwrap();
//! let outcome = host.exchange(Request::get("/"), Response::new(200).body("hi"));
//! assert_eq!(outcome.headers.get("x-greeting"), Some("hello"));
//! ```
//!
//! The module itself, as the gateway runs it, is tested by `pilotlight test`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::traits::{HttpContext, RootContext};
use proxy_wasm::types::LogLevel;

use crate::filter::{Filter, Plugin};

mod calls;
mod exchange;
mod message;
mod world;

pub use message::{Headers, Outcome, Request, Response, Sent};
pub use world::Call;

use world::{OnStage, Owner, World};

/// A stand-in for an upstream: its answer, or `None` when it cannot be reached.
type Upstream = Box<dyn Fn(&Call) -> Option<Response>>;

/// What a worker's instance of a filter lives in.
pub struct Host {
    world: Rc<RefCell<World>>,
    root: Box<dyn RootContext>,
    upstreams: Vec<(String, Upstream)>,
    contexts: u32,
}

/// The id of the root context.
const ROOT: u32 = 1;

impl Host {
    /// A filter, configured.
    ///
    /// # Errors
    /// What it has logged when it refused its configuration.
    pub fn of<T: Filter>(config: &str) -> Result<Host, String> {
        Host::new(Box::new(Plugin::<T>::new()), config)
    }

    /// The same for a root context of one's own.
    ///
    /// # Errors
    /// What it has logged when it refused its configuration.
    pub fn new(root: Box<dyn RootContext>, config: &str) -> Result<Host, String> {
        let world = Rc::new(RefCell::new(World::new(config)));
        let mut host = Host { world, root, upstreams: Vec::new(), contexts: ROOT };
        let started = {
            let _stage = host.enter(Owner::Root);
            host.root.on_vm_start(0) && host.root.on_configure(config.len())
        };
        if started { Ok(host) } else { Err(host.logs().join("\n")) }
    }

    /// Stands in for an upstream that the filter calls by `dispatch_http_call`.
    pub fn upstream(
        &mut self,
        name: &str,
        answer: impl Fn(&Call) -> Option<Response> + 'static,
    ) -> &mut Host {
        self.upstreams.push((name.to_owned(), Box::new(answer)));
        self
    }

    /// Sets a property, in the ABI's encoding: text as it is, numbers as eight bytes.
    pub fn property(&mut self, path: &[&str], value: impl AsRef<[u8]>) -> &mut Host {
        let path = path.join("\0").into_bytes();
        self.world.borrow_mut().properties.insert(path, value.as_ref().to_vec());
        self
    }

    /// A property as it is now.
    #[must_use]
    pub fn property_of(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.world.borrow().properties.get(path.join("\0").as_bytes()).cloned()
    }

    /// What stands under a key of the shared data.
    #[must_use]
    pub fn shared(&self, key: &str) -> Option<Vec<u8>> {
        self.world.borrow().shared.get(key.as_bytes()).map(|(value, _)| value.clone())
    }

    /// A metric's value: of a histogram, the sum of what was recorded.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<u64> {
        let world = self.world.borrow();
        world.metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value)
    }

    /// What was logged so far.
    #[must_use]
    pub fn logs(&self) -> Vec<String> {
        self.world.borrow().logs.iter().map(|(_, text)| text.clone()).collect()
    }

    /// What was logged at this level or a graver one.
    #[must_use]
    pub fn logs_from(&self, level: LogLevel) -> Vec<String> {
        let world = self.world.borrow();
        let grave = world.logs.iter().filter(|(own, _)| *own as u32 >= level as u32);
        grave.map(|(_, text)| text.clone()).collect()
    }

    /// Lets time pass: ticks that fall due come, one after the other.
    pub fn pass(&mut self, time: Duration) {
        let end = self.world.borrow().now + time;
        loop {
            let next = self.world.borrow().next_tick();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.world.borrow_mut().now = next;
            let stage = self.enter(Owner::Root);
            self.root.on_tick();
            drop(stage);
            self.answer_calls(None);
        }
        self.world.borrow_mut().now = end;
    }

    fn enter(&self, owner: Owner) -> OnStage {
        OnStage::enter(&self.world, owner)
    }

    /// Answers the calls that are open, and those made meanwhile.
    fn answer_calls(&mut self, mut stream: Option<&mut Box<dyn HttpContext>>) {
        while let Some(call) = { self.world.borrow_mut().calls.pop_front() } {
            let stand_in = self.upstreams.iter().find(|(name, _)| *name == call.upstream);
            let Some((_, answer)) = stand_in else {
                panic!("a call to {:?}, for which nothing stands in", call.upstream);
            };
            let (headers, body, trailers) =
                self.world.borrow_mut().answered(answer(&call).as_ref());
            let _stage = self.enter(call.owner);
            match &mut stream {
                Some(stream) if call.owner == Owner::Stream => {
                    stream.on_http_call_response(call.token, headers, body, trailers);
                }
                _ => self.root.on_http_call_response(call.token, headers, body, trailers),
            }
        }
    }
}
