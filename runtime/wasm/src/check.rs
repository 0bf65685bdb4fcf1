//! Starts a filter once at load, so that one which refuses its configuration refuses the manifest.

use std::rc::Rc;
use std::sync::Arc;

use pilotlight_filter::{Fault, Services};

use crate::engine::Mistake;
use crate::proxy_wasm::hub::Hub;
use crate::proxy_wasm::pool::{Pool, Program};
use crate::ticker::Ticker;

/// Starts it, inline, in an instance that is thrown away. True when it has something to do without
/// an exchange.
pub(crate) fn start(program: &Program, ticker: &Arc<Ticker>) -> Result<bool, Mistake> {
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
    let pool = Pool::new(Arc::new(trial), Arc::clone(ticker), Rc::new(Nothing));
    let Fault { message, .. } = match pool.shared() {
        Ok(shared) => {
            pool.close();
            return Ok(shared.root.wanted.get());
        }
        Err(fault) => fault,
    };
    let prefix = format!("{}: ", program.name);
    Err(Mistake::new(message.strip_prefix(&prefix).unwrap_or(&message)))
}

/// The world as a filter sees it while it is being checked.
struct Nothing;

impl Services for Nothing {}
