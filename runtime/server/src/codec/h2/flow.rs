//! Bodies over HTTP/2 flow control, for both sides: what is queued goes out as the peer grants
//! room, and room is granted as bodies are pulled.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;
use pilotlight_filter::{BodyError, Frame, Source};

use crate::codec::convert;
use crate::timer::Timer;

/// A body on its way out.
#[derive(Default)]
pub(crate) struct Outflow {
    queue: VecDeque<Bytes>,
    queued: usize,
    end: End,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    Plain,
    Trailers(HeaderMap),
    Sent,
}

impl Outflow {
    /// A chunk of the body.
    pub(crate) fn data(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.queued += chunk.len();
            self.queue.push_back(chunk);
        }
    }

    /// The end of the message.
    pub(crate) fn finish(&mut self, trailers: Option<HeaderMap>) {
        self.end = trailers.map_or(End::Plain, End::Trailers);
    }

    /// Bytes that wait; an end that waits counts as one.
    pub(crate) fn queued(&self) -> usize {
        self.queued + usize::from(matches!(self.end, End::Plain | End::Trailers(_)))
    }

    /// Whether the message ends with its head, which then says so itself.
    pub(crate) fn take_bare_end(&mut self) -> bool {
        let bare = self.queue.is_empty() && matches!(self.end, End::Plain);
        if bare {
            self.end = End::Sent;
        }
        bare
    }

    /// Whether the end has been handed over.
    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.end, End::Sent)
    }

    /// Hands over what the peer has room for; ready when nothing waits.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut SendStream<Bytes>,
    ) -> Poll<Result<(), h2::Error>> {
        while let Some(chunk) = self.queue.front_mut() {
            let mut room = stream.capacity();
            if room < chunk.len() {
                stream.reserve_capacity(self.queued);
                room = stream.capacity();
            }
            if room == 0 {
                match ready!(stream.poll_capacity(cx)) {
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Err(h2::Reason::STREAM_CLOSED.into())),
                }
            }
            let part = chunk.split_to(room.min(chunk.len()));
            if chunk.is_empty() {
                self.queue.pop_front();
            }
            self.queued -= part.len();
            let last = self.queue.is_empty() && matches!(self.end, End::Plain);
            if last {
                self.end = End::Sent;
            }
            stream.send_data(part, last)?;
        }
        match std::mem::replace(&mut self.end, End::Sent) {
            End::Plain => stream.send_data(Bytes::new(), true)?,
            End::Trailers(map) => stream.send_trailers(map)?,
            other => self.end = other,
        }
        Poll::Ready(Ok(()))
    }
}

/// The next frame of a body.
pub(crate) fn poll_frame(
    stream: &mut RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame, BodyError>>> {
    loop {
        match ready!(stream.poll_data(cx)) {
            Some(Ok(chunk)) => {
                // Pulling is what grants more room. It fails only for more than was received.
                let _ = stream.flow_control().release_capacity(chunk.len());
                if !chunk.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::Data(chunk))));
                }
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(broken(&error)))),
            None => break,
        }
    }
    match ready!(stream.poll_trailers(cx)) {
        Ok(None) => Poll::Ready(None),
        Ok(Some(map)) => Poll::Ready(Some(match convert::trailers(&map) {
            Some(list) => Ok(Frame::Trailers(list)),
            None => Err(BodyError::Malformed),
        })),
        Err(error) => Poll::Ready(Some(Err(broken(&error)))),
    }
}

fn broken(error: &h2::Error) -> BodyError {
    match () {
        () if error.is_reset() && error.is_remote() => BodyError::Reset,
        () if error.is_io() || error.is_remote() => BodyError::Incomplete,
        () => BodyError::Malformed,
    }
}

/// A request's body.
pub(crate) struct RequestBody {
    stream: RecvStream,
    timer: Timer,
    idle: Duration,
    /// Set once somebody wants the body: a 100 (Continue) is due.
    asked: Option<Rc<Cell<bool>>>,
}

impl RequestBody {
    pub(crate) fn new(
        stream: RecvStream,
        timer: Timer,
        idle: Duration,
        asked: Option<Rc<Cell<bool>>>,
    ) -> RequestBody {
        RequestBody { stream, timer, idle, asked }
    }
}

impl Source for RequestBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match poll_frame(&mut self.stream, cx) {
            Poll::Pending => {
                if let Some(asked) = self.asked.take() {
                    asked.set(true);
                }
                self.timer.start(self.idle);
                self.timer.poll(cx).map(|()| Some(Err(BodyError::Timeout)))
            }
            ready => {
                self.timer.disarm();
                ready
            }
        }
    }
}

/// A response's body; whoever waits for it bounds the wait.
pub(crate) struct ResponseBody<T> {
    stream: RecvStream,
    /// Given back with the body.
    _hold: T,
}

impl<T> ResponseBody<T> {
    pub(crate) fn new(stream: RecvStream, hold: T) -> ResponseBody<T> {
        ResponseBody { stream, _hold: hold }
    }
}

impl<T> Source for ResponseBody<T> {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        poll_frame(&mut self.stream, cx)
    }
}
