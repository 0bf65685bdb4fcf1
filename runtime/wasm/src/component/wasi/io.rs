//! `wasi:io`: streams, and what can be waited for.

use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use pilotlight_filter::abi::limit;
use pilotlight_filter::host::Wait;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext,
};
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, WasmList};
use wasmtime::{Result, ValRaw, bail};

use super::outgoing::FutureResponse;
use super::{Store, resource, wasi, world};
use crate::component::world::{AHEAD_MAX, Local, wait};
use crate::host::Host;

/// Bytes of one read.
const READ_MAX: usize = 64 << 10;

/// What went wrong with a stream, in a sentence.
pub(super) struct IoError(String);

/// Where bytes come from.
pub(super) enum Input {
    /// The request's body.
    Request,
    Bytes(Bytes),
}

/// Where bytes go.
pub(super) enum Output {
    /// The answer's body.
    Answer,
    /// That of a request of the application's own.
    Request(Arc<Mutex<Sending>>),
    /// Standard output, or standard error.
    Log { error: bool },
}

/// The body of a request of the application's own.
#[derive(Default)]
pub(super) struct Sending {
    pub(super) body: BytesMut,
    pub(super) ended: bool,
    pub(super) broken: bool,
}

/// What can be waited for.
pub(super) enum Pollable {
    Now,
    Input(u32),
    Output(u32),
    Response(u32),
    /// The end of the request's body, whose rest nobody wants.
    Trailers,
    Timer {
        at: f64,
        wait: Option<Local<Wait<()>>>,
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

/// Bytes on their way in, which are written where they are wanted.
pub(super) struct Chunk(Bytes);

// SAFETY: it is a list of bytes in all, as `[u8]` is.
unsafe impl ComponentType for Chunk {
    type Lower = [ValRaw; 2];
    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8]>::typecheck(ty, types)
    }
}

// SAFETY: as above.
unsafe impl Lower for Chunk {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        self.0[..].linear_lower_to_flat(cx, ty, dst)
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        self.0[..].linear_lower_to_memory(cx, ty, offset)
    }
}

type Done<T> = Result<(Result<T, StreamError>,)>;

impl Host {
    /// Up to `len` bytes; an error of the stream at its end. Pending while there is none.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Resource<Input>,
        len: u64,
    ) -> Poll<Result<Result<Bytes, StreamError>>> {
        let len = usize::try_from(len).unwrap_or(READ_MAX).min(READ_MAX);
        if let Input::Bytes(bytes) = self.world()?.table.get_mut(stream)? {
            if bytes.is_empty() {
                return Poll::Ready(Ok(Err(StreamError::Closed)));
            }
            return Poll::Ready(Ok(Ok(bytes.split_to(len.min(bytes.len())))));
        }
        std::task::ready!(self.poll_incoming(cx));
        let world = self.world()?;
        let incoming = &mut world.incoming;
        Poll::Ready(Ok(match (incoming.ahead.is_empty(), incoming.failed) {
            (false, _) => Ok(incoming.ahead.split_to(len.min(incoming.ahead.len()))),
            (true, true) => {
                let error = IoError("the request's body broke off".into());
                Err(StreamError::Failed(world.table.push(error)?))
            }
            (true, false) => Err(StreamError::Closed),
        }))
    }

    /// Bytes that a stream takes now; `None`: it takes no more, ever.
    fn room(&mut self, stream: &Resource<Output>) -> Result<Option<usize>> {
        let world = self.world()?;
        Ok(match world.table.get(stream)? {
            Output::Log { .. } => Some(AHEAD_MAX),
            Output::Answer => {
                let answer = world.door.0.borrow();
                let open = !answer.ended && !answer.gone;
                open.then(|| AHEAD_MAX.saturating_sub(answer.body.len()))
            }
            Output::Request(sending) => {
                let sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
                let room = (limit::BODY_COLLECT as usize).saturating_sub(sending.body.len());
                (!sending.ended && room > 0).then(|| room.min(AHEAD_MAX))
            }
        })
    }

    fn put(&mut self, stream: &Resource<Output>, bytes: &[u8]) -> Result<Result<(), StreamError>> {
        let Some(room) = self.room(stream)? else { return Ok(Err(StreamError::Closed)) };
        if bytes.len() > room {
            bail!("it wrote more than the stream took");
        }
        let world = self.world()?;
        match world.table.get(stream)? {
            Output::Log { error } => {
                let error = *error;
                self.print(error, bytes)?;
            }
            Output::Answer => world.door.0.borrow_mut().body.extend_from_slice(bytes),
            Output::Request(sending) => {
                let mut sending = sending.lock().unwrap_or_else(PoisonError::into_inner);
                sending.body.extend_from_slice(bytes);
            }
        }
        Ok(Ok(()))
    }

    /// Ready when a stream takes something, or nothing any more.
    fn poll_room(&mut self, stream: &Resource<Output>) -> Poll<Result<Result<(), StreamError>>> {
        match self.room(stream)? {
            // Whoever takes the answer polls the application again.
            Some(0) => Poll::Pending,
            Some(_) => Poll::Ready(Ok(Ok(()))),
            None => Poll::Ready(Ok(Err(StreamError::Closed))),
        }
    }

    fn poll_pollable(&mut self, cx: &mut Context<'_>, rep: u32) -> Result<bool> {
        let handle = Resource::<Pollable>::new_borrow(rep);
        // Out of the table meanwhile: it looks at others there.
        let mut pollable = std::mem::replace(self.world()?.table.get_mut(&handle)?, Pollable::Now);
        let ready = match &mut pollable {
            Pollable::Now => true,
            Pollable::Input(rep) => {
                match self.world()?.table.get(&Resource::<Input>::new_borrow(*rep)) {
                    Ok(Input::Request) => self.poll_incoming(cx).is_ready(),
                    _ => true,
                }
            }
            Pollable::Output(rep) => {
                let stream = Resource::new_borrow(*rep);
                self.room(&stream).map_or(true, |room| room != Some(0))
            }
            Pollable::Trailers => self.poll_trailers(cx)?.is_ready(),
            Pollable::Response(rep) => {
                self.poll_response(cx, &Resource::<FutureResponse>::new_borrow(*rep))?.is_ready()
            }
            Pollable::Timer { at, wait } => {
                let left = *at - self.services.monotonic();
                left <= 0.0 || {
                    let services = &self.services;
                    let wait = wait.get_or_insert_with(|| {
                        Local(services.sleep(Duration::from_secs_f64(left.min(1e9))))
                    });
                    wait.0.as_mut().poll(cx).is_ready()
                }
            }
        };
        *self.world()?.table.get_mut(&handle)? = pollable;
        Ok(ready)
    }

    /// Ready at the end of the request's body, its rest thrown away.
    pub(super) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>> {
        loop {
            if self.poll_incoming(cx).is_pending() {
                return Ok(Poll::Pending);
            }
            let incoming = &mut self.world()?.incoming;
            if incoming.ended {
                return Ok(Poll::Ready(()));
            }
            incoming.ahead.clear();
        }
    }
}

