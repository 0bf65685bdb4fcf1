//! `wasi:http/outgoing-handler`: requests of an application's own, to the upstreams that the
//! manifest grants it.

use std::task::Context;
use std::time::Duration;

use pilotlight_filter::host::{Fetch, Waits};
use wasmtime::Result;
use wasmtime::component::{Linker, LinkerInstance, Resource};

use super::bodies::{IncomingBody, OutgoingBody};
use super::codes::{ErrorCode, Method, Scheme};
use super::fields::{Fields, is_forbidden};
use super::io::Pollable;
use super::{Store, resource, wasi, world};
use crate::component::errand::Errand;
use crate::component::world::{FieldList, Whose};
use crate::host::Host;

/// A request that is being put together.
struct OutgoingRequest {
    fields: Fields,
    method: Method,
    path: Option<String>,
    scheme: Option<Scheme>,
    authority: Option<String>,
    /// Its body, once somebody writes one.
    body: Option<Errand>,
}

#[derive(Default, Clone, Copy)]
struct RequestOptions {
    connect: Option<u64>,
    first_byte: Option<u64>,
    between_bytes: Option<u64>,
}

impl RequestOptions {
    fn waits(self) -> Waits {
        let time = |time: Option<u64>| time.map(Duration::from_nanos);
        Waits {
            connect: time(self.connect),
            first_byte: time(self.first_byte),
            between_bytes: time(self.between_bytes),
        }
    }
}

/// The response to one.
struct IncomingResponse {
    status: u16,
    fields: FieldList,
    errand: Errand,
    consumed: bool,
}

/// The response that will be there.
struct FutureResponse(Errand);

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
            let (errand, bodiless) = match request.body {
                Some(errand) => (errand, false),
                None => (Errand::new(None), true),
            };
            if !world.errands.add(&errand) {
                return Ok((Err(ErrorCode::ConnectionLimitReached),));
            }
            // The host says itself how long a body is.
            let own = |name: &str| is_forbidden(name) || name == "content-length";
            let fields = request.fields.list.into_iter();
            let fetch = Fetch {
                method: String::from_utf8_lossy(request.method.text()).into_owned(),
                url: format!("{scheme}://{authority}{path}"),
                headers: fields.filter(|(name, _)| !own(name)).collect(),
                upstream: Some(upstream.clone()),
                waits: Some(options.waits()),
                ..Fetch::default()
            };
            errand.send_off(fetch, bodiless);
            Ok((Ok(world.table.push(FutureResponse(errand))?),))
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
            let (method, (path, scheme, authority, body)) = (Method::Get, Default::default());
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
            let errand = request.body.insert(Errand::new(request.fields.length())).clone();
            Ok((Ok(table.push(OutgoingBody(Whose::Errand(errand)))?),))
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
            let response = table.get_mut(&r)?;
            if std::mem::replace(&mut response.consumed, true) {
                return Ok((Err(()),));
            }
            let whose = Whose::Errand(response.errand.clone());
            Ok((Ok(table.push(IncomingBody::new(whose))?),))
        },
    )?;
    at.func_wrap(
        "[method]future-incoming-response.subscribe",
        |mut s: Store<'_>, (f,): (Future,)| {
            let table = &mut world(&mut s)?.table;
            let answer = Pollable::Answer(table.get(&f)?.0.clone());
            Ok((table.push(answer)?,))
        },
    )?;
    at.func_wrap(
        "[method]future-incoming-response.get",
        |mut s: Store<'_>, (f,): (Future,)| -> Result<(Got,)> {
            let errand = world(&mut s)?.table.get(&f)?.0.clone();
            let poll = |host: &mut Host, cx: &mut Context<'_>| {
                errand.get().poll_answer(cx, &*host.services).map(Ok)
            };
            if s.data_mut().now(poll)?.is_none() {
                return Ok((None,));
            }
            let Some(answer) = errand.get().take_answer() else { return Ok((Some(Err(())),)) };
            let (status, mut fields) = match answer {
                Ok(head) => head,
                Err(why) => return Ok((Some(Ok(Err(why.into()))),)),
            };
            fields.retain(|(name, _)| !is_forbidden(name));
            let response = IncomingResponse { status, fields, errand, consumed: false };
            Ok((Some(Ok(Ok(world(&mut s)?.table.push(response)?))),))
        },
    )
}
