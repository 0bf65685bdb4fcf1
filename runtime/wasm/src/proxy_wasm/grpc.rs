//! gRPC calls and streams of filters, over HTTP/2 upstreams.
//!
//! ```text
//! grpc_call, grpc_stream ─▶ a task of the worker: messages out, messages and metadata in ─▶ mail
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use pilotlight_abi::limit::BODY_COLLECT;
use pilotlight_filter::host::{FetchError, Heard, Talk, Wait};

use super::abi::Status;
use super::calling::{self, Caller, Event, Grpc};
use super::foreign::message::text;
use super::memory;
use crate::host::Host;

/// States of a call (grpc/grpc, `status codes`).
mod code {
    pub(super) const OK: u32 = 0;
    pub(super) const UNKNOWN: u32 = 2;
    pub(super) const DEADLINE_EXCEEDED: u32 = 4;
    pub(super) const PERMISSION_DENIED: u32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const INTERNAL: u32 = 13;
    pub(super) const UNAVAILABLE: u32 = 14;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

/// What a filter wants of a call that is under way.
#[derive(Default)]
pub(crate) struct Wanted {
    messages: RefCell<VecDeque<Bytes>>,
    bytes: Cell<u64>,
    /// No more messages will come.
    ended: Cell<bool>,
    cancelled: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    is_stream: bool,
}

impl Wanted {
    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A call that has ended, and how.
struct End {
    status: u32,
    message: String,
}

impl End {
    fn new(status: u32, message: impl Into<String>) -> End {
        End { status, message: message.into() }
    }
}

/// `proxy_grpc_call`: service, its name, method, metadata, message, milliseconds, where the token
/// goes.
pub(crate) fn call(mem: &mut [u8], host: &mut Host, args: [u32; 12]) -> Result<(), Status> {
    let [service, sl, name, nl, method, ml, metadata, dl, message, gl, timeout, out] = args;
    let message = Bytes::copy_from_slice(memory::slice(mem, message, gl)?);
    let wanted = Wanted { ended: Cell::new(true), ..Wanted::default() };
    wanted.messages.borrow_mut().push_back(message);
    let path = [service, sl, name, nl, method, ml, metadata, dl];
    begin(mem, host, path, wanted, timeout, out)
}

/// `proxy_grpc_stream`: service, its name, method, metadata, where the token goes.
pub(crate) fn stream(mem: &mut [u8], host: &mut Host, args: [u32; 9]) -> Result<(), Status> {
    let [path @ .., out] = args;
    begin(mem, host, path, Wanted { is_stream: true, ..Wanted::default() }, 0, out)
}

fn begin(
    mem: &mut [u8],
    host: &mut Host,
    path: [u32; 8],
    wanted: Wanted,
    timeout: u32,
    out: u32,
) -> Result<(), Status> {
    memory::slice(mem, out, 4)?;
    let [service, sl, name, nl, method, ml, metadata, dl] = path;
    let service = memory::slice(mem, service, sl)?;
    // Envoy's tools name it in a message: GrpcService { envoy_grpc { cluster_name } }.
    let within = text(service, 1).and_then(|envoy| text(envoy, 1));
    let upstream = calling::upstream_of(host, within.unwrap_or(service))?;
    let text = |ptr, len| {
        let text = std::str::from_utf8(memory::slice(mem, ptr, len)?);
        text.map_err(|_| Status::BadArgument)
    };
    let path = format!("/{}/{}", text(name, nl)?, text(method, ml)?);
    let mut headers = calling::decode(memory::slice(mem, metadata, dl)?)?;
    headers.retain(|(name, _)| name.first() != Some(&b':'));
    headers.extend([
        (&b":method"[..], &b"POST"[..]),
        (b":path", path.as_bytes()),
        (b":authority", upstream.as_bytes()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]);
    let request = calling::request(&headers, upstream.clone(), &[], timeout)?;
    let (token, caller) = Caller::begin(host)?;
    let wanted = Rc::new(wanted);
    host.proxy.grpc.retain(|(_, call)| call.strong_count() > 0);
    host.proxy.grpc.push((token, Rc::downgrade(&wanted)));
    let (talk, limit) = (host.services.talk(request), Duration::from_millis(timeout.into()));
    let limit = (timeout > 0).then(|| host.services.sleep(limit));
    host.services.spawn(Box::pin(async move {
        let end = hold(talk, limit, &wanted, token, &caller).await;
        // A call that went well has told of its message: that was it.
        if let Some(End { status, message }) = end
            && (wanted.is_stream || status != code::OK)
        {
            caller.tell(Event::Grpc { token, what: Grpc::Close(status, message) });
        }
    }));
    memory::write_u32(mem, out, token)
}

fn find(host: &Host, token: u32) -> Result<Rc<Wanted>, Status> {
    let found = host.proxy.grpc.iter().find(|(known, _)| *known == token);
    found.and_then(|(_, call)| call.upgrade()).ok_or(Status::NotFound)
}

/// `proxy_grpc_send`: token, message, whether it is the last.
pub(crate) fn send(mem: &mut [u8], host: &mut Host, args: [u32; 4]) -> Result<(), Status> {
    let [token, message, len, last] = args;
    let message = memory::slice(mem, message, len)?;
    let wanted = find(host, token)?;
    if !wanted.is_stream || wanted.ended.get() {
        return Err(Status::BadArgument);
    }
    let bytes = wanted.bytes.get() + message.len() as u64;
    if bytes > BODY_COLLECT {
        return Err(Status::InternalFailure);
    }
    wanted.bytes.set(bytes);
    wanted.messages.borrow_mut().push_back(Bytes::copy_from_slice(message));
    wanted.ended.set(last != 0);
    wanted.wake();
    Ok(())
}

/// `proxy_grpc_cancel`: token.
pub(crate) fn cancel(_: &mut [u8], host: &mut Host, [token]: [u32; 1]) -> Result<(), Status> {
    let wanted = find(host, token)?;
    wanted.cancelled.set(true);
    wanted.wake();
    Ok(())
}

/// `proxy_grpc_close`: token. A stream's messages end; a call is cancelled.
pub(crate) fn close(mem: &mut [u8], host: &mut Host, [token]: [u32; 1]) -> Result<(), Status> {
    let wanted = find(host, token)?;
    if !wanted.is_stream {
        return cancel(mem, host, [token]);
    }
    wanted.ended.set(true);
    wanted.wake();
    Ok(())
}

/// Carries a call through; `None`: it was cancelled.
async fn hold(
    mut opening: Wait<Result<Box<dyn Talk>, FetchError>>,
    mut limit: Option<Wait<()>>,
    wanted: &Wanted,
    token: u32,
    caller: &Caller,
) -> Option<End> {
    let mut talk = None;
    let mut reply = Reply::default();
    poll_fn(|cx| {
        *wanted.waker.borrow_mut() = Some(cx.waker().clone());
        if wanted.cancelled.get() || caller.is_over() {
            return Poll::Ready(None);
        }
        if limit.as_mut().is_some_and(|limit| limit.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(Some(End::new(code::DEADLINE_EXCEEDED, "timeout")));
        }
        if talk.is_none() {
            match opening.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(open)) => talk = Some((open, false)),
                Poll::Ready(Err(FetchError(why))) => {
                    return Poll::Ready(Some(End::new(code::UNAVAILABLE, why)));
                }
            }
        }
        let Some((talk, ended)) = &mut talk else { return Poll::Pending };
        for message in wanted.messages.borrow_mut().drain(..) {
            wanted.bytes.set(wanted.bytes.get().saturating_sub(message.len() as u64));
            talk.send(framed(&message));
        }
        if wanted.ended.get() && !std::mem::replace(ended, true) {
            talk.finish(&[]);
        }
        reply.poll(cx, &mut **talk, token, caller).map(Some)
    })
    .await
}

/// A message with its five bytes in front.
fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(5 + message.len());
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

/// What has come of a reply.
#[derive(Default)]
struct Reply {
    /// A message that is not whole yet.
    part: BytesMut,
    /// The state that the head tells, if it does.
    head: Option<End>,
}

impl Reply {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        talk: &mut dyn Talk,
        token: u32,
        caller: &Caller,
    ) -> Poll<End> {
        loop {
            // Who does not read what has come gets no more of it.
            if !caller.has_room(cx) {
                return Poll::Pending;
            }
            let heard = match talk.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(heard)) => heard,
                Poll::Ready(Err(FetchError(why))) => {
                    return Poll::Ready(End::new(code::UNAVAILABLE, why));
                }
            };
            let tell = |what| caller.tell(Event::Grpc { token, what });
            match heard {
                Some(Heard::Head(status, fields)) => {
                    self.head = state(&fields).or_else(|| by_status(status));
                    tell(Grpc::InitialMetadata(fields));
                }
                Some(Heard::Data(data)) => {
                    self.part.extend_from_slice(&data);
                    loop {
                        match message(&mut self.part) {
                            Ok(Some(message)) => tell(Grpc::Message(message)),
                            Ok(None) => break,
                            Err(end) => return Poll::Ready(end),
                        }
                    }
                }
                Some(Heard::Trailers(fields)) => {
                    let end = state(&fields);
                    tell(Grpc::TrailingMetadata(fields));
                    let none = || End::new(code::UNKNOWN, "no grpc-status");
                    return Poll::Ready(end.unwrap_or_else(none));
                }
                None => {
                    let none = || End::new(code::UNKNOWN, "no grpc-status");
                    return Poll::Ready(self.head.take().unwrap_or_else(none));
                }
            }
        }
    }
}

