//! The engine: loads a generation's Wasm.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use pilotlight_abi::limit::{WASM_APP_MEMORY, WASM_FILTER_MEMORY};
use pilotlight_filter::engine::{LoadError, ModuleSpec, Plan, Spec};
use pilotlight_filter::{Engine, Library};
use wasmtime::{InstancePre, Module};

use crate::cache::{self, Cache};
use crate::check;
use crate::code::Code;
use crate::compile::{CompileError, CompileWith};
#[cfg(feature = "components")]
use crate::component::app::App;
use crate::config::{self, Shape};
use crate::host::{Budget, Host, Slots};
use crate::ledger::Ledger;
use crate::library::{Entry, Programs};
use crate::modules::{self, Callee};
use crate::proxy_wasm::hub::Hub;
use crate::proxy_wasm::abi;
use crate::proxy_wasm::instance::{self, Ready};
use crate::proxy_wasm::link::Links;
use crate::proxy_wasm::pool::Program;
use crate::source::Source;
use crate::ticker::Ticker;
use crate::vm;

/// Wasm filters and modules, on wasmtime. Nothing of it is made until a manifest names one.
pub struct WasmEngine {
    compile: CompileWith,
    machine: OnceLock<Result<Machine, String>>,
    compiled: AtomicU64,
    hub: Arc<Hub>,
    budget: Arc<Budget>,
}

struct Machine {
    engine: wasmtime::Engine,
    ticker: Arc<Ticker>,
    /// Made with the first filter that asks for an instance an exchange.
    filters: Pooled,
    /// Made with the first application.
    #[cfg(feature = "components")]
    applications: Pooled,
}

/// An engine with slots for instances, if there was room for one.
type Pooled = OnceLock<Option<(wasmtime::Engine, Slots)>>;

/// Slots that are never handed out: one that was given up may still be being cleaned.
const SLOTS_SPARE: u32 = 8;

impl Machine {
    fn pool<'a>(&self, pool: &'a Pooled, shape: &Shape) -> Option<&'a (wasmtime::Engine, Slots)> {
        let make = || {
            let (engine, slots) = config::fleeting(shape)?;
            self.ticker.add(&engine);
            Some((engine, Slots::new(u64::from(slots - SLOTS_SPARE).into())))
        };
        pool.get_or_init(make).as_ref()
    }
}

/// A mistake, before it is known whose.
pub(crate) struct Mistake {
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

impl Mistake {
    pub(crate) fn new(message: impl Into<String>) -> Mistake {
        Mistake { message: message.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: &'static str) -> Mistake {
        Mistake { hint: Some(hint), ..self }
    }
}

impl WasmEngine {
    /// An engine that compiles as told.
    pub fn new(compile: CompileWith) -> WasmEngine {
        WasmEngine {
            compile,
            machine: OnceLock::new(),
            compiled: AtomicU64::new(0),
            hub: Arc::default(),
            budget: Arc::default(),
        }
    }

    /// How many modules were compiled (rather than found in the cache) since the start.
    pub fn compiled(&self) -> u64 {
        self.compiled.load(Ordering::Relaxed)
    }

    fn machine(&self) -> Result<&Machine, Mistake> {
        let made = self.machine.get_or_init(|| {
            let config = config::lasting().map_err(|error| error.to_string())?;
            let engine = wasmtime::Engine::new(&config).map_err(|error| error.to_string())?;
            let ticker = Arc::new(Ticker::start().map_err(|error| error.to_string())?);
            ticker.add(&engine);
            Ok(Machine {
                engine,
                ticker,
                filters: OnceLock::new(),
                #[cfg(feature = "components")]
                applications: OnceLock::new(),
            })
        });
        made.as_ref().map_err(|error| Mistake::new(format!("no Wasm engine here: {error}")))
    }
}

impl Engine for WasmEngine {
    fn name(&self) -> &'static str {
        "wasm"
    }

