//! Connections of scripts. Each call gets the socket's handle first; what may take time ends with the
//! results of `socket::results`, or with false when the script must wait for them.

use std::cell::RefCell;
use std::net::IpAddr;
use std::os::raw::c_int;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::abi::{Value, limit};
use pilotlight_filter::host::socket::SocketOption;
use pilotlight_filter::{Exchange, Takeover};
use pilotlight_luajit::lua_State;

use super::Slow;
use super::gather::gather;
use crate::handle;
use crate::socket::receive::{Limits, receive};
use crate::socket::stream::{Stream, Use};
use crate::socket::{
    BAD_REQUEST, CLOSED, Failure, Open, Owner, Settled, Want, keepalive, open, results, send,
};
use crate::stack::Stack;
use crate::value::{self, refuse, status};
use crate::vm::{shared_vm_of, window_of};
use crate::wait::{Answer, Waiter};
use crate::window::Window;

/// The longest time that a script may wait for, milliseconds: 24 days, as in OpenResty.
const TIMEOUT_MAX: f64 = 2_147_483_647.0;

/// What a read takes, by number.
const LINE: i32 = 0;
const ALL: i32 = 1;
const EXACTLY: i32 = 2;

/// As `socket.lua` numbers them, from 1.
const OPTIONS: [SocketOption; 7] = [
    SocketOption::KeepAlive,
    SocketOption::ReuseAddress,
    SocketOption::NoDelay,
    SocketOption::SendBuffer,
    SocketOption::ReceiveBuffer,
    SocketOption::KeepAliveInterval,
    SocketOption::KeepAliveCount,
];

pub(crate) fn slow() -> [Slow; 13] {
    [
        Slow("socket_new", new),
        Slow("socket_of_body", of_body),
        Slow("socket_of_client", of_client),
        Slow("socket_connect", connect),
        Slow("socket_receive", socket_receive),
        Slow("socket_until", until),
        Slow("socket_send", socket_send),
        Slow("socket_close", close),
        Slow("socket_reused", reused),
        Slow("socket_keepalive", socket_keepalive),
        Slow("socket_option", option),
        Slow("socket_descriptor", descriptor),
        Slow("is_address", is_address),
    ]
}

/// Milliseconds as scripts give them.
pub(super) fn milliseconds(stack: Stack, at: c_int) -> Duration {
    let number = stack.number(at).filter(|number| !number.is_nan()).unwrap_or_default();
    Duration::from_secs_f64(number.clamp(0.0, TIMEOUT_MAX) / 1000.0)
}

/// A whole number, at least `least`.
pub(super) fn whole(stack: Stack, at: c_int, least: f64) -> usize {
    stack.number(at).filter(|number| *number >= least).unwrap_or(least) as usize
}

/// Shows how an operation ended; false while it goes on.
pub(super) fn show(
    stack: Stack,
    window: &mut Window,
    begun: Result<Settled, Box<dyn Waiter>>,
) -> c_int {
    match begun {
        Ok(settled) => {
            let values = results(settled);
            values.iter().for_each(|value| value::push(stack, value));
            values.len() as c_int
        }
        Err(waiter) => {
            window.host.pending = Some(waiter);
            stack.push_bool(false);
            1
        }
    }
}

/// The socket at 1, unless it is closed that way, another exchange's, or busy.
fn at_hand(
    stack: Stack,
    window: &Window,
    way: Use,
    does: &str,
) -> Result<Rc<RefCell<Stream>>, Failure> {
    let closed = |eof: bool| {
        let eof = i32::from(eof);
        Failure::new(CLOSED).line(format!("attempt to {does} data on a closed socket: eof:{eof}"))
    };
    let found = handle::get::<RefCell<Stream>>(stack, 1).ok_or_else(|| closed(false))?;
    let stream = found.borrow();
    let is_others = stream.owner() != Owner::new(window.serial);
    if is_others && stream.is_stranded() {
        return Err(Failure::new(BAD_REQUEST));
    }
    if stream.is_closed(way) {
        return Err(closed(stream.has_ended()));
    }
    if is_others {
        return Err(Failure::new(BAD_REQUEST));
    }
    if let Some(busy) = stream.busy(way) {
        return Err(Failure::new(busy));
    }
    drop(stream);
    Ok(found)
}

/// `socket_new()`: a handle; nil where there is neither an exchange nor a task.
unsafe extern "C-unwind" fn new(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(owner) = window.owner() else { return value::nothing(stack) };
    let stream = Stream::new(&window.host.sockets, owner);
    handle::push(stack, stream);
    1
}

/// A connection that a script wants to take over.
struct Taking {
    wish: Rc<Takeover>,
    stream: Rc<RefCell<Stream>>,
    open: Option<Open>,
}

