//! The interfaces of WASI 0.2 that components import.
//!
//! They are our own rather than wasmtime-wasi's: those bring hyper, a runtime for files and
//! sockets, and 34,000 lines, and would reach past the host's services to the system. What there is
//! no place for here (files, sockets) is there and holds nothing, or traps when it is called.

mod cli;
mod clocks;
mod fields;
mod http;
mod io;
mod keyvalue;
mod outgoing;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

pub(super) use http::{IncomingRequest, Outparam};

use super::world::World;
use crate::engine::Mistake;
use crate::host::Host;

/// An interface of WASI 0.2: any of its versions will do.
macro_rules! wasi {
    ($name:literal) => {
        concat!("wasi:", $name, "@0.2.12")
    };
}
use wasi;

/// Gives a component what it imports.
///
/// # Errors
/// What it imports is none of the host's.
pub(super) fn link(component: &Component) -> Result<InstancePre<Host>, Vec<Mistake>> {
    let engine = component.engine();
    let ty = component.component_type();
    let unknown: Vec<Mistake> = ty
        .imports(engine)
        // A type alone is nobody's to give.
        .filter(|(_, item)| !matches!(item.ty, ComponentItem::Type(_)))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("wasi:") || !name.contains("@0.2."))
        .map(|name| Mistake::new(format!("it imports `{name}`, which there is not here")))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    linked(component).map_err(|error| vec![Mistake::new(format!("{error:#}"))])
}

fn linked(component: &Component) -> Result<InstancePre<Host>> {
    let mut linker = Linker::new(component.engine());
    io::link(&mut linker)?;
    clocks::link(&mut linker)?;
    cli::link(&mut linker)?;
    fields::link(&mut linker)?;
    http::link(&mut linker)?;
    outgoing::link(&mut linker)?;
    keyvalue::link(&mut linker)?;
    linker.define_unknown_imports_as_traps(component)?;
    linker.instantiate_pre(component)
}

/// Defines a resource whose handles stand in the world's table.
fn resource<T: Send + 'static>(at: &mut LinkerInstance<'_, Host>, name: &str) -> Result<()> {
    at.resource(name, ResourceType::host::<T>(), |mut store, rep| {
        store.data_mut().world()?.table.delete(Resource::<T>::new_own(rep))?;
        Ok(())
    })
}

type Store<'a> = StoreContextMut<'a, Host>;

/// The world of the instance that calls.
fn world<'a>(store: &'a mut Store<'_>) -> Result<&'a mut World> {
    store.data_mut().world()
}
