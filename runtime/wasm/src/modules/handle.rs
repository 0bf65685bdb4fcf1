//! A module as scripts hold it: calls that are over when they return, and calls that may wait.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use pilotlight_abi::Value;
use pilotlight_filter::engine::Type;
use pilotlight_filter::host::{Called, Module, NUMBERS_MAX, Outcome};

use super::{Code, Given, Pool};

/// A module, by its instances on this worker.
pub(crate) struct Handle(pub(crate) Rc<Pool>);

impl Module for Handle {
    fn functions(&self) -> &[Box<str>] {
        &self.0.callee.names
    }

    fn call(&self, function: usize, arguments: Vec<Value>) -> Called {
        match self.at_once(function, Given { bytes: None, values: &arguments }) {
            Some(outcome) => Called::Done(outcome),
            None => self.begin(function, None, arguments),
        }
    }

    fn call_plain(&self, function: usize, text: Option<&[u8]>, numbers: &[f64]) -> Called {
        let numbers = numbers.iter().take(NUMBERS_MAX).map(|number| Value::number(*number));
        if !self.0.callee.is_inline() {
            return self.begin(function, text.map(Bytes::copy_from_slice), numbers.collect());
        }
        let mut values = [const { Value::Nil }; NUMBERS_MAX];
        let values = &mut values[..numbers.len()];
        values.iter_mut().zip(numbers).for_each(|(value, number)| *value = number);
        Called::Done(self.0.run(function, Given { bytes: text, values }))
    }

    fn pass(&self, function: usize, bytes: Bytes, arguments: Vec<Value>) -> Called {
        match self.at_once(function, Given { bytes: Some(&bytes), values: &arguments }) {
            Some(outcome) => Called::Done(outcome),
            None => self.begin(function, Some(bytes), arguments),
        }
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

impl Handle {
    /// A call that is over when this returns, if this module's are.
    fn at_once(&self, function: usize, given: Given<'_>) -> Option<Outcome> {
        self.0.callee.is_inline().then(|| self.0.run(function, given))
    }

    fn begin(&self, function: usize, bytes: Option<Bytes>, arguments: Vec<Value>) -> Called {
        let mut call = Box::pin(Rc::clone(&self.0).call(function, bytes, arguments));
        // The first slice runs at once: most calls end in it.
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Called::Done(result),
            Poll::Pending => Called::Running(call),
        }
    }
}
