//! Streams in one direction (RFC 9114 section 6.2): our control stream, and what the peer opens.

use std::rc::Rc;

use quinn::{RecvStream, SendStream};

use super::Connection;
use super::frame::{self, Code, Number, Parser, Piece, Role};
use crate::worker::Inlet;

const CONTROL: u64 = 0x0;
const PUSH: u64 = 0x1;
const ENCODER: u64 = 0x2;
const DECODER: u64 = 0x3;

/// RFC 9114 section 7.2.4.1.
const MAX_FIELD_SECTION_SIZE: u64 = 0x6;
/// Settings of HTTP/2 that must not appear.
const HTTP2_SETTINGS: [u64; 4] = [0x2, 0x3, 0x4, 0x5];
/// Bytes of one read.
const READ: usize = 4 * 1024;

/// Our control stream.
pub(super) struct Control {
    stream: SendStream,
}

/// Opens it and says what we take.
pub(super) async fn open(
    inlet: &Inlet,
    quic: &quinn::Connection,
) -> Result<Control, quinn::WriteError> {
    let mut stream = quic.open_uni().await?;
    let mut settings = Vec::new();
    frame::put_number(&mut settings, MAX_FIELD_SECTION_SIZE);
    frame::put_number(&mut settings, inlet.listener.settings.limits.header_bytes as u64);
    let mut out = vec![CONTROL as u8, frame::SETTINGS as u8];
    frame::put_number(&mut out, settings.len() as u64);
    out.extend_from_slice(&settings);
    stream.write_all(&out).await?;
    Ok(Control { stream })
}

impl Control {
    /// Asks for no more requests from stream `id` on.
    pub(super) async fn goaway(&mut self, id: u64) {
        let mut number = Vec::new();
        frame::put_number(&mut number, id);
        let mut out = vec![frame::GOAWAY as u8, number.len() as u8];
        out.extend_from_slice(&number);
        // A connection that is gone needs no telling.
        let _ = self.stream.write_all(&out).await;
    }
}

/// Reads what the peer opened until it ends, and ends the connection for what must not be.
pub(super) async fn serve(connection: Rc<Connection>, mut stream: RecvStream) {
    let mut kind = Number::default();
    let mut byte = [0];
    let kind = loop {
        match stream.read(&mut byte).await {
            // A stream may end before it says what it is.
            Ok(None) | Err(_) => return,
            Ok(Some(_)) => {}
        }
        if let Some(kind) = kind.take(&mut &byte[..]) {
            break kind;
        }
    };
    let ended = match kind {
        CONTROL | ENCODER | DECODER if !is_first(&connection, kind) => Err(Code::StreamCreation),
        CONTROL => control(&connection, stream).await,
        ENCODER => encoder(stream).await,
        DECODER => decoder(stream).await,
        PUSH => Err(Code::StreamCreation),
        _ => {
            // Section 9: unknown types have no meaning, but are allowed.
            let _ = stream.stop(Code::StreamCreation.value());
            Ok(())
        }
    };
    if let Err(code) = ended {
        connection.fail(code);
    }
}

/// Section 6.2.1 and RFC 9204 section 4.2: there is at most one of each of these.
fn is_first(connection: &Connection, kind: u64) -> bool {
    let flag = 1 << kind;
    let seen = connection.critical.get();
    connection.critical.set(seen | flag);
    seen & flag == 0
}

/// The peer's control stream: SETTINGS first, then little.
async fn control(connection: &Connection, mut stream: RecvStream) -> Result<(), Code> {
    let mut parser = Parser::new(Role::Control, connection.load.clone());
    let mut known = Known::default();
    loop {
        let mut bytes = match stream.read_chunk(READ, true).await {
            Ok(Some(chunk)) => chunk.bytes,
            Err(quinn::ReadError::ConnectionLost(_)) => return Ok(()),
            Ok(None) | Err(_) => return Err(Code::ClosedCritical),
        };
        loop {
            let piece = parser.next(&mut bytes)?;
            // Section 6.2.1: nothing before SETTINGS, not even frames without meaning.
            if !known.settings && parser.skipped() {
                return Err(Code::MissingSettings);
            }
            match piece {
                Some(Piece::Whole(kind, payload)) => known.frame(kind, &payload)?,
                Some(Piece::Data(_) | Piece::TooLarge) => return Err(Code::FrameUnexpected),
                None => break,
            }
        }
    }
}

