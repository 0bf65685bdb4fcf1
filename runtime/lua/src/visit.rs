//! A stretch of a script: where and for whom it runs, and how it ended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::abi::Phase;
use pilotlight_filter::{Exchange, Fault};

use crate::output::Output;

/// How a stretch of a script ended.
pub(crate) enum Ran {
    /// Its results are on the thread's stack.
    Done,
    /// It waits: the operation and its arguments are on the thread's stack, from 2 on.
    Waits,
    /// The thread is dead.
    Failed(Fault),
}

/// Where and for whom a stretch runs.
pub(crate) struct Visit<'a> {
    pub(crate) exchange: Option<&'a mut Exchange>,
    pub(crate) filter: &'a Arc<str>,
    /// CPU time of one call, as the filter's limits have it.
    pub(crate) cpu: Duration,
    /// `None` in the background.
    pub(crate) phase: Option<Phase>,
    /// The task's number, in the background.
    pub(crate) task: u32,
    /// Where a script that answers writes.
    pub(crate) output: Option<&'a Rc<Output>>,
}

impl Visit<'_> {
    /// The same for one more stretch.
    pub(crate) fn again(&mut self) -> Visit<'_> {
        Visit { exchange: self.exchange.as_deref_mut(), ..*self }
    }

    /// Where a script was, in messages.
    pub(crate) fn name(&self) -> &'static str {
        self.phase.map_or("background", Phase::name)
    }
}
