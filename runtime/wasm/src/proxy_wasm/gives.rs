//! Host calls that hand bytes to the guest: it is asked for memory, the bytes are copied there,
//! and their place is written where the guest wants it.

use bytes::Bytes;
use wasmtime::Caller;

use super::abi::Status;
use super::{calls, fields, memory, properties};
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

pub(crate) fn buffer(_: &[u8], host: &mut Host, [kind, start, max]: [u32; 3]) -> Given {
    let bytes = calls::buffer_of(host, kind)?;
    let (start, max) = (start as usize, max as usize);
    if start > bytes.len() {
        return Err(Status::BadArgument);
    }
    let end = start.saturating_add(max).min(bytes.len());
    Ok(Payload::Shared(bytes.slice(start..end)))
}

/// `proxy_get_configuration` of 0.1.0.
pub(crate) fn configuration(_: &[u8], host: &mut Host, []: [u32; 0]) -> Given {
    Ok(Payload::Shared(host.proxy.config.clone()))
}

pub(crate) fn map(_: &[u8], host: &mut Host, [map]: [u32; 1]) -> Given {
    scratch(host, |host, out| {
        host.stage.with(|e| fields::pairs(e, map, out)).unwrap_or(Status::NotFound)
    })
}

pub(crate) fn field(mem: &[u8], host: &mut Host, [map, key, len]: [u32; 3]) -> Given {
    let key = memory::slice(mem, key, len)?;
    scratch(host, |host, out| {
        host.stage.with(|e| fields::get(e, map, key, out)).unwrap_or(Status::NotFound)
    })
}

pub(crate) fn property(mem: &[u8], host: &mut Host, [path, len]: [u32; 2]) -> Given {
    let path = memory::slice(mem, path, len)?;
    scratch(host, |host, out| {
        match path.strip_suffix(b"\0").unwrap_or(path) {
            b"plugin_name" | b"plugin_vm_id" => out.extend_from_slice(host.name().as_bytes()),
            b"plugin_root_id" => {}
            _ => match host.stage.with(|e| properties::get(e, path, out)) {
                Some(true) => {}
                _ => return Status::NotFound,
            },
        }
        Status::Ok
    })
}

/// `proxy_get_status`: of a gRPC or HTTP call, of which there are none.
pub(crate) fn status(
    mem: &mut [u8],
    _: &mut Host,
    [code, ptr, len]: [u32; 3],
) -> Result<(), Status> {
    for out in [code, ptr, len] {
        memory::write_u32(mem, out, 0)?;
    }
    Ok(())
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
