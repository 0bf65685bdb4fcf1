//! Modules that scripts call (contract 5.2): core modules by their declared functions, components
//! by their types.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pilotlight_abi::Value;
use pilotlight_filter::engine::ModuleSpec;
use pilotlight_filter::host::{Called, Outcome};
use pilotlight_filter::{Fault, Services};

#[cfg(feature = "components")]
use crate::component::call as typed;
use crate::host::{Gauge, Host, Limits, Parts};
use crate::stage::Stage;
use crate::ticker::Ticker;
use crate::vm;

mod arguments;
pub(crate) mod core;
mod desk;
mod handle;
mod signature;
mod values;

use arguments::Arguments;
pub(crate) use arguments::{Argument, Given};
pub(crate) use desk::Desk;
use desk::OnFiber;
pub(crate) use handle::Handle;

/// Calls of one module that run at the same time on one worker; further ones wait.
const CALLS_MAX: usize = 16;
/// Instances kept for calls to come.
const IDLE_MAX: usize = 4;

/// A module, ready to be instantiated.
pub(crate) struct Callee {
    pub(crate) name: Arc<str>,
    names: Vec<Box<str>>,
    code: Code,
    cpu: Duration,
    memory: u64,
}

/// What a module is made of.
pub(crate) enum Code {
    Core(core::Core),
    #[cfg(feature = "components")]
    Typed(typed::Typed),
}

impl Code {
    fn names(&self) -> Vec<Box<str>> {
        match self {
            Code::Core(core) => core.functions.iter().map(|f| f.name.as_str().into()).collect(),
            #[cfg(feature = "components")]
            Code::Typed(typed) => typed.names(),
        }
    }

    fn parts(&self) -> Parts {
        match self {
            Code::Core(_) => Parts::MODULE,
            #[cfg(feature = "components")]
            Code::Typed(_) => Parts::COMPONENT,
        }
    }

    /// Whether an instance can serve several calls.
    fn lasts(&self) -> bool {
        match self {
            Code::Core(core) => core.lasts,
            // What it returns is freed by its own `post-return`.
            #[cfg(feature = "components")]
            Code::Typed(_) => true,
        }
    }
}

impl Callee {
    pub(crate) fn new(spec: &ModuleSpec, code: Code) -> Callee {
        let (cpu, memory) = (spec.cpu, spec.memory);
        Callee { name: Arc::clone(&spec.name), names: code.names(), code, cpu, memory }
    }

    /// Whether its calls are so short that they run to their end at once.
    fn is_inline(&self) -> bool {
        matches!(self.code, Code::Core(_)) && self.cpu <= vm::INLINE
    }

    /// A fault's message, with the function that it happened in.
    fn blame(&self, function: usize, message: &str) -> String {
        let (module, function) = (&self.name, &self.names[function]);
        match message.strip_prefix(&**module).and_then(|rest| rest.strip_prefix(": ")) {
            Some(rest) => format!("{module}.{function}: {rest}"),
            None => message.to_owned(),
        }
    }
}

/// An instance.
enum Made {
    Inline(core::Inline),
    OnFiber(OnFiber),
    #[cfg(feature = "components")]
    Typed(typed::Instance),
}

/// Why a call gave nothing.
pub(crate) enum Failed {
    /// Nothing was called: the instance is as it was.
    Arguments(String),
    /// The instance goes with it.
    Trap(Fault),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed::Trap(fault)
    }
}

/// The instances of a module on one worker.
pub(crate) struct Pool {
    callee: Arc<Callee>,
    ticker: Arc<Ticker>,
    services: Rc<dyn Services>,
    pub(crate) gauge: Arc<Gauge>,
    #[allow(clippy::vec_box)] // they move in and out of calls: as pointers
    idle: RefCell<Vec<Box<Made>>>,
    running: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
    /// Its one instance serves call after call, whatever the module exports.
    keeps: bool,
}

impl Pool {
    pub(crate) fn new(
        callee: Arc<Callee>,
        ticker: Arc<Ticker>,
        services: Rc<dyn Services>,
        gauge: Arc<Gauge>,
    ) -> Pool {
        Pool {
            callee,
            ticker,
            services,
            gauge,
            idle: RefCell::default(),
            running: Cell::new(0),
            waiting: RefCell::default(),
            keeps: false,
        }
    }

    /// A pool whose calls follow each other, and find what the one before has left.
    fn apart(&self) -> Pool {
        let (callee, ticker) = (Arc::clone(&self.callee), Arc::clone(&self.ticker));
        let (services, gauge) = (Rc::clone(&self.services), Arc::clone(&self.gauge));
        Pool { keeps: true, ..Pool::new(callee, ticker, services, gauge) }
    }

    pub(crate) fn trim(&self) {
        self.idle.borrow_mut().clear();
    }

    async fn make(&self) -> Result<Made, Fault> {
        let callee = &self.callee;
        let limits = Limits::new(callee.memory, callee.code.parts(), Arc::clone(&self.gauge));
        let (name, services) = (Arc::clone(&callee.name), Rc::clone(&self.services));
        let on_fiber = !callee.is_inline();
        let mut host = Host::new(name, services, Stage::default(), limits, on_fiber);
        host.ticker = Some(Arc::clone(&self.ticker));
        match &callee.code {
            Code::Core(core) => core.make(host, callee.cpu).await,
            #[cfg(feature = "components")]
            Code::Typed(typed) => typed.make(host).await.map(Made::Typed),
        }
    }

