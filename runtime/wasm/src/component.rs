//! Components: modules whose functions say their types.
//!
//! ```text
//! Value ─ lower ─▶ the component's memory ─ its function ─▶ lift ─▶ Value
//! ```
//! Values go straight into a component's memory and out of it, by the types that the component
//! declares (`docs/guides/wasm.md` has the table); wasmtime's own `Val` would cost an allocation
//! for each byte of a string on its way.

use pilotlight_filter::engine::ModuleSpec;
use wasmtime::component::{Component, InstancePre, Linker};

use crate::engine::Mistake;
use crate::host::Host;

pub(crate) mod call;
mod lift;
mod lower;
mod words;

/// wasmtime's types, as its generated bindings see them.
use wasmtime::component::__internal::wasmtime_environ::component as environ;

/// A component that scripts call.
pub(crate) fn callee(
    spec: &ModuleSpec,
    component: &Component,
) -> Result<call::Typed, Vec<Mistake>> {
    if !spec.functions.is_empty() {
        let mistake = Mistake::new("a component: it says the types of its functions itself");
        return Err(vec![mistake.hint("take `functions` away")]);
    }
    call::Typed::new(component, link(component)?)
}

/// Gives a component what it imports.
fn link(component: &Component) -> Result<InstancePre<Host>, Vec<Mistake>> {
    let linker = Linker::new(component.engine());
    linker.instantiate_pre(component).map_err(|error| vec![Mistake::new(format!("{error:#}"))])
}
