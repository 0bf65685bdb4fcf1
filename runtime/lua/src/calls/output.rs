//! What scripts write of their answer: its head, its body.

use std::os::raw::c_int;
use std::rc::Rc;
use std::task::{Context, Poll};

use pilotlight_filter::Exchange;
use pilotlight_filter::fields::is_value;
use pilotlight_luajit::lua_State;

use super::{Fast, Slow};
use crate::calendar;
use crate::output::Output;
use crate::stack::Stack;
use crate::vm::window_of;
use crate::wait::{Answer, Waiter};
use crate::window::{FAILED, NONE, TEXT, Window, given};

pub(crate) fn fast() -> [Fast; 13] {
    [
        fast!("out", write(window, text, int) -> int),
        fast!("out_begin", begin(window, int) -> int),
        fast!("out_hold", hold(window) -> int),
        fast!("out_drop", drop_held(window) -> int),
        fast!("dateless", dateless(window) -> int),
        fast!("out_stock", stock(window) -> int),
        fast!("conditional", conditional(window) -> int),
        fast!("out_cut", cut(window) -> int),
        fast!("status_put", status_put(window, int, text, int) -> int),
        fast!("out_end", end(window) -> int),
        fast!("length", length(window) -> double),
        fast!("length_set", length_set(window, double) -> int),
        fast!("body_get", body_get(window, int) -> int),
    ]
}

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("out_drained", drained)]
}

/// Writes text: 1 when the script should wait before it writes more.
unsafe fn write(window: *mut Window, at: *const u8, len: c_int) -> c_int {
    // SAFETY: the prelude passes its own window and a Lua string.
    let (window, text) = unsafe { (&mut *window, given(at, len)) };
    match &window.host.output {
        Some(output) if !output.has_ended() && !output.is_lost() => c_int::from(output.write(text)),
        _ => FAILED,
    }
}

/// Begins the answer: from here on the head is the response's, not a draft.
unsafe fn begin(window: *mut Window, status: c_int) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let Some(output) = window.host.output.clone() else { return FAILED };
    let Some(exchange) = window.exchange() else { return FAILED };
    output.begin();
    // A client of HTTP/1.1 may be told to go on with another protocol.
    let switches = status == 101 && exchange.request.head.version.text() == "1.1";
    exchange.begin_reply(if switches { 101 } else { status.clamp(200, 999) as u16 });
    NONE
}

/// The response goes out without a date.
unsafe fn dateless(window: *mut Window) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    if let Some(exchange) = window.exchange() {
        exchange.response.dateless = true;
    }
    NONE
}

/// The body is the usual page for the status.
unsafe fn stock(window: *mut Window) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    if let Some(exchange) = window.exchange() {
        exchange.response.stock = true;
    }
    NONE
}

/// What the request's conditions make of an answer that is about to go out with 200 (RFC 9110 section
/// 13), as nginx weighs them: 304, 412, or 0 when it goes out.
unsafe fn conditional(window: *mut Window) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let Some(exchange) = window.exchange() else { return NONE };
    let asked = &exchange.request.head.fields;
    let is_one = |name: &[u8]| name.get(..3).is_some_and(|n| n.eq_ignore_ascii_case(b"if-"));
    if !asked.iter().any(|(_, name, _)| is_one(name)) {
        return NONE;
    }
    let field = |name| exchange.response_fields().and_then(|fields| fields.get(name));
    let date = |text: &[u8]| calendar::parse_http(text);
    let (modified, tag) = (field(b"last-modified").and_then(date), field(b"etag"));
    if let Some(until) = asked.get(b"if-unmodified-since") {
        let holds = modified.is_some_and(|modified| date(until) >= Some(modified));
        if !holds {
            return 412;
        }
    }
    if asked.get(b"if-match").is_some_and(|list| !is_among(list, tag, false)) {
        return 412;
    }
    let (since, none) = (asked.get(b"if-modified-since"), asked.get(b"if-none-match"));
    let is_new = since.is_some_and(|since| modified.is_none() || date(since) != modified)
        || none.is_some_and(|list| !is_among(list, tag, true));
    if is_new || since.is_none() && none.is_none() { NONE } else { 304 }
}

/// Whether an entity tag is in a list of such.
fn is_among(list: &[u8], tag: Option<&[u8]>, weak: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(tag) = tag else { return false };
    let mut all = list.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    match weak {
        true => all.any(|one| strong(one) == strong(tag)),
        false => all.any(|one| one == tag && !one.starts_with(b"W/")),
    }
}

/// A tag without the mark of a weak one.
fn strong(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Holds an answer back until it is whole, where its client asked by HTTP/1.0 and its length is not
/// known yet: 1 when it is so.
unsafe fn hold(window: *mut Window) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let version = window.exchange().map(|exchange| exchange.request.head.version.text());
    if version != Some("1.0") {
        return NONE;
    }
    let Some(output) = window.host.output.as_ref().filter(|o| o.length().is_none()) else {
        return NONE;
    };
    output.hold(true);
    TEXT
}

/// Drops what was held back and what was written; nothing is held back any more.
unsafe fn drop_held(window: *mut Window) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    if let Some(output) = &window.host.output {
        drop(output.take());
        output.hold(false);
    }
    NONE
}

/// What was written since the last cut reaches filters of bodies as one chunk.
unsafe fn cut(window: *mut Window) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    window.host.output.iter().for_each(|output| output.cut());
    NONE
}

/// The script writes no more.
unsafe fn end(window: *mut Window) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let Some(output) = &window.host.output else { return NONE };
    output.end();
    if output.is_lost() { FAILED } else { NONE }
}

/// Changes the status of a response that is there (any that has three digits), and what stands behind
/// it: the usual words where there are none.
unsafe fn status_put(window: *mut Window, status: c_int, reason: *const u8, len: c_int) -> c_int {
    // SAFETY: as in `write`.
    let (window, reason) = unsafe { (&mut *window, given(reason, len)) };
    let Some(exchange) = window.exchange() else { return FAILED };
    let head = &mut exchange.response.head;
    if head.status != 101 {
        head.status = status.clamp(200, 999) as u16;
    }
    let text = std::str::from_utf8(reason).ok().filter(|text| is_value(text.as_bytes()));
    head.reason = text.filter(|text| !text.is_empty()).map(Box::from);
    NONE
}

/// Bytes of the response's body, where they are known; else a number below zero.
unsafe fn length(window: *mut Window) -> f64 {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let promised = window.host.output.as_ref().and_then(|output| output.length());
    let known = window.exchange().filter(|exchange| exchange.response.origin.is_some());
    let length = known.and_then(|exchange| exchange.response.body.length());
    promised.or(length).map_or(-1.0, |length| length as f64)
}

/// Promises a length for the body; below zero: it is not known any more.
unsafe fn length_set(window: *mut Window, length: f64) -> c_int {
    // SAFETY: as in `write`.
    let window = unsafe { &mut *window };
    let promised = (length >= 0.0).then_some(length as u64);
    if let Some(output) = &window.host.output {
        output.promise(promised);
    } else if let Some(exchange) = window.exchange()
        && promised.is_none()
        && exchange.response.origin.is_some()
    {
        exchange.response.body.forget_length();
    }
    NONE
}

/// Shows a body that is here whole: `which` is 0 for the request's, 1 for the response's.
unsafe fn body_get(window: *mut Window, which: c_int) -> c_int {
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
