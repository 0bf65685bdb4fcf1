//! Limits of a manifest: a default, the least and the most.

use crate::units::{show_duration, show_size};

/// A row. Quantities are bytes, milliseconds or counts, as `show` says.
pub struct Row {
    /// Its name.
    pub key: &'static str,
    /// Where nothing is said.
    pub default: u64,
    /// The least.
    pub floor: u64,
    /// The most.
    pub ceiling: u64,
    /// How it is written.
    pub show: fn(u64) -> String,
}

/// In this unit, with its default, floor and ceiling.
pub const fn bytes(key: &'static str, default: u64, floor: u64, ceiling: u64) -> Row {
    Row { key, default, floor, ceiling, show: show_size }
}

/// In this unit, with its default, floor and ceiling.
pub const fn count(key: &'static str, default: u64, floor: u64, ceiling: u64) -> Row {
    Row { key, default, floor, ceiling, show: |count| count.to_string() }
}

/// In this unit, with its default, floor and ceiling.
pub const fn time(key: &'static str, default: u64, floor: u64, ceiling: u64) -> Row {
    let show = |ms| show_duration(std::time::Duration::from_millis(ms));
    Row { key, default, floor, ceiling, show }
}
