//! AES in the modes of NIST SP 800-38A, and key wrap (RFC 3394); GCM has a file of its own.

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit};
use aes::{Aes128, Aes192, Aes256};

use super::gcm::Gcm;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 16;
pub(crate) type Block = [u8; BLOCK];

/// Work between two looks at `stop`; whole blocks.
const PIECE: usize = 64 * 1024;
/// The longest key that is wrapped.
const WRAP_MAX: usize = 16 * 1024;

pub(crate) const STOPPED: &str = "stopped";
const BAD_KEY: &str = "bad key length";
const BAD_IV: &str = "bad iv length";
/// As OpenSSL says it.
const BAD_DECRYPT: &str = "bad decrypt";
const WRONG_LENGTH: &str = "wrong final block length";

/// How blocks follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Ecb,
    Cbc,
    Cfb,
    Cfb8,
    Ofb,
    Ctr,
    Gcm,
    Wrap,
}

/// Names as `resty.aes` and OpenSSL have them.
const MODES: &[(&[u8], Mode)] = &[
    (b"ecb", Mode::Ecb),
    (b"cbc", Mode::Cbc),
    (b"cfb", Mode::Cfb),
    (b"cfb128", Mode::Cfb),
    (b"cfb8", Mode::Cfb8),
    (b"ofb", Mode::Ofb),
    (b"ctr", Mode::Ctr),
    (b"gcm", Mode::Gcm),
    (b"wrap", Mode::Wrap),
];

impl Mode {
    pub(crate) fn named(name: &[u8]) -> Option<Mode> {
        MODES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|row| row.1)
    }

    /// Bytes of its IV; GCM takes others as well.
    pub(crate) const fn iv(self) -> usize {
        match self {
            Mode::Ecb => 0,
            Mode::Gcm => 12,
            Mode::Wrap => 8,
            _ => BLOCK,
        }
    }

    /// Bytes that go in at least; 1 for a stream.
    pub(crate) const fn block(self) -> usize {
        match self {
            Mode::Ecb | Mode::Cbc => BLOCK,
            Mode::Wrap => 8,
            _ => 1,
        }
    }
}

/// A key, expanded.
pub(crate) enum Aes {
    K128(Aes128),
    K192(Aes192),
    K256(Aes256),
}

impl Aes {
    pub(crate) fn new(key: &[u8]) -> Option<Aes> {
        Some(match key.len() {
            16 => Aes::K128(Aes128::new_from_slice(key).ok()?),
            24 => Aes::K192(Aes192::new_from_slice(key).ok()?),
            32 => Aes::K256(Aes256::new_from_slice(key).ok()?),
            _ => return None,
        })
    }

    pub(crate) fn encrypt(&self, block: &mut Block) {
        let block = GenericArray::from_mut_slice(block);
        match self {
            Aes::K128(aes) => aes.encrypt_block(block),
            Aes::K192(aes) => aes.encrypt_block(block),
            Aes::K256(aes) => aes.encrypt_block(block),
        }
    }

    fn decrypt(&self, block: &mut Block) {
        let block = GenericArray::from_mut_slice(block);
        match self {
            Aes::K128(aes) => aes.decrypt_block(block),
            Aes::K192(aes) => aes.decrypt_block(block),
            Aes::K256(aes) => aes.decrypt_block(block),
        }
    }

    /// Adds a stream of encrypted counters to `text`; `next` counts one on. Eight at a time: the
    /// processor does them side by side.
    pub(crate) fn count(&self, text: &mut [u8], counter: &mut Block, next: fn(&mut Block)) {
        const WIDE: usize = 8;
        for piece in text.chunks_mut(WIDE * BLOCK) {
            let mut pads = [GenericArray::from(*counter); WIDE];
            for pad in &mut pads[..piece.len().div_ceil(BLOCK)] {
                pad.copy_from_slice(counter);
                next(counter);
            }
            match self {
                Aes::K128(aes) => aes.encrypt_blocks(&mut pads),
                Aes::K192(aes) => aes.encrypt_blocks(&mut pads),
                Aes::K256(aes) => aes.encrypt_blocks(&mut pads),
            }
            for (part, pad) in piece.chunks_mut(BLOCK).zip(&pads) {
                add(part, pad);
            }
        }
    }
}

