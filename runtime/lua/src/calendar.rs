//! Points in time as text, in UTC: a gateway has no local time.

/// Days since 1970 as year, month and day of the month (proleptic Gregorian calendar).
fn date(days: i64) -> (i64, u32, u32) {
    // Counted from 0000-03-01, so that a leap day ends its year.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = (of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    (year + era * 400 + i64::from(month <= 2), month, of_month)
}

/// Seconds since 1970, taken apart: year, month, day, hour, minute, second.
fn parts(seconds: f64) -> (i64, u32, u32, i64, i64, i64) {
    let seconds = seconds.max(0.0) as i64;
    let (year, month, day) = date(seconds / 86_400);
    let rest = seconds % 86_400;
    (year, month, day, rest / 3600, rest / 60 % 60, rest % 60)
}

/// `2026-11-26T00:31:08+00:00`.
pub(crate) fn iso8601(seconds: f64) -> String {
    let (year, month, day, hour, minute, second) = parts(seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

/// `26/Nov/2026:00:31:08 +0000`, as in the common log format.
pub(crate) fn local(seconds: f64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second) = parts(seconds);
    let month = MONTHS[month as usize - 1];
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests;
