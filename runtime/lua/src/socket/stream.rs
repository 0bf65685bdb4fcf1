//! A socket of a script: a connection, or the body of the request at hand.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use pilotlight_filter::host::Socket;
use pilotlight_filter::{BodyError, Exchange, Frame, Taken};

use super::input::Input;
use super::link::{Link, Open};
use super::pool::Seat;
use super::until::Pattern;
use super::words::{CLOSED, Failure};
use super::{Close, Owner, Place, Sockets};

/// A stream of bytes, shared by its script and the waits on it.
pub(crate) struct Stream {
    pub(super) place: Place,
    pub(super) wire: Wire,
    pub(super) input: Input,
    /// The peer will say no more.
    pub(super) ended: bool,
    /// Directions that failed: nothing more goes that way.
    pub(super) read_closed: bool,
    pub(super) write_closed: bool,
    /// Waits under way.
    pub(super) connecting: bool,
    pub(super) reading: bool,
    pub(super) writing: bool,
    /// Its place in a pool.
    pub(super) seat: Option<Seat>,
    /// The last text that was read up to.
    pattern: Option<Rc<Pattern>>,
}

/// Where the bytes come from.
pub(super) enum Wire {
    /// Nowhere: not connected yet, or not any more.
    None,
    Link(Link),
    /// The body of the request at hand.
    Body,
}

/// Directions, to ask which of them are busy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Write,
    Both,
}

impl Stream {
    /// A socket that is not connected.
    pub(crate) fn new(sockets: &Sockets, owner: Owner) -> Rc<RefCell<Stream>> {
        Stream::with(sockets, owner, Wire::None)
    }

    /// The body of the request at hand, as a socket.
    pub(crate) fn of_body(sockets: &Sockets, owner: Owner) -> Rc<RefCell<Stream>> {
        Stream::with(sockets, owner, Wire::Body)
    }

    fn with(sockets: &Sockets, owner: Owner, wire: Wire) -> Rc<RefCell<Stream>> {
        sockets.add(owner, |place| {
            RefCell::new(Stream {
                place,
                wire,
                input: Input::default(),
                ended: false,
                read_closed: false,
                write_closed: false,
                connecting: false,
                reading: false,
                writing: false,
                seat: None,
                pattern: None,
            })
        })
    }

    /// The client's connection, which the exchange has no use for any more.
    pub(crate) fn take_over(&mut self, taken: Taken, open: Open) {
        let Taken { socket, early } = taken;
        self.input.room().extend_from_slice(&early);
        self.wire = Wire::Link(Link { socket, name: "".into(), reused: 0, session: None, open });
    }

    pub(crate) fn is_stranded(&self) -> bool {
        self.place.is_stranded()
    }

    pub(crate) fn owner(&self) -> Owner {
        self.place.owner()
    }

    /// Its connection, if it has one of its own.
    pub(crate) fn link(&mut self) -> Option<&mut Link> {
        match &mut self.wire {
            Wire::Link(link) => Some(link),
            _ => None,
        }
    }

    /// What options are of.
    pub(crate) fn socket(&self) -> Option<&dyn Socket> {
        match &self.wire {
            Wire::Link(link) => Some(&*link.socket),
            Wire::None | Wire::Body => None,
        }
    }

    /// How log lines name its peer.
    pub(crate) fn name(&self) -> Rc<str> {
        match &self.wire {
            Wire::Link(link) => link.name.clone(),
            _ => "".into(),
        }
    }

    /// Whether it is the request's body, and not of the script's own making.
    pub(crate) fn is_body(&self) -> bool {
        matches!(self.wire, Wire::Body)
    }

    /// Whether nothing goes that way any more.
    pub(crate) fn is_closed(&self, way: Use) -> bool {
        let there = self.connecting || !matches!(self.wire, Wire::None);
        let gone = match way {
            Use::Read => self.read_closed,
            Use::Write => self.write_closed,
            Use::Both => self.read_closed && self.write_closed,
        };
        !there || gone
    }

    /// Whether its peer has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What it is busy with, in OpenResty's words.
    pub(crate) fn busy(&self, way: Use) -> Option<&'static str> {
        let read = self.reading && way != Use::Write;
        let write = self.writing && way != Use::Read;
        match () {
            () if self.connecting => Some("socket busy connecting"),
            () if read => Some("socket busy reading"),
            () if write => Some("socket busy writing"),
            () => None,
        }
    }

    /// Closes it as if it had never been connected.
    pub(crate) fn shut(&mut self) {
        let wire = std::mem::replace(&mut self.wire, Wire::None);
        let seat = self.seat.take();
        self.input = Input::default();
        (self.ended, self.read_closed, self.write_closed) = (false, false, false);
        (self.connecting, self.reading, self.writing) = (false, false, false);
        // The connection goes before its place in the pool is given on.
        drop(wire);
        drop(seat);
    }

    /// Nothing more is read.
    pub(super) fn close_reading(&mut self) {
        self.read_closed = true;
        self.input.clear();
    }

    /// A text to read up to, ready to be looked for.
    pub(crate) fn pattern(&mut self, text: &[u8]) -> Rc<Pattern> {
        match &self.pattern {
            Some(known) if known.text() == text => known.clone(),
            _ => self.pattern.insert(Rc::new(Pattern::new(text))).clone(),
        }
    }

    /// Reads what is there, at most `most` bytes. False at the peer's end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        exchange: Option<&mut Exchange>,
        most: usize,
    ) -> Poll<Result<bool, Failure>> {
        let socket = match &mut self.wire {
            Wire::Link(link) => &mut link.socket,
            Wire::Body => {
                let Some(exchange) = exchange else {
                    return Poll::Ready(Err(Failure::new(CLOSED)));
                };
                return Poll::Ready(match ready!(exchange.request.body.poll_frame(cx)) {
                    Some(Ok(Frame::Data(data))) => {
                        self.input.room().extend_from_slice(&data);
                        Ok(true)
                    }
                    Some(Ok(Frame::Trailers(_))) | None => Ok(false),
                    Some(Err(BodyError::Timeout)) => Err(Failure::new(super::words::TIMEOUT)),
                    Some(Err(BodyError::Incomplete | BodyError::Reset)) => {
                        Err(Failure::new("client aborted"))
                    }
                    Some(Err(error)) => Err(Failure::new(error.to_string())),
                });
            }
            Wire::None => return Poll::Ready(Err(Failure::new(CLOSED))),
        };
        match ready!(socket.poll_read(cx, self.input.room(), most)) {
            Ok(read) => Poll::Ready(Ok(read > 0)),
            // TLS that ends without saying so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(false)),
            Err(error) => Poll::Ready(Err(Failure::system("recv()", &error, &self.name()))),
        }
    }
}

impl Close for RefCell<Stream> {
    fn close(&self, stranded: bool) {
        // Nobody else is in it: waits poll it and are out again.
        if let Ok(mut stream) = self.try_borrow_mut() {
            stream.place.strand(stranded);
            stream.shut();
        }
    }
}
