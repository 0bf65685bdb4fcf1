//! HTTP/3 frames (RFC 9114 section 7), read under police: what must be whole to be understood is
//! gathered up to a cap, all else passes through or is skipped, never stored.

use std::cell::Cell;
use std::rc::Rc;

use bytes::{Buf, Bytes};

/// Error codes (RFC 9114 section 8.1, RFC 9204 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Code {
    NoError = 0x100,
    InternalError = 0x102,
    StreamCreation = 0x103,
    ClosedCritical = 0x104,
    FrameUnexpected = 0x105,
    FrameError = 0x106,
    ExcessiveLoad = 0x107,
    IdError = 0x108,
    SettingsError = 0x109,
    MissingSettings = 0x10a,
    RequestRejected = 0x10b,
    RequestCancelled = 0x10c,
    RequestIncomplete = 0x10d,
    MessageError = 0x10e,
    Decompression = 0x200,
    EncoderStream = 0x201,
    DecoderStream = 0x202,
}

impl Code {
    pub(super) fn value(self) -> quinn::VarInt {
        quinn::VarInt::from_u32(self as u32)
    }
}

pub(super) const DATA: u64 = 0x0;
pub(super) const HEADERS: u64 = 0x1;
pub(super) const CANCEL_PUSH: u64 = 0x3;
pub(super) const SETTINGS: u64 = 0x4;
const PUSH_PROMISE: u64 = 0x5;
pub(super) const GOAWAY: u64 = 0x7;
pub(super) const MAX_PUSH_ID: u64 = 0xd;

/// SETTINGS, at most.
const SETTINGS_MAX: u64 = 4 * 1024;
/// Frames that hold one number.
const NUMBER_MAX: u64 = 8;

/// What a connection's frames may still cost us.
pub(super) struct Load {
    /// Bytes held of sections that are not whole yet, over all streams.
    held: Cell<usize>,
    /// Bytes of frames without meaning that may still come.
    waste: Cell<u64>,
}

/// Sections under way, over all streams of a connection.
const HELD_MAX: usize = 192 * 1024;
/// Waste that is forgiven; each request earns a little more.
const WASTE_MAX: u64 = 64 * 1024;
const WASTE_EARNED: u64 = 1024;
/// What a frame without meaning costs beside its bytes.
const WASTE_FRAME: u64 = 16;

impl Load {
    pub(super) fn new() -> Load {
        Load { held: Cell::new(0), waste: Cell::new(WASTE_MAX) }
    }

    /// A request came whole.
    pub(super) fn earn(&self) {
        self.waste.set((self.waste.get() + WASTE_EARNED).min(WASTE_MAX));
    }

    fn waste(&self, bytes: u64) -> Result<(), Code> {
        let left = self.waste.get().checked_sub(bytes).ok_or(Code::ExcessiveLoad)?;
        self.waste.set(left);
        Ok(())
    }

    fn hold(&self, bytes: usize) -> Result<(), Code> {
        self.held.set(self.held.get() + bytes);
        if self.held.get() > HELD_MAX { Err(Code::ExcessiveLoad) } else { Ok(()) }
    }
}

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A request; its sections may have so many bytes.
    Request { section: u64 },
    /// The peer's control stream.
    Control,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Pass,
    Gather,
    Skip,
    /// It is too large to gather.
    Refuse,
}

impl Role {
    /// RFC 9114 section 7.2: which frames may stand where, and how large we take them.
    fn plan(self, kind: u64, length: u64) -> Result<Plan, Code> {
        let gather = |max: u64, over: Code| if length > max { Err(over) } else { Ok(Plan::Gather) };
        match (self, kind) {
            (Role::Request { .. }, DATA) => Ok(Plan::Pass),
            (Role::Request { section }, HEADERS) if length > section => Ok(Plan::Refuse),
            (Role::Request { .. }, HEADERS) => Ok(Plan::Gather),
            (Role::Control, SETTINGS) => gather(SETTINGS_MAX, Code::ExcessiveLoad),
            (Role::Control, CANCEL_PUSH | GOAWAY | MAX_PUSH_ID) => {
                gather(NUMBER_MAX, Code::FrameError)
            }
            (_, DATA | HEADERS | CANCEL_PUSH | SETTINGS | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID) => {
                Err(Code::FrameUnexpected)
            }
            // Types of HTTP/2 that have no meaning here (section 7.2.8).
            (_, 0x2 | 0x6 | 0x8 | 0x9) => Err(Code::FrameUnexpected),
            _ => Ok(Plan::Skip),
        }
    }
}

