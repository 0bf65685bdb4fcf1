//! What an HTTP/2 client sends means the same however it is cut: the first byte says into pieces of
//! what size. Frames, field blocks and streams, behind the preface.
#![no_main]

use pilotlight_server::fuzz;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((size, frames)) = bytes.split_first() else { return };
    let bytes = [PREFACE, frames].concat();
    let whole = fuzz::frames(std::iter::once(&bytes[..]));
    let cut = fuzz::frames(bytes.chunks(usize::from(*size).max(1)));
    // A flood is a matter of time.
    if let (Some(whole), Some(cut)) = (whole, cut) {
        assert_eq!(whole, cut);
    }
});
