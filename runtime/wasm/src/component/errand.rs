//! Requests of an application's own, under way.
//!
//! ```text
//! its body ─▶ ahead ─▶ Talk ─▶ the upstream
//! its answer's reader ◀─ incoming ◀─┘
//! ```
//! All handles of a request share it (its body, its answer, their streams), and it is given up with
//! the last of them. It goes on whenever its application waits, whatever that waits for. At most
//! [`AHEAD_MAX`] bytes wait to be sent, and one chunk to be read.

use std::cell::{RefCell, RefMut};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use bytes::BytesMut;
use pilotlight_filter::Services;
use pilotlight_filter::abi::limit::WASM_CALLS;
use pilotlight_filter::host::{Fetch, FetchError, Heard, Talk, Wait};

use super::world::{AHEAD_MAX, FieldList, Incoming, Local};
use crate::host::Host;

/// A request, as its handles have it.
#[derive(Clone)]
pub(super) struct Errand(Local<Rc<RefCell<Trip>>>);

/// How far it has come.
#[derive(Default)]
pub(super) struct Trip {
    stage: Stage,
    /// Written, and not handed on.
    ahead: BytesMut,
    end: End,
    /// Bytes that its fields announce, and bytes that were written.
    declared: Option<u64>,
    written: u64,
    /// The upstream takes no more of it.
    refused: bool,
    answer: Answer,
    /// The answer's body.
    pub(super) incoming: Incoming,
}

#[derive(Default)]
enum Stage {
    /// It was not sent off.
    #[default]
    Home,
    Ready(Box<Fetch>),
    Opening(Wait<Result<Box<dyn Talk>, FetchError>>),
    Open(Box<dyn Talk>),
    Over,
}

/// The end of a request's body.
#[derive(Default)]
enum End {
    #[default]
    Open,
    /// To be handed on, with trailers.
    Due(FieldList),
    Told,
}

#[derive(Default)]
enum Answer {
    #[default]
    Awaited,
    Here(Result<(u16, FieldList), FetchError>),
    Taken,
}

/// What may be written.
pub(super) enum Room {
    /// So many bytes now.
    Bytes(usize),
    /// Nothing, until it is sent off.
    Home,
    /// Nothing any more.
    Closed,
}

impl Errand {
    pub(super) fn new(declared: Option<u64>) -> Errand {
        Errand(Local(Rc::new(RefCell::new(Trip { declared, ..Trip::default() }))))
    }

    pub(super) fn get(&self) -> RefMut<'_, Trip> {
        self.0.0.borrow_mut()
    }

    /// Sends it off. `bodiless`: nobody can write a body any more.
    pub(super) fn send_off(&self, mut fetch: Fetch, bodiless: bool) {
        let mut trip = self.get();
        fetch.length = trip.declared;
        if bodiless {
            trip.end = End::Due(FieldList::new());
        }
        trip.stage = Stage::Ready(Box::new(fetch));
    }
}

