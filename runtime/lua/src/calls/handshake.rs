//! What scripts see and change of a TLS handshake.

use std::net::IpAddr;
use std::os::raw::c_int;
use std::rc::Rc;

use pilotlight_filter::abi::limit;
use pilotlight_filter::handshake::{Handshake, Trust, Versions};
use pilotlight_luajit::lua_State;

use super::Slow;
use crate::crypto::certificate::Certificate;
use crate::crypto::{key, pem as text};
use crate::kept::Heirloom;
use crate::pem::{Chain, Key};
use crate::stack::{Kind, Stack};
use crate::value::refuse;
use crate::vm::{shared_vm_of, window_of};
use crate::window::Window;

pub(crate) fn slow() -> [Slow; 19] {
    [
        Slow("hs_hello", hello),
        Slow("hs_list", list),
        Slow("hs_random", random),
        Slow("hs_extension", extension),
        Slow("hs_version", version),
        Slow("hs_clear", clear),
        Slow("hs_chain", chain),
        Slow("hs_key", private_key),
        Slow("hs_staple", staple),
        Slow("hs_protocols", protocols),
        Slow("hs_ask", ask),
        Slow("hs_session", session),
        Slow("hs_no_session", no_session),
        Slow("hs_shown", shown),
        Slow("hs_flaw", flaw),
        Slow("hs_trust", trust),
        Slow("hs_bequeath", bequeath),
        Slow("peer_address", address),
        Slow("client_chain", chain_of_client),
    ]
}

/// Where there is no handshake.
const NONE: &str = "bad ssl conn";

/// The handshake at hand.
fn at_hand(window: &mut Window) -> Option<&mut Handshake> {
    window.exchange()?.handshake.as_deref_mut()
}

/// Does something with the handshake at hand; pushes true, or nil and why not.
fn with(
    state: *mut lua_State,
    change: impl FnOnce(Stack, &mut Handshake) -> Result<(), &'static str>,
) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(handshake) = at_hand(window) else { return refuse(stack, NONE) };
    match change(stack, handshake) {
        Ok(()) => stack.push_bool(true),
        Err(why) => return refuse(stack, why),
    }
    1
}

/// Pushes a text of the handshake at hand; nil where there is none, and why there is no handshake.
fn show(state: *mut lua_State, find: impl FnOnce(Stack, &Handshake) -> Option<Vec<u8>>) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(handshake) = at_hand(window) else { return refuse(stack, NONE) };
    match find(stack, handshake) {
        Some(text) => stack.push_bytes(&text),
        None => stack.push_nil(),
    }
    1
}

/// `hs_hello()`: the name that the client asks for.
unsafe extern "C-unwind" fn hello(state: *mut lua_State) -> c_int {
    show(state, |_, handshake| handshake.hello.server_name().map(|name| name.as_bytes().to_vec()))
}

/// `hs_random()`: the client's random bytes, in a handshake and after it.
unsafe extern "C-unwind" fn random(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return refuse(stack, NONE) };
    let kept = exchange.peer.tls.as_ref().and_then(|tls| tls.random.as_deref());
    match (kept, &exchange.handshake) {
        (Some(random), _) => stack.push_bytes(random),
        (None, Some(handshake)) => stack.push_bytes(&handshake.hello.random),
        (None, None) => return refuse(stack, NONE),
    }
    1
}

/// `hs_extension(number)`.
unsafe extern "C-unwind" fn extension(state: *mut lua_State) -> c_int {
    show(state, |stack, handshake| {
        let kind = stack.number(1).filter(|kind| (0.0..65536.0).contains(kind))?;
        handshake.hello.extension(kind as u16).map(<[u8]>::to_vec)
    })
}

/// `hs_list(what)`: numbers of "extensions", "suites", "shared" suites or "versions". Numbers that
/// stand there to be passed over (RFC 8701) are not in it.
unsafe extern "C-unwind" fn list(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(handshake) = at_hand(window) else { return refuse(stack, NONE) };
    let hello = &handshake.hello;
    let all: Vec<u16> = match stack.bytes(1) {
        Some(b"extensions") => hello.extensions.iter().map(|(kind, _)| *kind).collect(),
        Some(b"versions") => hello.versions(),
        Some(b"shared") => {
            let ours = |suite: &&u16| handshake.suites.contains(*suite);
            hello.suites.iter().filter(ours).copied().collect()
        }
        _ => hello.suites.clone(),
    };
    let means = |number: &u16| number & 0x0f0f != 0x0a0a || number >> 8 != number & 0xff;
    stack.push_table(all.len() as c_int, 0);
    for (index, number) in (1..).zip(all.into_iter().filter(means)) {
        stack.push_number(f64::from(number));
        stack.set_at(-2, index);
    }
    1
}