/// What is there at once.
fn now<T>(polled: Poll<T>, otherwise: impl FnOnce() -> T) -> T {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => otherwise(),
    }
}

fn bytes_of(store: &mut Store<'_>, list: &WasmList<u8>) -> Bytes {
    Bytes::copy_from_slice(list.as_le_slice(&*store))
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    let mut at = linker.instance(wasi!("io/error"))?;
    resource::<IoError>(&mut at, "error")?;
    at.func_wrap(
        "[method]error.to-debug-string",
        |mut s: Store<'_>, (e,): (Resource<IoError>,)| {
            Ok((world(&mut s)?.table.get(&e)?.0.clone(),))
        },
    )?;
    let mut at = linker.instance(wasi!("io/poll"))?;
    resource::<Pollable>(&mut at, "pollable")?;
    at.func_wrap("[method]pollable.ready", |mut s: Store<'_>, (p,): (Resource<Pollable>,)| {
        let mut cx = Context::from_waker(Waker::noop());
        Ok((s.data_mut().poll_pollable(&mut cx, p.rep())?,))
    })?;
    at.func_wrap_async("[method]pollable.block", |s: Store<'_>, (p,): (Resource<Pollable>,)| {
        wait(s, move |host, cx| match host.poll_pollable(cx, p.rep())? {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        })
    })?;
    at.func_wrap_async("poll", |s: Store<'_>, (list,): (Vec<Resource<Pollable>>,)| {
        wait(s, move |host, cx| {
            if list.is_empty() {
                return Poll::Ready(Err(wasmtime::Error::msg("it polls nothing")));
            }
            let mut ready = Vec::new();
            for (index, pollable) in list.iter().enumerate() {
                if host.poll_pollable(cx, pollable.rep())? {
                    ready.push(u32::try_from(index)?);
                }
            }
            if ready.is_empty() { Poll::Pending } else { Poll::Ready(Ok((ready,))) }
        })
    })?;
    input(linker)?;
    output(linker)
}

