//! Who holds a stream beside its connection.

use std::cell::RefCell;
use std::rc::Rc;

use super::core::Core;

/// Which half of a stream somebody holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    /// What comes.
    Reader,
    /// What goes.
    Writer,
}

/// A hold on half a stream. Dropping it gives that half up.
pub(crate) struct Link {
    pub(crate) core: Rc<RefCell<Core>>,
    pub(crate) id: u32,
    half: Half,
}

impl Link {
    /// `None` when the stream is gone already.
    pub(crate) fn new(core: &Rc<RefCell<Core>>, id: u32, half: Half) -> Option<Link> {
        core.borrow_mut().streams.get_mut(&id)?.holders += 1;
        Some(Link { core: core.clone(), id, half })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut core = self.core.borrow_mut();
        let id = self.id;
        match self.half {
            Half::Reader => core.unwant(id),
            Half::Writer => core.unwrite(id),
        }
        if let Some(stream) = core.streams.get_mut(&id) {
            stream.holders -= 1;
        }
        core.forget(id);
    }
}