impl Waiter for Taking {
    fn poll(&mut self, _: &mut Context<'_>, _: Option<&mut Exchange>) -> Poll<Answer> {
        // Whoever grants it polls the script afterwards: nobody need be woken.
        match (self.wish.take(), self.open.take()) {
            (None, open) => {
                self.open = open;
                Poll::Pending
            }
            (Some(Some(taken)), Some(open)) => {
                self.stream.borrow_mut().take_over(taken, open);
                Poll::Ready(Answer::Value(Value::Bool(true)))
            }
            _ => {
                Poll::Ready(Answer::Refused("this protocol has no connection to take over".into()))
            }
        }
    }
}

/// `socket_of_client()`: a handle of the client's connection, which the script takes over; leaves a
/// wait for that. Nil when there are too many.
unsafe extern "C-unwind" fn of_client(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let (Some(owner), open) = (window.owner(), window.host.sockets.one_more()) else {
        return value::nothing(stack);
    };
    let Some(exchange) = window.exchange().filter(|_| open.is_some()) else {
        return value::nothing(stack);
    };
    let wish = Rc::<Takeover>::default();
    exchange.takeover = Some(wish.clone());
    let stream = Stream::new(&window.host.sockets, owner);
    handle::push(stack, stream.clone());
    window.host.pending = Some(Box::new(Taking { wish, stream, open }));
    1
}

/// `socket_of_body()`: a handle of the request's body; nil when there is nothing in it.
unsafe extern "C-unwind" fn of_body(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    if window.exchange().is_none_or(|exchange| exchange.request.body.is_done()) {
        return value::nothing(stack);
    }
    let Some(owner) = window.owner() else { return value::nothing(stack) };
    let stream = Stream::of_body(&window.host.sockets, owner);
    handle::push(stack, stream);
    1
}

/// `socket_connect(handle, host, port, key, pool size, backlog, timeout, from, from port,
/// transparent)`.
unsafe extern "C-unwind" fn connect(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(stream) = handle::get::<RefCell<Stream>>(stack, 1) else {
        return refuse(stack, CLOSED);
    };
    let refused = {
        let stream = stream.borrow();
        match stream.busy(Use::Both) {
            _ if stream.owner() != Owner::new(window.serial) => Some(BAD_REQUEST),
            Some(busy) => Some(busy),
            None if stream.is_body() => Some("attempt to re-connect a request socket"),
            None => None,
        }
    };
    if let Some(refused) = refused {
        return refuse(stack, refused);
    }
    let from: Option<IpAddr> = stack.text(8).and_then(|text| text.parse().ok());
    let from_port = whole(stack, 9, 0.0).min(usize::from(u16::MAX)) as u16;
    let backlog = stack.number(6).map(|number| number.max(0.0) as usize);
    let plan = open::Plan {
        host: stack.text(2).unwrap_or_default(),
        port: whole(stack, 3, 0.0).min(usize::from(u16::MAX)) as u16,
        key: stack.bytes(4).unwrap_or_default().to_vec(),
        pool: stack.number(5).map(|size| (size.max(1.0) as usize, backlog)),
        timeout: milliseconds(stack, 7),
        from: from.map(|address| (address, from_port).into()),
        transparent: stack.truth(10),
    };
    let services = window.host.services.clone();
    let begun = open::open(&window.host.sockets, stream, plan, services);
    show(stack, window, begun)
}

/// Reads `want`; `at` are the timeout and the size of the buffer.
fn read(state: *mut lua_State, stack: Stack, window: &mut Window, want: Want, at: c_int) -> c_int {
    let stream = match at_hand(stack, window, Use::Read, "receive") {
        Ok(stream) => stream,
        Err(failure) => return show(stack, window, Ok(Err(failure))),
    };
    // SAFETY: within a call from Lua.
    let room = unsafe { shared_vm_of(state) }.map_or(0, |vm| vm.room());
    let limits = Limits {
        timeout: milliseconds(stack, at),
        buffer: whole(stack, at + 1, 1.0).min(limit::LUA_SOCKET_BYTES),
        most: room.min(limit::LUA_SOCKET_BYTES),
    };
    let services = window.host.services.clone();
    let begun = receive(stream, want, &limits, services, window.exchange());
    show(stack, window, begun)
}

/// `socket_receive(handle, kind, size, timeout, buffer)`.
unsafe extern "C-unwind" fn socket_receive(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let size = whole(stack, 3, 0.0);
    let want = match stack.number(2).unwrap_or_default() as i32 {
        LINE => Want::Line,
        ALL => Want::All,
        EXACTLY => Want::Exactly(size),
        _ => Want::Any(size),
    };
    read(state, stack, window, want, 4)
}

/// `socket_until(handle, text, size, inclusive, timeout, buffer)`.
unsafe extern "C-unwind" fn until(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let stream = handle::get::<RefCell<Stream>>(stack, 1);
    let text = stack.bytes(2).filter(|text| !text.is_empty());
    let (Some(stream), Some(text)) = (stream, text) else { return refuse(stack, CLOSED) };
    let pattern = stream.borrow_mut().pattern(text);
    let want = Want::Until { pattern, size: whole(stack, 3, 0.0), inclusive: stack.truth(4) };
    read(state, stack, window, want, 5)
}

