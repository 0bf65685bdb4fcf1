//! Values of the host that scripts hold by a number: TLS sessions, certificates, keys.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use pilotlight_filter::abi::limit;

/// A VM's values. The prelude wraps their numbers so that scripts can't make them up, and lets go of
/// them when Lua has collected the wrap (`prelude/token.lua`).
#[derive(Default)]
pub(crate) struct Tokens {
    all: RefCell<BTreeMap<u32, Rc<dyn Any>>>,
    last: Cell<u32>,
}

impl Tokens {
    /// Keeps a value; `None` when there are too many.
    pub(crate) fn keep(&self, value: Rc<dyn Any>) -> Option<u32> {
        let mut all = self.all.borrow_mut();
        if all.len() >= limit::LUA_HANDLES {
            return None;
        }
        let next = |number: u32| number.wrapping_add(1).max(1);
        let mut number = next(self.last.get());
        while all.contains_key(&number) {
            number = next(number);
        }
        self.last.set(number);
        all.insert(number, value);
        Some(number)
    }

    /// What a number stands for, if it is of this kind.
    pub(crate) fn get<T: 'static>(&self, number: f64) -> Option<Rc<T>> {
        self.any(number)?.downcast().ok()
    }

    /// What a number stands for.
    pub(crate) fn any(&self, number: f64) -> Option<Rc<dyn Any>> {
        self.all.borrow().get(&(number as u32)).cloned()
    }

    /// Lets go of it.
    pub(crate) fn forget(&self, number: f64) {
        let taken = self.all.borrow_mut().remove(&(number as u32));
        drop(taken);
    }
}

#[cfg(test)]
mod tests;
