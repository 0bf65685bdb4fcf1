//! Functions of a component, as scripts call them.

use pilotlight_filter::host::Outcome;
use pilotlight_filter::{Fault, FaultKind};
use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Func, InstancePre, Type, TypedFunc};

use super::lift::Answer;
use super::lower::Arguments;
use super::words::{Misfit, beyond_scripts, in_lua};
use super::world::World;
use crate::engine::Mistake;
use crate::fault::fault_of;
use crate::host::Host;
use crate::modules::{Failed, Given};
use crate::vm;

/// A component, ready to be instantiated.
pub(crate) struct Typed {
    pre: InstancePre<Host>,
    functions: Vec<Function>,
}

struct Function {
    /// As scripts call it.
    name: Box<str>,
    index: ComponentExportIndex,
    parameters: Vec<Box<str>>,
    /// So many must be given; those behind are options.
    least: usize,
    /// A string, then whether it is the last: it gives a string.
    told: bool,
    /// What of its types scripts can't hold.
    beyond: Option<&'static str>,
}

impl Typed {
    /// # Errors
    /// It exports nothing that scripts can call.
    pub(crate) fn new(
        component: &Component,
        pre: InstancePre<Host>,
    ) -> Result<Typed, Vec<Mistake>> {
        let found = exports(component);
        let functions: Vec<Function> = found
            .iter()
            .map(|export| {
                let others = found.iter().filter(|other| other.name == export.name);
                let name = match (others.count(), &*export.space) {
                    (1, _) | (_, "") => export.name.clone(),
                    (_, space) => format!("{space}.{}", export.name),
                };
                Function::new(name.into(), export)
            })
            .collect();
        if functions.iter().all(|function| function.beyond.is_some()) {
            let mut mistakes = vec![Mistake::new("it exports no function that scripts can call")];
            mistakes.extend(functions.iter().map(|f| Mistake::new(f.refusal())));
            return Err(mistakes);
        }
        Ok(Typed { pre, functions })
    }

    pub(crate) fn names(&self) -> Vec<Box<str>> {
        self.functions.iter().map(|function| function.name.clone()).collect()
    }

    /// Whether a function takes a chunk, whether it is the last, and so many arguments more.
    pub(crate) fn is_told(&self, function: usize, arguments: usize) -> bool {
        let function = self.functions.get(function);
        function.is_some_and(|f| f.told && f.parameters.len() == arguments + 2)
    }

    pub(crate) async fn make(&self, mut host: Host) -> Result<Instance, Fault> {
        host.world = Some(Box::new(World::new(Default::default(), Default::default())));
        let mut store = vm::store(self.pre.engine(), host);
        let made = self.pre.instantiate_async(&mut store).await;
        let instance = made.map_err(|error| fault_of(&error, store.data()))?;
        let functions = self.functions.iter().map(|f| instance.get_func(&mut store, f.index));
        let functions = functions.collect();
        Ok(Instance { store, functions })
    }
}

/// An exported function.
struct Export {
    /// Its interface, if it is in one.
    space: String,
    name: String,
    ty: ComponentFunc,
    index: ComponentExportIndex,
}

fn exports(component: &Component) -> Vec<Export> {
    let engine = component.engine();
    let mut found = Vec::new();
    let mut add = |space: &str, name: &str, ty: ComponentItem, index| match (ty, index) {
        // Methods and constructors stand in brackets: they are a resource's.
        (ComponentItem::ComponentFunc(ty), Some(index)) if !name.starts_with('[') => {
            found.push(Export { space: in_lua(space), name: in_lua(name), ty, index });
        }
        _ => {}
    };
    for (name, item) in component.component_type().exports(engine) {
        let index = component.get_export_index(None, name);
        match item.ty {
            ComponentItem::ComponentInstance(instance) => {
                // "space:package/interface@version"
                let interface = name.rsplit_once('/').map_or(name, |(_, interface)| interface);
                let interface = interface.split('@').next().unwrap_or_default();
                for (name, item) in instance.exports(engine) {
                    let index = component.get_export_index(index.as_ref(), name);
                    add(interface, name, item.ty, index);
                }
            }
            ty => add("", name, ty, index),
        }
    }
    found
}

impl Function {
    fn new(name: Box<str>, export: &Export) -> Function {
        let types: Vec<(&str, Type)> = export.ty.params().collect();
        let result = export.ty.results().next();
        let optional = types.iter().rev().take_while(|(_, ty)| matches!(ty, Type::Option(_)));
        let beyond = types.iter().map(|(_, ty)| ty).chain(&result).find_map(beyond_scripts);
        Function {
            name,
            index: export.index,
            least: types.len() - optional.count(),
            told: types.get(1).is_some_and(|(_, ty)| matches!(ty, Type::Bool)),
            parameters: types.iter().map(|(name, _)| in_lua(name).into()).collect(),
            beyond: beyond.or(export.ty.async_().then_some("a promise: it is async")),
        }
    }

    fn refusal(&self) -> String {
        let what = self.beyond.unwrap_or_default();
        format!("{} takes or gives {what}; scripts have none", self.name)
    }

    fn check(&self, got: usize) -> Result<(), String> {
        if self.beyond.is_some() {
            return Err(self.refusal());
        }
        let most = self.parameters.len();
        if (self.least..=most).contains(&got) {
            return Ok(());
        }
        let range = match self.least == most {
            true => most.to_string(),
            false => format!("{} to {most}", self.least),
        };
        Err(format!("{} takes {range} arguments, got {got}", self.name))
    }

    fn misfit(&self, misfit: &Misfit) -> String {
        let Misfit { place, wanted, got } = misfit;
        let digits = place.trim_start_matches('#');
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (index, place) = digits.split_at(end);
        let index = index.parse().unwrap_or(0_usize);
        let parameter = self.parameters.get(index).map_or("", |name| name);
        let (number, name) = (index + 1, &self.name);
        format!("argument {number} ({parameter}{place}) of {name} must be {wanted}, got {got}")
    }
}

/// An instance.
pub(crate) struct Instance {
    pub(crate) store: Store<Host>,
    functions: Vec<Option<Func>>,
}

impl Instance {
    pub(crate) async fn call(
        &mut self,
        typed: &Typed,
        index: usize,
        given: Given<'_>,
    ) -> Result<Outcome, Failed> {
        let function = &typed.functions[index];
        function.check(given.len()).map_err(Failed::Arguments)?;
        let Some(callee) = self.functions[index] else {
            return Err(Failed::Arguments(format!("{} is not exported", function.name)));
        };
        // SAFETY: these two follow whatever types the component declares for it.
        let callee: TypedFunc<Arguments<'_>, Answer> = unsafe { TypedFunc::new_unchecked(callee) };
        match callee.call_async(&mut self.store, Arguments(given)).await {
            Ok(Answer(outcome)) => Ok(outcome),
            Err(error) => Err(Failed::Trap(match error.downcast_ref::<Misfit>() {
                // Some of the arguments may stand in its memory already: it goes with them.
                Some(misfit) => Fault::new(FaultKind::Error, function.misfit(misfit)),
                None => fault_of(&error, self.store.data()),
            })),
        }
    }
}
