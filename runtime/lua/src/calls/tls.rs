//! TLS of scripts' connections, and the certificates that they show.

use std::cell::RefCell;
use std::os::raw::c_int;
use std::path::PathBuf;
use std::rc::Rc;

use pilotlight_filter::host::socket::{ClientIdentity, StartTls, TlsFiles};
use pilotlight_luajit::lua_State;

use super::socket::{milliseconds, show};
use super::{Fast, Slow};
use crate::handle;
use crate::pem::{self, Chain, Key};
use crate::socket::handshake::handshake;
use crate::socket::stream::{Stream, Use};
use crate::socket::{BAD_REQUEST, CLOSED, Owner};
use crate::stack::{Kind, Stack};
use crate::value::refuse;
use crate::vm::window_of;
use crate::window::{NONE, Window};

pub(crate) fn fast() -> [Fast; 1] {
    [fast!("token_forget", forget(window, double) -> int)]
}

pub(crate) fn slow() -> [Slow; 6] {
    [
        Slow("socket_handshake", socket_handshake),
        Slow("socket_session", session),
        Slow("socket_peer", peer),
        Slow("tls_chain", chain),
        Slow("tls_key", key),
        Slow("tls_der", der),
    ]
}

/// `token_forget(number)`: Lua has collected what stood for it.
unsafe fn forget(window: *mut Window, number: f64) -> c_int {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    window.host.tokens.forget(number);
    NONE
}

/// `socket_handshake(handle, keeps, session, name, verify, certificate, key, timeout, files)`:
/// `keeps` says whether the session is wanted; `files` is the `ssl` table of the settings, or nil.
unsafe extern "C-unwind" fn socket_handshake(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(stream) = handle::get::<RefCell<Stream>>(stack, 1) else {
        return refuse(stack, CLOSED);
    };
    let refused = {
        let stream = stream.borrow();
        match stream.busy(Use::Both) {
            _ if stream.is_closed(Use::Read) || stream.is_closed(Use::Write) => Some(CLOSED),
            _ if stream.owner() != Owner::new(window.serial) => Some(BAD_REQUEST),
            None if stream.is_body() => Some("not supported for downstream sockets"),
            busy => busy,
        }
    };
    if let Some(refused) = refused {
        return refuse(stack, refused);
    }
    let tokens = window.host.tokens.clone();
    let at = |place| stack.number(place).unwrap_or_default();
    let client = match (tokens.get::<Chain>(at(6)), tokens.get::<Key>(at(7))) {
        (Some(chain), Some(key)) => {
            Some(Rc::new(ClientIdentity { chain: chain.0.clone(), key: key.der.clone() }))
        }
        _ => None,
    };
    let tls = StartTls {
        server_name: stack.text(4).filter(|name| !name.is_empty()),
        verify: stack.truth(5),
        files: files(stack, 9),
        client,
        session: tokens.any(at(3)),
    };
    let keeps = stack.truth(2).then_some(tokens);
    let services = window.host.services.clone();
    let begun = handshake(stream, tls, keeps, milliseconds(stack, 8), services);
    show(stack, window, begun)
}

/// The table of settings at `index`.
fn files(stack: Stack, index: c_int) -> TlsFiles {
    if stack.kind(index) != Kind::Table {
        return TlsFiles::default();
    }
    let path = |key: &str| stack.field(index, key, Stack::text).map(PathBuf::from);
    TlsFiles {
        ca: path("ca"),
        crl: path("crl"),
        certificate: path("certificate"),
        key: path("key"),
        protocols: stack.field(index, "protocols", |stack, _| texts(stack)),
        ciphers: stack.field(index, "ciphers", Stack::text),
        depth: stack.field(index, "verify_depth", Stack::number).map(|depth| depth as u32),
    }
}

/// The texts of the list on top.
fn texts(stack: Stack) -> Vec<String> {
    let mut texts = Vec::new();
    if stack.kind(-1) == Kind::Table {
        let list = stack.top();
        for at in 1..=stack.length(list) {
            stack.get_at(list, at as c_int);
            texts.extend(stack.text(-1));
            stack.pop(1);
        }
    }
    texts
}

