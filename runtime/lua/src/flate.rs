//! DEFLATE in its three wrappings: none, zlib (RFC 1950), gzip (RFC 1952).

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

use crate::crypto::hash::crc32;

/// Output between two looks at `stop`.
const PIECE: usize = 32 * 1024;

pub(crate) const STOPPED: &str = "stopped";
pub(crate) const TOO_LARGE: &str = "too large";
/// As zlib says it.
const DATA: &str = "data error";
pub(crate) const SHORT: &str = "no input bytes";

/// What is around compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrapping {
    None,
    Zlib,
    Gzip,
}

impl Wrapping {
    /// As zlib counts them into the bits of its window. `text`: to tell by it which one is there.
    pub(crate) fn of_bits(bits: f64, text: &[u8]) -> Wrapping {
        match bits {
            ..0.0 => Wrapping::None,
            32.0.. if text.starts_with(GZIP) => Wrapping::Gzip,
            32.0.. => Wrapping::Zlib,
            16.0.. => Wrapping::Gzip,
            _ => Wrapping::Zlib,
        }
    }
}

const GZIP: &[u8] = b"\x1f\x8b";
/// DEFLATE, no flags, no time, an unknown system.
const GZIP_HEAD: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";

/// What a text was before it was compressed, at most `max` bytes.
///
/// # Errors
/// What is no such text or ends too early, and more than `max` bytes.
pub(crate) fn unpack(
    text: &[u8],
    wrapping: Wrapping,
    max: usize,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<u8>, &'static str> {
    let (format, mut rest) = match wrapping {
        Wrapping::None => (DataFormat::Raw, text),
        Wrapping::Zlib => (DataFormat::Zlib, text),
        Wrapping::Gzip => (DataFormat::Raw, gzip_body(text)?),
    };
    let mut state = InflateState::new_boxed(format);
    let mut out = Vec::new();
    loop {
        let start = out.len();
        out.resize(start + PIECE, 0);
        let step = inflate(&mut state, rest, &mut out[start..], MZFlush::None);
        out.truncate(start + step.bytes_written);
        rest = &rest[step.bytes_consumed..];
        match step.status {
            Ok(MZStatus::StreamEnd) => break,
            Ok(MZStatus::Ok) | Err(MZError::Buf) if step.bytes_written > 0 => {}
            Ok(MZStatus::Ok) | Err(MZError::Buf) if rest.is_empty() => return Err(SHORT),
            _ => return Err(DATA),
        }
        if out.len() > max {
            return Err(TOO_LARGE);
        }
        if stop() {
            return Err(STOPPED);
        }
    }
    if wrapping == Wrapping::Gzip {
        let tail = rest.get(..8).ok_or(SHORT)?;
        let sum = [&crc32(0, &out).to_le_bytes()[..], &(out.len() as u32).to_le_bytes()].concat();
        if tail != sum {
            return Err(DATA);
        }
    }
    if out.len() > max { Err(TOO_LARGE) } else { Ok(out) }
}

/// What comes after the head of a gzip text.
fn gzip_body(text: &[u8]) -> Result<&[u8], &'static str> {
    let head = text.get(..10).ok_or(SHORT)?;
    if !head.starts_with(b"\x1f\x8b\x08") {
        return Err(DATA);
    }
    let flags = head[3];
    let mut rest = &text[10..];
    if flags & 4 != 0 {
        let len = rest.get(..2).ok_or(SHORT)?;
        rest = rest.get(2 + usize::from(len[0]) + usize::from(len[1]) * 256..).ok_or(SHORT)?;
    }
    // A name and a comment, each up to a NUL.
    for flag in [8, 16] {
        if flags & flag != 0 {
            rest = &rest[memchr::memchr(0, rest).ok_or(SHORT)? + 1..];
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..).ok_or(SHORT)?;
    }
    Ok(rest)
}

