//! A worker's VMs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_filter::host::{Called, Module, Services};
use pilotlight_filter::{Fault, FaultKind, Filter, Realm};

use crate::arena;
use crate::counts;
use crate::engine::LuaLibrary;
use crate::export;
use crate::filter::LuaFilter;
use crate::prelude;
use crate::program::{Program, Script};
use crate::spare::Spare;
use crate::vm::Vm;

/// A worker's side: one VM for all scripts, and one for each that has a memory limit of its own.
pub(crate) struct LuaRealm {
    pub(crate) library: Arc<LuaLibrary>,
    services: Rc<dyn Services>,
    common: RefCell<Option<Rc<Vm>>>,
    /// By the scripts' indexes.
    own: RefCell<BTreeMap<usize, Option<Rc<Vm>>>>,
    /// The next common one.
    spare: RefCell<Spare>,
}

impl LuaRealm {
    pub(crate) fn open(library: Arc<LuaLibrary>, services: Rc<dyn Services>) -> Rc<LuaRealm> {
        let (common, own, spare) = Default::default();
        let realm = Rc::new(LuaRealm { library, services, common, own, spare });
        realm.boot_behind(|script| script.eager);
        realm
    }

    /// Boots scripts whether or not there are exchanges for them, behind the work at hand: those that
    /// run tasks, and plugins that an exchange should not wait for.
    fn boot_behind(self: &Rc<LuaRealm>, which: impl Fn(&Script) -> bool) {
        for (index, script) in self.library.scripts.iter().enumerate() {
            if which(script) {
                let realm = Rc::downgrade(self);
                self.services.spawn(Box::pin(async move {
                    // What its script says against it comes with its next exchange.
                    drop(realm.upgrade().map(|realm| realm.home(index)));
                }));
            }
        }
    }

    /// Boots the scripts written for nginx that prepare their common VM, in order: what the first of
    /// them does (`init_by_lua`), the others find. Those that only answer boot when they first do.
    fn boot_world(&self, vm: &Vm, plugins: bool) -> Result<(), Fault> {
        for (index, script) in self.library.scripts.iter().enumerate() {
            if script.prepares() && script.is_common() && (plugins || !script.is_plugin()) {
                script.in_vm(vm, index)?;
            }
        }
        Ok(())
    }

    fn make(&self, memory: Option<u64>) -> Result<Rc<Vm>, Fault> {
        let memory = memory.unwrap_or(self.library.memory);
        Vm::new(memory, self.services.clone(), &self.library.world)
    }

    /// The VM and the booted program of the filter at `index`.
    pub(crate) fn home(self: &Rc<LuaRealm>, index: usize) -> Result<(Rc<Vm>, Rc<Program>), Fault> {
        let none = || Fault::new(FaultKind::Internal, "no such script");
        let script = self.library.scripts.get(index).ok_or_else(none)?;
        let vm = if script.fresh {
            self.make(script.memory)?
        } else if script.memory.is_some() {
            self.current(self.own.borrow_mut().entry(index).or_default(), script.memory)?
        } else {
            self.current(&mut self.common.borrow_mut(), None)?
        };
        let program = script.in_vm(&vm, index)?;
        Ok((vm, program))
    }

    /// Whether the script at `index` is written for nginx or Kong.
    pub(crate) fn is_dialect(&self, index: usize) -> bool {
        self.library.scripts.get(index).is_some_and(Script::is_dialect)
    }

    /// The VM at a place; a new one when there is none or it was killed.
    fn current(
        self: &Rc<LuaRealm>,
        place: &mut Option<Rc<Vm>>,
        memory: Option<u64>,
    ) -> Result<Rc<Vm>, Fault> {
        match place {
            Some(vm) if !vm.is_retired() => Ok(vm.clone()),
            old => {
                let killed = old.take();
                let had_tasks = killed.as_ref().map(|killed| killed.tasks.were_used());
                let made = match (killed, memory) {
                    (Some(killed), None) => self.successor(killed)?,
                    (killed, _) => {
                        drop(killed);
                        self.make(memory)?
                    }
                };
                *old = Some(made.clone());
                if memory.is_none() {
                    self.boot_world(&made, had_tasks.is_none())?;
                }
                if let Some(tasks) = had_tasks {
                    let plugins = memory.is_none();
                    self.boot_behind(|script| {
                        script.eager && tasks || script.is_plugin() && script.is_common() && plugins
                    });
                }
                Ok(made)
            }
        }
    }
}

