//! `wasi:http/types`: the request that an application answers, and its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use bytes::Bytes;
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource};

use super::fields::{Fields, is_forbidden};
use super::io::{Input, IoError, Output, Pollable, Sending};
use super::{Store, resource, wasi, world};
use crate::component::world::copied;
use crate::host::Host;

/// The request: what of it was not taken yet.
#[derive(Default)]
pub(crate) struct IncomingRequest {
    consumed: bool,
}

/// Where the answer goes.
pub(crate) struct Outparam;

/// A body that comes.
pub(super) struct IncomingBody {
    /// `None`: the request's.
    pub(super) bytes: Option<Bytes>,
    streamed: bool,
}

impl IncomingBody {
    pub(super) fn new(bytes: Option<Bytes>) -> IncomingBody {
        IncomingBody { bytes, streamed: false }
    }
}

/// The trailers of a body that comes: the request's, or none.
struct FutureTrailers {
    of_request: bool,
    taken: bool,
}

/// The answer.
struct OutgoingResponse {
    status: u16,
    fields: Fields,
    taken: bool,
}

/// A body that goes.
pub(super) enum OutgoingBody {
    Answer,
    Request(Arc<Mutex<Sending>>),
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        // Without its `finish` the request is not whole; whether the answer is, is seen at its end.
        if let OutgoingBody::Request(sending) = self {
            let mut sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
            sending.broken = !sending.ended;
        }
    }
}

#[derive(ComponentType, Lift, Lower, Clone, Default)]
#[component(variant)]
#[rustfmt::skip]
pub(super) enum Method {
    #[default]
    #[component(name = "get")] Get,
    #[component(name = "head")] Head,
    #[component(name = "post")] Post,
    #[component(name = "put")] Put,
    #[component(name = "delete")] Delete,
    #[component(name = "connect")] Connect,
    #[component(name = "options")] Options,
    #[component(name = "trace")] Trace,
    #[component(name = "patch")] Patch,
    #[component(name = "other")] Other(String),
}

impl Method {
    fn of(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            other => Method::Other(String::from_utf8_lossy(other).into_owned()),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other(name) => name,
        }
    }
}

#[derive(ComponentType, Lift, Lower, Clone)]
#[component(variant)]
#[rustfmt::skip]
pub(super) enum Scheme {
    #[component(name = "HTTP")] Http,
    #[component(name = "HTTPS")] Https,
    #[component(name = "other")] Other(String),
}

#[derive(ComponentType, Lift, Lower, Debug)]
#[component(record)]
pub(super) struct DnsError {
    rcode: Option<String>,
    #[component(name = "info-code")]
    info: Option<u16>,
}

#[derive(ComponentType, Lift, Lower, Debug)]
#[component(record)]
pub(super) struct TlsAlert {
    #[component(name = "alert-id")]
    id: Option<u8>,
    #[component(name = "alert-message")]
    message: Option<String>,
}

#[derive(ComponentType, Lift, Lower, Debug)]
#[component(record)]
pub(super) struct FieldSize {
    #[component(name = "field-name")]
    name: Option<String>,
    #[component(name = "field-size")]
    size: Option<u32>,
}

