//! Starts a filter once before it is used, so that one which refuses its configuration refuses the manifest.
//! The trial sees a world that is always the same, so what went well once is not tried again (`ledger`).

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_filter::{Fault, Services};

use crate::cache;
use crate::engine::Mistake;
use crate::host::{Budget, Gauge};
use crate::proxy_wasm::hub::Hub;
use crate::proxy_wasm::instance::Ready;
use crate::proxy_wasm::pool::{Pool, Program};
use crate::ticker::Ticker;

/// A trial, by all that its course depends on beside this build: the module by the key of its content, what the
/// manifest says of both it and the memory of `all` instances.
pub(crate) fn name(program: &Program, key: &str, all: u64) -> String {
    let Program { name, config, memory, text, root_id, space, upstreams, .. } = program;
    let given = (key, all, name, config, memory, text, root_id, space.id(), upstreams);
    cache::key(format!("{given:?}").as_bytes())
}

/// Starts it, from `inline`, in an instance that is thrown away. True when it has something to do without
/// an exchange.
pub(crate) fn start(
    program: &Program,
    inline: Ready,
    ticker: &Arc<Ticker>,
    budget: &Arc<Budget>,
) -> Result<bool, Mistake> {
    // What it shares at the trial is seen by nobody.
    let hub = Arc::<Hub>::default();
    let trial = Program {
        name: Arc::clone(&program.name),
        ready: inline,
        pooled: None,
        config: program.config.clone(),
        on_fiber: false,
        root_id: program.root_id.clone(),
        space: hub.space(program.space.id()),
        hub,
        upstreams: program.upstreams.clone(),
        ..*program
    };
    let world = Rc::new(Nothing::default());
    let pool = Pool::new(Arc::new(trial), Arc::clone(ticker), world, Gauge::new(budget));
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

/// The world as a filter sees it while it is being checked: nothing but time.
#[derive(Default)]
struct Nothing {
    /// Looks at the clock: each is a microsecond later than the one before.
    looks: Cell<u32>,
}

impl Services for Nothing {
    fn now(&self) -> f64 {
        self.monotonic()
    }

    /// Go's run-time library gives up when it is 0.
    fn monotonic(&self) -> f64 {
        self.looks.set(self.looks.get().wrapping_add(1));
        1.0 + f64::from(self.looks.get()) * 1e-6
    }
}