fn add(text: &mut [u8], pad: &[u8]) {
    text.iter_mut().zip(pad).for_each(|(byte, pad)| *byte ^= pad);
}

/// The counter of CTR: all of the block.
fn next(counter: &mut Block) {
    *counter = u128::from_be_bytes(*counter).wrapping_add(1).to_be_bytes();
}

/// What a call of a cipher is made of.
pub(crate) struct Job<'a> {
    pub(crate) mode: Mode,
    pub(crate) key: &'a [u8],
    pub(crate) iv: &'a [u8],
    /// Whether the end is filled up to a block (PKCS #7).
    pub(crate) padding: bool,
    /// What GCM also vouches for.
    pub(crate) aad: &'a [u8],
    pub(crate) stop: &'a dyn Fn() -> bool,
}

impl Job<'_> {
    fn aes(&self) -> Result<Aes, &'static str> {
        let is_right = self.iv.len() == self.mode.iv();
        let is_odd = self.mode == Mode::Gcm && !self.iv.is_empty();
        if is_right || is_odd { Aes::new(self.key).ok_or(BAD_KEY) } else { Err(BAD_IV) }
    }

    fn pads(&self) -> bool {
        self.padding && matches!(self.mode, Mode::Ecb | Mode::Cbc)
    }

    /// The text encrypted, and GCM's tag.
    pub(crate) fn encrypt(&self, mut text: Vec<u8>) -> Result<(Vec<u8>, Block), &'static str> {
        let aes = self.aes()?;
        match self.mode {
            Mode::Gcm => {
                let mut gcm = Gcm::new(&aes, self.iv, self.aad);
                for piece in text.chunks_mut(PIECE) {
                    self.look()?;
                    gcm.encrypt(piece);
                }
                return Ok((text, gcm.tag()));
            }
            Mode::Wrap => return wrap(&aes, self.iv, &text).map(|wrapped| (wrapped, [0; BLOCK])),
            _ => {}
        }
        if self.pads() {
            let fill = BLOCK - text.len() % BLOCK;
            text.resize(text.len() + fill, fill as u8);
        } else if !text.len().is_multiple_of(self.mode.block()) {
            return Err(WRONG_LENGTH);
        }
        let mut register = self.register();
        for piece in text.chunks_mut(PIECE) {
            self.look()?;
            encrypt(&aes, self.mode, &mut register, piece);
        }
        Ok((text, [0; BLOCK]))
    }

    /// The text decrypted; GCM's is refused when the tag is wrong.
    pub(crate) fn decrypt(&self, mut text: Vec<u8>, tag: &[u8]) -> Result<Vec<u8>, &'static str> {
        let aes = self.aes()?;
        match self.mode {
            Mode::Gcm => {
                let mut gcm = Gcm::new(&aes, self.iv, self.aad);
                for piece in text.chunks_mut(PIECE) {
                    self.look()?;
                    gcm.decrypt(piece);
                }
                // Who sends a text may cut its tag: eight bytes are the least that libraries write.
                let is_right =
                    matches!(tag.len(), 8..=16) && super::equal(&gcm.tag()[..tag.len()], tag);
                return if is_right { Ok(text) } else { Err(BAD_DECRYPT) };
            }
            Mode::Wrap => return unwrap(&aes, self.iv, &text),
            _ => {}
        }
        if !text.len().is_multiple_of(self.mode.block()) || self.pads() && text.is_empty() {
            return Err(WRONG_LENGTH);
        }
        let mut register = self.register();
        for piece in text.chunks_mut(PIECE) {
            self.look()?;
            decrypt(&aes, self.mode, &mut register, piece);
        }
        if self.pads() {
            let fill = text.last().map_or(0, |last| usize::from(*last));
            let is_right = (1..=BLOCK).contains(&fill)
                && text[text.len() - fill..].iter().all(|byte| usize::from(*byte) == fill);
            if !is_right {
                return Err(BAD_DECRYPT);
            }
            text.truncate(text.len() - fill);
        }
        Ok(text)
    }

    fn register(&self) -> Block {
        self.iv.try_into().unwrap_or_default()
    }

    fn look(&self) -> Result<(), &'static str> {
        if (self.stop)() { Err(STOPPED) } else { Ok(()) }
    }
}

