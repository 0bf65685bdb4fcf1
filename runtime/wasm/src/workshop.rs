//! Where machine code is mapped and linked: while a generation is loaded or, what is known to be good, when the
//! first instance is made of it.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pilotlight_filter::engine::ModuleSpec;
use pilotlight_filter::{Fault, FaultKind};
use wasmtime::{Engine, InstancePre, Module};

use crate::code::Code;
#[cfg(feature = "components")]
use crate::component::app;
use crate::config;
use crate::engine::{Machine, Mistake};
use crate::host::{Host, Slots};
use crate::modules::{self, Callee};
use crate::proxy_wasm::instance::Ready;
use crate::proxy_wasm::link::Links;
use crate::vm;

/// What is made when it is first asked for. Whoever asks meanwhile waits.
pub(crate) struct Later<T> {
    made: OnceLock<Result<T, Fault>>,
    make: Mutex<Option<Make<T>>>,
}

type Make<T> = Box<dyn FnOnce() -> Result<T, Vec<Mistake>> + Send>;

impl<T> Later<T> {
    /// What is there already.
    pub(crate) fn now(made: T) -> Later<T> {
        Later { made: OnceLock::from(Ok(made)), make: Mutex::default() }
    }

    pub(crate) fn new(make: impl FnOnce() -> Result<T, Vec<Mistake>> + Send + 'static) -> Later<T> {
        Later { made: OnceLock::new(), make: Mutex::new(Some(Box::new(make))) }
    }

    /// # Errors
    /// What is known to be good can't be made for all that: there is no memory or no address space.
    #[inline]
    pub(crate) fn get(&self) -> Result<&T, Fault> {
        self.made.get_or_init(|| self.first()).as_ref().map_err(Fault::clone)
    }

    #[cold]
    fn first(&self) -> Result<T, Fault> {
        let make = self.make.lock().unwrap_or_else(PoisonError::into_inner).take();
        let made = make.map_or_else(|| Err(Vec::new()), |make| make());
        made.map_err(|mistakes| {
            let why = mistakes.into_iter().next().map(|mistake| mistake.message);
            let why = why.unwrap_or_else(|| "it can't be mapped".to_owned());
            Fault::new(FaultKind::Internal, why)
        })
    }
}

/// A program ready to be instantiated, and the same in the pool for instances that serve one exchange, with the
/// pool's free slots.
pub(crate) struct Runs<R> {
    pub(crate) ready: R,
    pub(crate) pooled: Option<(R, Slots)>,
}

/// What the programs of a generation are made with. A file that several of them name is mapped once.
pub(crate) struct Workshop {
    pub(crate) machine: Arc<Machine>,
    /// What files came to, mistakes too: several programs may be of one.
    seen: Mutex<HashMap<String, Result<Code, Mistake>>>,
    links: Mutex<Vec<Links>>,
}

impl Workshop {
    pub(crate) fn new(machine: Arc<Machine>) -> Workshop {
        Workshop { machine, seen: Mutex::default(), links: Mutex::default() }
    }

    pub(crate) fn seen(&self, key: &str) -> Option<Result<Code, Mistake>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn note(&self, key: &str, code: Result<Code, Mistake>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(key.to_owned(), code);
    }

    /// What a file of the cache holds, which is known to be whole.
    pub(crate) fn map(&self, key: &str, file: &File) -> Result<Code, Vec<Mistake>> {
        if let Some(Ok(code)) = self.seen(key) {
            return Ok(code);
        }
        let code = mapped(&self.machine.engine, file);
        let code =
            code.ok_or_else(|| vec![Mistake::new("what the cache has of it can't be mapped")])?;
        self.note(key, Ok(code.clone()));
        Ok(code)
    }

    pub(crate) fn link(
        &self,
        module: &Module,
        on_fiber: bool,
    ) -> Result<InstancePre<Host>, Vec<Mistake>> {
        let mut all = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let at = all.iter().position(|links| links.fit(module, on_fiber));
        let at = at.unwrap_or_else(|| {
            all.push(Links::new(module.engine(), on_fiber));
            all.len() - 1
        });
        let own = |texts: Vec<String>| texts.into_iter().map(Mistake::new).collect();
        all[at].link(module).map_err(own)
    }

    /// A filter. `pooled`: the file that a pool takes it from, too.
    pub(crate) fn filter(
        &self,
        module: &Module,
        on_fiber: bool,
        pooled: Option<&File>,
    ) -> Result<Runs<Ready>, Vec<Mistake>> {
        let ready = Ready::new(self.link(module, on_fiber)?);
        Ok(Runs { ready, pooled: pooled.and_then(|file| self.pooled(file)) })
    }

    /// The same file in the pool's engine; without address space for slots, there is none.
    fn pooled(&self, file: &File) -> Option<(Ready, Slots)> {
        let (engine, slots) = self.machine.pool(&self.machine.filters, &config::FILTERS)?;
        let module = mapped(engine, file)?.module()?;
        Some((Ready::new(self.link(&module, false).ok()?), Arc::clone(slots)))
    }

    /// A module that scripts call, and what is odd about it.
    pub(crate) fn callee(
        &self,
        spec: &ModuleSpec,
        code: Code,
    ) -> Result<(Callee, Vec<Mistake>), Vec<Mistake>> {
        Ok(match code {
            Code::Module(module) => {
                let pre = self.link(&module, spec.cpu > vm::INLINE)?;
                let core = modules::core::Core::new(spec, &module, pre)?;
                (Callee::new(spec, modules::Code::Core(core)), Vec::new())
            }
            #[cfg(feature = "components")]
            Code::Component(component) => {
                let typed = crate::component::callee(spec, &component)?;
                let missing = crate::component::missing(&component).into_iter().collect();
                (Callee::new(spec, modules::Code::Typed(typed)), missing)
            }
        })
    }

    /// An application.
    #[cfg(feature = "components")]
    pub(crate) fn app(
        &self,
        component: &wasmtime::component::Component,
        pooled: Option<&File>,
    ) -> Result<Runs<app::Ready>, Vec<Mistake>> {
        let pooled = pooled.and_then(|file| {
            let machine = &self.machine;
            let (engine, slots) = machine.pool(&machine.applications, &config::APPLICATIONS)?;
            let Code::Component(component) = mapped(engine, file)? else { return None };
            Some((app::Ready::new(&component).ok()?, Arc::clone(slots)))
        });
        Ok(Runs { ready: app::Ready::new(component)?, pooled })
    }
}

pub(crate) fn mapped(engine: &Engine, file: &File) -> Option<Code> {
    let file = file.try_clone().ok()?;
    // SAFETY: the compiler of this very build wrote the file (its seal is whole and nobody else can write
    // it), and files of the cache are replaced, never changed.
    unsafe { Code::map(engine, file) }
}