/// A piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes of a DATA frame.
    Data(Bytes),
    /// A whole frame that was gathered: its type and payload.
    Whole(u64, Bytes),
    /// A section over its limit begins: who reads on gets none of it.
    TooLarge,
}

/// Cuts a stream into frames.
pub(super) struct Parser {
    role: Role,
    load: Rc<Load>,
    state: State,
    number: Number,
    skipped: bool,
}

enum State {
    Type,
    Length(u64),
    Payload { kind: u64, plan: Plan, left: u64, held: Vec<u8> },
}

impl Parser {
    pub(super) fn new(role: Role, load: Rc<Load>) -> Parser {
        Parser { role, load, state: State::Type, number: Number::default(), skipped: false }
    }

    /// Whether the stream may end here.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Type) && self.number.is_empty()
    }

    /// Whether a frame without meaning has come.
    pub(super) fn skipped(&self) -> bool {
        self.skipped
    }

    /// Takes the next piece out of `bytes`; `None` when all of them are used.
    pub(super) fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Piece>, Code> {
        loop {
            match &mut self.state {
                State::Type => match self.number.take(bytes) {
                    Some(kind) => self.state = State::Length(kind),
                    None => return Ok(None),
                },
                State::Length(kind) => {
                    let kind = *kind;
                    let Some(length) = self.number.take(bytes) else { return Ok(None) };
                    let plan = self.role.plan(kind, length)?;
                    self.skipped |= plan == Plan::Skip;
                    if plan == Plan::Skip || plan == Plan::Pass && length == 0 {
                        self.load.waste(length.saturating_add(WASTE_FRAME))?;
                    }
                    self.state = State::Payload { kind, plan, left: length, held: Vec::new() };
                    if plan == Plan::Refuse {
                        return Ok(Some(Piece::TooLarge));
                    }
                }
                State::Payload { kind, plan, left, held } => {
                    let part = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let part = bytes.split_to(part);
                    *left -= part.len() as u64;
                    let whole = *left == 0;
                    let piece = match plan {
                        Plan::Skip | Plan::Refuse => None,
                        Plan::Pass => (!part.is_empty()).then_some(Piece::Data(part)),
                        Plan::Gather if whole && held.is_empty() => Some(Piece::Whole(*kind, part)),
                        Plan::Gather => {
                            self.load.hold(part.len())?;
                            held.extend_from_slice(&part);
                            let done = whole.then(|| std::mem::take(held));
                            if let Some(done) = &done {
                                self.load.held.set(self.load.held.get() - done.len());
                            }
                            done.map(|done| Piece::Whole(*kind, Bytes::from(done)))
                        }
                    };
                    if whole {
                        self.state = State::Type;
                    }
                    if piece.is_some() {
                        return Ok(piece);
                    }
                    if !whole {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        if let State::Payload { held, .. } = &self.state {
            self.load.held.set(self.load.held.get().saturating_sub(held.len()));
        }
    }
}

/// A variable-length integer on its way (RFC 9000 section 16).
#[derive(Default)]
pub(super) struct Number {
    bytes: [u8; 8],
    have: usize,
}

impl Number {
    /// The integer, once all of it is there.
    pub(super) fn take(&mut self, from: &mut impl Buf) -> Option<u64> {
        while from.has_remaining() {
            self.bytes[self.have] = from.get_u8();
            self.have += 1;
            let length = 1 << (self.bytes[0] >> 6);
            if self.have == length {
                let first = u64::from(self.bytes[0] & 0x3f);
                let rest = self.bytes[1..length].iter();
                self.have = 0;
                return Some(rest.fold(first, |n, byte| n << 8 | u64::from(*byte)));
            }
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.have == 0
    }
}

/// Appends a variable-length integer.
pub(super) fn put_number(out: &mut Vec<u8>, value: u64) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests;
