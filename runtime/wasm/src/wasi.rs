//! The few calls of WASI preview 1 that languages' run-time libraries make. There are no files,
//! no arguments and no environment; output goes to the log.

use pilotlight_filter::host::Level;
use wasmtime::{Caller, FuncType, Linker};

use crate::fault::GaveUp;
use crate::host::Host;
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::{link, memory};

const SUCCESS: u32 = 0;
const BADF: u32 = 8;
const FAULT: u32 = 21;
const INVAL: u32 = 28;
const NOSYS: u32 = 52;
const NOTCAPABLE: u32 = 76;

/// Calls that answer one thing always, by what their names begin with: `fd_prestat_get` with "no
/// such descriptor" ends libc's search for open folders.
const FIXED: &[(&str, u32)] =
    &[("fd_", BADF), ("sock_", BADF), ("path_", NOTCAPABLE), ("sched_yield", SUCCESS)];

/// Subscriptions of one `poll_oneoff`.
const POLLED_MAX: u32 = 64;
/// Bytes that one `random_get` may ask for.
const RANDOM_MAX: u32 = 64 << 10;

/// Links one call.
pub(crate) fn link(
    linker: &mut Linker<Host>,
    space: &str,
    name: &str,
    ty: FuncType,
) -> wasmtime::Result<bool> {
    macro_rules! call {
        ($function:path: $($argument:ident: $ty:ty),*) => {{
            linker.func_wrap(space, name, |mut caller: Caller<'_, Host>, $($argument: $ty),*| {
                let Some(memory) = caller.data().memory else { return FAULT };
                let (mem, host) = memory.data_and_store_mut(&mut caller);
                $function(mem, host, $($argument),*).unwrap_or(FAULT)
            })?;
        }};
    }
    match name {
        "fd_write" => call!(fd_write: fd: u32, list: u32, count: u32, out: u32),
        "fd_fdstat_get" => call!(fd_stat: fd: u32, out: u32),
        "clock_res_get" => call!(resolution: id: u32, out: u32),
        "clock_time_get" => call!(clock: id: u32, _precision: u64, out: u32),
        "poll_oneoff" => call!(poll: list: u32, events: u32, count: u32, out: u32),
        "random_get" => call!(random: ptr: u32, len: u32),
        "environ_sizes_get" | "args_sizes_get" => call!(no_sizes: count: u32, size: u32),
        "environ_get" | "args_get" => call!(nothing: _a: u32, _b: u32),
        "proc_exit" => {
            linker.func_wrap(space, name, |code: u32| {
                Err::<(), _>(GaveUp(format!("the module exited with {code}")).into())
            })?;
        }
        _ => {
            let errno = FIXED
                .iter()
                .find(|(begins, _)| name.starts_with(begins))
                .map_or(NOSYS, |row| row.1);
            return link::fixed(linker, [space, name], ty, errno);
        }
    }
    Ok(true)
}

type Answer = Result<u32, Status>;

/// Standard output is information, standard error an error.
fn fd_write(mem: &mut [u8], host: &mut Host, fd: u32, list: u32, count: u32, out: u32) -> Answer {
    let level = match fd {
        1 => Level::Info,
        2 => Level::Error,
        _ => return Ok(BADF),
    };
    if count > 1024 {
        return Ok(INVAL);
    }
    let mut text = Vec::new();
    for index in 0..count {
        let entry = list.checked_add(index * 8).ok_or(Status::InvalidMemoryAccess)?;
        let (ptr, len) =
            (memory::read_u32(mem, entry)?, memory::read_u32(mem, entry.wrapping_add(4))?);
        let part = memory::slice(mem, ptr, len)?;
        if text.len() + part.len() > 64 << 10 {
            return Ok(INVAL);
        }
        text.extend_from_slice(part);
    }
    memory::write_u32(mem, out, text.len() as u32)?;
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        host.log(level, line);
    }
    Ok(SUCCESS)
}

/// A character device that can be written to.
fn fd_stat(mem: &mut [u8], _: &mut Host, fd: u32, out: u32) -> Answer {
    const CHARACTER_DEVICE: u8 = 2;
    if fd > 2 {
        return Ok(BADF);
    }
    let mut stat = [0; 24];
    stat[0] = CHARACTER_DEVICE;
    stat[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    memory::write(mem, out, &stat)?;
    Ok(SUCCESS)
}

fn clock(mem: &mut [u8], host: &mut Host, id: u32, _precision: u64, out: u32) -> Answer {
    host.asked = true;
    let seconds = match id {
        0 => host.services.now(),
        1..=3 => host.services.monotonic(),
        _ => return Ok(INVAL),
    };
    memory::write(mem, out, &((seconds * 1e6) as u64 * 1000).to_le_bytes())?;
    Ok(SUCCESS)
}

/// A microsecond, which is what the host's clocks are good for.
fn resolution(mem: &mut [u8], _: &mut Host, id: u32, out: u32) -> Answer {
    if id > 3 {
        return Ok(INVAL);
    }
    memory::write(mem, out, &1000_u64.to_le_bytes())?;
    Ok(SUCCESS)
}

/// Nobody waits here: each clock that is asked for has struck, and nothing else ever comes. Go's
/// run-time library gives up at an error.
fn poll(mem: &mut [u8], _: &mut Host, list: u32, events: u32, count: u32, out: u32) -> Answer {
    const CLOCK: u8 = 0;
    if count == 0 || count > POLLED_MAX {
        return Ok(INVAL);
    }
    let mut struck = 0;
    for index in 0..count {
        let at = list.checked_add(index * 48).ok_or(Status::InvalidMemoryAccess)?;
        let subscription = memory::slice(mem, at, 48)?;
        if subscription[8] == CLOCK {
            // What it is asked for by, then zeros: no error, a clock.
            let mut event = [0; 32];
            event[..8].copy_from_slice(&subscription[..8]);
            let at = events.checked_add(struck * 32).ok_or(Status::InvalidMemoryAccess)?;
            memory::write(mem, at, &event)?;
            struck += 1;
        }
    }
    memory::write_u32(mem, out, struck)?;
    Ok(if struck == 0 { NOSYS } else { SUCCESS })
}

fn random(mem: &mut [u8], host: &mut Host, ptr: u32, len: u32) -> Answer {
    if len > RANDOM_MAX {
        return Ok(INVAL);
    }
    host.asked = true;
    host.services.random(memory::slice_mut(mem, ptr, len)?);
    Ok(SUCCESS)
}

fn no_sizes(mem: &mut [u8], _: &mut Host, count: u32, size: u32) -> Answer {
    memory::write_u32(mem, count, 0)?;
    memory::write_u32(mem, size, 0)?;
    Ok(SUCCESS)
}

fn nothing(_: &mut [u8], _: &mut Host, _a: u32, _b: u32) -> Answer {
    Ok(SUCCESS)
}
