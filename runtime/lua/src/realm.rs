//! A worker's VMs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_filter::host::{Module, Services};
use pilotlight_filter::{Fault, FaultKind, Filter, Realm};

use crate::engine::LuaLibrary;
use crate::filter::LuaFilter;
use crate::program::Program;
use crate::vm::Vm;

/// A worker's side: one VM for all scripts, and one for each that has a memory limit of its own.
pub(crate) struct LuaRealm {
    library: Arc<LuaLibrary>,
    services: Rc<dyn Services>,
    common: RefCell<Option<Rc<Vm>>>,
    own: RefCell<Vec<Option<Rc<Vm>>>>,
}

impl LuaRealm {
    pub(crate) fn open(library: Arc<LuaLibrary>, services: Rc<dyn Services>) -> Rc<LuaRealm> {
        let own = RefCell::new(vec![None; library.scripts.len()]);
        let common = RefCell::new(None);
        Rc::new(LuaRealm { library, services, common, own })
    }

    fn make(&self, memory: Option<u64>) -> Result<Rc<Vm>, Fault> {
        let memory = memory.unwrap_or(self.library.memory);
        Vm::new(memory, self.services.clone(), &self.library.world)
    }

    /// The VM and the booted program of the filter at `index`.
    pub(crate) fn home(&self, index: usize) -> Result<(Rc<Vm>, Rc<Program>), Fault> {
        let none = || Fault::new(FaultKind::Internal, "no such script");
        let script = self.library.scripts.get(index).ok_or_else(none)?;
        let vm = if script.fresh {
            self.make(script.memory)?
        } else if script.memory.is_some() {
            let mut own = self.own.borrow_mut();
            self.current(own.get_mut(index).ok_or_else(none)?, script.memory)?
        } else {
            self.current(&mut self.common.borrow_mut(), None)?
        };
        let program = script.in_vm(&vm, index)?;
        Ok((vm, program))
    }

    /// The VM at a place; a new one when there is none or it was killed.
    fn current(&self, place: &mut Option<Rc<Vm>>, memory: Option<u64>) -> Result<Rc<Vm>, Fault> {
        match place {
            Some(vm) if !vm.is_retired() => Ok(vm.clone()),
            _ => Ok(place.insert(self.make(memory)?).clone()),
        }
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

    fn trim(&self) {
        // Exchanges under way hold their VM; it goes with the last of them.
        self.0.common.borrow_mut().take();
        self.0.own.borrow_mut().iter_mut().for_each(|vm| *vm = None);
    }

    fn gauges(&self, report: &mut dyn FnMut(&'static str, &str, u64)) {
        let common = self.0.common.borrow().as_ref().map_or(0, |vm| vm.used());
        let own: usize = self.0.own.borrow().iter().flatten().map(|vm| vm.used()).sum();
        report("lua_heap", "", (common + own) as u64);
    }
}
