//! A PROXY header is whole, partial or bad; more bytes behind a whole one change nothing.
#![no_main]

use pilotlight_server::proxy_protocol::{MAX, Parsed, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match parse(bytes) {
        Parsed::Header(header) => {
            assert!(header.length <= bytes.len() && header.length <= MAX);
            assert_eq!(parse(&bytes[..header.length]), Parsed::Header(header));
            for shorter in 0..header.length {
                assert_eq!(parse(&bytes[..shorter]), Parsed::Partial);
            }
        }
        Parsed::Partial => assert!(bytes.len() < MAX),
        Parsed::Bad => {}
    }
});