/// Why there is no message. The host gives a few of them; a guest may give any.
#[derive(ComponentType, Lift, Lower, Debug)]
#[component(variant)]
#[rustfmt::skip]
pub(super) enum ErrorCode {
    #[component(name = "DNS-timeout")] DnsTimeout,
    #[component(name = "DNS-error")] DnsError(DnsError),
    #[component(name = "destination-not-found")] DestinationNotFound,
    #[component(name = "destination-unavailable")] DestinationUnavailable,
    #[component(name = "destination-IP-prohibited")] DestinationIpProhibited,
    #[component(name = "destination-IP-unroutable")] DestinationIpUnroutable,
    #[component(name = "connection-refused")] ConnectionRefused,
    #[component(name = "connection-terminated")] ConnectionTerminated,
    #[component(name = "connection-timeout")] ConnectionTimeout,
    #[component(name = "connection-read-timeout")] ConnectionReadTimeout,
    #[component(name = "connection-write-timeout")] ConnectionWriteTimeout,
    #[component(name = "connection-limit-reached")] ConnectionLimitReached,
    #[component(name = "TLS-protocol-error")] TlsProtocolError,
    #[component(name = "TLS-certificate-error")] TlsCertificateError,
    #[component(name = "TLS-alert-received")] TlsAlertReceived(TlsAlert),
    #[component(name = "HTTP-request-denied")] RequestDenied,
    #[component(name = "HTTP-request-length-required")] RequestLengthRequired,
    #[component(name = "HTTP-request-body-size")] RequestBodySize(Option<u64>),
    #[component(name = "HTTP-request-method-invalid")] RequestMethodInvalid,
    #[component(name = "HTTP-request-URI-invalid")] RequestUriInvalid,
    #[component(name = "HTTP-request-URI-too-long")] RequestUriTooLong,
    #[component(name = "HTTP-request-header-section-size")] RequestHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-request-header-size")] RequestHeaderSize(Option<FieldSize>),
    #[component(name = "HTTP-request-trailer-section-size")] RequestTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-request-trailer-size")] RequestTrailerSize(FieldSize),
    #[component(name = "HTTP-response-incomplete")] ResponseIncomplete,
    #[component(name = "HTTP-response-header-section-size")] ResponseHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-response-header-size")] ResponseHeaderSize(FieldSize),
    #[component(name = "HTTP-response-body-size")] ResponseBodySize(Option<u64>),
    #[component(name = "HTTP-response-trailer-section-size")] ResponseTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-response-trailer-size")] ResponseTrailerSize(FieldSize),
    #[component(name = "HTTP-response-transfer-coding")] ResponseTransferCoding(Option<String>),
    #[component(name = "HTTP-response-content-coding")] ResponseContentCoding(Option<String>),
    #[component(name = "HTTP-response-timeout")] ResponseTimeout,
    #[component(name = "HTTP-upgrade-failed")] UpgradeFailed,
    #[component(name = "HTTP-protocol-error")] ProtocolError,
    #[component(name = "loop-detected")] LoopDetected,
    #[component(name = "configuration-error")] ConfigurationError,
    #[component(name = "internal-error")] InternalError(Option<String>),
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance(wasi!("http/types"))?;
    request(&mut at)?;
    incoming_body(&mut at)?;
    response(&mut at)?;
    at.func_wrap("http-error-code", |_: Store<'_>, (_,): (Resource<IoError>,)| {
        Ok((None::<ErrorCode>,))
    })
}

