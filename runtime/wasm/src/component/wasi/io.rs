//! `wasi:io/error` and `wasi:io/poll`: what can be waited for.

use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_filter::host::Wait;
use wasmtime::Result;
use wasmtime::component::{Linker, Resource};

use super::streams::{Input, Output};
use super::{Store, resource, wasi, world};
use crate::component::errand::Errand;
use crate::component::world::{Local, Whose, wait};
use crate::host::Host;

/// What went wrong with a stream, in a sentence.
pub(super) struct IoError(pub(super) &'static str);

/// What can be waited for.
pub(super) enum Pollable {
    Now,
    Input(u32),
    Output(u32),
    Answer(Errand),
    /// The end of a body that comes, whose rest nobody wants.
    Trailers(Whose),
    Timer {
        at: f64,
        wait: Option<Local<Wait<()>>>,
    },
}

impl Host {
    fn poll_pollable(
        &mut self,
        cx: &mut Context<'_>,
        handle: &Resource<Pollable>,
    ) -> Poll<Result<()>> {
        let rep = handle.rep();
        // Out of the table meanwhile: it looks at others there.
        let at = || Resource::<Pollable>::new_borrow(rep);
        let mut pollable = std::mem::replace(self.world()?.table.get_mut(&at())?, Pollable::Now);
        let polled = self.poll_kind(cx, &mut pollable);
        *self.world()?.table.get_mut(&at())? = pollable;
        polled
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>, pollable: &mut Pollable) -> Poll<Result<()>> {
        // A stream that was dropped has nothing to wait for.
        match pollable {
            Pollable::Now => Poll::Ready(Ok(())),
            Pollable::Input(rep) => match self.world()?.table.get(&Resource::new_borrow(*rep)) {
                Ok(Input::Body(whose)) => {
                    let whose = whose.clone();
                    self.poll_incoming(cx, &whose).map(Ok)
                }
                _ => Poll::Ready(Ok(())),
            },
            Pollable::Output(rep) => {
                let stream = Resource::<Output>::new_borrow(*rep);
                match self.world()?.table.get(&stream) {
                    Ok(_) => self.poll_room(cx, &stream).map_ok(drop),
                    Err(_) => Poll::Ready(Ok(())),
                }
            }
            Pollable::Trailers(whose) => self.poll_trailers(cx, whose),
            Pollable::Answer(errand) => errand.get().poll_answer(cx, &*self.services).map(Ok),
            Pollable::Timer { at, wait } => {
                let left = *at - self.services.monotonic();
                if left <= 0.0 {
                    return Poll::Ready(Ok(()));
                }
                let sleep = || Local(self.services.sleep(Duration::from_secs_f64(left.min(1e9))));
                wait.get_or_insert_with(sleep).0.as_mut().poll(cx).map(Ok)
            }
        }
    }

    /// Ready at the end of a body that comes, its rest thrown away.
    pub(super) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
        whose: &Whose,
    ) -> Poll<Result<()>> {
        loop {
            std::task::ready!(self.poll_incoming(cx, whose));
            let ended = self.incoming(whose, |incoming| {
                incoming.ahead.clear();
                incoming.ended
            })?;
            if ended {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

pub(super) fn link(linker: &mut Linker<Host>) -> Result<()> {
    type Handle = Resource<Pollable>;
    let mut at = linker.instance(wasi!("io/error"))?;
    resource::<IoError>(&mut at, "error")?;
    at.func_wrap(
        "[method]error.to-debug-string",
        |mut s: Store<'_>, (e,): (Resource<IoError>,)| {
            Ok((world(&mut s)?.table.get(&e)?.0.to_owned(),))
        },
    )?;
    let mut at = linker.instance(wasi!("io/poll"))?;
    resource::<Pollable>(&mut at, "pollable")?;
    at.func_wrap("[method]pollable.ready", |mut s: Store<'_>, (p,): (Handle,)| {
        let ready = s.data_mut().now(|host, cx| host.poll_pollable(cx, &p))?;
        Ok((ready.is_some(),))
    })?;
    at.func_wrap_async("[method]pollable.block", |s: Store<'_>, (p,): (Handle,)| {
        wait(s, move |host, cx| host.poll_pollable(cx, &p))
    })?;
    at.func_wrap_async("poll", |s: Store<'_>, (list,): (Vec<Handle>,)| {
        wait(s, move |host, cx| {
            if list.is_empty() {
                return Poll::Ready(Err(wasmtime::Error::msg("it polls nothing")));
            }
            let mut ready = Vec::new();
            for (index, pollable) in list.iter().enumerate() {
                if host.poll_pollable(cx, pollable)?.is_ready() {
                    ready.push(u32::try_from(index)?);
                }
            }
            if ready.is_empty() { Poll::Pending } else { Poll::Ready(Ok((ready,))) }
        })
    })
}
