//! HTTP/2 to an upstream: one connection of a worker carries many exchanges.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{Builder, ResponseFuture, SendRequest};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Method, Request};
use pilotlight_filter::{Body, Fields, RequestHead, ResponseHead};

use super::{Incoming, UpstreamError};
use crate::codec::h2::flow::{Outflow, ResponseBody};
use crate::codec::h2::{SEND_BUFFER, STREAM_WINDOW};
use crate::codec::{Length, convert};
use crate::stream::Stream;

/// Room for all bodies of a connection that we have not passed on yet.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// A response's head: what nginx and Envoy accept by default, and a little more.
const HEAD_MAX: u32 = 64 * 1024;
/// Streams to open before the peer has said how many it takes.
const STREAMS_FIRST: usize = 100;

/// A connection, shared by its exchanges. It closes when the last of them and the pool let go.
#[derive(Clone)]
pub(crate) struct Connection {
    send: SendRequest<Bytes>,
    state: Rc<State>,
}

#[derive(Default)]
struct State {
    closed: Cell<bool>,
    secure: Cell<bool>,
    open: Cell<usize>,
    opened: Cell<u64>,
}

/// An exchange's place among the open streams.
struct Place {
    state: Rc<State>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.open.set(self.state.open.get() - 1);
    }
}

/// Begins HTTP/2 on a new connection.
///
/// # Errors
/// When the preface can't be written.
pub(crate) async fn handshake(stream: Stream) -> Result<Connection, UpstreamError> {
    let secure = matches!(stream, Stream::TlsClient(_));
    let (send, driver) = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW * 4)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(STREAMS_FIRST)
        .handshake::<_, Bytes>(stream)
        .await
        .map_err(|error| meaning(&error, true))?;
    let state = Rc::new(State::default());
    state.secure.set(secure);
    let ended = state.clone();
    tokio::task::spawn_local(async move {
        // Each exchange learns of the error by itself.
        let _ = driver.await;
        ended.closed.set(true);
    });
    Ok(Connection { send, state })
}

impl Connection {
    /// Whether it is open and has room for one more exchange.
    pub(crate) fn is_usable(&self) -> bool {
        !self.state.closed.get() && self.state.open.get() < self.send.current_max_send_streams()
    }

    /// A way for one exchange.
    pub(crate) fn open(&self) -> Outbound {
        let state = self.state.clone();
        state.open.set(state.open.get() + 1);
        state.opened.set(state.opened.get() + 1);
        Outbound {
            send: self.send.clone(),
            fresh: state.opened.get() == 1,
            place: Some(Place { state: state.clone() }),
            state,
            request: None,
            response: None,
            stream: None,
            out: Outflow::default(),
        }
    }
}

/// An exchange on a connection.
pub(crate) struct Outbound {
    send: SendRequest<Bytes>,
    state: Rc<State>,
    /// It is the connection's first.
    fresh: bool,
    place: Option<Place>,
    request: Option<Request<()>>,
    response: Option<ResponseFuture>,
    stream: Option<SendStream<Bytes>>,
    out: Outflow,
}

impl Outbound {
    pub(crate) fn head(
        &mut self,
        head: &RequestHead,
        length: Length,
        _: Option<&str>,
    ) -> Result<(), UpstreamError> {
        let scheme = if self.state.secure.get() { Scheme::HTTPS } else { Scheme::HTTP };
        let mut request = Request::new(());
        *request.method_mut() =
            Method::from_bytes(head.method_text()).map_err(|_| UpstreamError::Protocol)?;
        *request.uri_mut() = target(head, scheme).ok_or(UpstreamError::Protocol)?;
        let length = if length == Length::None { Length::Unknown } else { length };
        *request.headers_mut() = convert::header_map(&head.fields, length);
        self.request = Some(request);
        Ok(())
    }

