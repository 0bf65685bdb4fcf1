//! An nginx.conf becomes a manifest, or is refused.
#![no_main]

#[path = "../import.rs"]
mod import;

use pilotlight_import::Kind;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| import::check(Kind::Nginx, "/edge/nginx.conf", bytes));
