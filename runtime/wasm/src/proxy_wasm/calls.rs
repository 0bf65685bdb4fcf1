//! Host calls that hand nothing back but a status, or a number at a place that the guest names.

use bytes::Bytes;
use pilotlight_filter::host::Level;

use super::abi::{ROOT, Status, buffer, map};
use super::context::{Answer, Early, Reply};
use super::pool::Program;
use super::{fields, maps, memory, properties};
use crate::host::Host;

type Done = Result<(), Status>;

fn done(status: Status) -> Done {
    if status == Status::Ok { Ok(()) } else { Err(status) }
}

pub(crate) fn log(mem: &mut [u8], host: &mut Host, [level, ptr, len]: [u32; 3]) -> Done {
    let level = match level {
        0 => Level::Trace,
        1 => Level::Debug,
        2 => Level::Info,
        3 => Level::Warn,
        4 | 5 => Level::Error,
        _ => return Err(Status::BadArgument),
    };
    host.log(level, memory::slice(mem, ptr, len)?);
    Ok(())
}

pub(crate) fn log_level(mem: &mut [u8], host: &mut Host, [out]: [u32; 1]) -> Done {
    const LEVELS: [Level; 4] = [Level::Trace, Level::Debug, Level::Info, Level::Warn];
    let level = LEVELS.iter().position(|level| host.services.logs(*level)).unwrap_or(4);
    memory::write_u32(mem, out, level as u32)
}

pub(crate) fn now(mem: &mut [u8], host: &mut Host, [out]: [u32; 1]) -> Done {
    host.asked = true;
    let nanoseconds = (host.services.now() * 1e6) as u64 * 1000;
    memory::write(mem, out, &nanoseconds.to_le_bytes())
}

pub(crate) fn tick_period(_: &mut [u8], host: &mut Host, [period]: [u32; 1]) -> Done {
    let root = &host.proxy.root;
    root.period.set(period);
    root.wanted.set(true);
    root.mail.wake();
    Ok(())
}

/// `proxy_done`: what asked for time in `on_done` has had it.
pub(crate) fn finish(_: &mut [u8], host: &mut Host, []: [u32; 0]) -> Done {
    if let Some(stream) = host.stream() {
        stream.done = true;
    } else if let Some(mail) = host.proxy.contexts.mail(host.proxy.effective) {
        mail.done.set(true);
        mail.wake();
    }
    Ok(())
}

pub(crate) fn effective_context(_: &mut [u8], host: &mut Host, [id]: [u32; 1]) -> Done {
    let proxy = &mut host.proxy;
    if id != ROOT && !proxy.contexts.is_alive(id) {
        return Err(Status::BadArgument);
    }
    proxy.effective = id;
    Ok(())
}

pub(crate) fn continue_stream(_: &mut [u8], host: &mut Host, [kind]: [u32; 1]) -> Done {
    let effective = host.proxy.effective;
    if let Some(stream) = host.stream() {
        stream.resumed[direction(kind, stream.flow.is_some())?] = true;
    } else if let Some(mail) = host.proxy.contexts.mail(effective) {
        mail.resume(direction(kind, mail.is_flow.get())?);
    } else if kind > 3 || !host.proxy.contexts.is_alive(effective) {
        return Err(Status::BadArgument);
    }
    Ok(())
}

/// What a kind of stream is in an exchange (0, 1), or in a connection (2, 3).
fn direction(kind: u32, is_flow: bool) -> Result<usize, Status> {
    match (kind, is_flow) {
        (0 | 1, false) => Ok(kind as usize),
        (2 | 3, true) => Ok(kind as usize - 2),
        (0..=3, _) => Err(Status::Unimplemented),
        _ => Err(Status::BadArgument),
    }
}

pub(crate) fn close_stream(_: &mut [u8], host: &mut Host, [kind]: [u32; 1]) -> Done {
    let effective = host.proxy.effective;
    if let Some(stream) = host.stream() {
        direction(kind, stream.flow.is_some())?;
        stream.closed = true;
        return Ok(());
    }
    let mail = host.proxy.contexts.mail(effective).ok_or(Status::BadArgument)?;
    direction(kind, mail.is_flow.get())?;
    mail.broken.set(true);
    mail.wake();
    Ok(())
}

pub(crate) fn continue_request(mem: &mut [u8], host: &mut Host, []: [u32; 0]) -> Done {
    continue_stream(mem, host, [0])
}

pub(crate) fn continue_response(mem: &mut [u8], host: &mut Host, []: [u32; 0]) -> Done {
    continue_stream(mem, host, [1])
}

pub(crate) fn clear_route_cache(_: &mut [u8], host: &mut Host, []: [u32; 0]) -> Done {
    host.with(|exchange| exchange.rematch = true).ok_or(Status::BadArgument)
}

