//! What those who judge a manifest share: the folder, the files, the report, and small checks.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::kind::{Size, Whole};
use super::read::At;
use super::row::Row;
use crate::disk::{Disk, absolute, reason};
use crate::name;
use crate::place::Place;
use crate::report::{Problem, Report, Spot};

/// Where a manifest is judged.
pub struct Scene<'a> {
    /// The manifest's folder.
    pub(crate) folder: PathBuf,
    pub(crate) disk: &'a dyn Disk,
    pub(crate) report: Report,
}

/// Why a text is not what it should be.
pub struct Refusal {
    /// What is wrong, on one line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Refusal {
    /// With what to do about it.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Refusal {
        Refusal { message: message.into(), hint: Some(hint.into()) }
    }
    /// Without.
    pub fn bare(message: impl Into<String>) -> Refusal {
        Refusal { message: message.into(), hint: None }
    }
}

impl Scene<'_> {
    /// Refuses the manifest.
    pub fn error(
        &mut self,
        spot: impl Into<Spot>,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        let problem = Problem::error(spot, message);
        self.report.push(Problem { hint, ..problem });
    }

    /// Says what is probably not meant.
    pub fn warning(&mut self, spot: impl Into<Spot>, message: impl Into<String>) {
        self.report.push(Problem::warning(spot, message));
    }

    /// What was made of the manifest, with its warnings; or every problem of it.
    pub fn finish<T>(mut self, made: T) -> Result<(T, Report), Report> {
        self.report.sort();
        if self.report.has_errors() { Err(self.report) } else { Ok((made, self.report)) }
    }

    /// Keys that are there, and mean nothing as things are.
    pub fn meaningless(&mut self, keys: &[(&str, Option<&Place>)], when: &str) {
        for (key, place) in keys {
            if let Some(place) = place {
                self.error(*place, format!("{key} has no meaning {when}"), None);
            }
        }
    }

    /// The value, or a problem at its place.
    pub fn accept<T>(&mut self, place: &Place, value: Result<T, Refusal>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.error(place, refusal.message, refusal.hint);
                None
            }
        }
    }

    /// Checks a text that is kept as it is.
    pub fn checked(&mut self, text: &At<String>, check: fn(&str) -> Result<(), Refusal>) -> String {
        self.accept(&text.place, check(text));
        text.value.clone()
    }

    /// A path of the manifest, absolute.
    pub fn path(&self, text: &str) -> PathBuf {
        absolute(&self.folder, text)
    }

    /// A file that must be there; `what` is its noun: "the script".
    pub fn file(&mut self, path: &At<String>, what: &str) -> PathBuf {
        let full = self.path(path);
        let readable = self.disk.file(&full);
        self.readable(path, what, readable);
        full
    }

    /// A folder that must be there.
    pub fn folder(&mut self, path: &At<String>, what: &str) -> PathBuf {
        let full = self.path(path);
        let readable = self.disk.folder(&full);
        self.readable(path, what, readable);
        full
    }

    /// A certificate and its key, of which neither can stand alone. `broken`: one may be misspelt.
    pub fn pair(
        &mut self,
        certificate: Option<&At<String>>,
        key: Option<&At<String>>,
        broken: bool,
    ) {
        match (certificate, key) {
            (Some(alone), None) if !broken => {
                self.error(&alone.key, "a certificate without its key", None);
            }
            (None, Some(alone)) if !broken => {
                self.error(&alone.key, "a key without its certificate", None);
            }
            _ => {}
        }
    }

    fn readable(&mut self, path: &At<String>, what: &str, result: io::Result<()>) {
        if path.is_empty() {
            self.error(&path.place, format!("the path of {what} is empty"), None);
        } else if let Err(error) = result {
            let message = format!("cannot read {what} {:?}: {}", path.value, reason(&error));
            self.error(&path.place, message, None);
        }
    }

    /// Bytes within a row.
    pub fn size(&mut self, value: Option<&At<Size>>, row: &Row) -> u64 {
        self.within(value.map(|value| (value.value.0, &value.place)), row)
    }

    /// A count within a row.
    pub fn whole(&mut self, value: Option<&At<Whole>>, row: &Row) -> u64 {
        self.within(value.map(|value| (value.value.0, &value.place)), row)
    }

    /// A time within a row.
    pub fn time(&mut self, value: Option<&At<Duration>>, row: &Row) -> Duration {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.within(value.map(|value| (ms(value.value), &value.place)), row))
    }

    fn within(&mut self, value: Option<(u64, &Place)>, row: &Row) -> u64 {
        let Some((value, place)) = value else { return row.default };
        if value < row.floor || value > row.ceiling {
            let (floor, ceiling) = ((row.show)(row.floor), (row.show)(row.ceiling));
            let message = if value < row.floor {
                format!("{} must be at least {floor}", row.key)
            } else {
                format!("{} must be at most {ceiling}", row.key)
            };
            self.error(place, message, None);
        }
        value
    }

    /// A count within a row, as the type of its field.
    pub fn usize(&mut self, value: Option<&At<Whole>>, row: &Row) -> usize {
        usize::try_from(self.whole(value, row)).unwrap_or(usize::MAX)
    }

    /// A name that the user gave to a filter, an upstream and so on.
    pub fn name(&mut self, name: &At<String>, noun: &str) {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 128 || !name.chars().all(fine) {
            let message =
                format!("{:?} cannot be the name of {}", name.value, name::with_article(noun));
            let hint = "names are letters, digits, `-`, `_` and `.`, at most 128";
            self.error(&name.place, message, Some(hint.into()));
        }
    }

    /// The index of a name among those that are defined, or a problem that lists them.
    pub fn find(&mut self, name: &At<String>, names: &[String], noun: &str) -> Option<usize> {
        if let Some(at) = names.iter().position(|defined| *defined == name.value) {
            return Some(at);
        }
        let message = format!("unknown {noun} {:?}", name.value);
        let names = || names.iter().map(String::as_str);
        let mut hint = match names().count() {
            0 => format!("no {noun} is defined"),
            _ => {
                let many = match noun.strip_suffix('y') {
                    Some(stem) => format!("{stem}ies"),
                    None => format!("{noun}s"),
                };
                format!("{many} here are {}", name::list(names()))
            }
        };
        if let Some(close) = name::closest(name, names()) {
            hint.push_str(&format!("; did you mean \"{close}\"?"));
        }
        self.error(&name.place, message, Some(hint));
        None
    }
}
