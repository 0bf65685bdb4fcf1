//! An instance whose calls run on a fiber: what a call is given and gives lies on its desk.
//!
//! ```text
//! worker   take: arguments on the desk ─ poll ─┐                ┌─ Pending: its slice is over
//! fiber                               enter ◀──┘ ── functions ──┴─ result on the desk
//! ```
//! One future serves call after call, with a fiber for each. A fiber that stays and waits takes fewer
//! instructions yet, and more time: where a processor foresees returns, it finds another stack's.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use pilotlight_abi::Value;
use pilotlight_filter::Fault;
use pilotlight_filter::engine::Signature;
use wasmtime::{AsContextMut, Caller, Func, Store, ValRaw};

use super::core::{Exports, arrange};
use super::values::shown;
use super::{Arguments, Failed};
use crate::fault::fault_of;
use crate::host::Host;

/// An instance.
pub(super) struct OnFiber {
    signatures: Arc<[Signature]>,
    desk: Rc<Desk>,
    /// Runs the calls on the desk, and waits for them.
    calls: Pin<Box<dyn Future<Output = Infallible>>>,
}

/// A call, on its way to the fiber and back.
#[derive(Default)]
pub(crate) struct Desk {
    is_called: Cell<bool>,
    has_ended: Cell<bool>,
    function: Cell<usize>,
    /// Its arguments, then its result.
    numbers: RefCell<Box<[ValRaw]>>,
    /// With strings, all that it is given.
    arguments: RefCell<Option<Arguments<'static>>>,
    /// A result that is a string.
    text: RefCell<Option<Vec<u8>>>,
    failure: Cell<Option<Failed>>,
}

impl OnFiber {
    pub(super) fn new(
        mut store: Store<Host>,
        exports: Exports,
        numbers: Box<[ValRaw]>,
    ) -> Result<OnFiber, Fault> {
        let desk = Rc::new(Desk { numbers: RefCell::new(numbers), ..Desk::default() });
        store.data_mut().desk = Some(Rc::clone(&desk));
        let signatures = Arc::clone(&exports.signatures);
        let enter = Func::wrap(&mut store, move |mut caller: Caller<'_, Host>| {
            if let Some(desk) = caller.data().desk.clone() {
                desk.run(&exports, &mut caller);
            }
        });
        let enter = enter.typed::<(), ()>(&store).map_err(|e| fault_of(&e, store.data()))?;
        let theirs = Rc::clone(&desk);
        let calls = Box::pin(async move {
            loop {
                poll_fn(|_| if theirs.is_called.take() { Poll::Ready(()) } else { Poll::Pending })
                    .await;
                if let Err(error) = enter.call_async(&mut store, ()).await {
                    theirs.failure.set(Some(fault_of(&error, store.data()).into()));
                }
                theirs.has_ended.set(true);
            }
        });
        Ok(OnFiber { signatures, desk, calls })
    }

    /// Lays a call on the desk, one at a time. It has ended if its arguments don't fit.
    pub(super) fn take(&mut self, function: usize, arguments: Arguments<'_>) {
        let desk = &*self.desk;
        let numbers = &mut desk.numbers.borrow_mut();
        match arrange(&self.signatures[function], arguments.given(), numbers) {
            Ok(has_text) => {
                if has_text {
                    *desk.arguments.borrow_mut() = Some(arguments.into_owned());
                }
                desk.function.set(function);
                desk.is_called.set(true);
            }
            Err(failed) => {
                desk.failure.set(Some(failed));
                desk.has_ended.set(true);
            }
        }
    }

    /// Runs the call on the desk: to its end, or until its slice is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Value, Failed>> {
        let desk = &*self.desk;
        if !desk.has_ended.get() {
            let Poll::Pending = self.calls.as_mut().poll(cx);
        }
        if !desk.has_ended.take() {
            return Poll::Pending;
        }
        if let Some(failed) = desk.failure.take() {
            return Poll::Ready(Err(failed));
        }
        let (ty, text) = (self.signatures[desk.function.get()].result, desk.text.take());
        Poll::Ready(Ok(shown(ty, desk.numbers.borrow()[0], text)))
    }
}

impl Desk {
    fn run(&self, exports: &Exports, caller: &mut Caller<'_, Host>) {
        let arguments = self.arguments.take();
        let given = arguments.as_ref().map(Arguments::given);
        let mut numbers = self.numbers.borrow_mut();
        match exports.call(caller.as_context_mut(), self.function.get(), given, &mut numbers) {
            Ok(text) => *self.text.borrow_mut() = text,
            Err(fault) => self.failure.set(Some(fault.into())),
        }
    }
}
