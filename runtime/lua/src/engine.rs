//! Loading: every script compiled, run and asked for its phases, before any traffic; but for those that
//! the last form of this gateway has run as they are.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_filter::abi::Phases;
use pilotlight_filter::engine::{
    Engine, Library, LoadError, OpenResty, Plan, Realm, ScriptFile, Source,
};
use pilotlight_filter::host::Services;
use pilotlight_filter::{Fault, Spec};

use crate::arena;
use crate::known::{self, Known, Read};
use crate::prelude::dump;
use crate::program::{Chunk, Code, Script, Step, chunk_name};
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
    /// How many scripts were tried at this load.
    tried: usize,
}

/// What is shared by threads is the library; realms keep it alive.
struct Shelf(Arc<LuaLibrary>);

impl Library for Shelf {
    fn phases(&self, index: usize) -> Phases {
        self.0.scripts.get(index).map_or(Phases::NONE, |script| script.phases)
    }

    fn found(&self) -> Vec<u8> {
        known::written(&self.0.scripts)
    }

    fn tried(&self) -> usize {
        self.0.tried
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
            script: plan.script.clone(),
            vars: vars(plan),
            folder: format!("{}/", plan.folder.display()),
            consumers: plan.consumers.clone(),
            kong: plan.kong.clone(),
            redis: plan.redis.clone(),
        });
        let memory = if plan.script.memory == 0 { MEMORY } else { plan.script.memory };
        let memory = memory.max(MEMORY_LEAST);
        let (mut scripts, mut errors) = (Vec::with_capacity(plan.filters.len()), Vec::new());
        let (mut known, mut tried) = (Known::new(&plan.found, &world), 0);
        for spec in &plan.filters {
            let memory = spec.memory.unwrap_or(memory).max(MEMORY_LEAST);
            match load(spec, memory, &world, plan.now, &mut known) {
                Ok((script, is_known)) => {
                    tried += usize::from(!is_known);
                    errors.extend(scripts.iter().find_map(|other| twice(spec, &script, other)));
                    scripts.push(script);
                }
                Err(error) => errors.push(error),
            }
        }
        arena::clear();
        if errors.is_empty() {
            Ok(Arc::new(Shelf(Arc::new(LuaLibrary { scripts, world, memory, tried }))))
        } else {
            Err(errors)
        }
    }
}

/// Modules call functions of scripts by a name, which must mean one.
fn twice(spec: &Spec, script: &Script, other: &Script) -> Option<LoadError> {
    let name = script.exports.iter().find(|name| other.exports.contains(name))?;
    let text = format!("it exports \"{name}\", as filter \"{}\" does", other.name);
    Some(mistake(spec, &text))
}

/// The routes' variables as JSON: an object of objects.
fn vars(plan: &Plan) -> String {
    let routes = plan.vars.iter().map(|route| {
        let vars = route.vars.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        (route.route.to_string(), serde_json::Value::Object(vars.collect()))
    });
    serde_json::Value::Object(routes.collect()).to_string()
}

/// Reads a filter's scripts. Unless that is known to go well, compiles them and boots them once, in a VM of
/// their own that is thrown away. True: it is known.
fn load(
    spec: &Spec,
    memory: u64,
    world: &Arc<World>,
    now: f64,
    known: &mut Known<'_>,
) -> Result<(Script, bool), LoadError> {
    let code = match &spec.program {
        Source::Native(file) => Code::Native(read(spec, file, chunk_name(file))?),
        Source::Text { name, text } => {
            Code::Native(Chunk { code: text.as_bytes().to_vec(), name: format!("={name}") })
        }
        Source::OpenResty(scripts) => {
            Code::OpenResty(steps(spec, scripts)?, scripts.settings.clone())
        }
        Source::Kong { plugin } => Code::Kong(plugin.clone()),
    };
    let mut script = Script::new(spec, code);
    script.memory = script.memory.map(|memory| memory.max(MEMORY_LEAST));
    let (trial, is_known) = known.trial(&mut script);
    script.trial = match is_known {
        true => Some(trial),
        false => known.done(trial, boot_once(spec, &mut script, memory, world, now)?),
    };
    Ok((script, is_known))
}

