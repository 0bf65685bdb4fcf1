//! Keys made of passwords and of other keys. What takes long can be stopped.

use super::cipher::BLOCK;
use super::hash::{Digest, Hash, Hasher};
use super::mac::{Mac, hmac};

/// Rounds between two looks at `stop`.
const LOOK: u32 = 256;

/// PBKDF2 (RFC 8018 section 5.2). `None` when it was stopped.
pub(crate) fn pbkdf2(
    hash: Hash,
    password: &[u8],
    salt: &[u8],
    rounds: u32,
    out: &mut [u8],
    stop: &dyn Fn() -> bool,
) -> Option<()> {
    let keyed = Mac::new(hash, password);
    for (index, piece) in (1u32..).zip(out.chunks_mut(hash.len())) {
        let mut mac = keyed.clone();
        mac.update(salt);
        mac.update(&index.to_be_bytes());
        let mut last = mac.finish();
        piece.copy_from_slice(&last[..piece.len()]);
        for round in 1..rounds.max(1) {
            if round % LOOK == 0 && stop() {
                return None;
            }
            let mut mac = keyed.clone();
            mac.update(&last);
            last = mac.finish();
            piece.iter_mut().zip(last.iter()).for_each(|(sum, byte)| *sum ^= byte);
        }
    }
    Some(())
}

/// HKDF's first half (RFC 5869 section 2.2).
pub(crate) fn extract(hash: Hash, salt: &[u8], key: &[u8]) -> Digest {
    hmac(hash, salt, key)
}

/// HKDF's second half (section 2.3). `None` when more is asked for than there is.
pub(crate) fn expand(hash: Hash, key: &[u8], info: &[u8], out: &mut [u8]) -> Option<()> {
    let keyed = Mac::new(hash, key);
    let mut last: Option<Digest> = None;
    for (index, piece) in (1usize..).zip(out.chunks_mut(hash.len())) {
        let mut mac = keyed.clone();
        mac.update(last.as_deref().unwrap_or_default());
        mac.update(info);
        mac.update(&[u8::try_from(index).ok()?]);
        let block = mac.finish();
        piece.copy_from_slice(&block[..piece.len()]);
        last = Some(block);
    }
    Some(())
}

/// OpenSSL's old `EVP_BytesToKey`: a key and an IV, `out` and a block behind it.
pub(crate) fn bytes_to_key(
    hash: Hash,
    salt: &[u8],
    password: &[u8],
    rounds: u32,
    key: &mut [u8],
    stop: &dyn Fn() -> bool,
) -> Option<[u8; BLOCK]> {
    let mut made = Vec::with_capacity(key.len() + BLOCK + hash.len());
    let mut last: Option<Digest> = None;
    while made.len() < key.len() + BLOCK {
        let mut hasher = Hasher::new(hash);
        hasher.update(last.as_deref().unwrap_or_default());
        hasher.update(password);
        hasher.update(salt);
        let mut digest = hasher.finish();
        for round in 1..rounds.max(1) {
            if round % LOOK == 0 && stop() {
                return None;
            }
            digest = hash.digest(&digest);
        }
        made.extend_from_slice(&digest);
        last = Some(digest);
    }
    let (first, rest) = made.split_at(key.len());
    key.copy_from_slice(first);
    rest[..BLOCK].try_into().ok()
}
