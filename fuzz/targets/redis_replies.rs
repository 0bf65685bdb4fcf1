//! What Redis says means the same however it is cut: the first byte says into pieces of what size.
#![no_main]

use pilotlight_lua::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((size, said)) = bytes.split_first() else { return };
    let whole = fuzz::replies(std::iter::once(said));
    let cut = fuzz::replies(said.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, cut);
});
