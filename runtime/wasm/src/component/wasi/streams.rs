//! `wasi:io/streams`: bytes that come, and bytes that go.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, WasmList};
use wasmtime::{Result, bail};

use super::chunk::Chunk;
use super::io::{IoError, Pollable};
use super::{Store, resource, wasi, world};
use crate::component::errand::Room;
use crate::component::world::{AHEAD_MAX, Whose, wait};
use crate::host::Host;

/// Bytes of one read.
const READ_MAX: usize = 64 << 10;

/// Where bytes come from.
pub(super) enum Input {
    Body(Whose),
    /// There are none: standard input.
    Nothing,
}

/// Where bytes go.
#[derive(Clone)]
pub(super) enum Output {
    Body(Whose),
    /// Standard output, or standard error.
    Log {
        error: bool,
    },
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
pub(super) enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

/// What an operation on a stream comes to.
type Ends<T> = Result<Result<T, StreamError>>;
type Done<T> = Result<(Result<T, StreamError>,)>;

impl Host {
    fn failed<T>(&mut self, why: &'static str) -> Ends<T> {
        Ok(Err(StreamError::Failed(self.world()?.table.push(IoError(why))?)))
    }

    /// Up to `len` bytes; an error of the stream at its end. Pending while there is none.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Resource<Input>,
        len: u64,
    ) -> Poll<Ends<Bytes>> {
        let whose = match self.world()?.table.get(stream)? {
            Input::Body(whose) => whose.clone(),
            Input::Nothing => return Poll::Ready(Ok(Err(StreamError::Closed))),
        };
        ready!(self.poll_incoming(cx, &whose));
        let len = usize::try_from(len).unwrap_or(READ_MAX).min(READ_MAX);
        let (bytes, failed) = self.incoming(&whose, |incoming| {
            let some = (!incoming.ahead.is_empty())
                .then(|| incoming.ahead.split_to(len.min(incoming.ahead.len())));
            (some, incoming.failed)
        })?;
        Poll::Ready(match bytes {
            Some(bytes) => Ok(Ok(bytes)),
            None if failed => self.failed("the body broke off"),
            None => Ok(Err(StreamError::Closed)),
        })
    }

    /// Bytes that a stream takes now.
    fn room(&mut self, stream: &Resource<Output>) -> Ends<usize> {
        let world = self.world()?;
        let room = match world.table.get(stream)? {
            Output::Log { .. } => Room::Bytes(AHEAD_MAX),
            Output::Body(Whose::Exchange) => {
                let answer = world.door.0.borrow();
                match answer.ended || answer.gone {
                    true => Room::Closed,
                    false => Room::Bytes(AHEAD_MAX.saturating_sub(answer.body.len())),
                }
            }
            Output::Body(Whose::Errand(errand)) => errand.get().room(),
        };
        match room {
            Room::Bytes(room) => Ok(Ok(room)),
            Room::Home => self.failed("full: the request must be sent off first"),
            Room::Closed => Ok(Err(StreamError::Closed)),
        }
    }

    /// Ready when a stream takes something, or nothing any more.
    pub(super) fn poll_room(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Resource<Output>,
    ) -> Poll<Ends<usize>> {
        self.push_on(cx, stream)?;
        match self.room(stream) {
            // Whoever takes an answer polls the application again.
            Ok(Ok(0)) => Poll::Pending,
            room => Poll::Ready(room),
        }
    }

    /// Has what was written go its way.
    fn push_on(&mut self, cx: &mut Context<'_>, stream: &Resource<Output>) -> Result<()> {
        if let Output::Body(Whose::Errand(errand)) = self.world()?.table.get(stream)? {
            let errand = errand.clone();
            errand.get().drive(cx, &*self.services);
        }
        Ok(())
    }

    fn put(&mut self, stream: &Resource<Output>, bytes: &[u8]) -> Ends<()> {
        match self.room(stream)? {
            Ok(room) if bytes.len() <= room => {}
            Ok(_) => bail!("it wrote more than the stream took"),
            Err(closed) => return Ok(Err(closed)),
        }
        match self.world()?.table.get(stream)?.clone() {
            Output::Log { error } => self.print(error, bytes)?,
            Output::Body(Whose::Exchange) => {
                self.world()?.door.0.borrow_mut().body.extend_from_slice(bytes);
            }
            Output::Body(Whose::Errand(errand)) => {
                if !errand.get().write(bytes) {
                    return self.failed("more than its content-length");
                }
            }
        }
        Ok(Ok(()))
    }

    /// Writes all of it, as there is room.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Resource<Output>,
        bytes: &mut Bytes,
    ) -> Poll<Ends<()>> {
        while !bytes.is_empty() {
            let room = match ready!(self.poll_room(cx, stream))? {
                Ok(room) => room.min(bytes.len()),
                Err(closed) => return Poll::Ready(Ok(Err(closed))),
            };
            if let Err(error) = self.put(stream, &bytes.split_to(room))? {
                return Poll::Ready(Ok(Err(error)));
            }
        }
        self.push_on(cx, stream)?;
        Poll::Ready(Ok(Ok(())))
    }

    /// Bytes from one stream to another, past the guest.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        output: &Resource<Output>,
        input: &Resource<Input>,
        len: u64,
    ) -> Poll<Ends<u64>> {
        let room = match ready!(self.poll_room(cx, output))? {
            Ok(room) => room as u64,
            Err(closed) => return Poll::Ready(Ok(Err(closed))),
        };
        match ready!(self.poll_read(cx, input, len.min(room)))? {
            Ok(bytes) => Poll::Ready(Ok(self.put(output, &bytes)?.map(|()| bytes.len() as u64))),
            Err(error) => Poll::Ready(Ok(Err(error))),
        }
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    input(linker)?;
    output(linker)
}

