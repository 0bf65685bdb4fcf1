//! Starts a filter once at load, so that one which refuses its configuration refuses the manifest.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_filter::host::{Level, LogLine};
use pilotlight_filter::{Fault, Services};

use crate::engine::Mistake;
use crate::host::{Budget, Gauge};
use crate::proxy_wasm::hub::Hub;
use crate::proxy_wasm::pool::{Pool, Program};
use crate::ticker::Ticker;

/// Starts it, inline, in an instance that is thrown away. True when it has something to do without
/// an exchange.
pub(crate) fn start(
    program: &Program,
    ticker: &Arc<Ticker>,
    budget: &Arc<Budget>,
) -> Result<bool, Mistake> {
    let deaf = Rc::new(Deaf::default());
    // What it shares at the trial is seen by nobody.
    let hub = Arc::<Hub>::default();
    let trial = Program {
        name: Arc::clone(&program.name),
        pre: program.pre.clone(),
        pooled: None,
        config: program.config.clone(),
        on_fiber: false,
        root_id: program.root_id.clone(),
        space: hub.space(program.space.id()),
        hub,
        upstreams: program.upstreams.clone(),
        ..*program
    };
    let pool =
        Pool::new(Arc::new(trial), Arc::clone(ticker), Rc::clone(&deaf) as _, Gauge::new(budget));
    let Fault { message, .. } = match pool.shared() {
        Ok(shared) => {
            pool.close();
            return Ok(shared.root.wanted.get());
        }
        Err(fault) => fault,
    };
    let said = deaf.last.borrow();
    let message = match said.is_empty() {
        true => message,
        false => format!("{message}: {said}"),
    };
    let prefix = format!("{}: ", program.name);
    Err(Mistake::new(message.strip_prefix(&prefix).unwrap_or(&message)))
}

/// The world as a filter sees it while it is being checked: nothing but a log.
#[derive(Default)]
struct Deaf {
    last: RefCell<String>,
}

impl Services for Deaf {
    fn log(&self, line: &LogLine<'_>) {
        if line.level <= Level::Warn {
            *self.last.borrow_mut() = line.message.to_owned();
        }
    }

    fn logs(&self, level: Level) -> bool {
        level <= Level::Warn
    }
}
