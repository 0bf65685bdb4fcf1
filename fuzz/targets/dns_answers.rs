//! A name server's message is an answer to the question that was asked, or none; addresses are IPv4
//! where those were asked for.
#![no_main]

use pilotlight_server::fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(Ok(addresses)) = fuzz::addresses(bytes, "app.test") {
        assert!(addresses.iter().all(|address| address.is_ipv4()));
        assert!(addresses.len() <= bytes.len() / 4);
    }
});
