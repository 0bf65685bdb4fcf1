//! What tests of programs in folders do.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes a file, and makes the folders that it needs.
pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Asks again and again until it is so: how long that took. After a minute it tells what was said.
pub(crate) fn until(
    what: &str,
    mut is: impl FnMut() -> bool,
    said: impl Fn() -> String,
) -> Duration {
    let begun = Instant::now();
    while !is() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "not within a minute: {what}\n{}",
            said()
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
    begun.elapsed()
}