fn input(linker: &mut Linker<Host>) -> Result<()> {
    type Read = (Resource<Input>, u64);
    let mut at = linker.instance(wasi!("io/streams"))?;
    resource::<Input>(&mut at, "input-stream")?;
    at.func_wrap("[method]input-stream.read", |mut s: Store<'_>, (i, len): Read| -> Done<Chunk> {
        let read = s.data_mut().now(|host, cx| host.poll_read(cx, &i, len))?;
        Ok((read.unwrap_or(Ok(Bytes::new())).map(Chunk),))
    })?;
    at.func_wrap("[method]input-stream.skip", |mut s: Store<'_>, (i, len): Read| -> Done<u64> {
        let read = s.data_mut().now(|host, cx| host.poll_read(cx, &i, len))?;
        Ok((read.map_or(Ok(0), |read| read.map(|bytes| bytes.len() as u64)),))
    })?;
    at.func_wrap_async("[method]input-stream.blocking-read", |s: Store<'_>, (i, len): Read| {
        wait(s, move |host, cx| host.poll_read(cx, &i, len).map_ok(|done| (done.map(Chunk),)))
    })?;
    at.func_wrap_async("[method]input-stream.blocking-skip", |s: Store<'_>, (i, len): Read| {
        wait(s, move |host, cx| {
            let read = host.poll_read(cx, &i, len);
            read.map_ok(|done| (done.map(|bytes| bytes.len() as u64),))
        })
    })?;
    at.func_wrap("[method]input-stream.subscribe", |mut s: Store<'_>, (i,): (Resource<Input>,)| {
        Ok((world(&mut s)?.table.push(Pollable::Input(i.rep()))?,))
    })
}

fn output(linker: &mut Linker<Host>) -> Result<()> {
    type Out = Resource<Output>;
    type Write = (Out, WasmList<u8>);
    type Splice = (Out, Resource<Input>, u64);
    let mut at = linker.instance(wasi!("io/streams"))?;
    resource::<Output>(&mut at, "output-stream")?;
    at.func_wrap(
        "[method]output-stream.check-write",
        |mut s: Store<'_>, (o,): (Out,)| -> Done<u64> {
            let room = s.data_mut().now(|host, cx| host.poll_room(cx, &o))?;
            Ok((room.unwrap_or(Ok(0)).map(|room| room as u64),))
        },
    )?;
    at.func_wrap(
        "[method]output-stream.write",
        |mut s: Store<'_>, (o, list): Write| -> Done<()> {
            let bytes = bytes_of(&s, &list);
            Ok((s.data_mut().put(&o, &bytes)?,))
        },
    )?;
    at.func_wrap(
        "[method]output-stream.write-zeroes",
        |mut s: Store<'_>, (o, len): (Out, u64)| {
            let zeroes = vec![0; usize::try_from(len).unwrap_or(AHEAD_MAX + 1).min(AHEAD_MAX + 1)];
            Ok((s.data_mut().put(&o, &zeroes)?,))
        },
    )?;
    at.func_wrap("[method]output-stream.flush", |mut s: Store<'_>, (o,): (Out,)| -> Done<()> {
        let room = s.data_mut().now(|host, cx| host.poll_room(cx, &o))?;
        Ok((room.map_or(Ok(()), |room| room.map(drop)),))
    })?;
    at.func_wrap_async("[method]output-stream.blocking-flush", |s: Store<'_>, (o,): (Out,)| {
        wait(s, move |host, cx| host.poll_room(cx, &o).map_ok(|room| (room.map(drop),)))
    })?;
    at.func_wrap_async(
        "[method]output-stream.blocking-write-and-flush",
        |s: Store<'_>, (o, list): Write| {
            let mut bytes = bytes_of(&s, &list);
            wait(s, move |host, cx| host.poll_write(cx, &o, &mut bytes).map_ok(|done| (done,)))
        },
    )?;
    at.func_wrap_async(
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |s: Store<'_>, (o, len): (Out, u64)| {
            // The interface allows no more in one call.
            let mut bytes = Bytes::from(vec![0; usize::try_from(len).unwrap_or(4096).min(4096)]);
            wait(s, move |host, cx| host.poll_write(cx, &o, &mut bytes).map_ok(|done| (done,)))
        },
    )?;
    at.func_wrap(
        "[method]output-stream.splice",
        |mut s: Store<'_>, (o, i, len): Splice| -> Done<u64> {
            let spliced = s.data_mut().now(|host, cx| host.poll_splice(cx, &o, &i, len))?;
            Ok((spliced.unwrap_or(Ok(0)),))
        },
    )?;
    at.func_wrap_async(
        "[method]output-stream.blocking-splice",
        |s: Store<'_>, (o, i, len): Splice| {
            wait(s, move |host, cx| host.poll_splice(cx, &o, &i, len).map_ok(|done| (done,)))
        },
    )?;
    at.func_wrap("[method]output-stream.subscribe", |mut s: Store<'_>, (o,): (Out,)| {
        Ok((world(&mut s)?.table.push(Pollable::Output(o.rep()))?,))
    })
}

fn bytes_of(store: &Store<'_>, list: &WasmList<u8>) -> Bytes {
    Bytes::copy_from_slice(list.as_le_slice(store))
}
