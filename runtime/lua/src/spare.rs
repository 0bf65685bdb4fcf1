//! A worker's next VM, made ahead where scripts get killed: whoever comes after a kill waits for none.

use std::rc::Rc;

use crate::vm::Vm;

/// Scripts that are killed once are so again, so a worker that had to replace its VM makes another behind the
/// exchange that found it gone, and keeps that until it rests.
#[derive(Default)]
pub(crate) enum Spare {
    #[default]
    None,
    /// One is to be made. What was killed goes before, if it has not: its memory is for the next.
    Owed(Option<Rc<Vm>>),
    Made(Rc<Vm>),
}

impl Spare {
    pub(crate) fn is_owed(&self) -> bool {
        matches!(self, Spare::Owed(_))
    }

    /// Bytes that it holds.
    pub(crate) fn used(&self) -> usize {
        match self {
            Spare::Made(vm) | Spare::Owed(Some(vm)) => vm.used(),
            Spare::Owed(None) | Spare::None => 0,
        }
    }
}
