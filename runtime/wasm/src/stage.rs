//! How a host call finds the exchange: it is on stage while the filter's phase is being polled.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::null_mut;
use std::rc::Rc;

use pilotlight_filter::Exchange;

/// A place for the exchange that a guest works on, shared by its filter and its host calls.
#[derive(Clone)]
pub(crate) struct Stage(Rc<Cell<*mut Exchange>>);

impl Default for Stage {
    fn default() -> Stage {
        Stage(Rc::new(Cell::new(null_mut())))
    }
}

/// While it lives, the exchange is on stage.
pub(crate) struct OnStage<'a> {
    stage: &'a Stage,
    _exchange: PhantomData<&'a mut Exchange>,
}

impl Stage {
    /// Puts the exchange on stage until the guard drops; nobody else can touch it meanwhile.
    pub(crate) fn enter<'a>(&'a self, exchange: &'a mut Exchange) -> OnStage<'a> {
        self.0.set(exchange);
        OnStage { stage: self, _exchange: PhantomData }
    }

    /// Works on the exchange; `None` when there is none (at start-up, and after its end).
    #[inline]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Exchange) -> R) -> Option<R> {
        // Taken for the time of `work`, so that a call within it finds the stage empty.
        let exchange = self.0.replace(null_mut());
        if exchange.is_null() {
            return None;
        }
        // SAFETY: the pointer was made from the `&mut` that the living guard borrows, and taking
        // it out of the cell makes this the only reference to be made from it.
        let result = work(unsafe { &mut *exchange });
        self.0.set(exchange);
        Some(result)
    }
}

impl Drop for OnStage<'_> {
    fn drop(&mut self) {
        self.stage.0.set(null_mut());
    }
}
