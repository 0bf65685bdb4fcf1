//! Declarative files of Kong's become manifests, or are refused.
#![no_main]

#[path = "../import.rs"]
mod import;

use pilotlight_import::Kind;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| import::check(Kind::Kong, "/edge/kong.yaml", bytes));