fn input(linker: &mut Linker<Host>) -> Result<()> {
    type Read = (Resource<Input>, u64);
    let mut at = linker.instance(wasi!("io/streams"))?;
    resource::<Input>(&mut at, "input-stream")?;
    at.func_wrap("[method]input-stream.read", |mut s: Store<'_>, (i, len): Read| -> Done<Chunk> {
        let polled = s.data_mut().poll_read(&mut Context::from_waker(Waker::noop()), &i, len);
        Ok((now(polled, || Ok(Ok(Bytes::new())))?.map(Chunk),))
    })?;
    at.func_wrap("[method]input-stream.skip", |mut s: Store<'_>, (i, len): Read| -> Done<u64> {
        let polled = s.data_mut().poll_read(&mut Context::from_waker(Waker::noop()), &i, len);
        Ok((now(polled, || Ok(Ok(Bytes::new())))?.map(|bytes| bytes.remaining() as u64),))
    })?;
    at.func_wrap_async("[method]input-stream.blocking-read", |s: Store<'_>, (i, len): Read| {
        wait(s, move |host, cx| host.poll_read(cx, &i, len).map_ok(|done| (done.map(Chunk),)))
    })?;
    at.func_wrap_async("[method]input-stream.blocking-skip", |s: Store<'_>, (i, len): Read| {
        wait(s, move |host, cx| {
            let skipped = |bytes: Bytes| bytes.remaining() as u64;
            host.poll_read(cx, &i, len).map_ok(|done| (done.map(skipped),))
        })
    })?;
    at.func_wrap("[method]input-stream.subscribe", |mut s: Store<'_>, (i,): (Resource<Input>,)| {
        Ok((world(&mut s)?.table.push(Pollable::Input(i.rep()))?,))
    })
}

fn output(linker: &mut Linker<Host>) -> Result<()> {
    type Out = Resource<Output>;
    type Write = (Out, WasmList<u8>);
    let mut at = linker.instance(wasi!("io/streams"))?;
    resource::<Output>(&mut at, "output-stream")?;
    at.func_wrap("[method]output-stream.check-write", |mut s: Store<'_>, (o,): (Out,)| {
        let room = s.data_mut().room(&o)?;
        Ok((room.map(|room| room as u64).ok_or(StreamError::Closed),))
    })?;
    at.func_wrap(
        "[method]output-stream.write",
        |mut s: Store<'_>, (o, list): Write| -> Done<()> {
            let bytes = bytes_of(&mut s, &list);
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
    at.func_wrap("[method]output-stream.flush", |mut s: Store<'_>, (o,): (Out,)| {
        Ok((s.data_mut().room(&o)?.map(drop).ok_or(StreamError::Closed),))
    })?;
    at.func_wrap_async("[method]output-stream.blocking-flush", |s: Store<'_>, (o,): (Out,)| {
        wait(s, move |host, _| host.poll_room(&o).map_ok(|done| (done,)))
    })?;
    at.func_wrap_async(
        "[method]output-stream.blocking-write-and-flush",
        |mut s: Store<'_>, (o, list): Write| {
            let bytes = bytes_of(&mut s, &list);
            wait(s, blocking_write(o, bytes))
        },
    )?;
    at.func_wrap_async(
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |s: Store<'_>, (o, len): (Out, u64)| {
            // The interface allows no more in one call.
            let len = usize::try_from(len).unwrap_or(4096).min(4096);
            wait(s, blocking_write(o, Bytes::from(vec![0; len])))
        },
    )?;
    at.func_wrap(
        "[method]output-stream.splice",
        |mut s: Store<'_>, (o, i, len): (Out, Resource<Input>, u64)| -> Done<u64> {
            let mut cx = Context::from_waker(Waker::noop());
            Ok((now(s.data_mut().poll_splice(&mut cx, &o, &i, len), || Ok(Ok(0)))?,))
        },
    )?;
    at.func_wrap_async(
        "[method]output-stream.blocking-splice",
        |s: Store<'_>, (o, i, len): (Out, Resource<Input>, u64)| {
            wait(s, move |host, cx| host.poll_splice(cx, &o, &i, len).map_ok(|done| (done,)))
        },
    )?;
    at.func_wrap("[method]output-stream.subscribe", |mut s: Store<'_>, (o,): (Out,)| {
        Ok((world(&mut s)?.table.push(Pollable::Output(o.rep()))?,))
    })
}

impl Host {
    /// Bytes from one stream to another, past the guest.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        output: &Resource<Output>,
        input: &Resource<Input>,
        len: u64,
    ) -> Poll<Result<Result<u64, StreamError>>> {
        let room = match self.room(output)? {
            None => return Poll::Ready(Ok(Err(StreamError::Closed))),
            Some(0) => return Poll::Pending,
            Some(room) => room as u64,
        };
        match std::task::ready!(self.poll_read(cx, input, len.min(room)))? {
            Ok(bytes) => Poll::Ready(Ok(self.put(output, &bytes)?.map(|()| bytes.len() as u64))),
            Err(error) => Poll::Ready(Ok(Err(error))),
        }
    }
}

/// Writes all of it, as there is room.
fn blocking_write(
    stream: Resource<Output>,
    mut bytes: Bytes,
) -> impl FnMut(&mut Host, &mut Context<'_>) -> Poll<Done<()>> {
    move |host, _| {
        loop {
            let room = match host.room(&stream)? {
                None => return Poll::Ready(Ok((Err(StreamError::Closed),))),
                Some(room) => room.min(bytes.len()),
            };
            if let Err(error) = host.put(&stream, &bytes.split_to(room))? {
                return Poll::Ready(Ok((Err(error),)));
            }
            if bytes.is_empty() {
                return Poll::Ready(Ok((Ok(()),)));
            }
            if room == 0 {
                return Poll::Pending;
            }
        }
    }
}
