//! An instance whose calls run on a fiber: what a call is given and gives lies on its desk.
//!
//! ```text
//! worker   take: arguments on the desk ─ poll ─┐                ┌─ Pending: its slice is over
//! fiber                               enter ◀──┘ ── functions ──┴─ result on the desk
//! ```
//! A fiber for each call. One that stays and waits takes fewer instructions and more time: where a
//! processor foresees returns, it finds another stack's.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_abi::Value;
use pilotlight_filter::Fault;
use pilotlight_filter::engine::Signature;
use wasmtime::{AsContextMut, Caller, Func, Store, TypedFunc, ValRaw};

use super::core::{Exports, arrange};
use super::values::shown;
use super::{Arguments, Failed};
use crate::fault::fault_of;
use crate::host::Host;

/// An instance.
pub(super) struct OnFiber {
    store: Store<Host>,
    signatures: Arc<[Signature]>,
    /// Runs the call that lies on the desk.
    enter: TypedFunc<(), ()>,
    desk: Rc<Desk>,
}

/// A call, on its way to the fiber and back.
#[derive(Default)]
pub(crate) struct Desk {
    function: Cell<usize>,
    /// Its arguments, then its result.
    numbers: RefCell<Box<[ValRaw]>>,
    /// With strings, all that it is given.
    arguments: RefCell<Option<Arguments<'static>>>,
    /// A result that is a string.
    text: RefCell<Option<Vec<u8>>>,
    fault: Cell<Option<Fault>>,
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
        let enter = enter.typed(&store).map_err(|error| fault_of(&error, store.data()))?;
        Ok(OnFiber { store, signatures, enter, desk })
    }

    /// Lays a call on the desk.
    ///
    /// # Errors
    /// When the arguments don't fit.
    pub(super) fn take(&mut self, function: usize, arguments: Arguments<'_>) -> Result<(), Failed> {
        let mut numbers = self.desk.numbers.borrow_mut();
        let has_text = arrange(&self.signatures[function], arguments.given(), &mut numbers)?;
        if has_text {
            *self.desk.arguments.borrow_mut() = Some(arguments.into_owned());
        }
        self.desk.function.set(function);
        Ok(())
    }

    /// Runs the call on the desk.
    pub(super) fn enter(&mut self) -> impl Future<Output = wasmtime::Result<()>> {
        self.enter.call_async(&mut self.store, ())
    }

    /// What the call on the desk gave, now that it was entered.
    pub(super) fn result(&self, entered: wasmtime::Result<()>) -> Result<Value, Failed> {
        if let Err(error) = entered {
            return Err(fault_of(&error, self.store.data()).into());
        }
        if let Some(fault) = self.desk.fault.take() {
            return Err(fault.into());
        }
        let (ty, text) = (self.signatures[self.desk.function.get()].result, self.desk.text.take());
        Ok(shown(ty, self.desk.numbers.borrow()[0], text))
    }
}

impl Desk {
    fn run(&self, exports: &Exports, caller: &mut Caller<'_, Host>) {
        let arguments = self.arguments.take();
        let given = arguments.as_ref().map(Arguments::given);
        let mut numbers = self.numbers.borrow_mut();
        match exports.call(caller.as_context_mut(), self.function.get(), given, &mut numbers) {
            Ok(text) => *self.text.borrow_mut() = text,
            Err(fault) => self.fault.set(Some(fault)),
        }
    }
}