impl Trip {
    /// Goes on with it, as far as that is possible now.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>, services: &dyn Services) {
        loop {
            match &mut self.stage {
                Stage::Home | Stage::Over => return,
                Stage::Ready(fetch) => {
                    let mut fetch = std::mem::take(&mut **fetch);
                    // Whose body is whole before anybody waits goes out with its length.
                    if let End::Due(trailers) = &mut self.end {
                        fetch.trailers = std::mem::take(trailers);
                        fetch.body = self.ahead.split().freeze();
                        fetch.whole = true;
                        self.end = End::Told;
                    }
                    self.stage = Stage::Opening(services.talk(fetch));
                }
                Stage::Opening(wait) => match wait.as_mut().poll(cx) {
                    Poll::Pending => return,
                    Poll::Ready(Ok(talk)) => self.stage = Stage::Open(talk),
                    Poll::Ready(Err(why)) => return self.fail(why),
                },
                Stage::Open(talk) => {
                    if !self.ahead.is_empty() {
                        talk.send(self.ahead.split().freeze());
                    }
                    if let End::Due(trailers) = &self.end {
                        talk.finish(trailers);
                        self.end = End::Told;
                    }
                    while !self.incoming.is_ready() {
                        match talk.poll(cx) {
                            Poll::Pending => break,
                            Poll::Ready(Ok(heard)) => match heard {
                                Some(Heard::Head(status, fields)) => {
                                    self.answer = Answer::Here(Ok((status, fields)));
                                }
                                Some(Heard::Data(bytes)) => self.incoming.ahead = bytes,
                                Some(Heard::Trailers(fields)) => self.incoming.trailers = fields,
                                None => self.incoming.ended = true,
                            },
                            Poll::Ready(Err(why)) => {
                                return self.fail(why);
                            }
                        }
                    }
                    if talk.queued() > 0 {
                        self.refused |= matches!(talk.poll_flush(cx), Poll::Ready(Err(_)));
                    }
                    // Its connection is of use to others.
                    let sent = matches!(self.end, End::Told) && talk.queued() == 0;
                    if self.incoming.ended && (sent || self.refused) {
                        self.stage = Stage::Over;
                    }
                    return;
                }
            }
        }
    }

    /// There is nothing more of it.
    fn fail(&mut self, why: FetchError) {
        self.stage = Stage::Over;
        match self.answer {
            Answer::Awaited => self.answer = Answer::Here(Err(why)),
            _ => (self.incoming.ended, self.incoming.failed) = (true, true),
        }
    }

    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        services: &dyn Services,
    ) -> Poll<()> {
        self.drive(cx, services);
        match self.answer {
            Answer::Awaited => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Ready when there are bytes of the answer's body, or its end.
    pub(super) fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
        services: &dyn Services,
    ) -> Poll<()> {
        self.drive(cx, services);
        if self.incoming.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes the answer, once.
    pub(super) fn take_answer(&mut self) -> Option<Result<(u16, FieldList), FetchError>> {
        match std::mem::replace(&mut self.answer, Answer::Taken) {
            Answer::Here(answer) => Some(answer),
            _ => None,
        }
    }

    pub(super) fn room(&self) -> Room {
        let queued = match &self.stage {
            _ if self.refused || !matches!(self.end, End::Open) => return Room::Closed,
            Stage::Over => return Room::Closed,
            Stage::Open(talk) => talk.queued(),
            _ => 0,
        };
        match AHEAD_MAX.saturating_sub(self.ahead.len() + queued) {
            0 if matches!(self.stage, Stage::Home) => Room::Home,
            room => Room::Bytes(room),
        }
    }

    /// Writes what there is room for; false: it is more than its fields announce.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        self.written += bytes.len() as u64;
        if self.declared.is_some_and(|declared| self.written > declared) {
            self.fail(unfinished());
            return false;
        }
        self.ahead.extend_from_slice(bytes);
        true
    }

    /// Its body is whole.
    ///
    /// # Errors
    /// It is not: so many bytes were written.
    pub(super) fn finish(&mut self, trailers: FieldList) -> Result<(), u64> {
        if self.declared.is_some_and(|declared| self.written != declared) {
            self.fail(unfinished());
            return Err(self.written);
        }
        if let End::Open = self.end {
            self.end = End::Due(trailers);
        }
        Ok(())
    }

    /// Nobody will write more of it.
    pub(super) fn let_go(&mut self) {
        if let End::Open = self.end {
            self.fail(unfinished());
        }
    }
}

/// Its application let go of its body before that was whole.
fn unfinished() -> FetchError {
    FetchError("connection_terminated".to_owned())
}

/// The requests under way of an instance.
#[derive(Default)]
pub(super) struct Errands(Vec<Weak<RefCell<Trip>>>);

impl Errands {
    /// Adds one; false: there are too many.
    pub(super) fn add(&mut self, errand: &Errand) -> bool {
        self.0.retain(|trip| trip.strong_count() > 0);
        let fits = self.0.len() < WASM_CALLS as usize;
        if fits {
            self.0.push(Rc::downgrade(&errand.0.0));
        }
        fits
    }
}

impl Host {
    /// Goes on with all requests of the application's own.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(world) = &self.world else { return };
        for trip in world.errands.0.iter().filter_map(Weak::upgrade) {
            trip.borrow_mut().drive(cx, &*self.services);
        }
    }
}