fn request(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<IncomingRequest>;
    let none = || wasmtime::Error::msg("the exchange is over");
    resource::<IncomingRequest>(at, "incoming-request")?;
    at.func_wrap("[method]incoming-request.method", move |s: Store<'_>, (_,): (Handle,)| {
        let method = s.data().stage.with(|e| Method::of(e.request.head.method_text()));
        Ok((method.ok_or_else(none)?,))
    })?;
    at.func_wrap("[method]incoming-request.path-with-query", |s: Store<'_>, (_,): (Handle,)| {
        let path = s.data().stage.with(|exchange| {
            let head = &exchange.request.head;
            let mut text = String::from_utf8_lossy(head.path()).into_owned();
            if let Some(query) = head.query() {
                text.push('?');
                text += &String::from_utf8_lossy(query);
            }
            text
        });
        Ok((path,))
    })?;
    at.func_wrap("[method]incoming-request.scheme", |s: Store<'_>, (_,): (Handle,)| {
        let scheme = s.data().stage.with(|exchange| match exchange.request.head.scheme {
            pilotlight_filter::Scheme::Http => Scheme::Http,
            pilotlight_filter::Scheme::Https => Scheme::Https,
        });
        Ok((scheme,))
    })?;
    at.func_wrap("[method]incoming-request.authority", |s: Store<'_>, (_,): (Handle,)| {
        let text = s.data().stage.with(|exchange| {
            String::from_utf8_lossy(exchange.request.head.authority()).into_owned()
        });
        Ok((text.filter(|text| !text.is_empty()),))
    })?;
    at.func_wrap("[method]incoming-request.headers", |mut s: Store<'_>, (_,): (Handle,)| {
        let list = s.data().stage.with(|exchange| {
            let fields = exchange.request.head.fields.iter();
            let fields = fields.map(|(_, name, value)| copied(name, value));
            fields.filter(|(name, _)| !is_forbidden(name)).collect()
        });
        let fields = Fields { list: list.unwrap_or_default(), fixed: true };
        Ok((world(&mut s)?.table.push(fields)?,))
    })?;
    at.func_wrap(
        "[method]incoming-request.consume",
        |mut s: Store<'_>, (r,): (Handle,)| -> Result<(Result<Resource<IncomingBody>, ()>,)> {
            let table = &mut world(&mut s)?.table;
            if std::mem::replace(&mut table.get_mut(&r)?.consumed, true) {
                return Ok((Err(()),));
            }
            Ok((Ok(table.push(IncomingBody::new(None))?),))
        },
    )
}

fn incoming_body(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<IncomingBody>;
    type Trailers = Option<Result<Result<Option<Resource<Fields>>, ErrorCode>, ()>>;
    resource::<IncomingBody>(at, "incoming-body")?;
    resource::<FutureTrailers>(at, "future-trailers")?;
    at.func_wrap(
        "[method]incoming-body.stream",
        |mut s: Store<'_>, (b,): (Handle,)| -> Result<(Result<Resource<Input>, ()>,)> {
            let table = &mut world(&mut s)?.table;
            let body = table.get_mut(&b)?;
            if std::mem::replace(&mut body.streamed, true) {
                return Ok((Err(()),));
            }
            let input = body.bytes.clone().map_or(Input::Request, Input::Bytes);
            Ok((Ok(table.push(input)?),))
        },
    )?;
    at.func_wrap("[static]incoming-body.finish", |mut s: Store<'_>, (b,): (Handle,)| {
        let table = &mut world(&mut s)?.table;
        let of_request = table.delete(b)?.bytes.is_none();
        Ok((table.push(FutureTrailers { of_request, taken: false })?,))
    })?;
    at.func_wrap(
        "[method]future-trailers.subscribe",
        |mut s: Store<'_>, (t,): (Resource<FutureTrailers>,)| {
            let table = &mut world(&mut s)?.table;
            let of_request = table.get(&t)?.of_request;
            Ok((table.push(if of_request { Pollable::Trailers } else { Pollable::Now })?,))
        },
    )?;
    at.func_wrap(
        "[method]future-trailers.get",
        |mut s: Store<'_>, (t,): (Resource<FutureTrailers>,)| -> Result<(Trailers,)> {
            let trailers = world(&mut s)?.table.get_mut(&t)?;
            if trailers.taken {
                return Ok((Some(Err(())),));
            }
            if !trailers.of_request {
                trailers.taken = true;
                return Ok((Some(Ok(Ok(None))),));
            }
            let mut cx = Context::from_waker(Waker::noop());
            if s.data_mut().poll_trailers(&mut cx)?.is_pending() {
                return Ok((None,));
            }
            let world = world(&mut s)?;
            world.table.get_mut(&t)?.taken = true;
            if world.incoming.failed {
                return Ok((Some(Ok(Err(ErrorCode::ConnectionTerminated))),));
            }
            let list = std::mem::take(&mut world.incoming.trailers);
            let fields = match list.is_empty() {
                true => None,
                false => Some(world.table.push(Fields { list, fixed: true })?),
            };
            Ok((Some(Ok(Ok(fields))),))
        },
    )
}