/// Encrypts whole blocks (streams: any length, but only the last piece may be torn).
fn encrypt(aes: &Aes, mode: Mode, register: &mut Block, text: &mut [u8]) {
    match mode {
        Mode::Ctr => aes.count(text, register, next),
        Mode::Cfb8 => shift(aes, register, text, true),
        _ => {
            for part in text.chunks_mut(BLOCK) {
                match mode {
                    Mode::Cbc => {
                        add(register, part);
                        aes.encrypt(register);
                        part.copy_from_slice(register);
                    }
                    Mode::Cfb => {
                        aes.encrypt(register);
                        add(part, register);
                        register[..part.len()].copy_from_slice(part);
                    }
                    Mode::Ofb => {
                        aes.encrypt(register);
                        add(part, register);
                    }
                    _ => with_block(part, |block| aes.encrypt(block)),
                }
            }
        }
    }
}

/// The way back.
fn decrypt(aes: &Aes, mode: Mode, register: &mut Block, text: &mut [u8]) {
    match mode {
        Mode::Ctr | Mode::Ofb => encrypt(aes, mode, register, text),
        Mode::Cfb8 => shift(aes, register, text, false),
        _ => {
            for part in text.chunks_mut(BLOCK) {
                let mut given = [0; BLOCK];
                given[..part.len()].copy_from_slice(part);
                match mode {
                    Mode::Cbc => {
                        with_block(part, |block| aes.decrypt(block));
                        add(part, register);
                    }
                    Mode::Cfb => {
                        aes.encrypt(register);
                        add(part, register);
                    }
                    _ => with_block(part, |block| aes.decrypt(block)),
                }
                *register = given;
            }
        }
    }
}

fn with_block(part: &mut [u8], run: impl FnOnce(&mut Block)) {
    if let Ok(block) = part.try_into() {
        run(block);
    }
}

/// CFB by single bytes: what was encrypted is shifted into the register.
fn shift(aes: &Aes, register: &mut Block, text: &mut [u8], is_encrypting: bool) {
    for byte in text {
        let mut pad = *register;
        aes.encrypt(&mut pad);
        let given = *byte;
        *byte ^= pad[0];
        register.rotate_left(1);
        register[BLOCK - 1] = if is_encrypting { *byte } else { given };
    }
}

/// Half blocks of a key and its check, as RFC 3394 mixes them.
fn rounds(halves: usize) -> impl DoubleEndedIterator<Item = (usize, u64)> {
    (0..6 * halves).map(move |step| (step % halves, step as u64 + 1))
}

fn halves(text: &[u8]) -> Result<Vec<[u8; 8]>, &'static str> {
    if text.len() > WRAP_MAX || !text.len().is_multiple_of(8) {
        return Err(WRONG_LENGTH);
    }
    Ok(text.chunks(8).filter_map(|half| half.try_into().ok()).collect())
}

fn wrap(aes: &Aes, iv: &[u8], text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut halves = halves(text)?;
    if halves.len() < 2 {
        return Err(WRONG_LENGTH);
    }
    let mut check: [u8; 8] = iv.try_into().map_err(|_| BAD_IV)?;
    for (at, step) in rounds(halves.len()) {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&check);
        block[8..].copy_from_slice(&halves[at]);
        aes.encrypt(&mut block);
        halves[at].copy_from_slice(&block[8..]);
        check.copy_from_slice(&block[..8]);
        add(&mut check, &step.to_be_bytes());
    }
    Ok([&check[..], halves.as_flattened()].concat())
}

fn unwrap(aes: &Aes, iv: &[u8], text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut halves = halves(text)?;
    if halves.len() < 3 {
        return Err(WRONG_LENGTH);
    }
    let mut check = halves.remove(0);
    for (at, step) in rounds(halves.len()).rev() {
        add(&mut check, &step.to_be_bytes());
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&check);
        block[8..].copy_from_slice(&halves[at]);
        aes.decrypt(&mut block);
        halves[at].copy_from_slice(&block[8..]);
        check.copy_from_slice(&block[..8]);
    }
    if super::equal(&check, iv) { Ok(halves.concat()) } else { Err(BAD_DECRYPT) }
}
