//! What scripts write of their answer: its head, its body.

use std::os::raw::{c_int, c_void};
use std::rc::Rc;
use std::task::{Context, Poll};

use mlua_sys::lua_State;
use pilotlight_filter::{Exchange, Origin};

use super::{Fast, Slow};
use crate::output::Output;
use crate::stack::Stack;
use crate::vm::window_of;
use crate::wait::{Answer, Waiter};
use crate::window::{FAILED, NONE, TEXT, Window, given};

pub(crate) fn fast() -> [Fast; 6] {
    const PLAIN: &str = "int (*)(pl_window *)";
    [
        Fast("out", "int (*)(pl_window *, const char *, int)", write as *const c_void),
        Fast("out_begin", "int (*)(pl_window *, int)", begin as *const c_void),
        Fast("out_end", PLAIN, end as *const c_void),
        Fast("length", "double (*)(pl_window *)", length as *const c_void),
        Fast("length_set", "int (*)(pl_window *, double)", length_set as *const c_void),
        Fast("body_get", "int (*)(pl_window *, int)", body_get as *const c_void),
    ]
}

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("out_drained", drained)]
}

/// Writes text: 1 when the script should wait before it writes more.
unsafe extern "C" fn write(window: *mut Window, at: *const u8, len: c_int) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, text) = unsafe { (&mut *window, given(at, len)) };
    match &window.host.output {
        Some(output) if !output.has_ended() => c_int::from(output.write(text)),
        _ => FAILED,
    }
}

/// Begins the answer: from here on the head is the response's, not a draft.
unsafe extern "C" fn begin(window: *mut Window, status: c_int) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let Some(output) = window.host.output.clone() else { return FAILED };
    let Some(exchange) = window.exchange() else { return FAILED };
    output.begin();
    exchange.begin_reply(status.clamp(200, 599) as u16);
    NONE
}

/// The script writes no more.
unsafe extern "C" fn end(window: *mut Window) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    window.host.output.iter().for_each(|output| output.end());
    NONE
}

/// Bytes of the response's body, where they are known; else a number below zero.
unsafe extern "C" fn length(window: *mut Window) -> f64 {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let promised = window.host.output.as_ref().and_then(|output| output.length());
    let known = window.exchange().filter(|exchange| exchange.response.origin.is_some());
    let length = known.and_then(|exchange| exchange.response.body.length());
    promised.or(length).map_or(-1.0, |length| length as f64)
}

/// Promises a length for the body; below zero: it is not known any more.
unsafe extern "C" fn length_set(window: *mut Window, length: f64) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let promised = (length >= 0.0).then_some(length as u64);
    if let Some(output) = &window.host.output {
        output.promise(promised);
    } else if let Some(exchange) = window.exchange()
        && promised.is_none()
        && exchange.response.origin == Some(Origin::Upstream)
    {
        exchange.response.body.forget_length();
    }
    NONE
}

/// Shows a body that is here whole: `which` is 0 for the request's, 1 for the response's.
unsafe extern "C" fn body_get(window: *mut Window, which: c_int) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let Some(exchange) = window.exchange() else { return NONE };
    let body = match which {
        0 => &mut exchange.request.body,
        _ => &mut exchange.response.body,
    };
    if which == 0 && body.whole().is_some_and(|whole| !whole.is_empty()) {
        // nginx has it until the end: loggers look at it when it has long been sent.
        body.keep();
    }
    let whole = body.whole().filter(|whole| !whole.is_empty()).or_else(|| body.kept());
    let Some(whole) = whole else { return NONE };
    let whole = &raw const *whole;
    window.show(whole);
    TEXT
}

/// Ready when all that was written has left.
struct Drained(Rc<Output>);

impl Waiter for Drained {
    fn poll(&mut self, _: &mut Context<'_>, _: Option<&mut Exchange>) -> Poll<Answer> {
        // Whoever takes the output polls the script afterwards: nobody need be woken.
        match self.0.is_drained() {
            true => Poll::Ready(Answer::Nothing),
            false => Poll::Pending,
        }
    }
}

/// `out_drained()`: leaves a wait for all that was written to leave.
unsafe extern "C-unwind" fn drained(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (_, window) = unsafe { (Stack::new(state), window_of(state)) };
    if let Some(output) = window.host.output.clone() {
        window.host.pending = Some(Box::new(Drained(output)));
    }
    0
}