/// Takes a whole message off the front.
fn message(part: &mut BytesMut) -> Result<Option<Bytes>, End> {
    let Some((head, rest)) = part.split_first_chunk::<5>() else { return Ok(None) };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] != 0 {
        return Err(End::new(code::INTERNAL, "a compressed message"));
    }
    if length as u64 > BODY_COLLECT {
        return Err(End::new(code::RESOURCE_EXHAUSTED, "a message that is too large"));
    }
    if rest.len() < length {
        return Ok(None);
    }
    let _ = part.split_to(5);
    Ok(Some(part.split_to(length).freeze()))
}

/// The state that fields tell.
fn state(fields: &calling::List) -> Option<End> {
    let find = |name: &str| {
        let value = fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)?;
        std::str::from_utf8(value).ok()
    };
    let status = find("grpc-status")?.parse().unwrap_or(code::UNKNOWN);
    Some(End::new(status, find("grpc-message").unwrap_or_default()))
}

/// What the status of an answer means that is none of gRPC's.
fn by_status(status: u16) -> Option<End> {
    let meaning = match status {
        200 => return None,
        400 => code::INTERNAL,
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        404 => code::UNIMPLEMENTED,
        429 | 502 | 503 | 504 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    };
    Some(End::new(meaning, format!("status {status}")))
}