    /// Calls a function. Most calls have ended when this returns: those inline, and those that take no
    /// longer than a slice.
    fn start(self: &Rc<Pool>, function: usize, arguments: Arguments<'_>) -> Called {
        if let Err(error) = self.check(function) {
            return Called::Done(Err(error));
        }
        if self.callee.is_inline() {
            return Called::Done(self.inline(function, arguments.given()));
        }
        match self.at_hand() {
            None => begin(Box::pin(Rc::clone(self).call(function, arguments.into_owned()))),
            Some((running, made)) => begin(Call::new(running, function, made, arguments)),
        }
    }

    /// An instance that waits for a call, and a place among the calls that run.
    fn at_hand(self: &Rc<Pool>) -> Option<(Running, Box<Made>)> {
        let is_core = matches!(self.callee.code, Code::Core(_));
        let running = is_core.then(|| Running::enter(self)).flatten()?;
        Some((running, self.idle()?))
    }

    async fn call(self: Rc<Pool>, function: usize, arguments: Arguments<'static>) -> Outcome {
        let place = |cx: &mut Context<'_>| match Running::enter(&self) {
            Some(running) => Poll::Ready(running),
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        };
        let running = poll_fn(place).await;
        let mut made = match self.idle() {
            Some(made) => made,
            // Apart: it is large, and seldom there.
            None => match Box::pin(self.make()).await {
                Ok(made) => Box::new(made),
                Err(fault) => return Err(Value::from(&*fault.message)),
            },
        };
        let called = match (&mut *made, &self.callee.code) {
            (Made::OnFiber(_), _) => return Call::new(running, function, made, arguments).await,
            // Apart, too: what its calls hold is large.
            #[cfg(feature = "components")]
            (Made::Typed(instance), Code::Typed(typed)) => {
                vm::grant(&mut instance.store, self.callee.cpu);
                Box::pin(instance.call(typed, function, arguments.given())).await
            }
            _ => Err(Failed::Arguments("it is another module's instance".into())),
        };
        self.end(function, made, called)
    }

    /// A call that runs to its end at once, in an instance of its own for that long.
    fn inline(&self, function: usize, given: Given<'_>) -> Outcome {
        let mut made = match self.idle() {
            Some(made) => made,
            None => match now(self.make()) {
                Some(Ok(made)) => Box::new(made),
                Some(Err(fault)) => return Err(Value::from(&*fault.message)),
                None => return Err(Value::from("an inline call of a module had to wait")),
            },
        };
        let called = match &mut *made {
            Made::Inline(instance) => instance.call(function, given).map(Ok),
            _ => Err(Failed::Arguments("its calls may wait".into())),
        };
        self.end(function, made, called)
    }

    /// Whether there is such a function.
    fn check(&self, index: usize) -> Result<(), Value> {
        if index < self.callee.names.len() {
            return Ok(());
        }
        Err(Value::from(&*format!("{} has no such function", self.callee.name)))
    }

    fn idle(&self) -> Option<Box<Made>> {
        self.idle.borrow_mut().pop()
    }

    /// What a call gave; its instance is there for the next, if it can be.
    fn end(&self, index: usize, made: Box<Made>, called: Result<Outcome, Failed>) -> Outcome {
        let result = match called {
            Ok(outcome) => outcome,
            Err(Failed::Arguments(text)) => Err(Value::from(&*text)),
            Err(Failed::Trap(Fault { message, .. })) => {
                return Err(Value::from(&*self.callee.blame(index, &message)));
            }
        };
        let mut idle = self.idle.borrow_mut();
        if (self.callee.code.lasts() || self.keeps) && idle.len() < IDLE_MAX {
            idle.push(made);
        }
        result
    }
}

/// A call whose first slice runs now.
fn begin(mut call: impl Future<Output = Outcome> + Unpin + 'static) -> Called {
    match Pin::new(&mut call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Called::Done(outcome),
        Poll::Pending => Called::Running(Box::pin(call)),
    }
}

/// A call on a fiber.
struct Call {
    running: Running,
    function: usize,
    /// `None` once it has ended.
    made: Option<Box<Made>>,
}

impl Call {
    fn new(
        running: Running,
        function: usize,
        mut made: Box<Made>,
        arguments: Arguments<'_>,
    ) -> Call {
        if let Made::OnFiber(instance) = &mut *made {
            instance.take(function, arguments);
        }
        Call { running, function, made: Some(made) }
    }
}

impl Future for Call {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let Some(Made::OnFiber(instance)) = self.made.as_deref_mut() else { return Poll::Pending };
        let called = std::task::ready!(instance.poll(cx)).map(Ok);
        let Some(made) = self.made.take() else { return Poll::Pending };
        Poll::Ready(self.running.0.end(self.function, made, called))
    }
}

/// What a future gives that has nothing to wait for.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// One of the calls that run.
struct Running(Rc<Pool>);

impl Running {
    /// Takes a place among them, if there is one.
    fn enter(pool: &Rc<Pool>) -> Option<Running> {
        let running = pool.running.get();
        if running >= CALLS_MAX {
            return None;
        }
        pool.running.set(running + 1);
        Some(Running(Rc::clone(pool)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        // All of them: one that is woken may be gone by its turn.
        self.0.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}
