//! What a VM keeps for an exchange as long as that lives: the state of its scripts.

use std::os::raw::c_int;
use std::rc::Rc;

use pilotlight_filter::Exchange;

use crate::stack::Stack;
use crate::vm::{CURRENT, STATE, Vm};

/// What the filters of a handshake leave to the requests of its connection: a table.
pub(crate) struct Heirloom {
    pub(crate) vm: Rc<Vm>,
    place: c_int,
}

impl Heirloom {
    /// Takes the table on top of a stack of `vm`.
    pub(crate) fn new(vm: Rc<Vm>, stack: Stack) -> Heirloom {
        vm.tied.set(vm.tied.get() + 1);
        let place = vm.keep(stack);
        Heirloom { vm, place }
    }
}

impl Drop for Heirloom {
    fn drop(&mut self) {
        self.vm.tied.set(self.vm.tied.get() - 1);
        self.vm.forget(self.place);
    }
}

/// A value of a VM that belongs to an exchange.
struct Kept {
    vm: Rc<Vm>,
    place: c_int,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.vm.shown.get() == self.place {
            self.vm.shown.set(0);
        }
        self.vm.forget(self.place);
    }
}

/// Shows the scripts of `vm` the exchange that they are going to work on (`current` in
/// `prelude/ngx/world.lua`): the place of the table that they share.
pub(crate) fn show(exchange: &mut Exchange, vm: &Rc<Vm>) -> c_int {
    let (stack, place) = (vm.stack, state(exchange, vm));
    if vm.shown.replace(place) != place {
        stack.show(CURRENT, place);
    }
    place
}

/// Pushes what each state is a copy of: what `enter` in `prelude/ngx/boot.lua` and a phase's steps
/// write into every one.
pub(crate) fn push_blank(stack: Stack) {
    const FIELDS: [&[u8]; 6] = [b"serial", b"settings", b"step", b"at", b"phase", b"marked"];
    stack.push_table(0, FIELDS.len() as c_int);
    for name in FIELDS {
        stack.push_bool(false);
        stack.set(-2, name);
    }
}

/// The place of the table that all scripts of `vm` share on this exchange; made when there is none.
fn state(exchange: &mut Exchange, vm: &Rc<Vm>) -> c_int {
    let kept = exchange.kept.iter().filter_map(|kept| kept.downcast_ref::<Kept>());
    if let Some(kept) = kept.into_iter().find(|kept| Rc::ptr_eq(&kept.vm, vm)) {
        return kept.place;
    }
    vm.stack.push_copy_of(STATE);
    for heirloom in &exchange.peer.heirlooms.0 {
        let heirloom = heirloom.downcast_ref::<Heirloom>();
        if let Some(heirloom) = heirloom.filter(|heirloom| Rc::ptr_eq(&heirloom.vm, vm)) {
            vm.stack.push_kept(heirloom.place);
            vm.stack.set(-2, b"inherited");
        }
    }
    let place = vm.keep(vm.stack);
    exchange.kept.push(Box::new(Kept { vm: vm.clone(), place }));
    place
}
