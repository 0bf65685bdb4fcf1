//! Dates as HTTP, cookies and RFC 3339 write them. Years count from 1970 to 9999.

/// Seconds of a day.
const DAY: i64 = 86_400;
/// The last second of the year 9999.
const END: f64 = 253_402_300_799.0;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `Thu, 18 Nov 2010 11:27:35 GMT`
    Http,
    /// `Thu, 18-Nov-10 11:27:35 GMT`, with four digits from 2038 on.
    Cookie,
    /// `2010-11-18T11:27:35Z`
    Rfc3339,
    /// `2010-11-18T11:27:35.250Z`
    Millis,
    /// `2010-11-18T11:27:35+00:00`, as nginx has it: a gateway has no local time.
    Iso8601,
    /// `18/Nov/2010:11:27:35 +0000`, as in the common log format.
    Log,
}

/// A time of UTC as text. What is out of range becomes its nearest end.
pub(crate) fn format(seconds: f64, form: Form) -> String {
    let seconds = if seconds.is_nan() { 0.0 } else { seconds.clamp(0.0, END) };
    let whole = seconds as i64;
    let (days, clock) = (whole / DAY, whole % DAY);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    let (weekday, name) = (DAYS[(days % 7) as usize], MONTHS[month as usize - 1]);
    let clock = format!("{hour:02}:{minute:02}:{second:02}");
    match form {
        Form::Http => format!("{weekday}, {day:02} {name} {year:04} {clock} GMT"),
        Form::Cookie if year > 2037 => format!("{weekday}, {day:02}-{name}-{year} {clock} GMT"),
        Form::Cookie => format!("{weekday}, {day:02}-{name}-{:02} {clock} GMT", year % 100),
        Form::Rfc3339 => format!("{year:04}-{month:02}-{day:02}T{clock}Z"),
        Form::Iso8601 => format!("{year:04}-{month:02}-{day:02}T{clock}+00:00"),
        Form::Log => format!("{day:02}/{name}/{year:04}:{clock} +0000"),
        Form::Millis => {
            let millis = (seconds.fract() * 1000.0) as u32;
            format!("{year:04}-{month:02}-{day:02}T{clock}.{millis:03}Z")
        }
    }
}

/// Year, month from 1, day from 1, of a day since 1970. (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms".)
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468
}

/// Seconds since 1970 of a date and a time of day; `None` when there is no such.
pub(crate) fn seconds(
    (year, month, day): (i64, i64, i64),
    (hour, minute, second): (i64, i64, i64),
) -> Option<f64> {
    let is_there = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && date(days(year, month, day)) == (year, month, day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..60).contains(&second);
    let clock = hour * 3600 + minute * 60 + second;
    is_there.then(|| (days(year, month, day) * DAY + clock) as f64)
}

/// What is left of a text.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    /// So many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        })
    }

    /// One of these bytes.
    fn one(&mut self, of: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        let found = of.contains(first).then_some(*first);
        self.0 = if found.is_some() { rest } else { self.0 };
        found
    }

    fn month(&mut self) -> Option<i64> {
        let (name, rest) = self.0.split_at_checked(3)?;
        self.0 = rest;
        Some(MONTHS.iter().position(|month| month.as_bytes() == name)? as i64 + 1)
    }

    fn clock(&mut self) -> Option<(i64, i64, i64)> {
        let hour = self.number(2)?;
        self.one(b":")?;
        let minute = self.number(2)?;
        self.one(b":")?;
        Some((hour, minute, self.number(2)?))
    }
}

/// Reads a date of HTTP in its three forms (RFC 9110 section 5.6.7), as nginx does: the day of the
/// week and what follows the time do not matter.
pub(crate) fn parse_http(text: &[u8]) -> Option<f64> {
    let mark = text.iter().position(|byte| matches!(byte, b',' | b' '))?;
    let mut rest = Text(text[mark + 1..].trim_ascii_start());
    if text[mark] == b' ' {
        // Sun Nov  6 08:49:37 1994
        let month = rest.month()?;
        rest.one(b" ")?;
        rest.one(b" ");
        let mut day = rest.number(1)?;
        if rest.0.first().is_some_and(u8::is_ascii_digit) {
            day = day * 10 + rest.number(1)?;
        }
        rest.one(b" ")?;
        let clock = rest.clock()?;
        rest.one(b" ")?;
        return seconds((rest.number(4)?, month, day), clock);
    }
    let day = rest.number(2)?;
    let dash = rest.one(b" -")?;
    let month = rest.month()?;
    rest.one(&[dash])?;
    let year = match dash {
        b' ' => rest.number(4)?,
        _ => rest.number(2).map(|year| if year < 70 { 2000 + year } else { 1900 + year })?,
    };
    rest.one(b" ")?;
    seconds((year, month, day), rest.clock()?)
}

/// Reads a time as RFC 3339 has it.
pub(crate) fn parse_rfc3339(text: &[u8]) -> Option<f64> {
    let mut rest = Text(text);
    let year = rest.number(4)?;
    rest.one(b"-")?;
    let month = rest.number(2)?;
    rest.one(b"-")?;
    let day = rest.number(2)?;
    rest.one(b"Tt ")?;
    let mut clock = rest.clock()?;
    // A leap second is the second before it: the clock of the system knows none.
    clock.2 = clock.2.min(59);
    let mut time = seconds((year, month, day), clock)?;
    if rest.one(b".").is_some() {
        let digits = rest.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let fraction = std::str::from_utf8(&rest.0[..digits]).ok()?;
        time += format!("0.{fraction}").parse::<f64>().ok().filter(|_| digits > 0)?;
        rest.0 = &rest.0[digits..];
    }
    match rest.one(b"Zz+-")? {
        b'Z' | b'z' => {}
        sign => {
            let hours = rest.number(2)?;
            rest.one(b":")?;
            let offset = (hours * 3600 + rest.number(2)? * 60) as f64;
            time += if sign == b'+' { -offset } else { offset };
        }
    }
    rest.0.is_empty().then_some(time)
}

#[cfg(test)]
mod tests;
