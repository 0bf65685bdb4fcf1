//! `wasi:http/types`: bodies, of the exchange and of requests of the application's own.

use wasmtime::Result;
use wasmtime::component::{Linker, LinkerInstance, Resource};

use super::codes::ErrorCode;
use super::fields::Fields;
use super::io::Pollable;
use super::streams::{Input, Output};
use super::{Store, resource, wasi, world};
use crate::component::world::Whose;
use crate::host::Host;

/// A body that comes.
pub(super) struct IncomingBody {
    whose: Whose,
    streamed: bool,
}

impl IncomingBody {
    pub(super) fn new(whose: Whose) -> IncomingBody {
        IncomingBody { whose, streamed: false }
    }
}

/// The trailers of a body that comes.
struct FutureTrailers {
    whose: Whose,
    taken: bool,
}

/// A body that goes.
pub(super) struct OutgoingBody(pub(super) Whose);

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        // Without its `finish` a request is not whole; whether an answer is, is seen at its end.
        if let Whose::Errand(errand) = &self.0 {
            errand.get().let_go();
        }
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance(wasi!("http/types"))?;
    incoming(&mut at)?;
    outgoing(&mut at)
}

fn incoming(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<IncomingBody>;
    type Future = Resource<FutureTrailers>;
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
            let input = Input::Body(body.whose.clone());
            Ok((Ok(table.push(input)?),))
        },
    )?;
    at.func_wrap("[static]incoming-body.finish", |mut s: Store<'_>, (b,): (Handle,)| {
        let table = &mut world(&mut s)?.table;
        let whose = table.delete(b)?.whose;
        Ok((table.push(FutureTrailers { whose, taken: false })?,))
    })?;
    at.func_wrap("[method]future-trailers.subscribe", |mut s: Store<'_>, (t,): (Future,)| {
        let table = &mut world(&mut s)?.table;
        let whose = table.get(&t)?.whose.clone();
        Ok((table.push(Pollable::Trailers(whose))?,))
    })?;
    at.func_wrap(
        "[method]future-trailers.get",
        |mut s: Store<'_>, (t,): (Future,)| -> Result<(Trailers,)> {
            let FutureTrailers { whose, taken } = world(&mut s)?.table.get(&t)?;
            if *taken {
                return Ok((Some(Err(())),));
            }
            let whose = whose.clone();
            if s.data_mut().now(|host, cx| host.poll_trailers(cx, &whose))?.is_none() {
                return Ok((None,));
            }
            let (list, failed) = s.data_mut().incoming(&whose, |incoming| {
                (std::mem::take(&mut incoming.trailers), incoming.failed)
            })?;
            let table = &mut world(&mut s)?.table;
            table.get_mut(&t)?.taken = true;
            let fields = match list.is_empty() {
                _ if failed => Err(ErrorCode::ConnectionTerminated),
                true => Ok(None),
                false => Ok(Some(table.push(Fields { list, fixed: true })?)),
            };
            Ok((Some(Ok(fields)),))
        },
    )
}

fn outgoing(at: &mut LinkerInstance<'_, Host>) -> Result<()> {
    type Handle = Resource<OutgoingBody>;
    resource::<OutgoingBody>(at, "outgoing-body")?;
    at.func_wrap(
        "[method]outgoing-body.write",
        |mut s: Store<'_>, (b,): (Handle,)| -> Result<(Result<Resource<Output>, ()>,)> {
            let table = &mut world(&mut s)?.table;
            let output = Output::Body(table.get(&b)?.0.clone());
            Ok((Ok(table.push(output)?),))
        },
    )?;
    at.func_wrap(
        "[static]outgoing-body.finish",
        |mut s: Store<'_>, (b, trailers): (Handle, Option<Resource<Fields>>)| {
            let world = world(&mut s)?;
            let trailers = match trailers {
                Some(fields) => world.table.delete(fields)?.list,
                None => Vec::new(),
            };
            let body = world.table.delete(b)?;
            let finished = match &body.0 {
                Whose::Exchange => {
                    let mut answer = world.door.0.borrow_mut();
                    (answer.ended, answer.trailers) = (true, trailers);
                    Ok(())
                }
                Whose::Errand(errand) => errand.get().finish(trailers),
            };
            Ok((finished.map_err(|written| ErrorCode::RequestBodySize(Some(written))),))
        },
    )
}
