//! Functions of modules that a body passes on its way: its bytes never enter Lua.
//!
//! ```text
//! chunk ─▶ stage ─▶ stage ─▶ the filter's own body phase ─▶ the chain
//! ```
//! A call that takes long is polled with the chunk; meanwhile nobody asks the body for more.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use pilotlight_filter::abi::{Value, limit};
use pilotlight_filter::host::{Called, Module, Outcome, Wait};
use pilotlight_filter::{Chunk, Fault, FaultKind};

/// A function in the way of a body.
pub(crate) struct Stage {
    module: Rc<dyn Module>,
    function: usize,
    /// What follows the chunk.
    arguments: Vec<Value>,
    /// `module.function`, for messages.
    name: String,
    /// Which exchange's, and which body of it.
    serial: f64,
    pub(crate) is_response: bool,
    /// It is told whether a chunk is the last, and called once more when that is known late.
    told: bool,
    /// What came so far, where it takes the body whole.
    whole: Option<BytesMut>,
    /// Something came.
    begun: bool,
    running: Option<Wait<Outcome>>,
}

impl Stage {
    /// `function`: the module and the place of its function. `place`: the serial of the exchange, and
    /// whether the body is its response's.
    pub(crate) fn new(
        module_name: &str,
        function: (Rc<dyn Module>, usize),
        arguments: Vec<Value>,
        whole: bool,
        place: (f64, bool),
    ) -> Stage {
        let (module, function) = function;
        let function_name = module.functions().get(function).map_or("", |name| &**name);
        let name = format!("{module_name}.{function_name}");
        let own = if whole { None } else { module.stream(function, arguments.len()) };
        Stage {
            told: own.is_some(),
            module: own.unwrap_or(module),
            function,
            arguments,
            name,
            serial: place.0,
            is_response: place.1,
            whole: whole.then(BytesMut::new),
            begun: false,
            running: None,
        }
    }

    /// Whether it was placed for this exchange.
    pub(crate) fn is_of(&self, serial: u64) -> bool {
        self.serial == serial as f64
    }

    /// Lets a chunk pass: ready when it is what the function made of it. When that fails, the chunk is
    /// what it was before, with all that was held back.
    fn poll(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<Result<(), Fault>> {
        if self.running.is_none() {
            self.begun |= !chunk.data.is_empty();
            if let Some(whole) = &mut self.whole {
                whole.extend_from_slice(&chunk.data);
                if whole.len() as u64 > limit::BODY_COLLECT {
                    chunk.data = std::mem::take(whole).freeze();
                    return Poll::Ready(Err(self.fault("the body is too large")));
                }
                chunk.data = match chunk.last {
                    true => std::mem::take(whole).freeze(),
                    false => Bytes::new(),
                };
            }
            // What is empty stays empty; but who was told of chunks is told of the end.
            if chunk.data.is_empty() && !(self.told && chunk.last && self.begun) {
                return Poll::Ready(Ok(()));
            }
            match self.module.pass(self.function, chunk.data.clone(), self.arguments_for(chunk)) {
                Called::Done(result) => return Poll::Ready(self.put(result, chunk)),
                Called::Running(wait) => self.running = Some(wait),
            }
        }
        let Some(wait) = &mut self.running else { return Poll::Ready(Ok(())) };
        let result = ready!(wait.as_mut().poll(cx));
        self.running = None;
        Poll::Ready(self.put(result, chunk))
    }

    /// What follows the bytes.
    fn arguments_for(&self, chunk: &Chunk) -> Vec<Value> {
        let mut arguments = Vec::with_capacity(self.arguments.len() + 1);
        arguments.extend(self.told.then_some(Value::Bool(chunk.last)));
        arguments.extend_from_slice(&self.arguments);
        arguments
    }

    fn put(&self, result: Outcome, chunk: &mut Chunk) -> Result<(), Fault> {
        match result {
            Ok(Value::Bytes(made)) => {
                chunk.data = made.into();
                Ok(())
            }
            Ok(other) => Err(self.fault(&format!("it must give a string, not a {}", other.kind()))),
            Err(Value::Bytes(text)) => Err(self.fault(&String::from_utf8_lossy(&text))),
            Err(_) => Err(self.fault("it gave an error")),
        }
    }

    fn fault(&self, message: &str) -> Fault {
        Fault::new(FaultKind::Trap, format!("transform by {}: {message}", self.name))
    }
}

/// The stages that a filter has placed in one body's way.
#[derive(Default)]
pub(crate) struct Line {
    stages: Vec<Stage>,
    /// Where the chunk at hand is.
    at: usize,
}

impl Line {
    pub(crate) fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    pub(crate) fn push(&mut self, stage: Stage) {
        self.stages.push(stage);
    }

    /// Lets a chunk pass all stages.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &mut Chunk,
    ) -> Poll<Result<(), Fault>> {
        while let Some(stage) = self.stages.get_mut(self.at) {
            ready!(stage.poll(cx, chunk))?;
            self.at += 1;
        }
        self.at = 0;
        Poll::Ready(Ok(()))
    }
}
