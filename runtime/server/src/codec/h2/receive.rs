//! What a connection makes of frames (RFC 9113 sections 5 and 6).

use bytes::{Buf, BytesMut};

use super::core::{Core, Gone, Role, Stage};
use super::frame::{self, Code, Fault, HEADER, Header, PREFACE, Piece, Settings};
use super::stream::{Failure, widen};

pub(super) const PROTOCOL: Fault = Fault::Connection(Code::PROTOCOL);

impl Core {
    /// Takes in all that is whole of `input`.
    ///
    /// # Errors
    /// The connection has to end.
    pub(crate) fn receive(&mut self, input: &mut BytesMut) -> Result<(), Code> {
        if !self.greeted {
            let known = input.len().min(PREFACE.len());
            if input[..known] != PREFACE[..known] {
                return Err(Code::PROTOCOL);
            }
            if known < PREFACE.len() {
                return Ok(());
            }
            input.advance(known);
            self.greeted = true;
        }
        loop {
            let done = match self.parser.next(input) {
                Ok(None) => return Ok(()),
                Ok(Some(Piece::Data(header, padding))) => self.data(header, padding),
                Ok(Some(Piece::Part { stream, bytes, ends })) => self.part(stream, bytes, ends),
                Ok(Some(Piece::Whole(header))) => {
                    let done = self.frame(header, &input[HEADER..HEADER + header.length]);
                    input.advance(HEADER + header.length);
                    done
                }
                Err(fault) => Err(fault),
            };
            match done {
                Ok(()) => {}
                Err(Fault::Connection(code)) => return Err(code),
                Err(Fault::Stream(id, code)) => {
                    if let Some(guard) = self.guard() {
                        guard.provoked();
                    }
                    self.reset(id, code, Failure::Malformed);
                }
            }
            if self.guard().is_some_and(|guard| guard.is_flooded()) {
                return Err(Code::CALM);
            }
        }
    }

    /// What holds for every frame.
    pub(super) fn admit(&mut self, header: Header) -> Result<(), Fault> {
        if let Some(guard) = self.guard() {
            guard.frame(header);
        }
        let first = header.kind == frame::SETTINGS && !header.has(frame::ACK);
        let inside = self.block.is_some() != (header.kind == frame::CONTINUATION);
        match self.settled || first {
            true if !inside => Ok(()),
            _ => Err(PROTOCOL),
        }
    }

    fn frame(&mut self, header: Header, payload: &[u8]) -> Result<(), Fault> {
        self.admit(header)?;
        let of_connection = matches!(header.kind, frame::SETTINGS | frame::PING | frame::GOAWAY);
        let of_stream = matches!(
            header.kind,
            frame::HEADERS | frame::PRIORITY | frame::RST_STREAM | frame::CONTINUATION
        );
        if of_connection && header.stream != 0 || of_stream && header.stream == 0 {
            return Err(PROTOCOL);
        }
        let exact = |length| match payload.len() == length {
            true => Ok(()),
            false => Err(Fault::Connection(Code::FRAME_SIZE)),
        };
        match header.kind {
            frame::HEADERS => self.headers(header, payload),
            frame::CONTINUATION => self.continuation(header, payload),
            frame::PRIORITY => {
                exact(5)?;
                // RFC 7540 section 5.3.1; priorities mean nothing beyond that.
                let own = frame::word(payload)? & 0x7fff_ffff == header.stream;
                if own { Err(PROTOCOL) } else { Ok(()) }
            }
            frame::RST_STREAM => {
                exact(4)?;
                self.peer_reset(header.stream, Code(frame::word(payload)?))
            }
            frame::SETTINGS if header.has(frame::ACK) => exact(0),
            frame::SETTINGS => self.settings(payload),
            // Nobody may push to us.
            frame::PUSH_PROMISE => Err(PROTOCOL),
            frame::PING => {
                exact(8)?;
                self.ping(header, payload);
                Ok(())
            }
            frame::GOAWAY => {
                let (last, _) = (frame::word(payload)?, frame::word(&payload[4..])?);
                self.peer_leaves(last & 0x7fff_ffff);
                Ok(())
            }
            frame::WINDOW_UPDATE => {
                exact(4)?;
                self.widen(header.stream, frame::word(payload)? & 0x7fff_ffff)
            }
            _ => Ok(()),
        }
    }

    fn peer_reset(&mut self, id: u32, code: Code) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return if self.is_unopened(id) { Err(PROTOCOL) } else { Ok(()) };
        };
        stream.fail(Failure::Reset(code));
        if stream.holders == 0
            && let Some(guard) = self.guard()
        {
            guard.unseen();
        }
        self.close(id, Gone::Ended);
        Ok(())
    }

    fn settings(&mut self, payload: &[u8]) -> Result<(), Fault> {
        let server = matches!(self.role, Role::Server(_));
        let settings = Settings::of(payload, server)?;
        self.settled = true;
        if let Some(streams) = settings.streams {
            self.peer_streams = streams as usize;
            self.wake_waiting();
        }
        if let Some(window) = settings.window {
            // Section 6.9.2: a change holds for streams that are open, too.
            let more = i64::from(window) - i64::from(self.peer_window);
            self.peer_window = window;
            let (streams, ready) = (&mut self.streams, &mut self.ready);
            for (id, stream) in streams.iter_mut() {
                if !widen(&mut stream.outbound.window, more) {
                    return Err(Fault::Connection(Code::FLOW_CONTROL));
                }
                if more > 0 && stream.outbound.is_due() && !stream.outbound.listed {
                    stream.outbound.listed = true;
                    ready.push_back(*id);
                }
            }
        }
        self.wire.put(|out| frame::put_header(out, 0, frame::SETTINGS, frame::ACK, 0));
        Ok(())
    }

    fn ping(&mut self, header: Header, payload: &[u8]) {
        if !header.has(frame::ACK) {
            self.wire.put(|out| {
                frame::put_header(out, payload.len(), frame::PING, frame::ACK, 0);
                out.extend_from_slice(payload);
            });
        } else if self.stage == Stage::Leaving {
            self.refuse();
        }
    }

    /// Section 6.8: streams past `last` were not looked at, and none may follow.
    fn peer_leaves(&mut self, last: u32) {
        if matches!(self.role, Role::Server(_)) {
            return;
        }
        self.away = true;
        let untaken: Vec<u32> = self.streams.keys().copied().filter(|id| *id > last).collect();
        for id in untaken {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.fail(Failure::NotTaken);
            }
            self.close(id, Gone::Reset);
        }
        self.wake_waiting();
    }

    fn widen(&mut self, id: u32, more: u32) -> Result<(), Fault> {
        if id == 0 {
            return match (more, widen(&mut self.room, i64::from(more))) {
                (0, _) => Err(PROTOCOL),
                (_, true) => Ok(()),
                (_, false) => Err(Fault::Connection(Code::FLOW_CONTROL)),
            };
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return if self.is_unopened(id) { Err(PROTOCOL) } else { Ok(()) };
        };
        if more == 0 {
            return Err(Fault::Stream(id, Code::PROTOCOL));
        }
        if !widen(&mut stream.outbound.window, i64::from(more)) {
            return Err(Fault::Stream(id, Code::FLOW_CONTROL));
        }
        self.list(id);
        Ok(())
    }

    /// Section 5.1: whether a stream is idle, so that it can't be spoken of.
    pub(super) fn is_unopened(&self, id: u32) -> bool {
        // Streams of a server's would be pushed, and we take none.
        id > self.last || id.is_multiple_of(2)
    }
}
