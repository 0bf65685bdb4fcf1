//! What an instance of a component holds of the world: its handles, and the answer it is giving.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use pilotlight_filter::abi::limit;
use pilotlight_filter::host::Level;
use pilotlight_filter::{Exchange, Frame};
use wasmtime::component::ResourceTable;
use wasmtime::{Result, StoreContextMut};

use super::errand::{Errand, Errands};
use crate::host::Host;

/// Bytes of a body that wait for whom it goes to.
pub(super) const AHEAD_MAX: usize = 64 << 10;
/// Bytes of a line that has no end yet.
const LINE_MAX: usize = 8 << 10;

/// Fields as they cross.
pub(super) type FieldList = Vec<(String, Vec<u8>)>;

/// What an application may reach, by the manifest.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    pub(super) env: Vec<(String, String)>,
    /// Hosts of requests, with the upstreams that they go to.
    pub(super) upstreams: Vec<(String, String)>,
    /// Buckets, with the dictionaries that they are.
    pub(super) buckets: Vec<(String, String)>,
}

pub(crate) struct World {
    pub(super) table: ResourceTable,
    pub(super) grants: Arc<Grants>,
    pub(super) door: Rc<Door>,
    pub(super) incoming: Incoming,
    pub(super) errands: Errands,
    /// What was written to standard output and error, up to a line's end.
    lines: [Vec<u8>; 2],
}

impl World {
    pub(crate) fn new(grants: Arc<Grants>, door: Rc<Door>) -> World {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limit::COMPONENT_HANDLES);
        let (incoming, errands) = Default::default();
        World { table, grants, door, incoming, errands, lines: Default::default() }
    }
}

/// The answer between the application and its exchange.
#[derive(Default)]
pub(crate) struct Door(pub(super) RefCell<Answer>);

#[derive(Default)]
pub(crate) struct Answer {
    /// Status and fields, until they are taken.
    pub(super) head: Option<(u16, FieldList)>,
    /// Instead of a head.
    pub(super) refused: Option<String>,
    /// Bytes that wait for the client.
    pub(super) body: BytesMut,
    pub(super) ended: bool,
    pub(super) trailers: FieldList,
    /// The client has left.
    pub(super) gone: bool,
}

/// Whose messages a handle is of.
#[derive(Clone)]
pub(super) enum Whose {
    /// The exchange's: its request comes, its answer goes.
    Exchange,
    /// Those of a request of the application's own, which goes, and whose answer comes.
    Errand(Errand),
}

/// A body, as far as it has come.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) ahead: Bytes,
    pub(super) ended: bool,
    pub(super) failed: bool,
    pub(super) trailers: FieldList,
}

impl Incoming {
    /// Whether there are bytes, or the end is reached.
    pub(super) fn is_ready(&self) -> bool {
        !self.ahead.is_empty() || self.ended
    }

    /// Polls for that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, exchange: &mut Exchange) -> Poll<()> {
        while !self.is_ready() {
            match std::task::ready!(exchange.request.body.poll_frame(cx)) {
                Some(Ok(Frame::Data(bytes))) => self.ahead = bytes,
                Some(Ok(Frame::Trailers(fields))) => {
                    let fields = fields.iter().map(|(_, name, value)| copied(name, value));
                    self.trailers.extend(fields);
                }
                Some(Err(_)) => (self.ended, self.failed) = (true, true),
                None => self.ended = true,
            }
        }
        Poll::Ready(())
    }
}

/// A field, its name in lower case.
pub(super) fn copied(name: &[u8], value: &[u8]) -> (String, Vec<u8>) {
    (String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec())
}

impl Host {
    /// The world of a component. Modules have none: they import nothing that asks.
    pub(super) fn world(&mut self) -> Result<&mut World> {
        self.world.as_deref_mut().ok_or_else(|| wasmtime::Error::msg("it has no world"))
    }

    /// Ready when there are bytes of a body that comes, or its end. Without an exchange its request
    /// is at its end.
    pub(super) fn poll_incoming(&mut self, cx: &mut Context<'_>, whose: &Whose) -> Poll<()> {
        let Host { stage, world, services, .. } = self;
        let Some(world) = world else { return Poll::Ready(()) };
        match whose {
            Whose::Exchange => {
                let polled = stage.with(|exchange| world.incoming.poll(cx, exchange));
                polled.unwrap_or_else(|| {
                    world.incoming.ended = true;
                    Poll::Ready(())
                })
            }
            Whose::Errand(errand) => errand.get().poll_incoming(cx, &**services),
        }
    }

    /// Works on what has come of a body.
    pub(super) fn incoming<R>(
        &mut self,
        whose: &Whose,
        work: impl FnOnce(&mut Incoming) -> R,
    ) -> Result<R> {
        Ok(match whose {
            Whose::Exchange => work(&mut self.world()?.incoming),
            Whose::Errand(errand) => work(&mut errand.get().incoming),
        })
    }

    /// What a poll gives at once.
    pub(super) fn now<T>(
        &mut self,
        poll: impl FnOnce(&mut Host, &mut Context<'_>) -> Poll<Result<T>>,
    ) -> Result<Option<T>> {
        match poll(self, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Standard output is information, standard error an error; a line is a line of the log.
    pub(super) fn print(&mut self, error: bool, text: &[u8]) -> Result<()> {
        let mut line = std::mem::take(&mut self.world()?.lines[usize::from(error)]);
        let level = if error { Level::Error } else { Level::Info };
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if part.ends_with(b"\n") || line.len() > LINE_MAX {
                self.log(level, &line);
                line.clear();
            }
        }
        self.world()?.lines[usize::from(error)] = line;
        Ok(())
    }

    /// Writes what stands without an end.
    pub(super) fn print_rest(&mut self) {
        let Some(world) = self.world.as_deref_mut() else { return };
        let lines = std::mem::take(&mut world.lines);
        for (level, line) in [Level::Info, Level::Error].into_iter().zip(lines) {
            if !line.is_empty() {
                self.log(level, &line);
            }
        }
    }
}

/// Something that stays on its worker, where wasmtime asks for what may leave it.
#[derive(Clone)]
pub(super) struct Local<T>(pub(super) T);

// SAFETY: as with `Host`: a store and its fibers are made, polled and dropped by one worker.
unsafe impl<T> Send for Local<T> {}

impl<F: Future> Future for Local<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: what it holds is pinned with it, and moved out of it nowhere.
        unsafe { self.map_unchecked_mut(|local| &mut local.0) }.poll(cx)
    }
}

/// What a host function that waits gives.
pub(super) type Waits<'a, T> = Box<dyn Future<Output = Result<T>> + Send + 'a>;

/// Waits on a guest's behalf.
pub(super) fn wait<'a, T: 'a>(
    mut store: StoreContextMut<'a, Host>,
    mut poll: impl FnMut(&mut Host, &mut Context<'_>) -> Poll<Result<T>> + 'a,
) -> Waits<'a, T> {
    Box::new(Local(async move {
        let result = poll_fn(|cx| {
            let host = store.data_mut();
            host.drive(cx);
            poll(host, cx)
        });
        let result = result.await;
        // The time until now was not the guest's.
        store.set_epoch_deadline(1);
        result
    }))
}