    pub(crate) fn data(&mut self, chunk: Bytes) {
        self.out.data(chunk);
    }

    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) {
        self.out.finish(trailers.and_then(convert::trailer_map));
    }

    /// Cancels the stream, when it was not over already.
    pub(crate) fn abort(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.send_reset(h2::Reason::CANCEL);
        }
        (self.request, self.response) = (None, None);
    }

    pub(crate) fn queued(&self) -> usize {
        self.out.queued() + usize::from(self.request.is_some())
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        if self.request.is_some() {
            ready!(self.send.poll_ready(cx)).map_err(|_| self.unsent())?;
            if let Some(request) = self.request.take() {
                let ends = self.out.take_bare_end();
                let sent = self.send.send_request(request, ends).map_err(|_| self.unsent())?;
                (self.response, self.stream) = (Some(sent.0), Some(sent.1));
            }
        }
        let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        match ready!(self.out.poll_send(cx, stream)) {
            Ok(()) => Poll::Ready(Ok(())),
            // RFC 9113 section 8.1: an upstream may answer early and stop reading with NO_ERROR.
            Err(error) if error.reason() == Some(h2::Reason::NO_ERROR) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(self.failed(&error))),
        }
    }

    pub(crate) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<Incoming, UpstreamError>> {
        let Some(response) = &mut self.response else {
            // The request is still queued: whoever flushes it wakes this task.
            return Poll::Pending;
        };
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
            let (parts, ()) = interim.into_parts();
            let sound = convert::response(&parts, head).is_some() && head.status != 101;
            let interim = if sound { Ok(Incoming::Interim) } else { Err(UpstreamError::Protocol) };
            return Poll::Ready(interim);
        }
        let answer = match ready!(std::pin::Pin::new(response).poll(cx)) {
            Ok(answer) => answer,
            Err(error) => return Poll::Ready(Err(self.failed(&error))),
        };
        self.response = None;
        let (parts, body) = answer.into_parts();
        let Some(length) = convert::response(&parts, head) else {
            self.abort();
            return Poll::Ready(Err(UpstreamError::Protocol));
        };
        let body = match body.is_end_stream() {
            true => Body::empty(),
            false => Body::stream(Box::new(ResponseBody::new(body, self.place.take())), length),
        };
        Poll::Ready(Ok(Incoming::Final(body)))
    }

    /// Nothing of the request has left: it may go to another connection.
    fn unsent(&self) -> UpstreamError {
        self.state.closed.set(true);
        UpstreamError::NotTaken
    }

    fn failed(&self, error: &h2::Error) -> UpstreamError {
        if error.is_go_away() || error.is_io() {
            self.state.closed.set(true);
        }
        meaning(error, self.fresh)
    }
}

/// RFC 9113 sections 6.8 and 8.7: what the peer did not take may be sent again.
fn meaning(error: &h2::Error, fresh: bool) -> UpstreamError {
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    match () {
        () if error.is_remote() && (refused || error.is_go_away()) => UpstreamError::NotTaken,
        () if error.is_io() => UpstreamError::Closed { fresh },
        // A reset of a stream that was open is no idle connection's end.
        () if error.is_remote() => UpstreamError::Closed { fresh: true },
        () => UpstreamError::Protocol,
    }
}

/// The request's target. What the http crate does not take in a path is percent-encoded.
fn target(head: &RequestHead, scheme: Scheme) -> Option<Uri> {
    let mut path = Vec::with_capacity(head.path().len() + 1);
    path.extend_from_slice(head.path());
    if let Some(query) = head.query() {
        path.push(b'?');
        path.extend_from_slice(query);
    }
    let whole = Bytes::from(path);
    let path = match PathAndQuery::from_maybe_shared(whole.clone()) {
        Ok(path) => path,
        Err(_) => PathAndQuery::from_maybe_shared(encoded(&whole)).ok()?,
    };
    let authority = Bytes::copy_from_slice(head.authority());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(Authority::from_maybe_shared(authority).ok()?);
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

fn encoded(target: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(target.len() + 16);
    for byte in target {
        match byte {
            b'<' | b'>' | b'"' | b'`' | b'^' | b'{' | b'}' | b'|' => {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => out.push(*byte),
        }
    }
    Bytes::from(out)
}