/// A text compressed.
///
/// # Errors
/// When it was stopped.
pub(crate) fn pack(
    text: &[u8],
    wrapping: Wrapping,
    level: i32,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<u8>, &'static str> {
    let bits = if wrapping == Wrapping::Zlib { 15 } else { -15 };
    let mut state =
        Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(level, bits, 0)));
    let head = if wrapping == Wrapping::Gzip { GZIP_HEAD } else { &[] };
    let mut out = head.to_vec();
    let mut rest = text;
    loop {
        let start = out.len();
        out.resize(start + PIECE, 0);
        // Input in pieces too: what compresses well makes little output.
        let (piece, after) = rest.split_at(rest.len().min(8 * PIECE));
        let flush = if after.is_empty() { MZFlush::Finish } else { MZFlush::None };
        let step = deflate(&mut state, piece, &mut out[start..], flush);
        out.truncate(start + step.bytes_written);
        rest = &rest[step.bytes_consumed..];
        match step.status {
            Ok(MZStatus::StreamEnd) => break,
            Ok(MZStatus::Ok) | Err(MZError::Buf) => {}
            _ => return Err(DATA),
        }
        if stop() {
            return Err(STOPPED);
        }
    }
    if wrapping == Wrapping::Gzip {
        out.extend_from_slice(&crc32(0, text).to_le_bytes());
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    }
    Ok(out)
}

/// The checksum of zlib.
pub(crate) fn adler32(seed: u32, text: &[u8]) -> u32 {
    const BASE: u32 = 65_521;
    let mut sums = (seed & 0xffff, seed >> 16);
    // So many bytes that the sums can't overflow.
    for piece in text.chunks(5552) {
        for byte in piece {
            sums.0 += u32::from(*byte);
            sums.1 += sums.0;
        }
        sums = (sums.0 % BASE, sums.1 % BASE);
    }
    sums.1 << 16 | sums.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Wrapping; 3] = [Wrapping::None, Wrapping::Zlib, Wrapping::Gzip];

    fn text() -> Vec<u8> {
        (0..300_000u32).map(|n| (n % 7 * (n % 251)) as u8).collect()
    }

    #[test]
    fn goes_both_ways() {
        for wrapping in ALL {
            for text in [b"".to_vec(), b"hello".to_vec(), text()] {
                for level in [-1, 1, 9] {
                    let packed = pack(&text, wrapping, level, &|| false).unwrap();
                    let back = unpack(&packed, wrapping, 1 << 20, &|| false);
                    assert_eq!(back.as_deref(), Ok(&text[..]), "{wrapping:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for wrapping in ALL {
            let packed = pack(&text(), wrapping, 6, &|| false).unwrap();
            for cut in [0, 1, 9, packed.len() / 2, packed.len() - 1] {
                let back = unpack(&packed[..cut], wrapping, 1 << 20, &|| false);
                assert!(back.is_err(), "{wrapping:?} {cut}");
            }
            assert_eq!(unpack(&packed, wrapping, 1000, &|| false), Err(TOO_LARGE));
            assert_eq!(unpack(&packed, wrapping, 1 << 20, &|| true), Err(STOPPED));
            assert_eq!(pack(&text(), wrapping, 6, &|| true), Err(STOPPED));
        }
        let mut packed = pack(b"hello", Wrapping::Gzip, 6, &|| false).unwrap();
        let last = packed.len() - 8;
        packed[last] ^= 1;
        assert_eq!(unpack(&packed, Wrapping::Gzip, 100, &|| false), Err(DATA));
        assert_eq!(unpack(b"not compressed", Wrapping::Zlib, 100, &|| false), Err(DATA));
    }

    #[test]
    fn heads_of_gzip() {
        let packed = pack(b"hello", Wrapping::Gzip, 6, &|| false).unwrap();
        let mut long = packed[..10].to_vec();
        long[3] = 2 | 4 | 8 | 16;
        long.extend_from_slice(b"\x03\0abcname\0comment\0xx");
        long.extend_from_slice(&packed[10..]);
        assert_eq!(unpack(&long, Wrapping::Gzip, 100, &|| false).as_deref(), Ok(&b"hello"[..]));
    }

    #[test]
    fn sums() {
        assert_eq!(adler32(1, b"Wikipedia"), 0x11e6_0398);
        assert_eq!(crc32(0, b"hello, world"), 4_289_425_978);
    }
}
