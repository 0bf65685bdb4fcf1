//! Requests that pass piece by piece: a stand-in answers when it has all of one.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use pilotlight_abi::limit::BODY_COLLECT;
use pilotlight_filter::host::{Fetch, FetchError, Fetched, Heard, Services, Talk, Wait};

use super::{Around, World};

pub(super) fn talk(world: Rc<World>, request: Fetch) -> Pieces {
    let mut pieces = Pieces {
        world,
        body: BytesMut::from(&request.body[..]),
        request: None,
        answer: None,
        heard: VecDeque::new(),
    };
    let (whole, trailers) = (request.whole, request.trailers.clone());
    pieces.request = Some(request);
    if whole {
        pieces.finish(&trailers);
    }
    pieces
}

pub(super) struct Pieces {
    world: Rc<World>,
    body: BytesMut,
    /// Until it is whole.
    request: Option<Fetch>,
    answer: Option<Wait<Result<Fetched, FetchError>>>,
    heard: VecDeque<Heard>,
}

impl Talk for Pieces {
    fn send(&mut self, data: Bytes) {
        self.body.extend_from_slice(&data);
    }

    /// What a real upstream would keep waiting: nothing, until it is too much for a test.
    fn queued(&self) -> usize {
        self.body.len().saturating_sub(BODY_COLLECT as usize)
    }

    fn finish(&mut self, trailers: &[(String, Vec<u8>)]) {
        let Some(request) = self.request.take() else { return };
        let (body, trailers) = (self.body.split().freeze(), trailers.to_vec());
        let request = Fetch { body, trailers, ..request };
        self.answer = Some(Around(Rc::clone(&self.world)).fetch(request));
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Heard>, FetchError>> {
        if let Some(answer) = &mut self.answer {
            let Fetched { status, headers, body, trailers } = ready!(answer.as_mut().poll(cx))?;
            self.answer = None;
            self.heard.push_back(Heard::Head(status, headers));
            if !body.is_empty() {
                self.heard.push_back(Heard::Data(body));
            }
            if !trailers.is_empty() {
                self.heard.push_back(Heard::Trailers(trailers));
            }
        }
        // Who has not finished is polled again when it has.
        match self.request {
            Some(_) => Poll::Pending,
            None => Poll::Ready(Ok(self.heard.pop_front())),
        }
    }
}
