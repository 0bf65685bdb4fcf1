//! The programs that are booted in a VM: at most so many of those that can be booted again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pilotlight_filter::abi::limit::LUA_PROGRAMS;

use crate::program::Program;

/// By the scripts' indexes.
#[derive(Default)]
pub(super) struct Booted {
    programs: RefCell<Vec<Option<Rc<Program>>>>,
    /// How many may go, and where the search for the next that does begins.
    passing: Cell<usize>,
    hand: Cell<usize>,
}

impl Booted {
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Rc<Program>> {
        let program = self.programs.borrow().get(index).cloned().flatten()?;
        program.used.set(true);
        Some(program)
    }

    /// Adds one; what went for it, when there are too many: one that nobody has used for long, and that
    /// no exchange holds.
    pub(super) fn set(&self, index: usize, program: Rc<Program>) -> Option<Rc<Program>> {
        let mut programs = self.programs.borrow_mut();
        let full = self.passing.get() >= LUA_PROGRAMS;
        let gone = if full && !program.stays { self.pass(&mut programs) } else { None };
        let more = usize::from(!program.stays) - usize::from(gone.is_some());
        self.passing.set(self.passing.get() + more);
        if programs.len() <= index {
            programs.resize(index + 1, None);
        }
        programs[index] = Some(program);
        gone
    }

    /// The first that was not used since this came by last (a clock's second chance).
    fn pass(&self, programs: &mut [Option<Rc<Program>>]) -> Option<Rc<Program>> {
        let at = (0..2 * programs.len()).map(|step| (self.hand.get() + step) % programs.len());
        let found = at.into_iter().find(|at| {
            let goes = |program: &Rc<Program>| {
                !program.stays && !program.used.replace(false) && Rc::strong_count(program) == 1
            };
            programs[*at].as_ref().is_some_and(goes)
        })?;
        self.hand.set(found + 1);
        programs[found].take()
    }
}
