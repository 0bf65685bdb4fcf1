//! `wasi:http/types`: the request that an application answers, and its answer.

use wasmtime::Result;
use wasmtime::component::{Linker, LinkerInstance, Resource};

use super::bodies::{IncomingBody, OutgoingBody};
use super::codes::{ErrorCode, Method, Scheme};
use super::fields::{Fields, is_forbidden};
use super::io::IoError;
use super::{Store, resource, wasi, world};
use crate::component::world::{Whose, copied};
use crate::host::Host;

/// The request: what of it was not taken yet.
#[derive(Default)]
pub(crate) struct IncomingRequest {
    consumed: bool,
}

/// Where the answer goes.
pub(crate) struct Outparam;

/// The answer.
struct OutgoingResponse {
    status: u16,
    fields: Fields,
    taken: bool,
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance(wasi!("http/types"))?;
    request(&mut at)?;
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
            Ok((Ok(table.push(IncomingBody::new(Whose::Exchange))?),))
        },
    )
}

fn response(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<OutgoingResponse>;
    type Body = Resource<OutgoingBody>;
    resource::<Outparam>(at, "response-outparam")?;
    resource::<OutgoingResponse>(at, "outgoing-response")?;
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
            Ok((Ok(table.push(OutgoingBody(Whose::Exchange))?),))
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
    )
}
