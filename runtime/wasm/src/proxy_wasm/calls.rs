//! Host calls that hand nothing back but a status, or a number at a place that the guest names.

use bytes::Bytes;
use pilotlight_filter::host::Level;

use super::abi::{ROOT, Status, buffer};
use super::context::Reply;
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
    let nanoseconds = (host.services.now() * 1e6) as u64 * 1000;
    memory::write(mem, out, &nanoseconds.to_le_bytes())
}

pub(crate) fn tick_period(_: &mut [u8], host: &mut Host, [period]: [u32; 1]) -> Done {
    host.proxy.tick_period = period;
    Ok(())
}

pub(crate) fn finish(_: &mut [u8], _: &mut Host, []: [u32; 0]) -> Done {
    Ok(())
}

pub(crate) fn effective_context(_: &mut [u8], host: &mut Host, [id]: [u32; 1]) -> Done {
    let known = id == ROOT || host.proxy.stream.as_ref().is_some_and(|s| s.context == id);
    if known { Ok(()) } else { Err(Status::BadArgument) }
}

pub(crate) fn continue_stream(_: &mut [u8], host: &mut Host, [kind]: [u32; 1]) -> Done {
    if kind > 1 {
        return Err(Status::BadArgument);
    }
    match &mut host.proxy.stream {
        Some(stream) => {
            stream.resumed = true;
            Ok(())
        }
        None => Err(Status::BadArgument),
    }
}

pub(crate) fn continue_request(mem: &mut [u8], host: &mut Host, []: [u32; 0]) -> Done {
    continue_stream(mem, host, [0])
}

pub(crate) fn continue_response(mem: &mut [u8], host: &mut Host, []: [u32; 0]) -> Done {
    continue_stream(mem, host, [1])
}

pub(crate) fn clear_route_cache(_: &mut [u8], _: &mut Host, []: [u32; 0]) -> Done {
    Ok(())
}

pub(crate) fn buffer_status(mem: &mut [u8], host: &mut Host, args: [u32; 3]) -> Done {
    let [kind, length, flags] = args;
    let bytes = buffer_of(host, kind)?.len() as u32;
    memory::write_u32(mem, length, bytes)?;
    memory::write_u32(mem, flags, 0)
}

/// What a buffer holds.
pub(crate) fn buffer_of(host: &Host, kind: u32) -> Result<Bytes, Status> {
    let stream = host.proxy.stream.as_ref();
    match (kind, stream) {
        (buffer::REQUEST_BODY, Some(stream)) => Ok(stream.bodies[0].bytes().clone()),
        (buffer::RESPONSE_BODY, Some(stream)) => Ok(stream.bodies[1].bytes().clone()),
        (buffer::VM_CONFIGURATION, _) => Ok(Bytes::new()),
        (buffer::PLUGIN_CONFIGURATION, _) => Ok(host.proxy.config.clone()),
        _ => Err(Status::NotFound),
    }
}

pub(crate) fn set_buffer(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Done {
    let [kind, start, size, ptr, len] = args;
    let data = memory::slice(mem, ptr, len)?;
    let Some(stream) = &mut host.proxy.stream else { return Err(Status::BadArgument) };
    let body = match kind {
        buffer::REQUEST_BODY => &mut stream.bodies[0],
        buffer::RESPONSE_BODY => &mut stream.bodies[1],
        _ => return Err(Status::BadArgument),
    };
    done(body.splice(start as usize, size as usize, data))
}

pub(crate) fn map_size(mem: &mut [u8], host: &mut Host, [map, out]: [u32; 2]) -> Done {
    let size = host.stage.with(|exchange| fields::size(exchange, map)).flatten();
    memory::write_u32(mem, out, size.ok_or(Status::NotFound)?)
}

pub(crate) fn set_map(mem: &mut [u8], host: &mut Host, [map, ptr, len]: [u32; 3]) -> Done {
    let pairs = maps::decode(memory::slice(mem, ptr, len)?).map_err(|_| Status::ParseFailure)?;
    with(host, |exchange| fields::set_all(exchange, map, &pairs))
}

pub(crate) fn add_field(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Done {
    let [map, key, key_len, value, value_len] = args;
    let (key, value) = (memory::slice(mem, key, key_len)?, memory::slice(mem, value, value_len)?);
    with(host, |exchange| fields::add(exchange, map, key, value))
}

pub(crate) fn replace_field(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Done {
    let [map, key, key_len, value, value_len] = args;
    let (key, value) = (memory::slice(mem, key, key_len)?, memory::slice(mem, value, value_len)?);
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
    let set = host.stage.with(|exchange| properties::set(exchange, path, value));
    if set == Some(true) { Ok(()) } else { Err(Status::BadArgument) }
}

/// `proxy_send_local_response`: status, details, body, extra headers, gRPC status.
pub(crate) fn send_reply(mem: &mut [u8], host: &mut Host, args: [u32; 8]) -> Done {
    let [status, details, details_len, body, body_len, headers, headers_len, _grpc] = args;
    if !(200..=599).contains(&status) {
        return Err(Status::BadArgument);
    }
    memory::slice(mem, details, details_len)?;
    let body = Bytes::copy_from_slice(memory::slice(mem, body, body_len)?);
    let pairs = maps::decode(memory::slice(mem, headers, headers_len)?)
        .map_err(|_| Status::ParseFailure)?;
    let Some(stream) = &mut host.proxy.stream else { return Err(Status::BadArgument) };
    // Once a response's head is on its way, there is nothing left to answer with.
    if stream.reply != Reply::Open {
        return Err(Status::BadArgument);
    }
    stream.reply = Reply::Given;
    with(host, |exchange| {
        let head = exchange.reply(status as u16, body);
        for (name, value) in &pairs {
            let pseudo = name.first() == Some(&b':');
            let framing = pilotlight_filter::Name::of(name).is_framing();
            if !pseudo && !framing && head.fields.add(name, value).is_err() {
                return Status::BadArgument;
            }
        }
        Status::Ok
    })
}

fn with(host: &Host, work: impl FnOnce(&mut pilotlight_filter::Exchange) -> Status) -> Done {
    done(host.stage.with(work).unwrap_or(Status::BadArgument))
}
