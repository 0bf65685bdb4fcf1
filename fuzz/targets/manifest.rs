//! No text makes loading a manifest panic, and a refusal always says why.
#![no_main]

use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(report) = pilotlight_config::parse_str(text, Path::new("/edge")) {
        assert!(report.has_errors());
        assert!(!report.render(false).is_empty());
    }
});
