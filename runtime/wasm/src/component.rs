//! Components: modules whose functions say their types.
//!
//! ```text
//! Value ─ lower ─▶ the component's memory ─ its function ─▶ lift ─▶ Value
//! ```
//! Values go straight into a component's memory and out of it, by the types that the component
//! declares (`docs/guides/wasm.md` has the table); wasmtime's own `Val` would cost an allocation
//! for each byte of a string on its way.

use pilotlight_filter::engine::ModuleSpec;
use wasmtime::component::Component;

use crate::engine::Mistake;

pub(crate) mod app;
pub(crate) mod call;
mod errand;
mod lift;
mod lower;
mod shapes;
mod wasi;
mod words;
pub(crate) mod world;

/// wasmtime's types, as its generated bindings see them.
use wasmtime::component::__internal::wasmtime_environ::component as environ;

pub(crate) use wasi::missing;

/// A component that scripts call.
pub(crate) fn callee(
    spec: &ModuleSpec,
    component: &Component,
) -> Result<call::Typed, Vec<Mistake>> {
    if !spec.functions.is_empty() {
        let mistake = Mistake::new("a component: it says the types of its functions itself");
        return Err(vec![mistake.hint("take `functions` away")]);
    }
    call::Typed::new(component, wasi::link(component)?)
}
