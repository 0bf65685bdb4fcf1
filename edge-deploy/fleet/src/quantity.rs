//! Quantities of rollouts: `"50/min"`, `"10% per site"`, `"0.5pp"`.

use std::time::Duration;

use pilotlight_config::typed::{Json, Reader, Typed, Value};
use pilotlight_config::units;
use serde::{Deserialize, Serialize};

/// So many in a time: `"50/min"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In so many milliseconds.
    pub per: u64,
}

impl Rate {
    /// How many in a millisecond.
    pub fn per_ms(self) -> f64 {
        self.count as f64 / self.per as f64
    }

    /// How many in a minute, at least one.
    pub fn per_minute(self) -> u64 {
        (self.count * 60_000 / self.per).max(1)
    }

    fn parse(text: &str) -> Option<Rate> {
        units::rate(text).ok().map(|(count, per)| Rate { count, per })
    }
}

/// A number, or a part of a whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Amount {
    /// `"5"`
    Count(u64),
    /// `"10%"`, as 0.1.
    Share(f64),
}

impl Amount {
    /// Of so many: a share is rounded down, and one is always allowed, so that a site of five nodes with 10 % is
    /// not left out.
    pub fn of(self, whole: usize) -> usize {
        let amount = match self {
            Amount::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Amount::Share(share) => (whole as f64 * share).floor() as usize,
        };
        amount.max(1)
    }
}

/// A share for people: 0.07 is `7 %`.
pub fn percent(share: f64) -> String {
    format!("{} %", (share * 1e5).round() / 1e3)
}

/// How many nodes may be away from their work at once: of all, or of those that share a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// How many.
    pub amount: Amount,
    /// Of the nodes with the same value of this label; without it, of all.
    pub per: Option<String>,
}

impl Budget {
    fn parse(text: &str) -> Option<Budget> {
        let (amount, per) = match text.split_once(" per ") {
            Some((amount, label)) => (amount, Some(label.trim())),
            None => (text, None),
        };
        let amount = match units::share(amount.trim()) {
            Ok(share) if share > 0.0 => Amount::Share(share),
            Ok(_) => return None,
            Err(_) => Amount::Count(amount.trim().parse().ok().filter(|count| *count > 0)?),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let fine = per.is_none_or(|label| !label.is_empty() && label.chars().all(plain));
        fine.then(|| Budget { amount, per: per.map(Into::into) })
    }
}

/// How much worse than the others a metric may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Worse {
    /// `"0.5pp"`: half a percentage point, as 0.005.
    Points(f64),
    /// `"20%"`: a fifth more, as 0.2.
    Share(f64),
}

impl Worse {
    /// What is still as good as `other`.
    pub fn than(self, other: f64) -> f64 {
        match self {
            Worse::Points(points) => other + points,
            Worse::Share(share) => other * (1.0 + share),
        }
    }

    fn parse(text: &str) -> Option<Worse> {
        match text.strip_suffix("pp") {
            Some(points) => units::share(&format!("{points}%")).ok().map(Worse::Points),
            None => units::share(text).ok().map(Worse::Share),
        }
    }
}

/// The most that a metric may be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Limit {
    /// `"1%"` of requests.
    Share(f64),
    /// `"250ms"`.
    Time(Duration),
}

impl Limit {
    fn parse(text: &str) -> Option<Limit> {
        let time = || units::duration(text).ok().map(Limit::Time);
        units::share(text).ok().map(Limit::Share).or_else(time)
    }
}

/// What a manifest may hold: strings with a form of their own.
macro_rules! quantities {
    ($( $Kind:ty, $what:literal, $examples:literal; )*) => { $(
        impl Typed for $Kind {
            fn expected() -> String {
                format!("{} such as {}", $what, $examples)
            }
            fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
                let text = reader.text::<Self>(value)?;
                let read = <$Kind>::parse(&text);
                if read.is_none() {
                    let hint = format!("such as {}", $examples);
                    reader.refuse(value, format!("{text:?} is not {}", $what), Some(hint));
                }
                read
            }
            fn schema() -> Json {
                String::schema()
            }
        }
    )* };
}

quantities! {
    Rate, "a rate", "\"50/min\", \"2/s\" or \"600/h\"";
    Budget, "a number of nodes", "\"10%\", \"5\", \"10% per site\" or \"1 per site\"";
    Worse, "a difference", "\"0.5pp\" (percentage points) or \"20%\" (a fifth more)";
    Limit, "a limit", "\"1%\" or \"250ms\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        assert_eq!(Rate::parse("50/min"), Some(Rate { count: 50, per: 60_000 }));
        assert_eq!(Rate::parse("2/s").map(Rate::per_minute), Some(120));
        assert_eq!(["50", "0/s", "5/day", "-1/s", "/s"].map(Rate::parse), [None; 5]);
        let site = Some("site".to_owned());
        assert_eq!(
            Budget::parse("10% per site"),
            Some(Budget { amount: Amount::Share(0.1), per: site })
        );
        assert_eq!(Budget::parse("5"), Some(Budget { amount: Amount::Count(5), per: None }));
        for text in ["0", "0%", "10 %x", "5 per ", "5 per a b", ""] {
            assert_eq!(Budget::parse(text), None, "{text}");
        }
        assert_eq!(Worse::parse("0.5pp"), Some(Worse::Points(0.005)));
        assert_eq!(Worse::parse("20%"), Some(Worse::Share(0.2)));
        assert_eq!(Limit::parse("250ms"), Some(Limit::Time(Duration::from_millis(250))));
    }

    #[test]
    fn a_share_allows_one_at_least() {
        assert_eq!(Amount::Share(0.1).of(5), 1);
        assert_eq!(Amount::Share(0.1).of(59), 5);
        assert_eq!(Amount::Count(3).of(100), 3);
        assert_eq!([0.07, 0.9, 0.0005].map(percent), ["7 %", "90 %", "0.05 %"]);
    }
}
