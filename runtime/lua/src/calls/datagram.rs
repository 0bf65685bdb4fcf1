//! Datagrams of scripts; as with connections, false stands for a wait.

use std::cell::RefCell;
use std::os::raw::c_int;
use std::rc::Rc;

use pilotlight_filter::abi::limit;
use pilotlight_luajit::lua_State;

use super::Slow;
use super::gather::gather;
use super::socket::{milliseconds, show, whole};
use crate::handle;
use crate::socket::datagram::{self, DATAGRAM_MAX, Peer};
use crate::socket::{BAD_REQUEST, CLOSED, Failure, Owner};
use crate::stack::Stack;
use crate::value::{nothing, refuse};
use crate::vm::window_of;
use crate::window::Window;

pub(crate) fn slow() -> [Slow; 5] {
    [
        Slow("datagram_new", new),
        Slow("datagram_peer", set_peer),
        Slow("datagram_send", send),
        Slow("datagram_receive", receive),
        Slow("datagram_close", close),
    ]
}

/// The socket at 1, unless it is closed, another exchange's, or busy.
fn at_hand(stack: Stack, window: &Window, does: &str) -> Result<Rc<RefCell<Peer>>, Failure> {
    let closed = || Failure::new(CLOSED).line(format!("attempt to {does} data on a closed socket"));
    let found = handle::get::<RefCell<Peer>>(stack, 1).ok_or_else(closed)?;
    let peer = found.borrow();
    let is_others = peer.owner() != Owner::new(window.serial);
    if is_others && peer.is_stranded() {
        return Err(Failure::new(BAD_REQUEST));
    }
    if peer.is_closed() {
        return Err(closed());
    }
    if is_others {
        return Err(Failure::new(BAD_REQUEST));
    }
    if peer.is_busy() {
        return Err(Failure::new("socket busy"));
    }
    drop(peer);
    Ok(found)
}

/// `datagram_new()`: a handle; nil where there is neither an exchange nor a task.
unsafe extern "C-unwind" fn new(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(owner) = window.owner() else { return nothing(stack) };
    let peer = Peer::new(&window.host.sockets, owner);
    handle::push(stack, peer);
    1
}

/// `datagram_peer(handle, host, port, from)`.
unsafe extern "C-unwind" fn set_peer(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(peer) = handle::get::<RefCell<Peer>>(stack, 1) else {
        return refuse(stack, CLOSED);
    };
    let (owner, busy) = (peer.borrow().owner(), peer.borrow().is_busy());
    if owner != Owner::new(window.serial) {
        return refuse(stack, BAD_REQUEST);
    }
    if busy {
        return refuse(stack, "socket busy");
    }
    let host = stack.text(2).unwrap_or_default();
    let port = whole(stack, 3, 0.0).min(usize::from(u16::MAX)) as u16;
    let from = stack.text(4).and_then(|text| text.parse().ok());
    let services = window.host.services.clone();
    let begun = datagram::set_peer(&window.host.sockets, &peer, (&host, port), from, &services);
    show(stack, window, begun)
}

/// `datagram_send(handle, data)`; data that can't be sent: nil, nil and what is wrong.
unsafe extern "C-unwind" fn send(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let peer = match at_hand(stack, window, "send") {
        Ok(peer) => peer,
        Err(failure) => return show(stack, window, Ok(Err(failure))),
    };
    match gather(stack, 2, limit::LUA_SOCKET_BYTES) {
        Ok(data) => {
            let sent = peer.borrow_mut().send(&data);
            show(stack, window, Ok(sent))
        }
        Err(message) => {
            stack.push_nil();
            refuse(stack, &message) + 1
        }
    }
}

/// `datagram_receive(handle, size, timeout)`.
unsafe extern "C-unwind" fn receive(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let peer = match at_hand(stack, window, "receive") {
        Ok(peer) => peer,
        Err(failure) => return show(stack, window, Ok(Err(failure))),
    };
    let most = whole(stack, 2, 0.0).min(DATAGRAM_MAX);
    let services = window.host.services.clone();
    let begun = datagram::receive(&peer, most, milliseconds(stack, 3), services);
    show(stack, window, begun)
}

/// `datagram_close(handle)`: 1, or nil and why not.
unsafe extern "C-unwind" fn close(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let peer = match at_hand(stack, window, "close") {
        Ok(peer) => peer,
        Err(failure) => return refuse(stack, &failure.why),
    };
    peer.borrow_mut().shut();
    stack.push_number(1.0);
    1
}
