//! Packed blobs: compressed content, or what of it differs from a base that the node has (zstd, the base as its prefix).
//!
//! Both sides keep within bounds: what is larger goes whole. A packed blob is verified by its own digest before
//! it is unpacked, and what comes out by that of the content.

use std::io::{self, Read as _, Write as _};

/// Neither base nor content is larger: a node holds both in memory.
pub const LARGEST: u64 = 16 << 20;
/// As far back as a decoder looks, in powers of two: base and content.
const WINDOW: u32 = 25;
const LEVEL: i32 = 19;

/// Packs content; `base` is what a node has, or nothing. The same input gives the same bytes.
pub fn pack(base: &[u8], content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(Vec::new(), LEVEL, base)?;
    let sum = (base.len() + content.len()).next_power_of_two().trailing_zeros();
    encoder.window_log(sum.clamp(10, WINDOW))?;
    encoder.long_distance_matching(true)?;
    encoder.set_pledged_src_size(Some(content.len() as u64))?;
    encoder.write_all(content)?;
    encoder.finish()
}

/// Unpacks content that has this size; `take` gets it in parts.
///
/// Errors: it is damaged, or larger.
pub fn unpack(
    base: &[u8],
    packed: &[u8],
    size: u64,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::with_ref_prefix(packed, base)?;
    decoder.window_log_max(WINDOW)?;
    let mut buffer = vec![0; 256 << 10];
    let mut left = size;
    loop {
        let read = decoder.read(&mut buffer)?;
        if read == 0 {
            return if left == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        left = left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is too large"))?;
        take(&buffer[..read])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that do not compress well by themselves.
    fn content(seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..300_000).map(|_| next()).collect()
    }

    fn whole(base: &[u8], packed: &[u8], size: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        unpack(base, packed, size, &mut |part| {
            out.extend_from_slice(part);
            Ok(())
        })?;
        Ok(out)
    }

    #[test]
    fn a_small_change_is_a_small_patch() {
        let old = content(1);
        let mut new = old.clone();
        new.splice(100_000..100_010, *b"something else altogether");
        let patch = pack(&old, &new).unwrap();
        assert!(patch.len() < 1000, "{}", patch.len());
        assert_eq!(whole(&old, &patch, new.len() as u64).unwrap(), new);
        assert_eq!(pack(&old, &new).unwrap(), patch);
        // Over another base it is not what it was, however it ends.
        assert_ne!(whole(&content(2), &patch, new.len() as u64).ok(), Some(new.clone()));
        // Neither longer nor shorter than it says.
        let size = new.len() as u64;
        assert!(whole(&old, &patch, size - 1).is_err() && whole(&old, &patch, size + 1).is_err());
        for end in [0, 3, patch.len() / 2, patch.len() - 1] {
            assert!(whole(&old, &patch[..end], size).is_err(), "{end}");
        }
    }

    #[test]
    fn without_a_base_it_is_compressed() {
        let text = b"return { request = function() end }\n".repeat(1000);
        let packed = pack(&[], &text).unwrap();
        assert!(packed.len() < 200, "{}", packed.len());
        assert_eq!(whole(&[], &packed, text.len() as u64).unwrap(), text);
    }
}
