//! nginx's times and sizes as a manifest writes them.

use pilotlight_config::units::{show_duration, show_size};
use std::time::Duration;

/// `1m30s`, `500ms`, `60`: seconds where no unit stands.
pub(super) fn time(text: &str) -> Option<Duration> {
    const UNITS: &[(&str, u64)] = &[
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 7 * 86_400_000),
        ("M", 30 * 86_400_000),
        ("y", 365 * 86_400_000),
    ];
    let mut rest = text;
    let mut all = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[..letters];
        let scale = match unit {
            "" => 1000,
            unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
        };
        all = all.checked_add(number.checked_mul(scale)?)?;
        rest = rest[letters..].trim_start();
    }
    Some(Duration::from_millis(all)).filter(|time| *time <= pilotlight_config::units::LONGEST)
}

/// A time as the manifest writes it, between what its keys take.
pub(super) fn shown(time: Duration) -> String {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    show_duration(time.clamp(Duration::from_millis(1), DAY))
}

/// `10m`, `512k`, `1g`: bytes where no unit stands.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let scale = match text[digits..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(scale).filter(|bytes| *bytes <= 1 << 50)
}

/// A size as the manifest writes it.
pub(super) fn shown_size(bytes: u64) -> String {
    show_size(bytes)
}