/// What the peer has said on its control stream.
#[derive(Default)]
struct Known {
    settings: bool,
    goaway: Option<u64>,
    max_push: u64,
}

impl Known {
    fn frame(&mut self, kind: u64, payload: &[u8]) -> Result<(), Code> {
        if kind == frame::SETTINGS {
            if self.settings {
                return Err(Code::FrameUnexpected);
            }
            self.settings = true;
            return settings(payload);
        }
        if !self.settings {
            return Err(Code::MissingSettings);
        }
        let id = only_number(payload)?;
        match kind {
            frame::GOAWAY if self.goaway.is_some_and(|last| id > last) => Err(Code::IdError),
            frame::GOAWAY => {
                self.goaway = Some(id);
                Ok(())
            }
            frame::MAX_PUSH_ID if id < self.max_push => Err(Code::IdError),
            frame::MAX_PUSH_ID => {
                self.max_push = id;
                Ok(())
            }
            // We promised nothing, so there is nothing to cancel (section 7.2.3).
            _ => Err(Code::IdError),
        }
    }
}

/// Identifiers and values; each identifier once (section 7.2.4).
fn settings(mut payload: &[u8]) -> Result<(), Code> {
    let mut seen = Vec::new();
    while !payload.is_empty() {
        let mut next = || Number::default().take(&mut payload).ok_or(Code::FrameError);
        let (id, _) = (next()?, next()?);
        if HTTP2_SETTINGS.contains(&id) || seen.contains(&id) {
            return Err(Code::SettingsError);
        }
        // Unknown ones are ignored; so many different ones nobody needs.
        if seen.len() >= 64 {
            return Err(Code::ExcessiveLoad);
        }
        seen.push(id);
    }
    Ok(())
}

fn only_number(mut payload: &[u8]) -> Result<u64, Code> {
    let number = Number::default().take(&mut payload).ok_or(Code::FrameError)?;
    if payload.is_empty() { Ok(number) } else { Err(Code::FrameError) }
}

/// RFC 9204 section 4.3: with a table of size 0, all that can be said is that the size is 0.
async fn encoder(mut stream: RecvStream) -> Result<(), Code> {
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes).await {
            Ok(Some(read)) if bytes[..read].iter().all(|byte| *byte == 0x20) => {}
            Ok(Some(_)) => return Err(Code::EncoderStream),
            Err(quinn::ReadError::ConnectionLost(_)) => return Ok(()),
            Ok(None) | Err(_) => return Err(Code::ClosedCritical),
        }
    }
}

/// RFC 9204 section 4.4: without a table there is nothing to acknowledge; the peer's decoder has only
/// cancellations to tell us, and they mean nothing.
async fn decoder(mut stream: RecvStream) -> Result<(), Code> {
    let mut bytes = [0; 64];
    let mut inside = false;
    loop {
        match stream.read(&mut bytes).await {
            Ok(Some(read)) => cancellations(&bytes[..read], &mut inside)?,
            Err(quinn::ReadError::ConnectionLost(_)) => return Ok(()),
            Ok(None) | Err(_) => return Err(Code::ClosedCritical),
        }
    }
}

/// `01`, and a stream's number with a prefix of six bits. `inside`: the number goes on.
fn cancellations(bytes: &[u8], inside: &mut bool) -> Result<(), Code> {
    for byte in bytes {
        *inside = match *inside {
            true => byte & 0x80 != 0,
            false if byte >> 6 == 1 => byte & 0x3f == 0x3f,
            false => return Err(Code::DecoderStream),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests;
