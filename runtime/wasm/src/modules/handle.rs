//! A module as scripts hold it: calls that are over when they return, and calls that may wait.

use std::rc::Rc;

use bytes::Bytes;
use pilotlight_abi::Value;
use pilotlight_filter::engine::Type;
use pilotlight_filter::host::{Called, Module};

use super::{Arguments, Code, Pool};

/// A module, by its instances on this worker.
pub(crate) struct Handle(pub(crate) Rc<Pool>);

impl Module for Handle {
    fn functions(&self) -> &[Box<str>] {
        &self.0.callee.names
    }

    fn call(&self, function: usize, arguments: Vec<Value>) -> Called {
        self.0.start(function, Arguments::Own(None, arguments))
    }

    fn call_plain(&self, function: usize, text: Option<&[u8]>, numbers: &[f64]) -> Called {
        self.0.start(function, Arguments::Plain(text, numbers))
    }

    fn pass(&self, function: usize, bytes: Bytes, arguments: Vec<Value>) -> Called {
        self.0.start(function, Arguments::Own(Some(bytes), arguments))
    }

    fn stream(&self, function: usize, arguments: usize) -> Option<Rc<dyn Module>> {
        let told = match &self.0.callee.code {
            Code::Core(core) => {
                let parameters = &core.functions.get(function)?.parameters;
                parameters.len() == arguments + 2 && parameters[1] == Type::Bool
            }
            #[cfg(feature = "components")]
            Code::Typed(typed) => typed.is_told(function, arguments),
        };
        told.then(|| Rc::new(Handle(Rc::new(self.0.apart()))) as Rc<dyn Module>)
    }
}