    fn load(&self, plan: &Plan) -> Result<Arc<dyn Library>, Vec<LoadError>> {
        let before = self.budget.raise(plan.bounds.memory);
        let mut programs = Programs { budget: Arc::clone(&self.budget), ..Programs::default() };
        let mut mistakes = Vec::new();
        let ledger = Ledger::open(&plan.cache_dir);
        let (seen, links, notes) = (HashMap::new(), Vec::new(), Vec::new());
        let mut loader = Loader { engine: self, plan, seen, links, ledger, notes };
        for spec in &plan.filters {
            // The dialects are Lua's: only a mistake of the caller's brings one here.
            let file = spec.program.native().unwrap_or(Path::new(""));
            let loaded = loader.program(spec, file);
            programs.notes.extend(named(&spec.name, file, std::mem::take(&mut loader.notes)));
            match loaded {
                Ok(entry) => programs.filters.push(entry),
                Err(all) => mistakes.extend(named(&spec.name, file, all)),
            }
        }
        for spec in &plan.modules {
            let loaded = loader.callee(spec);
            programs.notes.extend(named(&spec.name, &spec.file, std::mem::take(&mut loader.notes)));
            match loaded {
                Ok(callee) => programs.modules.push(Arc::new(callee)),
                Err(all) => mistakes.extend(named(&spec.name, &spec.file, all)),
            }
        }
        if !mistakes.is_empty() {
            self.budget.set(before);
            return Err(mistakes);
        }
        self.budget.set(plan.bounds.memory);
        if let Some(Ok(machine)) = self.machine.get() {
            programs.ticker = Some(Arc::clone(&machine.ticker));
        }
        Ok(Arc::new(programs))
    }
}

fn named(program: &Arc<str>, file: &Path, all: Vec<Mistake>) -> impl Iterator<Item = LoadError> {
    all.into_iter().map(move |Mistake { message, hint }| LoadError {
        program: Arc::clone(program),
        file: Some(file.to_owned()),
        line: None,
        message,
        hint: hint.map(str::to_owned),
    })
}

/// Loads one plan; a file that several programs name is compiled and mapped once.
struct Loader<'a> {
    engine: &'a WasmEngine,
    plan: &'a Plan,
    seen: HashMap<String, Code>,
    links: Vec<Links>,
    ledger: Ledger<'a>,
    /// What is odd about the program at hand, and no mistake.
    notes: Vec<Mistake>,
}

