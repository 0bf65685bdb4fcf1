//! AES-GCM (NIST SP 800-38D), with IVs of any length, as OpenSSL takes them.

use ghash::GHash;
use ghash::universal_hash::{KeyInit, UniversalHash};

use super::cipher::{Aes, BLOCK, Block};

/// A text under way, in pieces of whole blocks.
pub(crate) struct Gcm<'a> {
    aes: &'a Aes,
    hash: GHash,
    counter: Block,
    /// The encrypted first counter: what hides the hash.
    mask: Block,
    aad: usize,
    text: usize,
}

/// GCM counts in the last four bytes only.
fn next(counter: &mut Block) {
    let [.., a, b, c, d] = *counter;
    let count = u32::from_be_bytes([a, b, c, d]).wrapping_add(1);
    counter[12..].copy_from_slice(&count.to_be_bytes());
}

/// Two lengths in bits, as they end a hash.
fn lengths(first: usize, second: usize) -> Block {
    let mut block = [0; BLOCK];
    block[..8].copy_from_slice(&(first as u64 * 8).to_be_bytes());
    block[8..].copy_from_slice(&(second as u64 * 8).to_be_bytes());
    block
}

impl<'a> Gcm<'a> {
    pub(crate) fn new(aes: &'a Aes, iv: &[u8], aad: &[u8]) -> Gcm<'a> {
        let mut key = [0; BLOCK];
        aes.encrypt(&mut key);
        let mut hash = GHash::new(&key.into());
        let mut counter = [0; BLOCK];
        if iv.len() == 12 {
            counter[..12].copy_from_slice(iv);
            counter[BLOCK - 1] = 1;
        } else {
            let mut hash = hash.clone();
            hash.update_padded(iv);
            hash.update_padded(&lengths(0, iv.len()));
            counter = hash.finalize().into();
        }
        let mut mask = counter;
        aes.encrypt(&mut mask);
        next(&mut counter);
        hash.update_padded(aad);
        Gcm { aes, hash, counter, mask, aad: aad.len(), text: 0 }
    }

    pub(crate) fn encrypt(&mut self, piece: &mut [u8]) {
        self.aes.count(piece, &mut self.counter, next);
        self.hash.update_padded(piece);
        self.text += piece.len();
    }

    pub(crate) fn decrypt(&mut self, piece: &mut [u8]) {
        self.hash.update_padded(piece);
        self.text += piece.len();
        self.aes.count(piece, &mut self.counter, next);
    }

    pub(crate) fn tag(mut self) -> Block {
        self.hash.update_padded(&lengths(self.aad, self.text));
        let mut tag: Block = self.hash.finalize().into();
        tag.iter_mut().zip(self.mask).for_each(|(byte, mask)| *byte ^= mask);
        tag
    }
}
