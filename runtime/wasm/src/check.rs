//! Starts a filter once before it is used, so that one which refuses its configuration refuses the manifest.
//! The trial sees a world that is always the same, so what went well once is not tried again (`ledger`).

use std::cell::Cell;
use std::fmt::{self, Display, Formatter};
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_filter::abi::Phases;
use pilotlight_filter::engine::{ModuleSpec, Plan, Spec};
use pilotlight_filter::{Fault, Services};

use crate::cache;
use crate::engine::Mistake;
use crate::host::{Budget, Gauge};
use crate::proxy_wasm::hub::Hub;
use crate::proxy_wasm::instance::Ready;
use crate::proxy_wasm::pool::{Pool, Program};
use crate::ticker::Ticker;
use crate::workshop::{Later, Runs};

/// What a trial tells of a program.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) phases: Phases,
    /// It has something to do without an exchange: it is started with its worker.
    pub(crate) eager: bool,
    /// ABI 0.1.0: a field that is not there is empty.
    pub(crate) old: bool,
    /// ABI 0.2.100: callbacks say how they stop.
    pub(crate) higress: bool,
}

/// As the ledger has it: a word.
impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bit = |on: bool, bit: u32| u32::from(on) << bit;
        let flags = bit(self.eager, 16) | bit(self.old, 17) | bit(self.higress, 18);
        write!(f, "{}", u32::from(self.phases.bits()) | flags)
    }
}

impl Outcome {
    pub(crate) fn of(word: &str) -> Option<Outcome> {
        let bits: u32 = word.parse().ok()?;
        let has = |bit: u32| bits & 1 << bit != 0;
        let phases = Phases::from_bits(bits as u16);
        Some(Outcome { phases, eager: has(16), old: has(17), higress: has(18) })
    }
}

/// A filter's or an application's trial, by all that its course depends on beside this build: the module by the
/// key of its content, what the manifest says of both it and the memory of all instances.
pub(crate) fn filter(spec: &Spec, memory: u64, key: &str, plan: &Plan) -> String {
    let Spec { name, config, proxy, target, flow, .. } = spec;
    let redis: Vec<_> = plan.redis.iter().map(|spec| &spec.name).collect();
    let given = (key, plan.bounds.memory, &plan.upstreams, redis);
    cache::key(format!("{:?}", (given, name, config, memory, proxy, target, flow)).as_bytes())
}

/// The same of a module that scripts call: nothing of it runs.
pub(crate) fn module(spec: &ModuleSpec, key: &str) -> String {
    let ModuleSpec { memory, functions, .. } = spec;
    cache::key(format!("{:?}", ("module", key, memory, functions)).as_bytes())
}

/// Starts a filter, from `inline`, in an instance that is thrown away. True when it has something to do without
/// an exchange.
pub(crate) fn start(
    program: &Program,
    inline: Runs<Ready>,
    ticker: &Arc<Ticker>,
    budget: &Arc<Budget>,
) -> Result<bool, Mistake> {
    // What it shares at the trial is seen by nobody.
    let hub = Arc::<Hub>::default();
    let trial = Program {
        name: Arc::clone(&program.name),
        runs: Later::now(inline),
        config: program.config.clone(),
        vm_config: program.vm_config.clone(),
        on_fiber: false,
        root_id: program.root_id.clone(),
        space: hub.space(program.space.id()),
        hub,
        upstreams: program.upstreams.clone(),
        redis: program.redis.clone(),
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
