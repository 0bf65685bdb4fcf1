//! HMAC (RFC 2104) over every hash function.

use super::hash::{BLOCK_MAX, Digest, Hash, Hasher};

/// A message under way. Like its hashes it is plain bytes.
#[derive(Clone)]
pub(crate) struct Mac {
    inner: Hasher,
    outer: Hasher,
}

impl Mac {
    pub(crate) fn new(hash: Hash, key: &[u8]) -> Mac {
        let mut block = [0; BLOCK_MAX];
        if key.len() > hash.block() {
            let digest = hash.digest(key);
            block[..digest.len()].copy_from_slice(&digest);
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let keyed = |pad: u8| {
            let mut hasher = Hasher::new(hash);
            hasher.update(&block.map(|byte| byte ^ pad)[..hash.block()]);
            hasher
        };
        Mac { inner: keyed(0x36), outer: keyed(0x5c) }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    pub(crate) fn finish(mut self) -> Digest {
        self.outer.update(&self.inner.finish());
        self.outer.finish()
    }
}

/// The whole in one call.
pub(crate) fn hmac(hash: Hash, key: &[u8], bytes: &[u8]) -> Digest {
    let mut mac = Mac::new(hash, key);
    mac.update(bytes);
    mac.finish()
}