fn response(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<OutgoingResponse>;
    type Body = Resource<OutgoingBody>;
    resource::<Outparam>(at, "response-outparam")?;
    resource::<OutgoingResponse>(at, "outgoing-response")?;
    resource::<OutgoingBody>(at, "outgoing-body")?;
    at.func_wrap(
        "[constructor]outgoing-response",
        |mut s: Store<'_>, (f,): (Resource<Fields>,)| {
            let table = &mut world(&mut s)?.table;
            let fields = Fields { fixed: true, ..table.delete(f)? };
            Ok((table.push(OutgoingResponse { status: 200, fields, taken: false })?,))
        },
    )?;
    at.func_wrap("[method]outgoing-response.status-code", |mut s: Store<'_>, (r,): (Handle,)| {
        Ok((world(&mut s)?.table.get(&r)?.status,))
    })?;
    at.func_wrap(
        "[method]outgoing-response.set-status-code",
        |mut s: Store<'_>, (r, status): (Handle, u16)| -> Result<(Result<(), ()>,)> {
            let response = world(&mut s)?.table.get_mut(&r)?;
            if !(200..=599).contains(&status) {
                return Ok((Err(()),));
            }
            response.status = status;
            Ok((Ok(()),))
        },
    )?;
    at.func_wrap("[method]outgoing-response.headers", |mut s: Store<'_>, (r,): (Handle,)| {
        let table = &mut world(&mut s)?.table;
        let fields = table.get(&r)?.fields.clone();
        Ok((table.push(fields)?,))
    })?;
    at.func_wrap(
        "[method]outgoing-response.body",
        |mut s: Store<'_>, (r,): (Handle,)| -> Result<(Result<Body, ()>,)> {
            let table = &mut world(&mut s)?.table;
            if std::mem::replace(&mut table.get_mut(&r)?.taken, true) {
                return Ok((Err(()),));
            }
            Ok((Ok(table.push(OutgoingBody::Answer)?),))
        },
    )?;
    at.func_wrap(
        "[static]response-outparam.set",
        |mut s: Store<'_>, (out, response): (Resource<Outparam>, Result<Handle, ErrorCode>)| {
            let world = world(&mut s)?;
            world.table.delete(out)?;
            let response = match response {
                Ok(handle) => Ok(world.table.delete(handle)?),
                Err(code) => Err(format!("{code:?}")),
            };
            let mut answer = world.door.0.borrow_mut();
            match response {
                Ok(response) => {
                    // Whose body nobody took has none.
                    answer.ended |= !response.taken;
                    answer.head = Some((response.status, response.fields.list));
                }
                Err(code) => answer.refused = Some(code),
            }
            Ok(())
        },
    )?;
    at.func_wrap(
        "[method]outgoing-body.write",
        |mut s: Store<'_>, (b,): (Body,)| -> Result<(Result<Resource<Output>, ()>,)> {
            let table = &mut world(&mut s)?.table;
            let output = match table.get(&b)? {
                OutgoingBody::Answer => Output::Answer,
                OutgoingBody::Request(sending) => Output::Request(Arc::clone(sending)),
            };
            Ok((Ok(table.push(output)?),))
        },
    )?;
    at.func_wrap(
        "[static]outgoing-body.finish",
        |mut s: Store<'_>, (b, trailers): (Body, Option<Resource<Fields>>)| {
            let world = world(&mut s)?;
            let trailers = match trailers {
                Some(fields) => world.table.delete(fields)?.list,
                None => Vec::new(),
            };
            let body = world.table.delete(b)?;
            match &body {
                OutgoingBody::Answer => {
                    let mut answer = world.door.0.borrow_mut();
                    (answer.ended, answer.trailers) = (true, trailers);
                }
                OutgoingBody::Request(sending) => {
                    sending.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
                }
            }
            Ok((Ok::<(), ErrorCode>(()),))
        },
    )
}