/// `socket_send(handle, data, timeout)`; data that can't be sent: nil, nil and what is wrong.
unsafe extern "C-unwind" fn socket_send(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let stream = match at_hand(stack, window, Use::Write, "send") {
        Ok(stream) => stream,
        Err(failure) => return show(stack, window, Ok(Err(failure))),
    };
    let data = match gather(stack, 2, limit::LUA_SOCKET_BYTES) {
        Ok(data) => data,
        Err(message) => {
            stack.push_nil();
            return refuse(stack, &message) + 1;
        }
    };
    if stream.borrow().is_body() {
        return refuse(stack, "attempt to write to request sockets");
    }
    let services = window.host.services.clone();
    let begun = send::send(stream, data, milliseconds(stack, 3), services);
    show(stack, window, begun)
}

/// `socket_close(handle)`: 1, or nil and why not.
unsafe extern "C-unwind" fn close(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let stream = match at_hand(stack, window, Use::Both, "close") {
        Ok(stream) => stream,
        Err(failure) => return refuse(stack, &failure.why),
    };
    if stream.borrow().is_body() {
        return refuse(stack, "attempt to close a request socket");
    }
    stream.borrow_mut().shut();
    stack.push_number(1.0);
    1
}

/// `socket_reused(handle)`: how often its connection came out of a pool.
unsafe extern "C-unwind" fn reused(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, _) = unsafe { (Stack::new(state), window_of(state)) };
    let stream = handle::get::<RefCell<Stream>>(stack, 1);
    let reused = stream.and_then(|stream| {
        let mut stream = stream.borrow_mut();
        if stream.is_closed(Use::Both) {
            return None;
        }
        Some(stream.link().map_or(0, |link| link.reused))
    });
    let Some(reused) = reused else { return refuse(stack, CLOSED) };
    stack.push_number(f64::from(reused));
    1
}

/// `socket_keepalive(handle, key, milliseconds, size)`.
unsafe extern "C-unwind" fn socket_keepalive(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let stream = match at_hand(stack, window, Use::Both, "keep") {
        Ok(stream) => stream,
        Err(failure) => return refuse(stack, &failure.why),
    };
    let keep = match milliseconds(stack, 3).as_secs_f64() {
        0.0 => f64::INFINITY,
        seconds => seconds,
    };
    let (key, size) = (stack.bytes(2).unwrap_or_default(), whole(stack, 4, 1.0));
    let (sockets, services) = (&window.host.sockets, window.host.services.clone());
    let mut stream = stream.borrow_mut();
    let settled = keepalive::keepalive(sockets, &mut stream, key, size, keep, &*services);
    show(stack, window, Ok(settled))
}

/// `socket_option(handle, number)`: its value; `socket_option(handle, number, value)`: true.
unsafe extern "C-unwind" fn option(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let stack = unsafe { Stack::new(state) };
    let stream = handle::get::<RefCell<Stream>>(stack, 1);
    let Some(option) = OPTIONS.get(whole(stack, 2, 1.0) - 1) else {
        return refuse(stack, "unsupported option");
    };
    let stream = stream.as_ref().map(|stream| stream.borrow());
    let Some(socket) = stream.as_ref().and_then(|stream| stream.socket()) else {
        return refuse(stack, CLOSED);
    };
    let said = |error: &std::io::Error| Failure::system("", error, "").why;
    match stack.number(3) {
        Some(value) => {
            let set = socket.set_option(*option, value as i32).map_err(|error| said(&error));
            status(stack, set.as_ref().copied().map_err(String::as_str))
        }
        None => match socket.option(*option) {
            Ok(value) => {
                stack.push_number(f64::from(value));
                1
            }
            Err(error) => refuse(stack, &said(&error)),
        },
    }
}

/// `socket_descriptor(handle)`: the system's number of it.
unsafe extern "C-unwind" fn descriptor(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let stack = unsafe { Stack::new(state) };
    let stream = handle::get::<RefCell<Stream>>(stack, 1);
    let stream = stream.as_ref().map(|stream| stream.borrow());
    let Some(socket) = stream.as_ref().and_then(|stream| stream.socket()) else {
        return refuse(stack, CLOSED);
    };
    match socket.descriptor() {
        Some(number) => stack.push_number(f64::from(number)),
        None => return refuse(stack, "faked connection"),
    }
    1
}

/// `is_address(text)`: whether it is an IP address.
unsafe extern "C-unwind" fn is_address(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new`.
    let stack = unsafe { Stack::new(state) };
    let text = stack.text(1).unwrap_or_default();
    stack.push_bool(text.parse::<IpAddr>().is_ok());
    1
}
