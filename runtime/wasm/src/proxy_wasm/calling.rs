//! Calls of filters to the world, and what comes of them: `proxy_http_call`.
//!
//! ```text
//! proxy_http_call ─▶ a task of the worker ─▶ the stream's mail, or the plugin's ─▶ a callback
//! ```
//! The callback runs in the plugin's context. While the stream lives it has the exchange at hand.

use std::rc::{Rc, Weak};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use pilotlight_abi::limit::WASM_CALLS;
use pilotlight_filter::host::{Fetch, FetchError, Fetched, Level};

use super::abi::{Status, buffer, map};
use super::mail::Mail;
use super::maps::{self, Pair};
use super::memory;
use super::root::Root;
use crate::host::Host;

/// A map of a call's answer.
pub(crate) type List = Vec<(String, Vec<u8>)>;

/// What comes from outside.
pub(crate) enum Event {
    /// The answer to an HTTP call.
    Http { token: u32, answer: Result<Fetched, FetchError> },
    /// A part of the answer to a gRPC call.
    Grpc { token: u32, what: Grpc },
    /// What a script's function has given, or why it has given nothing.
    Foreign { token: u32, answer: Result<Bytes, String> },
    /// A reply of Redis, or why there is none.
    Redis { token: u32, answer: Result<Bytes, String> },
}

/// A part of the answer to a gRPC call.
pub(crate) enum Grpc {
    InitialMetadata(List),
    Message(Bytes),
    TrailingMetadata(List),
    /// Its state, and what is said of it.
    Close(u32, String),
}

/// What a callback can read beside its exchange.
#[derive(Default)]
pub(crate) struct Incoming {
    maps: [Option<List>; 4],
    buffer: Option<(u32, Bytes)>,
    /// For `proxy_get_status`.
    pub(crate) status: u32,
    pub(crate) message: String,
}

impl Incoming {
    /// A map of the answer.
    pub(crate) fn map(&self, map: u32) -> Option<&List> {
        self.maps.get(map.checked_sub(map::GRPC_INITIAL_METADATA)? as usize)?.as_ref()
    }

    /// A buffer of it.
    pub(crate) fn buffer(&self, kind: u32) -> Option<&Bytes> {
        self.buffer.as_ref().filter(|(known, _)| *known == kind).map(|(_, bytes)| bytes)
    }

    fn put(&mut self, map: u32, list: List) -> u32 {
        let count = list.len() as u32;
        self.maps[(map - map::GRPC_INITIAL_METADATA) as usize] = Some(list);
        count
    }
}

impl Event {
    /// The callback's name, what it can read, and its arguments behind the context.
    /// `text`: as ngx_wasm_module gives it.
    pub(crate) fn open(self, text: bool) -> (&'static str, Incoming, Vec<u32>) {
        let mut incoming = Incoming::default();
        match self {
            Event::Http { token, answer: Ok(mut fetched) } => {
                let status = fetched.status.to_string().into_bytes();
                fetched.headers.insert(0, (":status".into(), status));
                let size = fetched.body.len() as u32;
                let headers = incoming.put(map::HTTP_CALL_HEADERS, fetched.headers);
                let trailers = incoming.put(map::HTTP_CALL_TRAILERS, fetched.trailers);
                incoming.buffer = Some((buffer::HTTP_CALL_BODY, fetched.body));
                let arguments = vec![token, headers, size, trailers];
                ("proxy_on_http_call_response", incoming, arguments)
            }
            // No headers at all is how a failure looks.
            Event::Http { token, answer: Err(FetchError(why)) } => {
                let status = (":dispatch_status".into(), dispatch_status(&why).into());
                incoming.put(map::HTTP_CALL_HEADERS, text.then_some(status).into_iter().collect());
                incoming.put(map::HTTP_CALL_TRAILERS, List::new());
                incoming.buffer = Some((buffer::HTTP_CALL_BODY, Bytes::new()));
                (incoming.status, incoming.message) = (Status::BrokenConnection as u32, why);
                ("proxy_on_http_call_response", incoming, vec![token, 0, 0, 0])
            }
            Event::Foreign { token, answer } => {
                let bytes = answer.unwrap_or_else(|why| {
                    (incoming.status, incoming.message) = (Status::InternalFailure as u32, why);
                    Bytes::new()
                });
                let size = bytes.len() as u32;
                incoming.buffer = Some((buffer::FOREIGN_ARGUMENTS, bytes));
                ("proxy_on_foreign_function", incoming, vec![token, size])
            }
            Event::Redis { token, answer } => {
                let failed = u32::from(answer.is_err());
                let bytes = answer.unwrap_or_else(|why| {
                    (incoming.status, incoming.message) = (Status::BrokenConnection as u32, why);
                    Bytes::new()
                });
                let size = bytes.len() as u32;
                incoming.buffer = Some((buffer::REDIS_REPLY, bytes));
                ("proxy_on_redis_call_response", incoming, vec![token, failed, size])
            }
            Event::Grpc { token, what } => {
                let (name, number) = match what {
                    Grpc::InitialMetadata(list) => {
                        let count = incoming.put(map::GRPC_INITIAL_METADATA, list);
                        ("proxy_on_grpc_receive_initial_metadata", count)
                    }
                    Grpc::Message(message) => {
                        let size = message.len() as u32;
                        incoming.buffer = Some((buffer::GRPC_MESSAGE, message));
                        ("proxy_on_grpc_receive", size)
                    }
                    Grpc::TrailingMetadata(list) => {
                        let count = incoming.put(map::GRPC_TRAILING_METADATA, list);
                        ("proxy_on_grpc_receive_trailing_metadata", count)
                    }
                    Grpc::Close(status, message) => {
                        (incoming.status, incoming.message) = (status, message);
                        ("proxy_on_grpc_close", status)
                    }
                };
                (name, incoming, vec![token, number])
            }
        }
    }
}

