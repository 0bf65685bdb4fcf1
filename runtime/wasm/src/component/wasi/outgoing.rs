//! `wasi:http/outgoing-handler`: requests of an application's own, to the upstreams that the
//! manifest grants it.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::host::{Fetch, FetchError, Fetched, Wait};
use wasmtime::Result;
use wasmtime::component::{Linker, LinkerInstance, Resource};

use super::fields::{Fields, is_forbidden};
use super::http::{ErrorCode, IncomingBody, Method, OutgoingBody, Scheme};
use super::io::{Pollable, Sending};
use super::{Store, resource, wasi, world};
use crate::component::world::{FieldList, Local};
use crate::host::Host;

/// A request that is being put together.
struct OutgoingRequest {
    fields: Fields,
    method: Method,
    path: Option<String>,
    scheme: Option<Scheme>,
    authority: Option<String>,
    /// Its body, once somebody writes one.
    body: Option<Arc<Mutex<Sending>>>,
}

#[derive(Default, Clone, Copy)]
struct RequestOptions {
    connect: Option<u64>,
    first_byte: Option<u64>,
    between_bytes: Option<u64>,
}

/// The response to one.
struct IncomingResponse {
    status: u16,
    fields: FieldList,
    body: Option<bytes::Bytes>,
}

/// The response that will be there.
pub(super) enum FutureResponse {
    /// The request's body is not whole yet.
    Sending(Box<Fetch>, Arc<Mutex<Sending>>),
    Waiting(Local<Wait<Result<Fetched, FetchError>>>),
    Here(Result<Fetched, ErrorCode>),
    Taken,
}

impl Host {
    /// Ready when the response is there.
    pub(super) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        handle: &Resource<FutureResponse>,
    ) -> Result<Poll<()>> {
        let Host { world, services, .. } = self;
        let Some(world) = world else { return Ok(Poll::Ready(())) };
        let Ok(future) = world.table.get_mut(handle) else { return Ok(Poll::Ready(())) };
        if let FutureResponse::Sending(fetch, sending) = future {
            let mut sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
            if sending.broken {
                drop(sending);
                *future = FutureResponse::Here(Err(ErrorCode::ConnectionTerminated));
                return Ok(Poll::Ready(()));
            }
            if !sending.ended {
                return Ok(Poll::Pending);
            }
            let mut fetch = std::mem::take(&mut **fetch);
            fetch.body = std::mem::take(&mut sending.body).freeze();
            drop(sending);
            *future = FutureResponse::Waiting(Local(services.fetch(fetch)));
        }
        if let FutureResponse::Waiting(wait) = future {
            let Poll::Ready(fetched) = wait.0.as_mut().poll(cx) else { return Ok(Poll::Pending) };
            *future = FutureResponse::Here(fetched.map_err(code_of));
        }
        Ok(Poll::Ready(()))
    }
}

/// A fetch's sentence as one of the interface's codes.
fn code_of(FetchError(text): FetchError) -> ErrorCode {
    match &*text {
        "timeout" => ErrorCode::ConnectionTimeout,
        _ => ErrorCode::InternalError(Some(text)),
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance(wasi!("http/types"))?;
    request(&mut at)?;
    options(&mut at)?;
    response(&mut at)?;
    type Handled = Result<Resource<FutureResponse>, ErrorCode>;
    type Asked = (Resource<OutgoingRequest>, Option<Resource<RequestOptions>>);
    linker.instance(wasi!("http/outgoing-handler"))?.func_wrap(
        "handle",
        |mut s: Store<'_>, (request, options): Asked| -> Result<(Handled,)> {
            let world = world(&mut s)?;
            let request = world.table.delete(request)?;
            let options = match options {
                Some(options) => world.table.delete(options)?,
                None => RequestOptions::default(),
            };
            let authority = request.authority.unwrap_or_default();
            let host = authority.rsplit_once(':').map_or(&*authority, |(host, _)| host);
            let grants = &world.grants.upstreams;
            let granted = grants.iter().find(|(known, _)| known.eq_ignore_ascii_case(host));
            let Some((_, upstream)) = granted else {
                return Ok((Err(ErrorCode::RequestDenied),));
            };
            let scheme = match &request.scheme {
                Some(Scheme::Http) => "http",
                Some(Scheme::Https) | None => "https",
                Some(Scheme::Other(_)) => return Ok((Err(ErrorCode::ProtocolError),)),
            };
            let path = request.path.as_deref().unwrap_or("/");
            let fields = request.fields.list.into_iter();
            let times = [options.connect, options.first_byte].into_iter().flatten();
            let time = times.reduce(u64::saturating_add);
            let fetch = Fetch {
                method: request.method.text().to_owned(),
                url: format!("{scheme}://{authority}{path}"),
                headers: fields.filter(|(name, _)| !is_forbidden(name)).collect(),
                timeout: time.map(Duration::from_nanos),
                upstream: Some(upstream.clone()),
                ..Fetch::default()
            };
            // Without a body there is nothing to wait for.
            let none = || Arc::new(Mutex::new(Sending { ended: true, ..Sending::default() }));
            let sending = request.body.unwrap_or_else(none);
            let future = FutureResponse::Sending(Box::new(fetch), sending);
            Ok((Ok(world.table.push(future)?),))
        },
    )
}

