//! The host calls that the `proxy-wasm` crate imports, as functions of this process.
//!
//! Statuses are numbers here: the crate's type knows no "unimplemented", and a value that an
//! enumeration does not have would be undefined behaviour there.

use std::collections::VecDeque;
use std::slice;
use std::time::Duration;

use proxy_wasm::types::{LogLevel, MetricType};

use super::world::{Call, Fields, Metric, Reply, World, on_stage, token};

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const EMPTY: u32 = 7;
const CAS_MISMATCH: u32 = 8;
const INTERNAL_FAILURE: u32 = 10;

/// Works on the world; a host call outside of one fails.
fn call(work: impl FnOnce(&mut World) -> Result<(), u32>) -> u32 {
    on_stage(work).map_or(INTERNAL_FAILURE, |done| done.err().unwrap_or(OK))
}

/// The bytes of an argument.
unsafe fn bytes<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
    if ptr.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for the range.
    unsafe { slice::from_raw_parts(ptr, len) }
}

/// Gives bytes to the filter, which frees them as a vector without spare room.
unsafe fn give(value: &[u8], data: *mut *mut u8, size: *mut usize) {
    // SAFETY: the caller vouches for both places.
    unsafe {
        *size = value.len();
        *data = match value.is_empty() {
            true => std::ptr::null_mut(),
            false => Box::leak(value.to_vec().into_boxed_slice()).as_mut_ptr(),
        };
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Fields in the ABI's encoding.
fn packed(fields: &Fields) -> Vec<u8> {
    let mut out = (fields.len() as u32).to_le_bytes().to_vec();
    for (name, value) in fields {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in fields {
        out.extend([name, &[0][..], value, &[0]].concat());
    }
    out
}

fn unpacked(blob: &[u8]) -> Option<Fields> {
    if blob.is_empty() {
        return Some(Fields::new());
    }
    let number =
        |at: usize| Some(u32::from_le_bytes(blob.get(at..at + 4)?.try_into().ok()?) as usize);
    let count = number(0)?;
    let mut at = 4 + count * 8;
    let mut take = |len: usize| {
        let part = blob.get(at..at + len)?.to_vec();
        at += len + 1;
        Some(part)
    };
    (0..count).map(|n| Some((take(number(4 + n * 8)?)?, take(number(8 + n * 8)?)?))).collect()
}

fn is(own: &[u8], name: &[u8]) -> bool {
    own.eq_ignore_ascii_case(name)
}

/// Defines host calls: each gives its work, done on the world.
macro_rules! host_calls {
    ($(fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $work:expr;)*) => { $(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $ty),*) -> u32 {
            // SAFETY: the crate passes ranges of living values and places to write to.
            #[allow(unused_unsafe)]
            call(|world| unsafe { ($work)(world) })
        }
    )* };
}

host_calls! {
    fn proxy_log(level: LogLevel, ptr: *const u8, len: usize) |world: &mut World| {
        world.logs.push((level, text(bytes(ptr, len))));
        Ok(())
    };
    fn proxy_get_log_level(out: *mut LogLevel) |_: &mut World| {
        *out = LogLevel::Trace;
        Ok(())
    };
    fn proxy_get_current_time_nanoseconds(out: *mut u64) |world: &mut World| {
        *out = world.now.as_nanos() as u64;
        Ok(())
    };
    fn proxy_set_tick_period_milliseconds(period: u32) |world: &mut World| {
        let period = Duration::from_millis(period.into());
        world.ticks = (!period.is_zero()).then_some((world.now, period));
        Ok(())
    };
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize)
    |world: &mut World| {
        let buffer = world.buffers.get(kind as usize).ok_or(BAD_ARGUMENT)?;
        if buffer.is_empty() || start >= buffer.len() {
            return Err(NOT_FOUND);
        }
        give(&buffer[start..buffer.len().min(start.saturating_add(max))], data, size);
        Ok(())
    };
    fn proxy_set_buffer_bytes(kind: u32, start: usize, size: usize, ptr: *const u8, len: usize)
    |world: &mut World| {
        let buffer = world.buffers.get_mut(kind as usize).ok_or(BAD_ARGUMENT)?;
        let start = start.min(buffer.len());
        let end = start.saturating_add(size).min(buffer.len());
        buffer.splice(start..end, bytes(ptr, len).iter().copied());
        Ok(())
    };
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) |world: &mut World| {
        give(&packed(world.maps.get(map as usize).ok_or(BAD_ARGUMENT)?), data, size);
        Ok(())
    };
    fn proxy_set_header_map_pairs(map: u32, ptr: *const u8, len: usize) |world: &mut World| {
        let fields = unpacked(bytes(ptr, len)).ok_or(BAD_ARGUMENT)?;
        *world.maps.get_mut(map as usize).ok_or(BAD_ARGUMENT)? = fields;
        Ok(())
    };
    fn proxy_get_header_map_value(map: u32, key: *const u8, klen: usize, data: *mut *mut u8, size: *mut usize)
    |world: &mut World| {
        let (name, map) = (bytes(key, klen), world.maps.get(map as usize).ok_or(BAD_ARGUMENT)?);
        let mut values = map.iter().filter(|(own, _)| is(own, name)).map(|(_, value)| &value[..]);
        let first = values.next().ok_or(NOT_FOUND)?;
        let rest = values.flat_map(|value| [&b", "[..], value]);
        give(&std::iter::once(first).chain(rest).collect::<Vec<_>>().concat(), data, size);
        Ok(())
    };
    fn proxy_remove_header_map_value(map: u32, key: *const u8, klen: usize) |world: &mut World| {
        let name = bytes(key, klen);
        let map = world.maps.get_mut(map as usize).ok_or(BAD_ARGUMENT)?;
        map.retain(|(own, _)| !is(own, name));
        Ok(())
    };
    fn proxy_replace_header_map_value(map: u32, key: *const u8, klen: usize, ptr: *const u8, len: usize)
    |world: &mut World| {
        let (name, value) = (bytes(key, klen), bytes(ptr, len).to_vec());
        let map = world.maps.get_mut(map as usize).ok_or(BAD_ARGUMENT)?;
        let Some(at) = map.iter().position(|(own, _)| is(own, name)) else {
            map.push((name.to_vec(), value));
            return Ok(());
        };
        map[at].1 = value;
        let mut index = 0;
        map.retain(|(own, _)| {
            index += 1;
            index - 1 <= at || !is(own, name)
        });
        Ok(())
    };
    fn proxy_add_header_map_value(map: u32, key: *const u8, klen: usize, ptr: *const u8, len: usize)
    |world: &mut World| {
        let field = (bytes(key, klen).to_vec(), bytes(ptr, len).to_vec());
        world.maps.get_mut(map as usize).ok_or(BAD_ARGUMENT)?.push(field);
        Ok(())
    };
    fn proxy_get_property(path: *const u8, plen: usize, data: *mut *mut u8, size: *mut usize)
    |world: &mut World| {
        give(world.properties.get(bytes(path, plen)).ok_or(NOT_FOUND)?, data, size);
        Ok(())
    };
    fn proxy_set_property(path: *const u8, plen: usize, ptr: *const u8, len: usize) |world: &mut World| {
        world.properties.insert(bytes(path, plen).to_vec(), bytes(ptr, len).to_vec());
        Ok(())
    };
    fn proxy_get_shared_data(key: *const u8, klen: usize, data: *mut *mut u8, size: *mut usize, cas: *mut u32)
    |world: &mut World| {
        let (value, version) = world.shared.get(bytes(key, klen)).ok_or(NOT_FOUND)?;
        give(value, data, size);
        *cas = *version;
        Ok(())
    };
    fn proxy_set_shared_data(key: *const u8, klen: usize, ptr: *const u8, len: usize, cas: u32)
    |world: &mut World| {
        let key = bytes(key, klen);
        let version = world.shared.get(key).map_or(0, |(_, version)| *version);
        if cas != 0 && cas != version {
            return Err(CAS_MISMATCH);
        }
        match ptr.is_null() {
            true => world.shared.remove(key),
            false => world.shared.insert(key.to_vec(), (bytes(ptr, len).to_vec(), version + 1)),
        };
        Ok(())
    };
    fn proxy_register_shared_queue(name: *const u8, nlen: usize, out: *mut u32) |world: &mut World| {
        let name = bytes(name, nlen);
        let at = world.queues.iter().position(|(own, _)| own == name).unwrap_or_else(|| {
            world.queues.push((name.to_vec(), VecDeque::new()));
            world.queues.len() - 1
        });
        *out = at as u32 + 1;
        Ok(())
    };
    fn proxy_resolve_shared_queue(_vm: *const u8, _vlen: usize, name: *const u8, nlen: usize, out: *mut u32)
    |world: &mut World| {
        let name = bytes(name, nlen);
        let at = world.queues.iter().position(|(own, _)| own == name).ok_or(NOT_FOUND)?;
        *out = at as u32 + 1;
        Ok(())
    };
    fn proxy_dequeue_shared_queue(id: u32, data: *mut *mut u8, size: *mut usize) |world: &mut World| {
        let (_, queue) = world.queues.get_mut((id as usize).wrapping_sub(1)).ok_or(NOT_FOUND)?;
        give(&queue.pop_front().ok_or(EMPTY)?, data, size);
        Ok(())
    };
    fn proxy_enqueue_shared_queue(id: u32, ptr: *const u8, len: usize) |world: &mut World| {
        let (_, queue) = world.queues.get_mut((id as usize).wrapping_sub(1)).ok_or(NOT_FOUND)?;
        queue.push_back(bytes(ptr, len).to_vec());
        Ok(())
    };
    fn proxy_continue_stream(kind: u32) |world: &mut World| {
        *world.continued.get_mut(kind as usize).ok_or(BAD_ARGUMENT)? = true;
        Ok(())
    };
    fn proxy_close_stream(_kind: u32) |world: &mut World| {
        world.closed = true;
        Ok(())
    };
    fn proxy_send_local_response(
        status: u32, _details: *const u8, _dlen: usize, body: *const u8, blen: usize,
        headers: *const u8, hlen: usize, _grpc: i32,
    ) |world: &mut World| {
        let headers = unpacked(bytes(headers, hlen)).ok_or(BAD_ARGUMENT)?;
        world.reply = Some(Reply { status, headers, body: bytes(body, blen).to_vec() });
        Ok(())
    };
    fn proxy_http_call(
        upstream: *const u8, ulen: usize, headers: *const u8, hlen: usize, body: *const u8, blen: usize,
        _trailers: *const u8, _tlen: usize, timeout: u32, out: *mut u32,
    ) |world: &mut World| {
        let headers = unpacked(bytes(headers, hlen)).ok_or(BAD_ARGUMENT)?;
        for needed in [":method", ":path", ":authority"] {
            if !headers.iter().any(|(name, _)| is(name, needed.as_bytes())) {
                return Err(BAD_ARGUMENT);
            }
        }
        let headers = headers.iter().map(|(name, value)| (text(name), text(value))).collect();
        *out = token();
        world.calls.push_back(Call {
            token: *out,
            owner: world.owner,
            upstream: text(bytes(upstream, ulen)),
            headers: super::Headers(headers),
            body: bytes(body, blen).to_vec(),
            timeout: Duration::from_millis(timeout.into()),
        });
        Ok(())
    };
    fn proxy_set_effective_context(_context: u32) |_: &mut World| Ok(());
    fn proxy_done() |_: &mut World| Ok(());
    fn proxy_define_metric(kind: MetricType, name: *const u8, nlen: usize, out: *mut u32)
    |world: &mut World| {
        let name = text(bytes(name, nlen));
        let known = world.metrics.iter().position(|metric| metric.name == name);
        *out = known.unwrap_or_else(|| {
            world.metrics.push(Metric { name, kind, value: 0 });
            world.metrics.len() - 1
        }) as u32;
        Ok(())
    };
    fn proxy_get_metric(id: u32, out: *mut u64) |world: &mut World| {
        *out = world.metrics.get(id as usize).ok_or(NOT_FOUND)?.value;
        Ok(())
    };
    fn proxy_record_metric(id: u32, value: u64) |world: &mut World| {
        let metric = world.metrics.get_mut(id as usize).ok_or(NOT_FOUND)?;
        metric.value = match metric.kind {
            MetricType::Histogram => metric.value + value,
            _ => value,
        };
        Ok(())
    };
    fn proxy_increment_metric(id: u32, offset: i64) |world: &mut World| {
        let metric = world.metrics.get_mut(id as usize).ok_or(NOT_FOUND)?;
        if metric.kind == MetricType::Histogram {
            return Err(BAD_ARGUMENT);
        }
        metric.value = metric.value.saturating_add_signed(offset);
        Ok(())
    };
}

/// Host calls that tests of filters have no stand-in for: they fail, and say which.
macro_rules! absent {
    ($($name:ident($($ty:ty),*);)*) => { $(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($(_: $ty),*) -> u32 {
            let said = format!("{} has no stand-in", stringify!($name));
            on_stage(|world| world.logs.push((LogLevel::Error, said)));
            INTERNAL_FAILURE
        }
    )* };
}

type In = *const u8;
type Out = *mut u32;

absent! {
    proxy_grpc_call(In, usize, In, usize, In, usize, In, usize, In, usize, u32, Out);
    proxy_grpc_stream(In, usize, In, usize, In, usize, In, usize, Out);
    proxy_grpc_send(u32, In, usize, bool);
    proxy_grpc_cancel(u32);
    proxy_grpc_close(u32);
    proxy_get_status(Out, *mut *mut u8, *mut usize);
    proxy_call_foreign_function(In, usize, In, usize, *mut *mut u8, *mut usize);
}
