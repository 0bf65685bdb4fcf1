//! The engine: loads a generation's Wasm.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use pilotlight_abi::limit::{WASM_APP_MEMORY, WASM_FILTER_MEMORY};
use pilotlight_filter::engine::{LoadError, ModuleSpec, Plan, Spec};
use pilotlight_filter::{Engine, Library};
use wasmtime::Module;

use crate::cache::{self, Cache};
use crate::check::{self, Outcome};
use crate::code::Code;
use crate::compile::{CompileError, CompileWith};
#[cfg(feature = "components")]
use crate::component::app::App;
use crate::config::{self, Shape};
use crate::host::{Budget, Slots};
use crate::ledger::Ledger;
use crate::library::{Entry, Programs};
use crate::modules::Callee;
use crate::proxy_wasm::abi;
use crate::proxy_wasm::hub::Hub;
use crate::proxy_wasm::instance::{self, Ready};
use crate::proxy_wasm::pool::Program;
use crate::source::Source;
use crate::ticker::Ticker;
use crate::vm;
use crate::workshop::{Later, Runs, Workshop, mapped};

/// Wasm filters and modules, on wasmtime. Nothing of it is made until a manifest names one.
pub struct WasmEngine {
    compile: CompileWith,
    machine: OnceLock<Result<Arc<Machine>, String>>,
    compiled: AtomicU64,
    hub: Arc<Hub>,
    budget: Arc<Budget>,
}

pub(crate) struct Machine {
    pub(crate) engine: wasmtime::Engine,
    ticker: Arc<Ticker>,
    /// Made with the first filter that asks for an instance an exchange.
    pub(crate) filters: Pooled,
    /// Made with the first application.
    #[cfg(feature = "components")]
    pub(crate) applications: Pooled,
}

/// An engine with slots for instances, if there was room for one.
pub(crate) type Pooled = OnceLock<Option<(wasmtime::Engine, Slots)>>;

/// Slots that are never handed out: one that was given up may still be being cleaned.
const SLOTS_SPARE: u32 = 8;

impl Machine {
    pub(crate) fn pool<'a>(
        &self,
        pool: &'a Pooled,
        shape: &Shape,
    ) -> Option<&'a (wasmtime::Engine, Slots)> {
        let make = || {
            let (engine, slots) = config::fleeting(shape)?;
            self.ticker.add(&engine);
            Some((engine, Slots::new(u64::from(slots - SLOTS_SPARE).into())))
        };
        pool.get_or_init(make).as_ref()
    }
}

/// A mistake, before it is known whose.
#[derive(Clone)]
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

    fn machine(&self) -> Result<&Arc<Machine>, Mistake> {
        let made = self.machine.get_or_init(|| {
            let config = config::lasting().map_err(|error| error.to_string())?;
            let engine = wasmtime::Engine::new(&config).map_err(|error| error.to_string())?;
            let ticker = Arc::new(Ticker::start().map_err(|error| error.to_string())?);
            ticker.add(&engine);
            Ok(Arc::new(Machine {
                engine,
                ticker,
                filters: OnceLock::new(),
                #[cfg(feature = "components")]
                applications: OnceLock::new(),
            }))
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
        let mut loader =
            Loader { engine: self, plan, shop: None, ledger, notes: Vec::new(), tried: 0 };
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
                Ok(callee) => programs.modules.push((Arc::clone(&spec.name), Arc::new(callee))),
                Err(all) => mistakes.extend(named(&spec.name, &spec.file, all)),
            }
        }
        programs.tried = loader.tried;
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

/// Whether its calls may take long.
fn on_fiber(spec: &Spec) -> bool {
    spec.cpu > vm::INLINE
}

/// Whether its instances have slots of the pool.
fn pools(spec: &Spec, memory: u64) -> bool {
    spec.fresh && !on_fiber(spec) && memory <= config::FILTERS.memory
}

/// Loads one plan. What the ledger knows to be good is not mapped: that waits for the first instance.
struct Loader<'a> {
    engine: &'a WasmEngine,
    plan: &'a Plan,
    /// Made with the first program.
    shop: Option<Arc<Workshop>>,
    ledger: Ledger<'a>,
    /// What is odd about the program at hand, and no mistake.
    notes: Vec<Mistake>,
    /// Programs that nothing was known of.
    tried: usize,
}

