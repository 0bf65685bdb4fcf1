//! A header map of proxy-wasm that is taken is written as it was read, names in lower case.
#![no_main]

use pilotlight_wasm::proxy_wasm::maps::{decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(pairs) = decode(bytes) else { return };
    let mut written = Vec::new();
    encode(pairs.iter().copied(), &mut written);
    let again = decode(&written).expect("what was written can be read");
    assert_eq!(pairs.len(), again.len());
    for ((name, value), (again_name, again_value)) in pairs.iter().zip(&again) {
        assert!(name.eq_ignore_ascii_case(again_name));
        assert_eq!(value, again_value);
    }
});