/// `hs_version(upstream)`: the number of the version that is spoken with the client, in a handshake or
/// after it, or with the endpoint.
unsafe extern "C-unwind" fn version(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return refuse(stack, NONE) };
    let version = match (&exchange.peer.tls, &exchange.handshake) {
        (_, handshake) if stack.truth(1) => handshake.as_ref().and_then(|shaken| shaken.spoken),
        (Some(tls), _) => Some(if tls.version == "1.2" { 0x0303 } else { 0x0304 }),
        (None, Some(handshake)) => handshake.version(),
        (None, None) => None,
    };
    match version {
        Some(version) => stack.push_number(f64::from(version)),
        None => return refuse(stack, NONE),
    }
    1
}

/// `hs_clear()`: nothing of what was to be shown is.
unsafe extern "C-unwind" fn clear(state: *mut lua_State) -> c_int {
    with(state, |_, handshake| {
        let credentials = &mut handshake.credentials;
        credentials.cleared = true;
        credentials.chains.clear();
        credentials.keys.clear();
        Ok(())
    })
}

/// Certificates or keys that one handshake may have.
const CREDENTIALS: usize = 16;

/// The public key of a certificate, DER.
fn public_of(chain: &Chain) -> Option<Vec<u8>> {
    Some(Certificate::read(chain.0.first()?)?.key_info.to_vec())
}

/// `hs_chain(number)`: a certificate to show.
unsafe extern "C-unwind" fn chain(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let tokens = unsafe { window_of(state) }.host.tokens.clone();
    with(state, |stack, handshake| {
        let chain: Rc<Chain> = tokens.get(stack.number(1).unwrap_or_default()).ok_or("no cert")?;
        if public_of(&chain).is_none() {
            return Err("SSL_use_certificate() failed");
        }
        let chains = &mut handshake.credentials.chains;
        chains.push(chain);
        if chains.len() > CREDENTIALS {
            chains.remove(0);
        }
        Ok(())
    })
}

/// `hs_key(number)`: the private key of the certificate.
unsafe extern "C-unwind" fn private_key(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let tokens = unsafe { window_of(state) }.host.tokens.clone();
    with(state, |stack, handshake| {
        let key: Rc<Key> = tokens.get(stack.number(1).unwrap_or_default()).ok_or("no pkey")?;
        let credentials = &mut handshake.credentials;
        // Kinds of keys that are not read here show what they are in the handshake.
        if let Ok(read) = key::Key::read(&key.der)
            && let Some(chain) = credentials.chains.last()
            && let Some(public) = public_of(chain)
            && key::Key::read(&public).is_ok_and(|known| known.kind == read.kind)
            && public != read.spki()
        {
            return Err("SSL_use_PrivateKey() failed");
        }
        credentials.keys.push(key);
        if credentials.keys.len() > CREDENTIALS {
            credentials.keys.remove(0);
        }
        Ok(())
    })
}

/// The extension by which a client asks for a staple (RFC 6066).
const STATUS_REQUEST: u16 = 5;

/// `hs_staple(response)`: true, and false when the client did not ask for one.
unsafe extern "C-unwind" fn staple(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(handshake) = at_hand(window) else { return refuse(stack, NONE) };
    handshake.credentials.staple = stack.bytes(1).map(<[u8]>::to_vec);
    stack.push_bool(true);
    stack.push_bool(handshake.hello.extension(STATUS_REQUEST).is_some());
    2
}

/// `hs_protocols(tls12, tls13)`.
unsafe extern "C-unwind" fn protocols(state: *mut lua_State) -> c_int {
    with(state, |stack, handshake| {
        handshake.versions = Versions { tls12: stack.truth(1), tls13: stack.truth(2) };
        Ok(())
    })
}

/// `hs_ask(named, trusted, depth)`: the client is asked for a certificate; numbers of chains, or nil.
unsafe extern "C-unwind" fn ask(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let tokens = unsafe { window_of(state) }.host.tokens.clone();
    with(state, |stack, handshake| {
        let chain = |place| stack.number(place).and_then(|number| tokens.get::<Chain>(number));
        let depth = stack.number(3).filter(|depth| *depth >= 0.0).map(|depth| depth as u32);
        let (named, issuers) = (chain(1), chain(2));
        handshake.trust = Some(Trust { verify: None, named, issuers, depth });
        Ok(())
    })
}

