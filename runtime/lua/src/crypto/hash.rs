//! Hash functions. A state is plain bytes: it can be copied, and nothing has to be given back.

use std::ops::Deref;

use md5::{Digest as _, Md5};
use ring::digest::{self, Context};
use sha2::Sha224;

/// The hash functions that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// The longest block of a hash function, and the longest digest.
pub(crate) const BLOCK_MAX: usize = 128;
pub(crate) const DIGEST_MAX: usize = 64;

/// Names in lower case, without dashes.
const NAMES: &[(&[u8], Hash)] = &[
    (b"md5", Hash::Md5),
    (b"sha1", Hash::Sha1),
    (b"sha224", Hash::Sha224),
    (b"sha256", Hash::Sha256),
    (b"sha384", Hash::Sha384),
    (b"sha512", Hash::Sha512),
    // As OpenSSL also names them: SHA2-256.
    (b"sha2224", Hash::Sha224),
    (b"sha2256", Hash::Sha256),
    (b"sha2384", Hash::Sha384),
    (b"sha2512", Hash::Sha512),
];

impl Hash {
    /// By name, in any case, with or without dashes.
    pub(crate) fn named(name: &[u8]) -> Option<Hash> {
        let plain = || name.iter().filter(|b| **b != b'-').map(u8::to_ascii_lowercase);
        NAMES.iter().find(|(known, _)| plain().eq(known.iter().copied())).map(|row| row.1)
    }

    /// As OpenSSL has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Hash::Md5 => "MD5",
            Hash::Sha1 => "SHA1",
            Hash::Sha224 => "SHA224",
            Hash::Sha256 => "SHA256",
            Hash::Sha384 => "SHA384",
            Hash::Sha512 => "SHA512",
        }
    }

    /// Bytes of a digest.
    pub(crate) const fn len(self) -> usize {
        match self {
            Hash::Md5 => 16,
            Hash::Sha1 => 20,
            Hash::Sha224 => 28,
            Hash::Sha256 => 32,
            Hash::Sha384 => 48,
            Hash::Sha512 => 64,
        }
    }

    /// Bytes of a block.
    pub(crate) const fn block(self) -> usize {
        match self {
            Hash::Sha384 | Hash::Sha512 => 128,
            _ => 64,
        }
    }

    pub(crate) fn digest(self, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(self);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// A digest.
#[derive(Clone, Copy)]
pub(crate) struct Digest {
    bytes: [u8; DIGEST_MAX],
    len: usize,
}

impl Deref for Digest {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl From<&[u8]> for Digest {
    fn from(from: &[u8]) -> Digest {
        let mut bytes = [0; DIGEST_MAX];
        bytes[..from.len()].copy_from_slice(from);
        Digest { bytes, len: from.len() }
    }
}

/// A hash under way.
#[derive(Clone)]
pub(crate) enum Hasher {
    Md5(Md5),
    Sha224(Sha224),
    Ring(Context),
}

impl Hasher {
    pub(crate) fn new(hash: Hash) -> Hasher {
        let ring = |algorithm| Hasher::Ring(Context::new(algorithm));
        match hash {
            Hash::Md5 => Hasher::Md5(Md5::new()),
            Hash::Sha1 => ring(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Hash::Sha224 => Hasher::Sha224(Sha224::new()),
            Hash::Sha256 => ring(&digest::SHA256),
            Hash::Sha384 => ring(&digest::SHA384),
            Hash::Sha512 => ring(&digest::SHA512),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Md5(state) => state.update(bytes),
            Hasher::Sha224(state) => state.update(bytes),
            Hasher::Ring(state) => state.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Hasher::Md5(state) => state.finalize().as_slice().into(),
            Hasher::Sha224(state) => state.finalize().as_slice().into(),
            Hasher::Ring(state) => state.finish().as_ref().into(),
        }
    }
}

/// CRC-32 as Ethernet, gzip and nginx have it.
pub(crate) fn crc32(seed: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| CRC[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!seed, step)
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};
