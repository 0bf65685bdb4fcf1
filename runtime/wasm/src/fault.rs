//! From a trap to a fault, and to the sentence that a script gets.

use pilotlight_filter::host::Level;
use pilotlight_filter::{Fault, FaultKind};
use wasmtime::{Error, Trap};

use crate::host::{Host, Refused};

/// The guest has used up the CPU time of its call.
#[derive(Debug, thiserror::Error)]
#[error("cpu limit: the call took more than {0:?}")]
pub(crate) struct OverCpu(pub(crate) std::time::Duration);

/// The guest gave up: `abort`, `proc_exit`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct GaveUp(pub(crate) String);

/// Says what a failed call means.
pub(crate) fn fault_of(error: &Error, host: &Host) -> Fault {
    let kind = if error.is::<OverCpu>() || error.downcast_ref() == Some(&Trap::Interrupt) {
        FaultKind::Cpu
    } else if let Some(refused) = host.limits.refused {
        match refused {
            Refused::Own => FaultKind::Memory,
            Refused::All => FaultKind::Busy,
        }
    } else if error.is::<GaveUp>() {
        FaultKind::Error
    } else {
        FaultKind::Trap
    };
    // What wraps the cause is where it happened.
    let (cause, place) = (error.root_cause().to_string(), error.to_string());
    let name = host.name();
    let message = match kind {
        FaultKind::Memory => {
            format!("{name}: memory limit ({} bytes): {cause}", host.limits.memory_max)
        }
        FaultKind::Busy => {
            format!("{name}: all memory of Wasm is in use (`[wasm] memory`): {cause}")
        }
        _ => format!("{name}: {cause}"),
    };
    let message = host.explain(message, Level::Error);
    Fault { trace: (place != cause).then_some(place), ..Fault::new(kind, message) }
}