/// ngx_wasm_module's word for why a call has failed.
fn dispatch_status(why: &str) -> &'static str {
    match why {
        "timeout" | "connection_timeout" | "http_response_timeout" => "timeout",
        "dns_error" => "resolver failure",
        "tls_protocol_error" | "tls_certificate_error" => "tls handshake failure",
        "http_protocol_error" | "http_response_header_section_size" => "reader failure",
        _ => "broken connection",
    }
}

/// Who made a call, and what is under way for the instance.
pub(crate) struct Caller {
    root: Weak<Root>,
    /// The stream's; `None`: the plugin's own context made it.
    mail: Option<Rc<Mail>>,
}

impl Caller {
    /// Counts one more call of the context that host calls mean.
    pub(crate) fn begin(host: &mut Host) -> Result<(u32, Caller), Status> {
        let calls = &host.proxy.root.calls;
        if calls.get() >= WASM_CALLS {
            let text = format!("{WASM_CALLS} calls are under way: no more of them");
            host.log(Level::Warn, text.as_bytes());
            return Err(Status::InternalFailure);
        }
        calls.set(calls.get() + 1);
        let proxy = &mut host.proxy;
        proxy.root.wanted.set(true);
        let effective = proxy.effective;
        let mail = match proxy.stream.as_deref_mut().filter(|s| s.context == effective) {
            Some(stream) => Some(proxy.contexts.open_mail(stream)),
            None => proxy.contexts.mail(effective).cloned(),
        };
        if let Some(mail) = &mail {
            mail.calls.set(mail.calls.get() + 1);
            host.stage.with(|exchange| exchange.aside = true);
        }
        host.proxy.token = host.proxy.token.wrapping_add(1).max(1);
        let root = Rc::downgrade(&host.proxy.root);
        Ok((host.proxy.token, Caller { root, mail }))
    }

    /// Nobody is left to tell.
    pub(crate) fn is_over(&self) -> bool {
        self.root.strong_count() == 0
    }

    /// Whether it reads what comes; else who polls is woken when it has.
    pub(crate) fn has_room(&self, cx: &Context<'_>) -> bool {
        let stream = self.mail.as_ref().is_none_or(|mail| mail.has_room(cx));
        stream && self.root.upgrade().is_none_or(|root| root.mail.has_room(cx))
    }