impl Loader<'_> {
    fn program(&mut self, spec: &Spec, file: &Path) -> Result<Entry, Vec<Mistake>> {
        let default = if spec.target { WASM_APP_MEMORY } else { WASM_FILTER_MEMORY };
        let memory = spec.memory.unwrap_or(default);
        let mut source = self.open(file)?;
        let trial = check::filter(spec, memory, &source.key, self.plan);
        if let Some((outcome, file)) = self.known(&trial, &source.key) {
            return self.known_program(spec, memory, outcome, file, source.key);
        }
        let code = self.code(&mut source, memory)?;
        let mistake = match (code, spec.target) {
            (Code::Module(module), false) => {
                let program = self.filter(spec, &source.key, &module, memory, &trial)?;
                self.ledger.note_trial(trial, program.outcome.to_string());
                return Ok(Entry::Filter(Arc::new(program)));
            }
            (Code::Module(_), true) => Mistake::new("a core module, not a component")
                .hint("build a component for the world `wasi:http/proxy`"),
            #[cfg(feature = "components")]
            (Code::Component(component), true) => {
                self.tried += 1;
                let missing = crate::component::missing(&component);
                let file = self.pool_file(memory <= config::APPLICATIONS.memory, &source.key);
                let runs = self.shop()?.app(&component, file.as_ref())?;
                // What is odd about it is said each time.
                if missing.is_none() {
                    self.ledger.note_trial(trial, Outcome::default().to_string());
                }
                self.notes.extend(missing);
                return Ok(Entry::App(Arc::new(App::new(spec, Later::now(runs)))));
            }
            #[cfg(feature = "components")]
            (Code::Component(_), false) => Mistake::new("a component, not a proxy-wasm module")
                .hint("name it under [modules] for scripts to call, or as a route's `component`"),
        };
        Err(vec![mistake])
    }

    /// What came of a trial that has gone well before, and the file that the code is to be mapped from.
    fn known(&mut self, trial: &str, key: &str) -> Option<(Outcome, File)> {
        let outcome = Outcome::of(self.ledger.tried(trial)?)?;
        let found = Cache { dir: &self.plan.cache_dir }.find(key, &mut self.ledger).ok()??;
        found.is_known.then_some((outcome, found.file))
    }

    /// A program that is mapped when its first instance is made.
    fn known_program(
        &mut self,
        spec: &Spec,
        memory: u64,
        outcome: Outcome,
        file: File,
        key: String,
    ) -> Result<Entry, Vec<Mistake>> {
        let shop = Arc::clone(self.shop()?);
        #[cfg(feature = "components")]
        if spec.target {
            let pools = memory <= config::APPLICATIONS.memory;
            let runs = Later::new(move || match shop.map(&key, &file)? {
                Code::Component(component) => shop.app(&component, pools.then_some(&file)),
                Code::Module(_) => Err(Vec::new()),
            });
            return Ok(Entry::App(Arc::new(App::new(spec, runs))));
        }
        let (on_fiber, pools) = (on_fiber(spec), pools(spec, memory));
        let runs = Later::new(move || {
            let module = shop.map(&key, &file)?.module().ok_or_else(Vec::new)?;
            shop.filter(&module, on_fiber, pools.then_some(&file))
        });
        Ok(Entry::Filter(Arc::new(self.made(spec, memory, outcome, runs))))
    }

    fn filter(
        &mut self,
        spec: &Spec,
        key: &str,
        module: &Module,
        memory: u64,
        trial: &str,
    ) -> Result<Program, Vec<Mistake>> {
        let Some(marker) = instance::marker(module) else {
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
        if let Some(name) = instance::malformed(module) {
            return Err(vec![Mistake::new(format!("{name} has the wrong signature"))]);
        }
        match (instance::of_connections(module), spec.flow) {
            (None, true) => {
                let mistake = Mistake::new("it has no callback for connections");
                return Err(vec![mistake.hint(
                    "a listener for tcp needs filters with callbacks such as proxy_on_downstream_data",
                )]);
            }
            (Some(name), false) if !instance::of_exchanges(module) => {
                let text = format!("it filters bytes of connections ({name}), and nothing else");
                let hint = "put it into the `filters` of a listener with protocols = [\"tcp\"]";
                return Err(vec![Mistake::new(text).hint(hint)]);
            }
            _ => {}
        }
        let file = self.pool_file(pools(spec, memory), key);
        let shop = Arc::clone(self.shop()?);
        let runs = shop.filter(module, on_fiber(spec), file.as_ref())?;
        let outcome = Outcome {
            phases: instance::phases(module),
            eager: false,
            old: marker == abi::OLD,
            higress: marker == abi::HIGRESS,
        };
        let mut program = self.made(spec, memory, outcome, Later::now(runs));
        if let Some(known) = self.ledger.tried(trial).and_then(Outcome::of) {
            program.outcome.eager = known.eager;
            return Ok(program);
        }
        self.tried += 1;
        let inline = shop.filter(module, false, None)?;
        let (ticker, budget) = (&shop.machine.ticker, &self.engine.budget);
        let eager = check::start(&program, inline, ticker, budget);
        program.outcome.eager = eager.map_err(|mistake| vec![mistake])?;
        Ok(program)
    }

    fn made(
        &self,
        spec: &Spec,
        memory: u64,
        outcome: Outcome,
        runs: Later<Runs<Ready>>,
    ) -> Program {
        Program {
            name: Arc::clone(&spec.name),
            runs,
            outcome,
            config: spec.config.clone().into(),
            vm_config: spec.proxy.vm_config.clone().into(),
            cpu: spec.cpu,
            memory,
            fresh: spec.fresh,
            on_fiber: on_fiber(spec),
            hold_headers: spec.proxy.hold_headers,
            text: spec.proxy.text,
            root_id: spec.proxy.root_id.as_str().into(),
            space: match &*spec.proxy.vm_id {
                "" => self.engine.hub.space(&spec.name),
                vm_id => self.engine.hub.space(vm_id),
            },
            hub: Arc::clone(&self.engine.hub),
            upstreams: self.plan.upstreams.as_slice().into(),
            redis: self.plan.redis.as_slice().into(),
        }
    }

    /// The file that a pool takes a program from, if it is to; without a cache, there is none.
    fn pool_file(&mut self, pools: bool, key: &str) -> Option<File> {
        let cache = Cache { dir: &self.plan.cache_dir };
        if pools { Some(cache.find(key, &mut self.ledger).ok()??.file) } else { None }
    }

    fn callee(&mut self, spec: &ModuleSpec) -> Result<Later<Arc<Callee>>, Vec<Mistake>> {
        let mut source = self.open(&spec.file)?;
        let trial = check::module(spec, &source.key);
        let shop = Arc::clone(self.shop()?);
        if let Some((_, file)) = self.known(&trial, &source.key) {
            let (spec, key) = (spec.clone(), source.key);
            return Ok(Later::new(move || {
                Ok(Arc::new(shop.callee(&spec, shop.map(&key, &file)?)?.0))
            }));
        }
        self.tried += 1;
        let (callee, notes) = shop.callee(spec, self.code(&mut source, spec.memory)?)?;
        if notes.is_empty() {
            self.ledger.note_trial(trial, Outcome::default().to_string());
        }
        self.notes.extend(notes);
        Ok(Later::now(Arc::new(callee)))
    }

    fn shop(&mut self) -> Result<&Arc<Workshop>, Vec<Mistake>> {
        if self.shop.is_none() {
            let machine = self.engine.machine().map_err(|mistake| vec![mistake])?;
            self.shop = Some(Arc::new(Workshop::new(Arc::clone(machine))));
        }
        self.shop.as_ref().ok_or_else(Vec::new)
    }

    fn open<'f>(&mut self, file: &'f Path) -> Result<Source<'f>, Vec<Mistake>> {
        Source::open(file, &mut self.ledger).map_err(|mistake| vec![mistake])
    }

    /// The code in a file: from this load, from the cache, or compiled now.
    fn code(&mut self, source: &mut Source<'_>, memory: u64) -> Result<Code, Vec<Mistake>> {
        let shop = Arc::clone(self.shop()?);
        let code = shop.seen(&source.key).unwrap_or_else(|| {
            let code = self.anew(source);
            shop.note(&source.key, code.clone());
            code
        });
        let code = code.map_err(|mistake| vec![mistake])?;
        let needs = code.first_memory();
        if needs > memory {
            let text = format!("it begins with {needs} bytes of memory; its limit is {memory}");
            return Err(vec![Mistake::new(text).hint("raise `limits.memory`")]);
        }
        Ok(code)
    }

    fn anew(&mut self, source: &mut Source<'_>) -> Result<Code, Mistake> {
        if let Some(code) = self.cached(&source.key)? {
            return Ok(code);
        }
        let bytes = source.read()?;
        match source.is_ahead() {
            true => self.ahead(&source.key, &bytes),
            false => self.compiled(&source.key, &bytes),
        }
    }

    /// What the cache has of it.
    fn cached(&mut self, key: &str) -> Result<Option<Code>, Mistake> {
        let engine = &self.engine.machine()?.engine;
        Ok(self.of_cache(engine, key).unwrap_or_else(|why| {
            let text = format!("what the cache has of it is {why}: it is made anew");
            self.notes.push(Mistake::new(text));
            None
        }))
    }

    fn of_cache(
        &mut self,
        engine: &wasmtime::Engine,
        key: &str,
    ) -> Result<Option<Code>, &'static str> {
        let cache = Cache { dir: &self.plan.cache_dir };
        let Some(found) = cache.find(key, &mut self.ledger)? else { return Ok(None) };
        let code = mapped(engine, &found.file).ok_or("of another version or machine")?;
        self.ledger.note(found.facts, key);
        Ok(Some(code))
    }

    /// Keeps machine code, and gives it as the cache has it; `None`: a cache that can't be written
    /// costs the compilation each time, and memory, no more.
    fn keep(&mut self, key: &str, file: &[u8]) -> Option<Code> {
        let engine = &self.engine.machine().ok()?.engine;
        let cache = Cache { dir: &self.plan.cache_dir };
        cache.put(key, file).ok()?;
        let kept = self.of_cache(engine, key).ok().flatten();
        if kept.is_none() {
            cache.forget(key);
        }
        kept
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
        unsafe { Code::deserialize(engine, code) }
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
