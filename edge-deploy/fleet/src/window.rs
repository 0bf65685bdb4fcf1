//! Windows: when nodes may switch, in the time of their site: `"Mon-Thu 01:00-05:00"`.
//!
//! A window is open at an instant if the local time at that instant lies in it. So where a clock is put
//! forward over a window it is shorter, and where it is put back it is longer; nothing is reckoned.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pilotlight_config::typed::{Json, Reader, Typed, Value};
use serde::{Deserialize, Serialize};

/// When nodes may switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// Whose time.
    pub zone: Zone,
    /// Any of these.
    pub switch: Vec<Window>,
}

/// Whose time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Zone {
    /// That of each node: its label `tz`.
    Site,
    /// One for all, by its IANA name.
    Named(String),
}

/// Days and hours of a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// A bit a day on which it opens, Monday is the lowest.
    pub days: u8,
    /// Minutes after midnight.
    pub from: u16,
    /// Minutes after midnight; not after `from` means on the next day.
    pub to: u16,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: u16 = 24 * 60;

/// A zone by its IANA name; the names are built in.
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

/// The day of an instant in UTC, as people write it.
pub fn day(seconds: i64) -> String {
    let text = Timestamp::from_second(seconds).map(|instant| instant.to_string());
    text.unwrap_or_else(|_| "beyond all days".into()).chars().take(10).collect()
}

impl Windows {
    /// Whether one is open, where the time is that of `zone`, so many seconds after 1970.
    pub fn open(&self, zone: &TimeZone, seconds: i64) -> bool {
        let Ok(instant) = Timestamp::from_second(seconds) else { return false };
        let local = zone.to_datetime(instant);
        let day = local.date().weekday().to_monday_zero_offset().unsigned_abs();
        let minute =
            u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        self.switch.iter().any(|window| window.holds(day, minute))
    }
}

impl Window {
    /// `day` from Monday (0), `minute` after midnight.
    fn holds(self, day: u8, minute: u16) -> bool {
        let opens = |day: u8| self.days & (1 << (day % 7)) != 0;
        if self.from < self.to {
            return opens(day) && (self.from..self.to).contains(&minute);
        }
        // Over midnight: today's evening, or yesterday's morning after.
        opens(day) && minute >= self.from || opens(day + 6) && minute < self.to
    }

    fn parse(text: &str) -> Option<Window> {
        let (days, hours) = match text.split_once(' ') {
            Some((days, hours)) => (days, hours.trim()),
            None => ("daily", text),
        };
        let (from, to) = hours.split_once('-')?;
        let (from, to) = (minute(from)?, minute(to)?);
        let mask = match days {
            "daily" => 0x7f,
            _ => days.split(',').map(span).try_fold(0, |mask, span| Some(mask | span?))?,
        };
        (from != to && from < DAY).then_some(Window { days: mask, from, to })
    }
}

/// `01:00`, and `24:00` for the end of a day.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |text: &str| {
        let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse::<u16>().ok()).flatten()
    };
    let minutes = two(hour)? * 60 + two(minute).filter(|minute| *minute < 60)?;
    (minutes <= DAY).then_some(minutes)
}

/// `Mon` or `Fri-Mon`, as bits.
fn span(text: &str) -> Option<u8> {
    let day = |text: &str| DAYS.iter().position(|day| *day == text);
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    let length = (last + 7 - first) % 7;
    Some((0..=length).fold(0, |mask, step| mask | 1 << ((first + step) % 7)))
}

impl Typed for Window {
    fn expected() -> String {
        "a window such as \"Mon-Thu 01:00-05:00\"".into()
    }
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.text::<Self>(value)?;
        let read = Window::parse(&text);
        if read.is_none() {
            let hint = "days and hours: \"Mon-Thu 01:00-05:00\", \"Sat,Sun 22:00-04:00\", \"daily 02:00-03:30\"";
            reader.refuse(value, format!("{text:?} is not a window"), Some(hint.into()));
        }
        read
    }
    fn schema() -> Json {
        String::schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(texts: &[&str]) -> Windows {
        let switch = texts.iter().map(|text| Window::parse(text).unwrap()).collect();
        Windows { zone: Zone::Site, switch }
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn windows_open_in_the_time_of_the_site() {
        let nights = windows(&["Mon-Thu 01:00-05:00"]);
        let (berlin, utc) = (zone("Europe/Berlin").unwrap(), zone("UTC").unwrap());
        // A Tuesday in winter: 00:30 in UTC is 01:30 in Berlin.
        let tuesday = at("2026-11-24T00:30:00Z");
        assert!(nights.open(&berlin, tuesday));
        assert!(!nights.open(&utc, tuesday));
        // A Saturday.
        assert!(!nights.open(&utc, at("2026-11-28T02:00:00Z")));
        assert!(!nights.open(&utc, at("2026-11-24T05:00:00Z")));
        assert!(zone("Europe/Nowhere").is_none());
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_opens() {
        let weekend = windows(&["Sun 22:00-04:00"]);
        let utc = zone("UTC").unwrap();
        for (text, open) in [
            ("2026-11-29T22:00:00Z", true),
            ("2026-11-30T03:59:00Z", true),
            ("2026-11-30T04:00:00Z", false),
            ("2026-11-29T03:00:00Z", false),
            ("2026-11-30T22:00:00Z", false),
        ] {
            assert_eq!(weekend.open(&utc, at(text)), open, "{text}");
        }
    }

    #[test]
    fn days_on_which_clocks_change() {
        let night = windows(&["daily 02:00-03:00"]);
        let berlin = zone("Europe/Berlin").unwrap();
        let minutes = |day: &str| {
            let start = at(day);
            (0..24 * 60).filter(|m| night.open(&berlin, start + m * 60)).count()
        };
        assert_eq!(minutes("2026-06-01T00:00:00Z"), 60);
        // In spring the hour from two to three is not there, in autumn it is there twice.
        assert_eq!(minutes("2026-03-29T00:00:00Z"), 0);
        assert_eq!(minutes("2026-10-24T22:00:00Z"), 120);
    }

    #[test]
    fn other_texts_are_no_windows() {
        for text in [
            "Mon",
            "Mon 1:00-2:00",
            "Foo 01:00-02:00",
            "Mon 01:00-25:00",
            "01:00-01:00",
            "Mon-Tue-Wed 01:00-02:00",
        ] {
            assert_eq!(Window::parse(text), None, "{text}");
        }
        assert_eq!(span("Fri-Mon"), Some(0b111_0001));
        assert!(Window::parse("Mon,Wed 00:00-24:00").is_some());
    }
}
