//! Times by the five fields of cron: minute, hour, day of the month, month, day of the week.
//!
//! A field is `*`, a number, a name (`jan`, `mon`), a range `a-b`, each with a step `/n`, or a list of
//! them. 7 is Sunday, too. Where both kinds of days are restricted, either will do, as in crontab(5).
//! `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` are known. No clock is read: times are
//! minutes since 1970 of whatever zone the caller means.

use std::fmt;

/// Minutes of a day.
const DAY: i64 = 24 * 60;

/// No time is more than eight years and a day from the next: 29 February, around 2100.
const FARTHEST_DAYS: i64 = 8 * 366 + 1;

/// Times that come again.
#[derive(Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    /// From bit 1 on.
    days: u64,
    /// From bit 1 on.
    months: u64,
    /// From Sunday, bit 0, on.
    weekdays: u64,
    /// Both kinds of days are restricted.
    either: bool,
}

/// Why a text is none: the message, and perhaps a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotCron(pub String, pub Option<String>);

struct Field {
    noun: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { noun: "minute", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { noun: "hour", first: 0, last: 23, names: &[] };
const MONTHDAY: Field = Field { noun: "day of the month", first: 1, last: 31, names: &[] };
const MONTH: Field = Field {
    noun: "month",
    first: 1,
    last: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Field = Field {
    noun: "day of the week",
    first: 0,
    last: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// Short forms.
const MACROS: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

impl Cron {
    /// Reads the five fields.
    ///
    /// # Errors
    /// [`NotCron`], also when it would never come.
    pub fn new(text: &str) -> Result<Cron, NotCron> {
        let known = MACROS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
        let fields: Vec<&str> =
            known.map_or(text, |(_, long)| long).split_ascii_whitespace().collect();
        let [minute, hour, monthday, month, weekday] = fields[..] else {
            let hint = "minute, hour, day of the month, month, day of the week: \"0 8 * * 1-5\"";
            return Err(NotCron(format!("{text:?} has not five fields"), Some(hint.into())));
        };
        let all = |field: &str| field.starts_with('*');
        let weekdays = WEEKDAY.read(weekday)?;
        let cron = Cron {
            text: text.into(),
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days: MONTHDAY.read(monthday)?,
            months: MONTH.read(month)?,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either: !all(monthday) && !all(weekday),
        };
        // Any span of eight years holds each day there is.
        match cron.next(0) {
            Some(_) => Ok(cron),
            None => Err(NotCron(format!("{text:?} never comes: no such month has that day"), None)),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first time at or after `minute`.
    pub fn next(&self, minute: i64) -> Option<i64> {
        let (today, now) = (minute.div_euclid(DAY), minute.rem_euclid(DAY));
        let later = || (1..=FARTHEST_DAYS).find(|ahead| self.on(today + ahead));
        let of_today = self.on(today).then(|| self.earliest(now)).flatten();
        match of_today {
            Some(at) => Some(today * DAY + at),
            None => Some((today + later()?) * DAY + self.earliest(0)?),
        }
    }

    /// The last time that is not after `minute` and less than `within` minutes before it.
    pub fn last(&self, minute: i64, within: i64) -> Option<i64> {
        let today = minute.div_euclid(DAY);
        let oldest = minute - within + 1;
        let days = (oldest.div_euclid(DAY)..=today).rev().filter(|day| self.on(*day));
        let mut times = days.filter_map(|day| {
            let until = if day == today { minute.rem_euclid(DAY) } else { DAY - 1 };
            Some(day * DAY + self.latest(until)?)
        });
        times.next().filter(|at| *at >= oldest)
    }

    /// The first time of a day at or after its minute `from`.
    fn earliest(&self, from: i64) -> Option<i64> {
        let lowest = |mask: u64, from: i64| {
            let mask = mask & u64::MAX << from;
            (mask != 0).then(|| i64::from(mask.trailing_zeros()))
        };
        let (hour, minute) = (from / 60, from % 60);
        let this_hour = (self.hours >> hour & 1 == 1).then(|| lowest(self.minutes, minute));
        match this_hour.flatten() {
            Some(minute) => Some(hour * 60 + minute),
            None => Some(lowest(self.hours, hour + 1)? * 60 + lowest(self.minutes, 0)?),
        }
    }

    /// The last time of a day at or before its minute `until`.
    fn latest(&self, until: i64) -> Option<i64> {
        let highest = |mask: u64, until: i64| {
            let mask = mask & !(u64::MAX << 1 << until);
            (mask != 0).then(|| i64::from(mask.ilog2()))
        };
        let (hour, minute) = (until / 60, until % 60);
        let this_hour = (self.hours >> hour & 1 == 1).then(|| highest(self.minutes, minute));
        match this_hour.flatten() {
            Some(minute) => Some(hour * 60 + minute),
            None if hour == 0 => None,
            None => Some(highest(self.hours, hour - 1)? * 60 + highest(self.minutes, 59)?),
        }
    }

    /// Whether it comes on a day since 1970.
    fn on(&self, day: i64) -> bool {
        let (month, monthday) = civil(day);
        // 1 January 1970 was a Thursday.
        let weekday = (day + 4).rem_euclid(7);
        let has = |mask: u64, bit: i64| mask >> bit & 1 == 1;
        let (monthday, weekday) = (has(self.days, monthday), has(self.weekdays, weekday));
        let fits = if self.either { monthday || weekday } else { monthday && weekday };
        fits && has(self.months, month)
    }
}

/// Month and day of the month of a day since 1970, in the calendar of today (the days of a 400-year era
/// counted from 1 March).
fn civil(day: i64) -> (i64, i64) {
    let era_day = (day + 719_468).rem_euclid(146_097);
    let year = (era_day - era_day / 1460 + era_day / 36_524 - era_day / 146_096) / 365;
    let year_day = era_day - (365 * year + year / 4 - year / 100);
    let month = (5 * year_day + 2) / 153;
    let monthday = year_day - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, monthday)
}

impl Field {
    /// A list of ranges as bits.
    fn read(&self, text: &str) -> Result<u64, NotCron> {
        text.split(',').try_fold(0, |bits, part| Ok(bits | self.range(part)?))
    }

    fn range(&self, part: &str) -> Result<u64, NotCron> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            // `5/15` is from 5 on.
            None if step.is_some() => (self.value(range)?, self.last),
            None => (self.value(range)?, self.value(range)?),
        };
        if first > last {
            let hint = format!("two parts: \"{first}-{},{}-{last}\"", self.last, self.first);
            return Err(NotCron(format!("{part:?} goes backwards"), Some(hint)));
        }
        let step = match step.map(str::parse::<usize>) {
            None => 1,
            Some(Ok(step @ 1..=59)) => step,
            Some(_) => return Err(NotCron(format!("{part:?} has no step from 1 to 59"), None)),
        };
        Ok((first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u32, NotCron> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + self.first);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        named.or(number).filter(|value| (self.first..=self.last).contains(value)).ok_or_else(|| {
            let names = self.names.first().map_or(String::new(), |name| format!(", or \"{name}\""));
            let hint = format!("{} to {}{names}", self.first, self.last);
            NotCron(format!("{text:?} is no {}", self.noun), Some(hint))
        })
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

#[cfg(test)]
mod tests;