impl LuaRealm {
    /// The common VM that takes a killed one's place.
    fn successor(&self, killed: Rc<Vm>) -> Result<Rc<Vm>, Fault> {
        if let Spare::Made(spare) = self.spare.take() {
            self.spare.replace(Spare::Owed(Some(killed)));
            return Ok(spare);
        }
        // It goes first: the new one takes its memory.
        drop(killed);
        self.spare.replace(Spare::Owed(None));
        self.make(None)
    }

    /// Makes the next VM, if one is owed, behind the work at hand.
    #[inline]
    pub(crate) fn restock(self: &Rc<LuaRealm>) {
        if self.spare.borrow().is_owed() {
            self.make_spare();
        }
    }

    #[cold]
    fn make_spare(self: &Rc<LuaRealm>) {
        let (realm, owed) = (Rc::downgrade(self), self.spare.take());
        self.services.spawn(Box::pin(async move {
            // Whoever has just been answered may wait for this processor.
            std::thread::yield_now();
            drop(owed);
            let Some(realm) = realm.upgrade() else { return };
            // Without memory for one, whoever needs it says so.
            let Ok(spare) = realm.make(None) else { return };
            let common = realm.library.scripts.iter().filter(|script| script.is_common());
            common.filter_map(Script::dialect).for_each(|name| prelude::prepare(&spare, name));
            realm.spare.replace(Spare::Made(spare));
        }));
    }

    fn close(&self) {
        self.own.borrow().values().flatten().for_each(|vm| vm.tasks.close());
        self.common.borrow().iter().for_each(|vm| vm.tasks.close());
    }
}

impl Drop for LuaRealm {
    fn drop(&mut self) {
        self.close();
    }
}

/// The realm as the host holds it: filters share what is inside.
pub(crate) struct OpenRealm(pub(crate) Rc<LuaRealm>);

impl Realm for OpenRealm {
    fn start(&self, index: usize) -> Box<dyn Filter> {
        Box::new(LuaFilter::new(self.0.clone(), index))
    }

    fn module(&self, _: &str) -> Option<Rc<dyn Module>> {
        None
    }

    fn exported(&self, name: &str, argument: &[u8]) -> Option<Called> {
        export::call(&self.0, name, argument)
    }

    fn close(&self) {
        self.0.close();
    }

    fn rest(&self) {
        self.0.common.borrow().iter().for_each(|vm| vm.rest());
        self.0.own.borrow().values().flatten().for_each(|vm| vm.rest());
        self.0.spare.take();
        arena::clear();
    }

    fn trim(&self) {
        // Exchanges under way hold their VM; it goes with the last of them.
        // One with tasks has more to do, and connections may come back to what they left in one.
        let idle = |vm: &mut Rc<Vm>| vm.tasks.is_empty() && vm.tied.get() == 0;
        self.0.common.borrow_mut().take_if(idle);
        self.0.own.borrow_mut().retain(|_, vm| {
            drop(vm.take_if(idle));
            vm.is_some()
        });
        self.0.spare.take();
        prelude::rest();
        arena::clear();
    }

    fn is_busy(&self) -> bool {
        let busy = |vm: &Rc<Vm>| !vm.tasks.is_empty();
        self.0.common.borrow().iter().any(busy) || self.0.own.borrow().values().flatten().any(busy)
    }

    fn gauges(&self, report: &mut dyn FnMut(&'static str, &str, u64)) {
        let common = self.0.common.borrow().as_ref().map_or(0, |vm| vm.used());
        let spare = self.0.spare.borrow().used();
        let own: usize = self.0.own.borrow().values().flatten().map(|vm| vm.used()).sum();
        report("lua_heap", "", (common + own + spare) as u64);
        counts::each(|name, count| report(name, "", count));
    }
}
