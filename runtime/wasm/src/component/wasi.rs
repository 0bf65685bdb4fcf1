//! The interfaces of WASI 0.2 that components import.
//!
//! They are our own rather than wasmtime-wasi's: those bring hyper, a runtime for files and
//! sockets, and 34,000 lines, and would reach past the host's services to the system. What there is
//! no place for here (files, sockets) is there and holds nothing, or traps when it is called.

mod bodies;
mod chunk;
mod cli;
mod clocks;
mod codes;
mod fields;
mod http;
mod io;
mod keyvalue;
mod outgoing;
mod streams;

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
        .map(|name| {
            let mistake = Mistake::new(format!("it imports `{name}`, which there is not here"));
            mistake.hint(match name.starts_with("wasi:") {
                true => "build it for WASI 0.2",
                false => "compose it with a component that exports that",
            })
        })
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    linked(component).map_err(|error| vec![Mistake::new(format!("{error:#}"))])
}

fn linked(component: &Component) -> Result<InstancePre<Host>> {
    let mut linker = Linker::new(component.engine());
    io::link(&mut linker)?;
    streams::link(&mut linker)?;
    clocks::link(&mut linker)?;
    cli::link(&mut linker)?;
    fields::link(&mut linker)?;
    http::link(&mut linker)?;
    bodies::link(&mut linker)?;
    outgoing::link(&mut linker)?;
    keyvalue::link(&mut linker)?;
    absent(&mut linker, component)?;
    linker.instantiate_pre(component)
}

/// What nobody has a handle of.
struct Nothing;

/// The interfaces that are here.
const HERE: [&str; 7] =
    ["cli", "clocks", "http", "io", "keyvalue", "random", "filesystem/preopens"];

fn is_here(interface: &str) -> bool {
    let name = interface.strip_prefix("wasi:").unwrap_or(interface);
    let name = name.split('@').next().unwrap_or_default();
    HERE.iter().any(|here| {
        name.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// What a component imports and is not given: a call to it traps. Files are looked for by languages'
/// libraries, and none is there.
pub(crate) fn missing(component: &Component) -> Option<Mistake> {
    let ty = component.component_type();
    let names = ty.imports(component.engine()).filter_map(|(name, item)| match item.ty {
        ComponentItem::ComponentInstance(instance) => {
            let mut items = instance.exports(component.engine());
            items
                .any(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                .then_some(name)
        }
        _ => None,
    });
    let names: Vec<&str> =
        names.filter(|name| !is_here(name) && !name.starts_with("wasi:filesystem/")).collect();
    let text = format!("it imports {}: a call to that fails", names.join(", "));
    (!names.is_empty()).then(|| {
        let mistake = Mistake::new(text);
        mistake.hint("reach servers by wasi:http/outgoing-handler, and the manifest's `upstreams`")
    })
}

/// Gives traps for all others: what a language's library could call, and does not.
fn absent(linker: &mut Linker<Host>, component: &Component) -> Result<()> {
    let engine = component.engine();
    // An interface names resources of others, too.
    let mut seen: Vec<ResourceType> = Vec::new();
    for (interface, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        for (name, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::Resource(ty) if !seen.contains(&ty) => {
                    seen.push(ty);
                    if !is_here(interface) {
                        let ty = ResourceType::host::<Nothing>();
                        linker.instance(interface)?.resource(name, ty, |_, _| Ok(()))?;
                    }
                }
                ComponentItem::ComponentFunc(_) if !is_here(interface) => {
                    let called = format!("{interface} {name} is not here");
                    let trap = move |_: Store<'_>, _, _: &[_], _: &mut [_]| {
                        Err(wasmtime::Error::msg(called.clone()))
                    };
                    linker.instance(interface)?.func_new(name, trap)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
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