    /// Tells it of an event: the stream while it lives, then the plugin.
    pub(crate) fn tell(&self, event: Event) {
        let left = match &self.mail {
            Some(mail) => mail.put(event).err(),
            None => Some(event),
        };
        if let (Some(event), Some(root)) = (left, self.root.upgrade()) {
            let _ = root.mail.put(event);
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(root) = self.root.upgrade() {
            root.calls.set(root.calls.get().saturating_sub(1));
        }
        // It may have waited for just this call.
        if let Some(mail) = &self.mail {
            mail.calls.set(mail.calls.get().saturating_sub(1));
            mail.wake();
        }
    }
}

/// `proxy_http_call`: upstream, headers, body, trailers, milliseconds, where the token goes.
pub(crate) fn http_call(mem: &mut [u8], host: &mut Host, args: [u32; 10]) -> Result<(), Status> {
    let [upstream, ul, headers, hl, body, bl, trailers, tl, timeout, out] = args;
    memory::slice(mem, out, 4)?;
    let name = memory::slice(mem, upstream, ul)?;
    let upstream = upstream_of(host, name)?;
    let headers = decode(memory::slice(mem, headers, hl)?)?;
    let trailers = owned(&decode(memory::slice(mem, trailers, tl)?)?)?;
    let mut request = request(&headers, upstream, name, timeout)?;
    request.body = Bytes::copy_from_slice(memory::slice(mem, body, bl)?);
    request.trailers = trailers;
    let (token, caller) = Caller::begin(host)?;
    let answer = host.services.fetch(request);
    host.services.spawn(Box::pin(async move {
        let answer = answer.await;
        caller.tell(Event::Http { token, answer });
    }));
    memory::write_u32(mem, out, token)
}

pub(crate) fn decode(blob: &[u8]) -> Result<Vec<Pair<'_>>, Status> {
    maps::decode(blob).map_err(|_| Status::BadArgument)
}

/// The upstream, as the manifest names it, as Istio and Higress do: `outbound|PORT|SUBSET|NAME`, or as
/// Kong does: `NAME:PORT`.
pub(crate) fn upstream_of(host: &Host, name: &[u8]) -> Result<String, Status> {
    let name = std::str::from_utf8(name).map_err(|_| Status::BadArgument)?;
    let program = host.proxy.program.as_ref().ok_or(Status::BadArgument)?;
    let known = known_as(name, |name| program.upstreams.iter().any(|known| **known == *name));
    known.map(str::to_owned).ok_or(Status::BadArgument)
}

/// The part of a name that is known: all of it, what stands behind Istio's `outbound|PORT|SUBSET|`, or that without
/// its port.
pub(crate) fn known_as(name: &str, is_known: impl Fn(&str) -> bool) -> Option<&str> {
    let short = name.rsplit('|').next().unwrap_or_default();
    let host = short.rsplit_once(':').map_or(short, |(host, _)| host);
    [name, short, host].into_iter().find(|name| is_known(name))
}

/// A request by its headers, which must hold method and path; without an authority it is what the upstream was
/// named by, as in Kong.
pub(crate) fn request(
    headers: &[Pair<'_>],
    upstream: String,
    name: &[u8],
    timeout: u32,
) -> Result<Fetch, Status> {
    let find = |name: &[u8]| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let pseudo = |name: &[u8], or: Option<&'_ [u8]>| {
        let value = find(name).or(or).and_then(|value| std::str::from_utf8(value).ok());
        value.map(str::to_owned).ok_or(Status::BadArgument)
    };
    let path = origin_form(pseudo(b":path", None)?);
    let authority = pseudo(b":authority", name.rsplit(|b| *b == b'|').next())?;
    if !path.starts_with('/') || authority.contains('/') {
        return Err(Status::BadArgument);
    }
    // The gateway frames messages itself.
    let fields = headers.iter().copied().filter(|(name, _)| {
        name.first() != Some(&b':') && !pilotlight_filter::Name::of(name).is_framing()
    });
    Ok(Fetch {
        method: pseudo(b":method", None)?,
        url: format!("http://{authority}{path}"),
        headers: owned(&fields.collect::<Vec<_>>())?,
        timeout: (timeout > 0).then(|| Duration::from_millis(timeout.into())),
        upstream: Some(upstream),
        ..Fetch::default()
    })
}

/// Some filters give a whole URL, which servers take: where it goes is the upstream's affair.
fn origin_form(path: String) -> String {
    match path.split_once("://") {
        Some(("http" | "https", rest)) => rest.find('/').map_or("/", |at| &rest[at..]).to_owned(),
        _ => path,
    }
}

pub(crate) fn owned(pairs: &[Pair<'_>]) -> Result<List, Status> {
    let text = |name: &[u8]| std::str::from_utf8(name).map(str::to_owned);
    let owned = pairs.iter().map(|(name, value)| Ok((text(name)?, maps::trimmed(value).to_vec())));
    owned.collect::<Result<List, std::str::Utf8Error>>().map_err(|_| Status::BadArgument)
}
