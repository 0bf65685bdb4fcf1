//! A key that is taken, written anew, is the same key; certificates end in a verdict.
#![no_main]

use pilotlight_lua::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    fuzz::certificate(bytes);
    let Some((numbers, public, private)) = fuzz::key(bytes) else { return };
    let (again, ..) = fuzz::key(&public).expect("a public key that was written can be read");
    assert!(again.iter().all(|number| numbers.contains(number)));
    if let Some(private) = private {
        let (again, written, _) = fuzz::key(&private).expect("so can a private one");
        assert_eq!(again, numbers);
        assert_eq!(written, public);
    }
});
