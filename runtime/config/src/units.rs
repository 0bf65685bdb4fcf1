//! Durations, sizes, shares and rates as they are written: `"250ms"`, `"64KiB"`, `"20%"`, `"100/s"`.

use std::fmt::Write as _;
use std::time::Duration;

/// Units of time, in milliseconds. Days are understood, and shown as hours.
const TIME: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of size, in bytes. Only powers of 1024: "KB" means two things, so it is refused.
const SIZE: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// What people write instead, and the unit that is probably meant.
const HABITS: &[(&str, &str)] = &[
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("msec", "ms"),
    ("min", "m"),
    ("mins", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("day", "d"),
    ("days", "d"),
    ("hours", "h"),
    ("bytes", "B"),
    ("b", "B"),
    ("k", "KiB"),
    ("kb", "KiB"),
    ("kib", "KiB"),
    ("m", "MiB"),
    ("mb", "MiB"),
    ("mib", "MiB"),
    ("g", "GiB"),
    ("gb", "GiB"),
    ("gib", "GiB"),
    ("t", "TiB"),
    ("tb", "TiB"),
    ("tib", "TiB"),
];

/// The longest duration that a manifest may hold: a year. Longer ones are typing errors.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// Not a number followed by a unit; holds what was probably meant.
    Form(Option<String>),
    /// A quantity, but past what can be held.
    TooLarge,
}

/// `"250ms"`, `"5s"`, `"2m"`, `"1h"`.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let duration = Duration::from_millis(scaled(text, TIME)?);
    if duration > LONGEST { Err(Wrong::TooLarge) } else { Ok(duration) }
}

/// `"512B"`, `"64KiB"`, `"8MiB"`: bytes, at most 2^63 - 1.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let bytes = scaled(text, SIZE)?;
    if bytes > i64::MAX as u64 { Err(Wrong::TooLarge) } else { Ok(bytes) }
}

/// `"20%"` as 0.2; `"0.5%"` is fine, more than `"100%"` is not.
pub fn share(text: &str) -> Result<f64, Wrong> {
    let plain = |number: &str| number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let Some(number) = text.strip_suffix('%') else {
        let guess = (plain(text) && !text.is_empty()).then(|| format!("{text}%"));
        return Err(Wrong::Form(guess));
    };
    match number.parse::<f64>() {
        Ok(percent) if plain(number) && percent <= 100.0 => Ok(percent / 100.0),
        Ok(_) if plain(number) => Err(Wrong::TooLarge),
        _ => Err(Wrong::Form(None)),
    }
}

/// `"100/s"`, `"1000/min"`, `"600/h"`: so many, at least one, in so many milliseconds.
pub fn rate(text: &str) -> Result<(u64, u64), Wrong> {
    const PER: &[(&str, u64)] = &[("s", 1_000), ("min", 60_000), ("h", 3_600_000)];
    let (number, unit) = text.split_once('/').unwrap_or((text, ""));
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    match (PER.iter().find(|(name, _)| *name == unit), number.parse()) {
        (Some((_, per)), Ok(count @ 1..=1_000_000_000)) if digits => Ok((count, *per)),
        (Some(_), Ok(0)) => Err(Wrong::Form(None)),
        (Some(_), _) if digits => Err(Wrong::TooLarge),
        _ => {
            let habit = match unit.trim() {
                "sec" | "second" | "S" | "" => Some("s"),
                "m" | "minute" | "M" => Some("min"),
                "hour" | "H" | "hr" => Some("h"),
                _ => None,
            };
            Err(Wrong::Form(habit.filter(|_| digits).map(|unit| format!("{number}/{unit}"))))
        }
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, Wrong> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    match units.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) if digits > 0 => {
            let number: u64 = number.parse().map_err(|_| Wrong::TooLarge)?;
            number.checked_mul(*scale).ok_or(Wrong::TooLarge)
        }
        _ => Err(Wrong::Form(guess(number, unit.trim(), units))),
    }
}

fn guess(number: &str, unit: &str, units: &[(&str, u64)]) -> Option<String> {
    let lower = unit.to_ascii_lowercase();
    let known = |name: &str| units.iter().any(|(unit, _)| *unit == name);
    let exact = units.iter().map(|(name, _)| *name).find(|name| name.eq_ignore_ascii_case(unit));
    let habit = HABITS.iter().find(|(habit, name)| *habit == lower && known(name));
    let unit = exact.or(habit.map(|(_, name)| *name))?;
    (!number.is_empty()).then(|| format!("{number}{unit}"))
}

/// A duration in its shortest exact form: `90s`, `2m`, `250ms`.
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &TIME[..4])
}

/// A size in its shortest exact form: `64KiB`, `1000B`.
pub fn show_size(bytes: u64) -> String {
    show(bytes, SIZE)
}

fn show(quantity: u64, units: &[(&str, u64)]) -> String {
    let fits = |scale: u64| quantity.is_multiple_of(scale) && quantity >= scale;
    let (unit, scale) = units
        .iter()
        .rev()
        .find(|(_, scale)| fits(*scale))
        .or(units.first())
        .copied()
        .unwrap_or(("", 1));
    let mut text = String::new();
    let _ = write!(text, "{}{unit}", quantity / scale);
    text
}

#[cfg(test)]
mod tests;
