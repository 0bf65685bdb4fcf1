//! A chunked body means the same however it is cut: the first byte says into pieces of what size.
#![no_main]

use pilotlight_server::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((size, body)) = bytes.split_first() else { return };
    let whole = fuzz::chunks(std::iter::once(body));
    let cut = fuzz::chunks(body.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, cut);
    assert!(whole.body.len() <= body.len());
});
