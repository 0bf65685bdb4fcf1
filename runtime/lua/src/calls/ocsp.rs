//! OCSP for scripts.

use std::os::raw::c_int;

use pilotlight_luajit::lua_State;

use super::Slow;
use crate::crypto::ocsp::Pair;
use crate::stack::Stack;
use crate::value::refuse;
use crate::vm::window_of;

pub(crate) fn slow() -> [Slow; 3] {
    [Slow("ocsp_responder", responder), Slow("ocsp_request", request), Slow("ocsp_check", check)]
}

/// `ocsp_responder(chain)`: a URL, or nil; or nil and what is wrong.
unsafe extern "C-unwind" fn responder(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    match Pair::read(stack.bytes(1).unwrap_or_default()) {
        Err(why) => return refuse(stack, &why),
        Ok(pair) => match pair.responder() {
            Some(url) => stack.push_bytes(url),
            None => stack.push_nil(),
        },
    }
    1
}

/// `ocsp_request(chain)`: what to ask, or nil and what is wrong.
unsafe extern "C-unwind" fn request(state: *mut lua_State) -> c_int {
    // SAFETY: as in `responder`.
    let stack = unsafe { Stack::new(state) };
    let request = Pair::read(stack.bytes(1).unwrap_or_default());
    match request.and_then(|pair| pair.request().ok_or("OCSP_cert_to_id() failed".into())) {
        Ok(request) => stack.push_bytes(&request),
        Err(why) => return refuse(stack, &why),
    }
    1
}

/// `ocsp_check(response, chain)`: true, or nil and what is wrong.
unsafe extern "C-unwind" fn check(state: *mut lua_State) -> c_int {
    // SAFETY: as in `responder`; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let now = window.host.services.now();
    let pair = Pair::read(stack.bytes(2).unwrap_or_default());
    match pair.and_then(|pair| pair.check(stack.bytes(1).unwrap_or_default(), now)) {
        Ok(()) => stack.push_bool(true),
        Err(why) => return refuse(stack, &why),
    }
    1
}