fn request(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<OutgoingRequest>;
    resource::<OutgoingRequest>(at, "outgoing-request")?;
    at.func_wrap(
        "[constructor]outgoing-request",
        |mut s: Store<'_>, (f,): (Resource<Fields>,)| {
            let table = &mut world(&mut s)?.table;
            let fields = Fields { fixed: true, ..table.delete(f)? };
            let (method, path, scheme, authority, body) = Default::default();
            Ok((table.push(OutgoingRequest { fields, method, path, scheme, authority, body })?,))
        },
    )?;
    at.func_wrap(
        "[method]outgoing-request.body",
        |mut s: Store<'_>, (r,): (Handle,)| -> Result<(Result<Resource<OutgoingBody>, ()>,)> {
            let table = &mut world(&mut s)?.table;
            let request = table.get_mut(&r)?;
            if request.body.is_some() {
                return Ok((Err(()),));
            }
            let sending = Arc::clone(request.body.get_or_insert_default());
            Ok((Ok(table.push(OutgoingBody::Request(sending))?),))
        },
    )?;
    at.func_wrap("[method]outgoing-request.headers", |mut s: Store<'_>, (r,): (Handle,)| {
        let table = &mut world(&mut s)?.table;
        let fields = table.get(&r)?.fields.clone();
        Ok((table.push(fields)?,))
    })?;
    macro_rules! part {
        ($get:literal, $set:literal, $part:ident: $ty:ty) => {
            at.func_wrap($get, |mut s: Store<'_>, (r,): (Handle,)| {
                Ok((world(&mut s)?.table.get(&r)?.$part.clone(),))
            })?;
            at.func_wrap($set, |mut s: Store<'_>, (r, part): (Handle, $ty)| {
                world(&mut s)?.table.get_mut(&r)?.$part = part;
                Ok((Ok::<(), ()>(()),))
            })?;
        };
    }
    part!("[method]outgoing-request.method", "[method]outgoing-request.set-method", method: Method);
    part!("[method]outgoing-request.path-with-query", "[method]outgoing-request.set-path-with-query", path: Option<String>);
    part!("[method]outgoing-request.scheme", "[method]outgoing-request.set-scheme", scheme: Option<Scheme>);
    part!("[method]outgoing-request.authority", "[method]outgoing-request.set-authority", authority: Option<String>);
    Ok(())
}

fn options(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<RequestOptions>;
    resource::<RequestOptions>(at, "request-options")?;
    at.func_wrap("[constructor]request-options", |mut s: Store<'_>, (): ()| {
        Ok((world(&mut s)?.table.push(RequestOptions::default())?,))
    })?;
    macro_rules! part {
        ($get:literal, $set:literal, $part:ident) => {
            at.func_wrap($get, |mut s: Store<'_>, (o,): (Handle,)| {
                Ok((world(&mut s)?.table.get(&o)?.$part,))
            })?;
            at.func_wrap($set, |mut s: Store<'_>, (o, time): (Handle, Option<u64>)| {
                world(&mut s)?.table.get_mut(&o)?.$part = time;
                Ok((Ok::<(), ()>(()),))
            })?;
        };
    }
    part!(
        "[method]request-options.connect-timeout",
        "[method]request-options.set-connect-timeout",
        connect
    );
    part!(
        "[method]request-options.first-byte-timeout",
        "[method]request-options.set-first-byte-timeout",
        first_byte
    );
    part!(
        "[method]request-options.between-bytes-timeout",
        "[method]request-options.set-between-bytes-timeout",
        between_bytes
    );
    Ok(())
}

fn response(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<IncomingResponse>;
    type Future = Resource<FutureResponse>;
    type Got = Option<Result<Result<Handle, ErrorCode>, ()>>;
    resource::<IncomingResponse>(at, "incoming-response")?;
    resource::<FutureResponse>(at, "future-incoming-response")?;
    at.func_wrap("[method]incoming-response.status", |mut s: Store<'_>, (r,): (Handle,)| {
        Ok((world(&mut s)?.table.get(&r)?.status,))
    })?;
    at.func_wrap("[method]incoming-response.headers", |mut s: Store<'_>, (r,): (Handle,)| {
        let table = &mut world(&mut s)?.table;
        let list = table.get(&r)?.fields.clone();
        Ok((table.push(Fields { list, fixed: true })?,))
    })?;
    at.func_wrap(
        "[method]incoming-response.consume",
        |mut s: Store<'_>, (r,): (Handle,)| -> Result<(Result<Resource<IncomingBody>, ()>,)> {
            let table = &mut world(&mut s)?.table;
            let Some(bytes) = table.get_mut(&r)?.body.take() else { return Ok((Err(()),)) };
            Ok((Ok(table.push(IncomingBody::new(Some(bytes)))?),))
        },
    )?;
    at.func_wrap(
        "[method]future-incoming-response.subscribe",
        |mut s: Store<'_>, (f,): (Future,)| {
            Ok((world(&mut s)?.table.push(Pollable::Response(f.rep()))?,))
        },
    )?;
    at.func_wrap(
        "[method]future-incoming-response.get",
        |mut s: Store<'_>, (f,): (Future,)| -> Result<(Got,)> {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            if s.data_mut().poll_response(&mut cx, &f)?.is_pending() {
                return Ok((None,));
            }
            let table = &mut world(&mut s)?.table;
            let got = std::mem::replace(table.get_mut(&f)?, FutureResponse::Taken);
            let FutureResponse::Here(fetched) = got else { return Ok((Some(Err(())),)) };
            Ok((Some(Ok(match fetched {
                Ok(Fetched { status, headers, body, .. }) => Ok(table.push(IncomingResponse {
                    status,
                    fields: headers,
                    body: Some(body),
                })?),
                Err(code) => Err(code),
            })),))
        },
    )
}