pub(crate) fn buffer_status(mem: &mut [u8], host: &mut Host, args: [u32; 3]) -> Done {
    let [kind, length, flags] = args;
    let bytes = buffer_of(host, kind)?.len() as u32;
    memory::write_u32(mem, length, bytes)?;
    memory::write_u32(mem, flags, 0)
}

/// What a buffer holds.
pub(crate) fn buffer_of(host: &mut Host, kind: u32) -> Result<Bytes, Status> {
    match kind {
        0..buffer::HTTP_CALL_BODY => {
            let body = host.stream().and_then(|stream| stream.body(kind));
            body.map(|body| body.bytes().clone()).ok_or(Status::NotFound)
        }
        buffer::VM_CONFIGURATION => Ok(config(host, |program| &program.vm_config)),
        buffer::PLUGIN_CONFIGURATION => Ok(config(host, |program| &program.config)),
        buffer::HTTP_CALL_BODY
        | buffer::GRPC_MESSAGE
        | buffer::FOREIGN_ARGUMENTS
        | buffer::REDIS_REPLY => host.proxy.incoming.buffer(kind).cloned().ok_or(Status::NotFound),
        _ => Err(Status::NotFound),
    }
}

/// What the manifest configures.
pub(crate) fn config(host: &Host, which: impl FnOnce(&Program) -> &Bytes) -> Bytes {
    host.proxy.program.as_deref().map_or_else(Bytes::new, |program| which(program).clone())
}

