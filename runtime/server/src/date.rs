//! The `Date` of responses, written once a second.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

/// Bytes of an HTTP date.
const LENGTH: usize = 29;

/// This second as an HTTP date.
#[derive(Debug, Default)]
pub(crate) struct Date(Cell<(u64, [u8; LENGTH])>);

impl Date {
    /// The date at `wall`, which counts from 1970.
    pub(crate) fn at(&self, wall: Duration) -> [u8; LENGTH] {
        let (second, text) = self.0.get();
        if second == wall.as_secs() {
            return text;
        }
        let written = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + wall);
        // Past the year 9999 a date is longer: then the last one stays.
        let text = written.as_bytes().try_into().unwrap_or(text);
        self.0.set((wall.as_secs(), text));
        text
    }
}