/// `hs_session(value)`: the session's number and value; with a value, that is what it has.
unsafe extern "C-unwind" fn session(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(handshake) = at_hand(window) else { return refuse(stack, NONE) };
    if let Some(value) = stack.bytes(1) {
        handshake.session.value = Some(value.to_vec());
    }
    stack.push_bytes(&handshake.session.id);
    match &handshake.session.value {
        Some(value) => stack.push_bytes(value),
        None => stack.push_nil(),
    }
    2
}

/// `hs_no_session()`: the client can't come back with this handshake's session.
unsafe extern "C-unwind" fn no_session(state: *mut lua_State) -> c_int {
    with(state, |_, handshake| {
        handshake.no_session = true;
        Ok(())
    })
}

/// `hs_shown()`: the number of the chain that the endpoint has shown.
unsafe extern "C-unwind" fn shown(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let tokens = window.host.tokens.clone();
    let Some(handshake) = at_hand(window) else { return refuse(stack, NONE) };
    if handshake.shown.is_empty() {
        return refuse(stack, "no certificate");
    }
    match tokens.keep(Rc::new(Chain(handshake.shown.clone()))) {
        Some(number) => stack.push_number(f64::from(number)),
        None => return refuse(stack, "too many certificates"),
    }
    1
}

/// `hs_flaw(number)`: what is wrong with it; with a number, that is.
unsafe extern "C-unwind" fn flaw(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(handshake) = at_hand(window) else { return refuse(stack, NONE) };
    if let Some(flaw) = stack.number(1) {
        handshake.flaw = flaw as u32;
    }
    stack.push_number(f64::from(handshake.flaw));
    1
}

/// `hs_trust(verify, depth, issuers)`: before a try, what of the endpoint is trusted: a boolean, a
/// number, a list of certificates in DER; nil for what stays. The try has a connection of its own.
unsafe extern "C-unwind" fn trust(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return refuse(stack, NONE) };
    let mut issuers = Vec::new();
    if stack.kind(3) == Kind::Table {
        for index in 1..=stack.length(3).min(limit::LUA_HANDLES) {
            stack.get_at(3, index as c_int);
            issuers.extend(stack.bytes(-1).map(<[u8]>::to_vec));
            stack.pop(1);
        }
    }
    exchange.handshake.get_or_insert_default().trust = Some(Trust {
        verify: (stack.kind(1) != Kind::Nil).then(|| stack.truth(1)),
        named: None,
        issuers: (!issuers.is_empty()).then(|| Rc::new(Chain(issuers))),
        depth: stack.number(2).map(|depth| depth as u32),
    });
    stack.push_bool(true);
    1
}

/// `hs_bequeath(table)`: what the connection's requests find in `ngx.ctx`.
unsafe extern "C-unwind" fn bequeath(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let vm = unsafe { shared_vm_of(state) };
    let Some(vm) = vm else { return 0 };
    with(state, |stack, handshake| {
        let ours = |heirloom: &Rc<dyn std::any::Any>| {
            heirloom.downcast_ref::<Heirloom>().is_some_and(|known| Rc::ptr_eq(&known.vm, &vm))
        };
        handshake.heirlooms.retain(|heirloom| !ours(heirloom));
        stack.push_copy(1);
        handshake.heirlooms.push(Rc::new(Heirloom::new(vm, stack)));
        Ok(())
    })
}

/// `peer_address(local)`: the client's address in octets, or ours, with its kind and port.
unsafe extern "C-unwind" fn address(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let Some(exchange) = window.exchange() else { return refuse(stack, NONE) };
    let peer = &exchange.peer;
    let found = match (stack.truth(1), peer.local) {
        (true, Some(local)) => Some((local.ip(), local.port())),
        (false, Some(_)) => Some((peer.address, peer.port)),
        // A Unix socket has no name here.
        (_, None) => None,
    };
    let (kind, port) = match found {
        Some((ip, port)) => match ip.to_canonical() {
            IpAddr::V4(ip) => {
                stack.push_bytes(&ip.octets());
                ("inet", port)
            }
            IpAddr::V6(ip) => {
                stack.push_bytes(&ip.octets());
                ("inet6", port)
            }
        },
        None => {
            stack.push_bytes(b"");
            ("unix", 0)
        }
    };
    stack.push_bytes(kind.as_bytes());
    stack.push_number(f64::from(port));
    3
}

/// `client_chain()`: the client's certificate and what came with it, PEM; nil without one.
unsafe extern "C-unwind" fn chain_of_client(state: *mut lua_State) -> c_int {
    // SAFETY: as in `with`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let client = window.exchange().and_then(|e| super::var::client(e));
    match client {
        Some(client) => {
            let pem = client.chain.iter().flat_map(|der| text::write("CERTIFICATE", der));
            stack.push_bytes(&pem.collect::<Vec<u8>>());
        }
        None => stack.push_nil(),
    }
    1
}
