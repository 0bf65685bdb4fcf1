//! Loading: every script compiled, run and asked for its phases, before any traffic.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_filter::abi::Phases;
use pilotlight_filter::engine::{Engine, Library, LoadError, Plan, Realm};
use pilotlight_filter::host::Services;
use pilotlight_filter::{Fault, Spec};

use crate::prelude::dump;
use crate::program::{Script, chunk_name};
use crate::realm::{LuaRealm, OpenRealm};
use crate::scratch::Scratch;
use crate::vm::Vm;
use crate::window::World;

/// Bytes of a worker's VM without configuration.
const MEMORY: u64 = 32 << 20;
/// The least that a VM can do anything with.
const MEMORY_LEAST: u64 = 1 << 20;

/// LuaJIT.
#[derive(Debug, Default)]
pub struct LuaEngine(());

impl LuaEngine {
    /// The engine. Costs nothing until something is loaded.
    pub fn new() -> LuaEngine {
        LuaEngine(())
    }
}

/// A generation's scripts.
pub(crate) struct LuaLibrary {
    pub(crate) scripts: Vec<Script>,
    pub(crate) world: Arc<World>,
    /// Bytes of a worker's common VM.
    pub(crate) memory: u64,
}

/// What is shared by threads is the library; realms keep it alive.
struct Shelf(Arc<LuaLibrary>);

impl Library for Shelf {
    fn phases(&self, index: usize) -> Phases {
        self.0.scripts.get(index).map_or(Phases::NONE, |script| script.phases)
    }

    fn open(&self, services: Rc<dyn Services>) -> Rc<dyn Realm> {
        Rc::new(OpenRealm(LuaRealm::open(self.0.clone(), services)))
    }
}

impl Engine for LuaEngine {
    fn name(&self) -> &'static str {
        "lua"
    }

    fn load(&self, plan: &Plan) -> Result<Arc<dyn Library>, Vec<LoadError>> {
        let world = Arc::new(World {
            modules: plan.module_names.clone(),
            shared: plan.shared.clone(),
            env: plan.env.clone(),
            path: plan.script.path.clone(),
            ffi: plan.script.ffi,
        });
        let memory = if plan.script.memory == 0 { MEMORY } else { plan.script.memory };
        let memory = memory.max(MEMORY_LEAST);
        let (mut scripts, mut errors) = (Vec::new(), Vec::new());
        for spec in &plan.filters {
            match load(spec, memory, &world) {
                Ok(script) => scripts.push(script),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(Arc::new(Shelf(Arc::new(LuaLibrary { scripts, world, memory }))))
        } else {
            Err(errors)
        }
    }
}

/// Compiles a script and boots it once, in a VM of its own that is thrown away.
fn load(spec: &Spec, memory: u64, world: &Arc<World>) -> Result<Script, LoadError> {
    let Some(file) = spec.program.native() else {
        return Err(LoadError {
            program: spec.name.clone(),
            file: None,
            line: None,
            message: "its dialect is not run by this build".into(),
            hint: None,
        });
    };
    let text = std::fs::read(file).map_err(|error| LoadError {
        program: spec.name.clone(),
        file: Some(file.into()),
        line: None,
        message: format!("can't read the script: {error}"),
        hint: None,
    })?;
    let refuse = |fault: Fault| mistake(spec, file, &fault.message);
    if text.starts_with(mlua_sys::LUA_SIGNATURE) {
        let mut error = mistake(spec, file, "this is bytecode, which can't be checked");
        error.hint = Some("give the script's source".into());
        return Err(error);
    }
    let memory = spec.memory.unwrap_or(memory).max(MEMORY_LEAST);
    let services: Rc<dyn Services> = Rc::new(Scratch);
    let vm = Vm::new(memory, services, world).map_err(refuse)?;
    let thread = vm.thread();
    vm.load(thread.stack, without_shebang(&text), &chunk_name(file)).map_err(refuse)?;
    let mut script = Script::new(spec, file, dump(thread.stack));
    vm.recycle(thread);
    script.memory = script.memory.map(|memory| memory.max(MEMORY_LEAST));
    script.phases = script.boot(&vm).map_err(refuse)?.phases();
    script.eager = vm.tasks.were_used();
    Ok(script)
}

/// `#!` lines are for shells; the line stays, so that numbers are right.
fn without_shebang(text: &[u8]) -> &[u8] {
    match text.first() {
        Some(b'#') => &text[text.iter().position(|b| *b == b'\n').unwrap_or(text.len())..],
        _ => text,
    }
}

/// Takes `name.lua:12: message` apart.
fn mistake(spec: &Spec, file: &Path, message: &str) -> LoadError {
    let chunk = chunk_name(file);
    let own = chunk.trim_start_matches('@');
    let split = message.strip_prefix(own).and_then(|rest| rest.strip_prefix(':'));
    let (line, message) = match split.and_then(|rest| rest.split_once(": ")) {
        Some((line, rest)) if line.parse::<usize>().is_ok() => (line.parse().ok(), rest),
        _ => (None, message),
    };
    LoadError {
        program: spec.name.clone(),
        file: Some(file.into()),
        line,
        message: message.to_owned(),
        hint: None,
    }
}