/// Compiles and tries a script; gives what it has read.
fn boot_once(
    spec: &Spec,
    script: &mut Script,
    memory: u64,
    world: &Arc<World>,
    now: f64,
) -> Result<Read, LoadError> {
    let services: Rc<dyn Services> = Rc::new(Scratch { now });
    let refuse = |fault: Fault| mistake(spec, &fault.message);
    let vm = Vm::new(memory, services, world).map_err(refuse)?;
    match &mut script.code {
        Code::Native(chunk) => compile(&vm, chunk).map_err(refuse)?,
        Code::OpenResty(steps, _) => {
            steps.iter_mut().try_for_each(|step| compile(&vm, &mut step.chunk)).map_err(refuse)?;
        }
        Code::Kong(_) => {}
    }
    vm.begin_reads();
    let booted = script.boot(&vm).map_err(refuse)?;
    script.phases = booted.phases();
    script.exports = booted.exports.iter().map(|export| export.name.clone()).collect();
    script.eager = vm.tasks.were_used();
    Ok(vm.take_reads())
}

/// The scripts of nginx's phases, in the order in which they run.
fn steps(spec: &Spec, scripts: &OpenResty) -> Result<Vec<Step>, LoadError> {
    let chunk = |file: &ScriptFile| read(spec, &file.path, format!("@{}", file.name));
    let set = scripts.set.iter().map(|set| {
        let sets = Some((set.var.clone(), set.args.clone()));
        Ok(Step { phase: "set", chunk: chunk(&set.file)?, sets })
    });
    let phases = scripts.phases.iter();
    let steps = phases.map(|(phase, file)| Ok(Step { phase, chunk: chunk(file)?, sets: None }));
    let mut steps: Vec<Step> = steps.chain(set).collect::<Result<_, _>>()?;
    // Variables are set behind what runs before a location is known.
    let place = |step: &Step| match step.phase {
        "init" | "init_worker" | "server_rewrite" => 0,
        "set" => 1,
        _ => 2,
    };
    steps.sort_by_key(place);
    Ok(steps)
}

/// Reads a script. What it is called begins with `@`.
fn read(spec: &Spec, file: &Path, name: String) -> Result<Chunk, LoadError> {
    let error = |message: String| LoadError {
        program: spec.name.clone(),
        file: Some(file.into()),
        line: None,
        message,
        hint: None,
    };
    let text = std::fs::read(file).map_err(|e| error(format!("can't read the script: {e}")))?;
    if text.starts_with(pilotlight_luajit::LUA_SIGNATURE) {
        let mut error = error("this is bytecode, which can't be checked".into());
        error.hint = Some("give the script's source".into());
        return Err(error);
    }
    Ok(Chunk { code: without_shebang(text), name })
}

/// Makes bytecode of a text, where that is shorter.
fn compile(vm: &Vm, chunk: &mut Chunk) -> Result<(), Fault> {
    let thread = vm.thread();
    vm.load(thread.stack, &chunk.code, &chunk.name)?;
    let mut code = dump(thread.stack);
    vm.recycle(thread);
    // A short script is shorter as it was written; there may be thousands.
    if code.len() <= chunk.code.len() {
        code.shrink_to_fit();
        chunk.code = code;
    }
    Ok(())
}

/// `#!` lines are for shells; the line stays, so that numbers are right.
fn without_shebang(mut text: Vec<u8>) -> Vec<u8> {
    if text.first() == Some(&b'#') {
        text.drain(..text.iter().position(|b| *b == b'\n').unwrap_or(text.len()));
    }
    text
}

/// Takes `name.lua:12: message` apart, where it is of one of the filter's own scripts.
fn mistake(spec: &Spec, message: &str) -> LoadError {
    let own: Vec<(&Path, String)> = match &spec.program {
        Source::Native(file) => vec![(file, chunk_name(file).trim_start_matches('@').to_owned())],
        Source::OpenResty(scripts) => {
            let phases = scripts.phases.iter().map(|(_, file)| file);
            let files = phases.chain(scripts.set.iter().map(|set| &set.file));
            files.map(|file| (&*file.path, file.name.to_string())).collect()
        }
        Source::Text { .. } | Source::Kong { .. } => Vec::new(),
    };
    let found = own.iter().find_map(|(file, name)| {
        let rest = message.strip_prefix(name.as_str())?.strip_prefix(':')?;
        let (line, rest) = rest.split_once(": ")?;
        Some((*file, line.parse::<usize>().ok()?, rest))
    });
    LoadError {
        program: spec.name.clone(),
        file: found.map(|found| found.0).or(own.first().map(|own| own.0)).map(Path::to_owned),
        line: found.map(|found| found.1),
        message: found.map_or(message, |found| found.2).to_owned(),
        hint: None,
    }
}
