//! Host calls that hand bytes to the guest: it is asked for memory, the bytes are copied there,
//! and their place is written where the guest wants it.

use bytes::Bytes;
use wasmtime::Caller;

use super::abi::{Status, map};
use super::{calls, fields, foreign, memory, properties};
use crate::host::Host;

/// Bytes on their way.
pub(crate) enum Payload {
    /// The host's scratch, which goes back to it.
    Scratch(Vec<u8>),
    /// A part of a body.
    Shared(Bytes),
}

type Given = Result<Payload, Status>;

impl Payload {
    fn bytes(&self) -> &[u8] {
        match self {
            Payload::Scratch(bytes) => bytes,
            Payload::Shared(bytes) => bytes,
        }
    }
}

fn scratch(host: &mut Host, fill: impl FnOnce(&Host, &mut Vec<u8>) -> Status) -> Given {
    let mut bytes = std::mem::take(&mut host.scratch);
    bytes.clear();
    match fill(host, &mut bytes) {
        Status::Ok => Ok(Payload::Scratch(bytes)),
        status => {
            host.scratch = bytes;
            Err(status)
        }
    }
}

pub(crate) fn buffer(_: &mut [u8], host: &mut Host, [kind, start, max]: [u32; 3]) -> Given {
    let bytes = calls::buffer_of(host, kind)?;
    let (start, max) = (start as usize, max as usize);
    if start > bytes.len() {
        return Err(Status::BadArgument);
    }
    let end = start.saturating_add(max).min(bytes.len());
    Ok(Payload::Shared(bytes.slice(start..end)))
}

/// `proxy_get_configuration` of 0.1.0.
pub(crate) fn configuration(_: &mut [u8], host: &mut Host, []: [u32; 0]) -> Given {
    Ok(Payload::Shared(calls::config(host, |program| &program.config)))
}

/// A map that is not there has no pairs, as in Envoy: some filters ask for those of a response that is to come.
pub(crate) fn map(_: &mut [u8], host: &mut Host, [map]: [u32; 1]) -> Given {
    if map > map::HTTP_CALL_TRAILERS {
        return Err(Status::BadArgument);
    }
    scratch(host, |host, out| match host.proxy.incoming.map(map) {
        Some(list) => fields::pairs_of(list, out),
        None => match host.with_messages(|e| fields::pairs(e, map, out)) {
            None | Some(Status::NotFound) => Status::Ok,
            Some(status) => status,
        },
    })
}

pub(crate) fn field(mem: &mut [u8], host: &mut Host, [map, key, len]: [u32; 3]) -> Given {
    let key = memory::slice(mem, key, len)?;
    scratch(host, |host, out| match host.proxy.incoming.map(map) {
        Some(list) => fields::get_of(list, key, out),
        None => match host.with_messages(|e| fields::get(e, map, key, out)) {
            Some(Status::NotFound)
                if host.proxy.program.as_ref().is_some_and(|p| p.outcome.old) =>
            {
                Status::Ok
            }
            status => status.unwrap_or(Status::NotFound),
        },
    })
}

pub(crate) fn property(mem: &mut [u8], host: &mut Host, [path, len]: [u32; 2]) -> Given {
    let path = memory::slice(mem, path, len)?;
    scratch(host, |host, out| properties::find(host, path, out))
}

/// `proxy_get_status` of the call whose answer is at hand: where its number goes.
pub(crate) fn status(mem: &mut [u8], host: &mut Host, [code]: [u32; 1]) -> Given {
    let incoming = &host.proxy.incoming;
    memory::write_u32(mem, code, incoming.status)?;
    Ok(Payload::Shared(Bytes::copy_from_slice(incoming.message.as_bytes())))
}

/// `proxy_get_shared_data`: key, where its CAS goes.
pub(crate) fn shared_data(mem: &mut [u8], host: &mut Host, [key, len, cas]: [u32; 3]) -> Given {
    host.asked = true;
    memory::slice(mem, cas, 4)?;
    let (mut number, found) = (None, memory::slice(mem, key, len)?);
    let payload = scratch(host, |host, out| {
        number = host.proxy.program.as_ref().and_then(|program| program.space.get(found, out));
        if number.is_some() { Status::Ok } else { Status::NotFound }
    })?;
    memory::write_u32(mem, cas, number.unwrap_or(0))?;
    Ok(payload)
}

/// `proxy_dequeue_shared_queue`: its id.
pub(crate) fn dequeue(_: &mut [u8], host: &mut Host, [id]: [u32; 1]) -> Given {
    host.asked = true;
    let program = host.proxy.program.as_ref().ok_or(Status::InternalFailure)?;
    Ok(Payload::Shared(Vec::from(program.hub.dequeue(id)?).into()))
}

/// `proxy_call_foreign_function`: name, arguments.
pub(crate) fn foreign(mem: &mut [u8], host: &mut Host, args: [u32; 4]) -> Given {
    host.asked = true;
    let [name, name_len, argument, len] = args;
    let (name, argument) =
        (memory::slice(mem, name, name_len)?, memory::slice(mem, argument, len)?);
    foreign::call(host, name, argument).map(|bytes| Payload::Shared(bytes.into()))
}

/// Hands `payload` over, inline.
pub(crate) fn deliver(
    caller: &mut Caller<'_, Host>,
    payload: Payload,
    [ptr_out, len_out]: [u32; 2],
) -> wasmtime::Result<Status> {
    let len = payload.bytes().len() as u32;
    let mut at = 0;
    if len > 0 {
        // Taken for the time of the call: an allocator that asks for bytes gets none.
        let Some(alloc) = caller.data_mut().alloc.take() else {
            return Ok(Status::InternalFailure);
        };
        let called = alloc.call(&mut *caller, len);
        caller.data_mut().alloc = Some(alloc);
        at = called?;
    }
    Ok(place(caller, payload, at, [ptr_out, len_out]))
}

/// Hands `payload` over, from a fiber.
pub(crate) async fn deliver_async(
    caller: &mut Caller<'_, Host>,
    payload: Payload,
    [ptr_out, len_out]: [u32; 2],
) -> wasmtime::Result<Status> {
    let len = payload.bytes().len() as u32;
    let mut at = 0;
    if len > 0 {
        let Some(alloc) = caller.data_mut().alloc.take() else {
            return Ok(Status::InternalFailure);
        };
        let called = alloc.call_async(&mut *caller, len).await;
        caller.data_mut().alloc = Some(alloc);
        at = called?;
    }
    Ok(place(caller, payload, at, [ptr_out, len_out]))
}

fn place(caller: &mut Caller<'_, Host>, payload: Payload, at: u32, out: [u32; 2]) -> Status {
    let Some(memory) = caller.data().memory else { return Status::InternalFailure };
    let (mem, host) = memory.data_and_store_mut(caller);
    let bytes = payload.bytes();
    let written = match at {
        0 if !bytes.is_empty() => Err(Status::InvalidMemoryAccess),
        _ => memory::write(mem, at, bytes)
            .and_then(|()| memory::write_u32(mem, out[0], at))
            .and_then(|()| memory::write_u32(mem, out[1], bytes.len() as u32)),
    };
    if let Payload::Scratch(bytes) = payload {
        host.scratch = bytes;
    }
    written.err().unwrap_or(Status::Ok)
}
