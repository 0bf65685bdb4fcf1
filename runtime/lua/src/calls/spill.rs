//! Bodies of requests in files, which go with their exchange.

use std::ffi::OsStr;
use std::io;
use std::os::raw::c_int;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_filter::Exchange;
use pilotlight_filter::host::{Spilled, Wait};
use pilotlight_luajit::lua_State;

use super::Slow;
use crate::stack::Stack;
use crate::vm::window_of;
use crate::wait::{Answer, Waiter};

pub(crate) fn slow() -> [Slow; 2] {
    [Slow("spill", spill), Slow("passing", passing)]
}

/// A body on its way into a file.
struct Spilling(Wait<io::Result<Spilled>>);

impl Waiter for Spilling {
    fn poll(&mut self, cx: &mut Context<'_>, exchange: Option<&mut Exchange>) -> Poll<Answer> {
        Poll::Ready(match ready!(self.0.as_mut().poll(cx)) {
            Ok(Spilled { path, hold }) => {
                if let Some(exchange) = exchange {
                    exchange.kept.push(hold);
                }
                Answer::Text(path.into_vec().into())
            }
            Err(error) => Answer::Refused(error.to_string()),
        })
    }
}

/// `spill()`: leaves a wait for the path of a file with the request's body, which goes with the
/// exchange; false when there is nothing to write.
unsafe extern "C-unwind" fn spill(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let body = window.exchange().and_then(|exchange| exchange.request.body.whole());
    let body = body.filter(|body| !body.is_empty()).map(Bytes::copy_from_slice);
    stack.push_bool(body.is_some());
    if let Some(body) = body {
        window.host.pending = Some(Box::new(Spilling(window.host.services.spill(body))));
    }
    1
}

/// `passing(path)`: the file is removed when the exchange ends.
unsafe extern "C-unwind" fn passing(state: *mut lua_State) -> c_int {
    // SAFETY: as in `spill`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let file = stack.bytes(1).map(|path| PathBuf::from(OsStr::from_bytes(path)));
    let hold = file.map(|file| window.host.services.passing(file));
    if let (Some(hold), Some(exchange)) = (hold, window.exchange()) {
        exchange.kept.push(hold);
    }
    0
}