/// `socket_session(handle)`: the number of its session, or nil and why there is none.
unsafe extern "C-unwind" fn session(state: *mut lua_State) -> c_int {
    // SAFETY: as in `socket_handshake`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let stream = handle::get::<RefCell<Stream>>(stack, 1);
    let Some(stream) = stream.filter(|stream| !stream.borrow().is_closed(Use::Both)) else {
        return refuse(stack, CLOSED);
    };
    let session = stream.borrow_mut().link().and_then(|link| link.session.clone());
    match session.and_then(|session| window.host.tokens.keep(session)) {
        Some(number) => stack.push_number(f64::from(number)),
        None => return refuse(stack, "no session"),
    }
    1
}

/// `socket_peer(handle)`: the certificates that its peer has shown, DER, or nil and why there are none.
unsafe extern "C-unwind" fn peer(state: *mut lua_State) -> c_int {
    // SAFETY: as in `socket_handshake`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let stream = handle::get::<RefCell<Stream>>(stack, 1);
    let owner = Owner::new(window.serial);
    let mut stream = match stream.as_ref().map(|stream| stream.borrow_mut()) {
        Some(stream) if stream.is_closed(Use::Both) => return refuse(stack, CLOSED),
        Some(stream) if stream.owner() != owner => return refuse(stack, BAD_REQUEST),
        Some(stream) => stream,
        None => return refuse(stack, CLOSED),
    };
    let shown = stream.link().map(|link| link.socket.peer_certificates()).unwrap_or_default();
    if shown.is_empty() {
        return refuse(stack, "no certificate was shown");
    }
    stack.push_table(shown.len() as c_int, 0);
    let list = stack.top();
    for (index, der) in (1..).zip(&shown) {
        stack.push_bytes(der);
        stack.set_at(list, index);
    }
    1
}

/// `tls_chain(text, der)`: the number of a chain, or nil and what is wrong.
unsafe extern "C-unwind" fn chain(state: *mut lua_State) -> c_int {
    // SAFETY: as in `socket_handshake`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let bytes = stack.bytes(1).unwrap_or_default();
    let chain = match stack.truth(2) {
        true => pem::chain_of_der(bytes),
        false => pem::chain(bytes),
    };
    match chain.map(|chain| window.host.tokens.keep(Rc::new(chain))) {
        Ok(Some(number)) => stack.push_number(f64::from(number)),
        Ok(None) => return refuse(stack, "too many certificates"),
        Err(message) => return refuse(stack, message),
    }
    1
}

/// `tls_key(text, der)`: the number of a private key, or nil and what is wrong.
unsafe extern "C-unwind" fn key(state: *mut lua_State) -> c_int {
    // SAFETY: as in `socket_handshake`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let bytes = stack.bytes(1).unwrap_or_default();
    let key = match stack.truth(2) {
        true => Ok(Key::new(bytes.to_vec())),
        false => pem::key(bytes),
    };
    match key.map(|key| window.host.tokens.keep(Rc::new(key))) {
        Ok(Some(number)) => stack.push_number(f64::from(number)),
        Ok(None) => return refuse(stack, "too many keys"),
        Err(message) => return refuse(stack, message),
    }
    1
}

/// `tls_der(number, place)`: the bytes of a chain, of one certificate of it, or of a key.
unsafe extern "C-unwind" fn der(state: *mut lua_State) -> c_int {
    // SAFETY: as in `socket_handshake`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let number = stack.number(1).unwrap_or_default();
    let tokens = &window.host.tokens;
    match (tokens.get::<Chain>(number), tokens.get::<Key>(number), stack.number(2)) {
        (Some(chain), _, None) => stack.push_bytes(&chain.0.concat()),
        (Some(chain), _, Some(place)) => match chain.0.get((place as usize).wrapping_sub(1)) {
            Some(one) => stack.push_bytes(one),
            None => stack.push_nil(),
        },
        (None, Some(key), None) => stack.push_bytes(&key.der),
        _ => stack.push_nil(),
    }
    1
}