pub(crate) fn set_buffer(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Done {
    let [kind, start, size, ptr, len] = args;
    let data = memory::slice(mem, ptr, len)?;
    let body = host.stream().and_then(|stream| stream.body(kind)).ok_or(Status::BadArgument)?;
    // Before it comes there is nothing to put it into.
    if !body.begun {
        return Err(Status::BadArgument);
    }
    done(body.splice(start as usize, size as usize, data))
}

pub(crate) fn map_size(mem: &mut [u8], host: &mut Host, [map, out]: [u32; 2]) -> Done {
    let size = match host.proxy.incoming.map(map) {
        Some(list) => Some(fields::size_of(list)),
        None => host.with_messages(|exchange| fields::size(exchange, map)).flatten(),
    };
    memory::write_u32(mem, out, size.ok_or(Status::NotFound)?)
}

pub(crate) fn set_map(mem: &mut [u8], host: &mut Host, [map, ptr, len]: [u32; 3]) -> Done {
    let pairs = maps::decode(memory::slice(mem, ptr, len)?).map_err(|_| Status::ParseFailure)?;
    note_trailers(host, map);
    if is_early(host, map) {
        let adds = |at: usize| pairs[..at].iter().any(|p| p.0.eq_ignore_ascii_case(pairs[at].0));
        for (at, (name, value)) in pairs.iter().enumerate() {
            keep(host, map, adds(at), name, value);
        }
        return Ok(());
    }
    with(host, |exchange| fields::set_all(exchange, map, &pairs))
}

/// Fields that a stream may keep for its response, and bytes of each.
const EARLY_MAX: (usize, usize) = (64, 8 << 10);

/// Whether the map is of a response that is not there yet, and what is set is kept for it: ngx_wasm_module does,
/// Envoy refuses.
fn is_early(host: &Host, map: u32) -> bool {
    map == map::RESPONSE_HEADERS
        && host.proxy.program.as_ref().is_some_and(|program| program.text)
        && host.with_messages(|exchange| exchange.response.origin.is_none()) == Some(true)
}

/// Keeps a field for a response that is not there yet.
fn keep(host: &mut Host, map: u32, adds: bool, name: &[u8], value: &[u8]) -> bool {
    if name.first() == Some(&b':') || !is_early(host, map) {
        return false;
    }
    let Some(stream) = host.stream() else { return false };
    let fits = stream.early.len() < EARLY_MAX.0 && name.len() + value.len() <= EARLY_MAX.1;
    if fits {
        stream.early.push(Early { adds, name: name.into(), value: value.into() });
    }
    fits
}

pub(crate) fn add_field(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Done {
    let [map, key, key_len, value, value_len] = args;
    let (key, value) = (memory::slice(mem, key, key_len)?, memory::slice(mem, value, value_len)?);
    note_trailers(host, map);
    if keep(host, map, true, key, value) {
        return Ok(());
    }
    with(host, |exchange| fields::add(exchange, map, key, value))
}

pub(crate) fn replace_field(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Done {
    let [map, key, key_len, value, value_len] = args;
    let (key, value) = (memory::slice(mem, key, key_len)?, memory::slice(mem, value, value_len)?);
    note_trailers(host, map);
    if keep(host, map, false, key, value) {
        return Ok(());
    }
    with(host, |exchange| fields::replace(exchange, map, key, value))
}

pub(crate) fn remove_field(mem: &mut [u8], host: &mut Host, args: [u32; 3]) -> Done {
    let [map, key, key_len] = args;
    let key = memory::slice(mem, key, key_len)?;
    with(host, |exchange| fields::remove(exchange, map, key))
}

pub(crate) fn set_property(mem: &mut [u8], host: &mut Host, args: [u32; 4]) -> Done {
    let [path, path_len, value, value_len] = args;
    let path = memory::slice(mem, path, path_len)?;
    let value = memory::slice(mem, value, value_len)?;
    let set = host.with(|exchange| properties::set(exchange, path, value));
    if set == Some(true) { Ok(()) } else { Err(Status::BadArgument) }
}

/// `proxy_send_local_response`: status, details, body, extra headers, gRPC status.
pub(crate) fn send_reply(mem: &mut [u8], host: &mut Host, args: [u32; 8]) -> Done {
    let [status, details, details_len, body, body_len, headers, headers_len, grpc] = args;
    if !(200..=599).contains(&status) {
        return Err(Status::BadArgument);
    }
    let pairs = maps::decode(memory::slice(mem, headers, headers_len)?)
        .map_err(|_| Status::ParseFailure)?;
    let answer = Answer {
        status: status as u16,
        fields: pairs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        body: Bytes::copy_from_slice(memory::slice(mem, body, body_len)?),
        grpc: grpc as i32,
        details: memory::slice(mem, details, details_len)?.to_vec(),
    };
    let effective = host.proxy.effective;
    if let Some(stream) = host.stream() {
        // Once a response's head is on its way, there is nothing left to answer with.
        if stream.reply != Reply::Open {
            return Err(Status::BadArgument);
        }
        stream.reply = Reply::Given;
        return match host.with(|exchange| answer.apply(exchange)) {
            Some(true) => Ok(()),
            _ => Err(Status::BadArgument),
        };
    }
    let mail = host.proxy.contexts.mail(effective).filter(|mail| !mail.is_flow.get());
    let mail = mail.ok_or(Status::BadArgument)?;
    mail.answer.replace(Some(answer));
    mail.wake();
    Ok(())
}

/// Trailers that a filter begins are its own: it is not called for them.
fn note_trailers(host: &mut Host, map: u32) {
    let side = match map {
        map::REQUEST_TRAILERS => 0,
        map::RESPONSE_TRAILERS => 1,
        _ => return,
    };
    let there = host.with_messages(|exchange| fields::is_there(exchange, map));
    if there == Some(false)
        && let Some(stream) = host.stream()
    {
        stream.made_trailers[side] = true;
    }
}

/// `proxy_set_shared_data`: key, value, CAS.
pub(crate) fn set_shared_data(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Done {
    let [key, key_len, value, value_len, cas] = args;
    let (key, value) = (memory::slice(mem, key, key_len)?, memory::slice(mem, value, value_len)?);
    host.asked = true;
    program(host)?.space.set(key, value, cas)
}

/// `proxy_register_shared_queue`: name, where its id goes.
pub(crate) fn register_queue(mem: &mut [u8], host: &mut Host, args: [u32; 3]) -> Done {
    let [name, len, out] = args;
    let registered = program(host)?.space.register(memory::slice(mem, name, len)?)?;
    let (id, root) = (registered.id, &host.proxy.root);
    let mut queues = root.queues.borrow_mut();
    queues.retain(|queue| queue.id != id);
    queues.push(registered);
    root.wanted.set(true);
    root.mail.wake();
    memory::write_u32(mem, out, id)
}

/// `proxy_resolve_shared_queue`: VM's id, name, where its id goes.
pub(crate) fn resolve_queue(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Done {
    let [vm, vm_len, name, len, out] = args;
    host.asked = true;
    let (vm, name) = (memory::slice(mem, vm, vm_len)?, memory::slice(mem, name, len)?);
    let program = program(host)?;
    let space = match std::str::from_utf8(vm).map_err(|_| Status::BadArgument)? {
        "" => Some(program.space.clone()),
        vm => program.hub.known(vm),
    };
    let id = space.and_then(|space| space.resolve(name)).ok_or(Status::NotFound)?;
    memory::write_u32(mem, out, id)
}

/// `proxy_enqueue_shared_queue`: its id, an item.
pub(crate) fn enqueue(mem: &mut [u8], host: &mut Host, args: [u32; 3]) -> Done {
    let [id, item, len] = args;
    host.asked = true;
    program(host)?.hub.enqueue(id, memory::slice(mem, item, len)?)
}

fn program(host: &Host) -> Result<&Program, Status> {
    host.proxy.program.as_deref().ok_or(Status::InternalFailure)
}

fn with(host: &Host, work: impl FnOnce(&mut pilotlight_filter::Exchange) -> Status) -> Done {
    done(host.with_messages(work).unwrap_or(Status::BadArgument))
}