impl Loader<'_> {
    fn program(&mut self, spec: &Spec, file: &Path) -> Result<Entry, Vec<Mistake>> {
        let default = if spec.target { WASM_APP_MEMORY } else { WASM_FILTER_MEMORY };
        let memory = spec.memory.unwrap_or(default);
        let (code, key) = self.code(file, memory).map_err(|mistake| vec![mistake])?;
        let mistake = match (code, spec.target) {
            (Code::Module(module), false) => {
                return self.filter(spec, &key, module, memory).map(|f| Entry::Filter(Arc::new(f)));
            }
            (Code::Module(_), true) => Mistake::new("a core module, not a component")
                .hint("build a component for the world `wasi:http/proxy`"),
            #[cfg(feature = "components")]
            (Code::Component(component), true) => {
                self.notes.extend(crate::component::missing(&component));
                let mut app = App::new(spec, &component)?;
                if memory <= config::APPLICATIONS.memory {
                    app.pooled = self.fleeting(&key);
                }
                return Ok(Entry::App(Arc::new(app)));
            }
            #[cfg(feature = "components")]
            (Code::Component(_), false) => Mistake::new("a component, not a proxy-wasm module")
                .hint("name it under [modules] for scripts to call, or as a route's `component`"),
        };
        Err(vec![mistake])
    }

    fn filter(
        &mut self,
        spec: &Spec,
        key: &str,
        module: Module,
        memory: u64,
    ) -> Result<Program, Vec<Mistake>> {
        let Some(marker) = instance::marker(&module) else {
            let mut exports = module.exports().map(|export| export.name());
            if let Some(other) = exports.find(|name| name.starts_with("proxy_abi_version_")) {
                let mistake = Mistake::new(format!("it is of an ABI not known here, {other}"));
                return Err(vec![mistake.hint("0.1.0, 0.2.0, 0.2.1 and Higress's 0.2.100 are")]);
            }
            let mistake = Mistake::new("not a proxy-wasm filter: no proxy_abi_version_* export");
            return Err(vec![mistake.hint(
                "build it with a proxy-wasm SDK, or name it under [modules] for scripts to call",
            )]);
        };
        if let Some(name) = instance::malformed(&module) {
            return Err(vec![Mistake::new(format!("{name} has the wrong signature"))]);
        }
        match (instance::of_connections(&module), spec.flow) {
            (None, true) => {
                let mistake = Mistake::new("it has no callback for connections");
                return Err(vec![mistake.hint(
                    "a listener for tcp needs filters with callbacks such as proxy_on_downstream_data",
                )]);
            }
            (Some(name), false) if !instance::of_exchanges(&module) => {
                let text = format!("it filters bytes of connections ({name}), and nothing else");
                let hint = "put it into the `filters` of a listener with protocols = [\"tcp\"]";
                return Err(vec![Mistake::new(text).hint(hint)]);
            }
            _ => {}
        }
        let on_fiber = spec.cpu > vm::INLINE;
        let mut program = Program {
            name: Arc::clone(&spec.name),
            ready: Ready::new(self.link(&module, on_fiber)?),
            pooled: None,
            phases: instance::phases(&module),
            config: spec.config.clone().into(),
            cpu: spec.cpu,
            memory,
            fresh: spec.fresh,
            on_fiber,
            eager: false,
            hold_headers: spec.proxy.hold_headers,
            text: spec.proxy.text,
            old: marker == abi::OLD,
            higress: marker == abi::HIGRESS,
            root_id: spec.proxy.root_id.as_str().into(),
            space: match &*spec.proxy.vm_id {
                "" => self.engine.hub.space(&spec.name),
                vm_id => self.engine.hub.space(vm_id),
            },
            hub: Arc::clone(&self.engine.hub),
            upstreams: self.plan.upstreams.as_slice().into(),
        };
        let trial = check::name(&program, key, self.plan.bounds.memory);
        program.eager = match self.ledger.tried(&trial) {
            Some(eager) => eager,
            None => {
                let inline = Ready::new(self.link(&module, false)?);
                let machine = self.engine.machine().map_err(|mistake| vec![mistake])?;
                let eager = check::start(&program, inline, &machine.ticker, &self.engine.budget)
                    .map_err(|mistake| vec![mistake])?;
                self.ledger.note_trial(trial, eager);
                eager
            }
        };
        if spec.fresh && !on_fiber && memory <= config::FILTERS.memory {
            program.pooled = self.pooled(key);
        }
        Ok(program)
    }

    /// The same file in the pool's engine; without a cache to map it from, there is none.
    fn pooled(&mut self, key: &str) -> Option<(Ready, Slots)> {
        let wasm = self.engine;
        let machine = wasm.machine().ok()?;
        let (engine, slots) = machine.pool(&machine.filters, &config::FILTERS)?;
        let module = self.again(engine, key)?.module()?;
        Some((Ready::new(self.link(&module, false).ok()?), Arc::clone(slots)))
    }

    /// The same of an application.
    #[cfg(feature = "components")]
    fn fleeting(&mut self, key: &str) -> Option<(crate::component::app::Ready, Slots)> {
        let wasm = self.engine;
        let machine = wasm.machine().ok()?;
        let (engine, slots) = machine.pool(&machine.applications, &config::APPLICATIONS)?;
        let Code::Component(component) = self.again(engine, key)? else { return None };
        let ready = crate::component::app::Ready::new(&component).ok()?;
        Some((ready, Arc::clone(slots)))
    }

    fn again(&mut self, engine: &wasmtime::Engine, key: &str) -> Option<Code> {
        let cache = Cache { dir: &self.plan.cache_dir };
        cache.get(engine, key, &mut self.ledger).ok()?
    }

    fn callee(&mut self, spec: &ModuleSpec) -> Result<Callee, Vec<Mistake>> {
        let (code, _) = self.code(&spec.file, spec.memory).map_err(|mistake| vec![mistake])?;
        let code = match code {
            Code::Module(module) => {
                let pre = self.link(&module, spec.cpu > vm::INLINE)?;
                modules::Code::Core(modules::core::Core::new(spec, &module, pre)?)
            }
            #[cfg(feature = "components")]
            Code::Component(component) => {
                self.notes.extend(crate::component::missing(&component));
                modules::Code::Typed(crate::component::callee(spec, &component)?)
            }
        };
        Ok(Callee::new(spec, code))
    }

    fn link(&mut self, module: &Module, on_fiber: bool) -> Result<InstancePre<Host>, Vec<Mistake>> {
        let at = self.links.iter().position(|links| links.fit(module, on_fiber));
        let at = at.unwrap_or_else(|| {
            self.links.push(Links::new(module.engine(), on_fiber));
            self.links.len() - 1
        });
        let own = |texts: Vec<String>| texts.into_iter().map(Mistake::new).collect();
        self.links[at].link(module).map_err(own)
    }

    /// The code in a file: from this load, from the cache, or compiled now; and the key of its content.
    fn code(&mut self, file: &Path, memory: u64) -> Result<(Code, String), Mistake> {
        let mut source = Source::open(file, &mut self.ledger)?;
        let code = match self.seen.get(&source.key) {
            Some(code) => code.clone(),
            None => {
                let code = match self.cached(&source.key)? {
                    Some(code) => code,
                    None => {
                        let bytes = source.read()?;
                        match source.is_ahead() {
                            true => self.ahead(&source.key, &bytes)?,
                            false => self.compiled(&source.key, &bytes)?,
                        }
                    }
                };
                self.seen.insert(source.key.clone(), code.clone());
                code
            }
        };
        let needs = code.first_memory();
        if needs > memory {
            let text = format!("it begins with {needs} bytes of memory; its limit is {memory}");
            return Err(Mistake::new(text).hint("raise `limits.memory`"));
        }
        Ok((code, source.key))
    }

    /// What the cache has of it.
    fn cached(&mut self, key: &str) -> Result<Option<Code>, Mistake> {
        let engine = &self.engine.machine()?.engine;
        let cache = Cache { dir: &self.plan.cache_dir };
        Ok(cache.get(engine, key, &mut self.ledger).unwrap_or_else(|why| {
            let text = format!("what the cache has of it is {why}: it is made anew");
            self.notes.push(Mistake::new(text));
            None
        }))
    }

    /// Keeps machine code, and gives it as the cache has it; `None`: a cache that can't be written
    /// costs the compilation each time, and memory, no more.
    fn keep(&mut self, key: &str, file: &[u8]) -> Option<Code> {
        let engine = &self.engine.machine().ok()?.engine;
        let cache = Cache { dir: &self.plan.cache_dir };
        cache.put(key, file).ok()?;
        cache.get(engine, key, &mut self.ledger).ok()?
    }

    /// A file that was compiled before, here or elsewhere.
    fn ahead(&mut self, key: &str, bytes: &[u8]) -> Result<Code, Mistake> {
        let Some(code) = cache::sealed(bytes) else {
            let mistake = Mistake::new("not a .cwasm file of this gateway, or a damaged one");
            return Err(mistake.hint("make it with `pilotlight compile`"));
        };
        // Mapped from our own copy: the user's file may be overwritten while it runs.
        if let Some(code) = self.keep(key, bytes) {
            return Ok(code);
        }
        let engine = &self.engine.machine()?.engine;
        // SAFETY: the seal says that `pilotlight compile` wrote it; which compiler and which
        // settings wasmtime checks itself.
        unsafe { Code::deserialize(engine, code) }.map_err(|mistake| match mistake.hint {
            Some(_) => mistake,
            None => {
                let text = format!("compiled for another machine or version: {}", mistake.message);
                Mistake::new(text).hint("compile it again with this version's `pilotlight compile`")
            }
        })
    }

    fn compiled(&mut self, key: &str, bytes: &[u8]) -> Result<Code, Mistake> {
        let (dir, bounds) = (&self.plan.cache_dir, &self.plan.bounds);
        let file = self.engine.compile.compile(bytes, dir, bounds).map_err(|error| match error {
            CompileError::NoCompiler => Mistake::new(format!("{error}, for {}", config::TARGET))
                .hint("compile it where there is a compiler: `pilotlight compile FILE.wasm --target ...`"),
            error => Mistake::new(error.to_string()),
        })?;
        self.engine.compiled.fetch_add(1, Ordering::Relaxed);
        let Some(code) = cache::sealed(&file) else {
            return Err(Mistake::new("the compiler wrote a damaged file"));
        };
        if let Some(code) = self.keep(key, &file) {
            return Ok(code);
        }
        let engine = &self.engine.machine()?.engine;
        // SAFETY: the compiler that we ran has just written it.
        unsafe { Code::deserialize(engine, code) }
    }
}
