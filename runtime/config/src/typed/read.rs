//! Reads spanned TOML into typed values, and goes on after every mistake.

use std::ops::{Deref, Range};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::table::{Key, Table};
use crate::expand::Expander;
use crate::name;
use crate::place::Place;
use crate::report::{Problem, Report};

/// A value with its place.
pub type Value<'i> = Spanned<DeValue<'i>>;
/// A key with its place.
pub type Name<'i> = Spanned<std::borrow::Cow<'i, str>>;

/// A value with its place, and the place of its key (its own, if it has none).
#[derive(Debug)]
pub struct At<T> {
    /// What was typed.
    pub value: T,
    /// Where it stands.
    pub place: Place,
    /// Where its key stands.
    pub key: Place,
}

impl<T> Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// Something that can stand as a value in a manifest.
pub trait Typed: Sized {
    /// A key of the contract that this version does not have.
    const LATER: bool = false;

    /// A table with known keys: lists of such tables in several files are appended.
    const TABLE: bool = false;

    /// What may stand here, with an example: `a duration such as "5s"`.
    fn expected() -> String;

    /// The value, or `None` after its problems have been reported.
    fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self>;

    /// The same as JSON Schema (draft 7).
    fn schema() -> Json;

    /// Takes over what the same key says in another file, if that can be: else gives it back.
    fn join(&mut self, other: Self, _: &mut Reader<'_>) -> Result<(), Self> {
        Err(other)
    }
}

/// One file that is being read.
pub struct Reader<'a> {
    pub(crate) file: Arc<PathBuf>,
    pub(crate) source: &'a str,
    pub(crate) expander: Expander<'a>,
    pub(crate) report: &'a mut Report,
}

impl Reader<'_> {
    /// The place of these bytes of the file.
    pub fn place(&self, span: Range<usize>) -> Place {
        Place { file: self.file.clone(), start: span.start, end: span.end }
    }

    /// A value that stands alone: an item of a list.
    pub fn item<T: Typed>(&mut self, value: &Value<'_>) -> Option<At<T>> {
        let place = self.place(value.span());
        let read = T::read(value, self)?;
        Some(At { value: read, key: place.clone(), place })
    }

    /// A value with its key.
    pub fn field<T: Typed>(&mut self, key: &Name<'_>, value: &Value<'_>) -> Option<At<T>> {
        let key_place = self.place(key.span());
        if T::LATER {
            self.later(key_place, key.get_ref());
            return None;
        }
        let read = T::read(value, self)?;
        Some(At { value: read, place: self.place(value.span()), key: key_place })
    }

    /// A value with its key, where it belongs; whether it could be read.
    #[inline(never)]
    pub fn put<T: Typed>(
        &mut self,
        to: &mut Option<At<T>>,
        key: &Name<'_>,
        value: &Value<'_>,
    ) -> bool {
        *to = self.field(key, value);
        to.is_some()
    }

    /// The keys of a table, each by its number; whether there was one that could not be read, or that is missing.
    /// `None`: it is no table.
    pub fn keys<T: Typed + Table>(
        &mut self,
        value: &Value<'_>,
        put: &mut dyn FnMut(usize, &Name<'_>, &Value<'_>, &mut Self) -> bool,
    ) -> Option<bool> {
        let table = self.table::<T>(value)?;
        Some(self.each(value, table, (T::KEYS, T::NEEDED), put))
    }

    fn each(
        &mut self,
        value: &Value<'_>,
        table: &DeTable<'_>,
        (keys, needed): (&[Key], &[&str]),
        put: &mut dyn FnMut(usize, &Name<'_>, &Value<'_>, &mut Self) -> bool,
    ) -> bool {
        let mut broken = false;
        for (key, value) in table {
            let read = match keys.iter().position(|row| row.name == key.get_ref().as_ref()) {
                Some(at) => put(at, key, value, self),
                None => self.unknown(key, keys),
            };
            broken |= !read;
        }
        broken || self.missing(value, table, (keys, needed))
    }

    /// A table, or a problem.
    pub fn table<'v, 'i, T: Typed>(&mut self, value: &'v Value<'i>) -> Option<&'v DeTable<'i>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong::<T>(value);
        }
        table
    }

    /// A string with its references replaced, or `None` if it is no string or they lead nowhere.
    pub fn text<T: Typed>(&mut self, value: &Value<'_>) -> Option<String> {
        let Some(text) = value.get_ref().as_str() else {
            self.wrong::<T>(value);
            return None;
        };
        match self.expander.expand(text) {
            Ok(text) => Some(text),
            Err(dangling) if dangling.open => None,
            Err(dangling) => {
                let at = text.find(&dangling.reference).unwrap_or(0);
                let place = self.part(value, text, at..at + dangling.reference.len());
                let mut problem = Problem::error(place, dangling.message);
                problem.hint = dangling.hint;
                self.report.push(problem);
                None
            }
        }
    }

    /// The place of some bytes of a string's text. Where the text is not as it was typed (escapes,
    /// references), it is that of the whole string.
    pub fn part(&self, value: &Value<'_>, text: &str, bytes: Range<usize>) -> Place {
        let span = value.span();
        let typed = self.source.get(span.clone()).unwrap_or("");
        let part = text.get(bytes.clone()).filter(|part| !part.is_empty());
        let begin = typed.find(text).map(|at| at + bytes.start);
        // A part that stands there once is found, also when the rest is escaped.
        let once =
            || part.filter(|part| typed.matches(part).count() == 1).and_then(|p| typed.find(p));
        match begin.or_else(once) {
            Some(at) => self.place(span.start + at..span.start + at + bytes.len()),
            None => self.place(span),
        }
    }

    /// Reports a value of the wrong type.
    pub fn wrong<T: Typed>(&mut self, value: &Value<'_>) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(true) => "true",
            DeValue::Boolean(false) => "false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.refuse(value, format!("expected {}, found {found}", T::expected()), None);
    }

    /// Reports a value that cannot be.
    pub fn refuse(&mut self, value: &Value<'_>, message: String, hint: Option<String>) {
        self.refuse_at(self.place(value.span()), message, hint);
    }

    /// Reports what cannot be, at a place of its own.
    pub fn refuse_at(&mut self, place: Place, message: String, hint: Option<String>) {
        let problem = Problem::error(place, message);
        self.report.push(Problem { hint, ..problem });
    }

    /// Reports a key or value of the contract that this version does not have.
    pub fn later(&mut self, place: Place, what: &str) {
        let message = format!("{what:?} is not supported by this version yet");
        self.report.push(Problem::error(place, message));
    }

    /// Reports an unknown key. True if it seems to be none of the known ones, misspelt.
    fn unknown(&mut self, key: &Name<'_>, keys: &[Key]) -> bool {
        let keys = || keys.iter().filter(|key| !key.later).map(|key| key.name);
        let wrong = key.get_ref();
        let close = name::closest(wrong, keys());
        let hint = match close {
            Some(close) => format!("did you mean \"{close}\"?"),
            None => format!("keys here are {}", name::list(keys())),
        };
        let problem = Problem::error(self.place(key.span()), format!("unknown key {wrong:?}"));
        self.report.push(problem.hint(hint));
        close.is_none()
    }

    /// Reports keys that are needed but not there. True if there are any.
    fn missing(
        &mut self,
        value: &Value<'_>,
        table: &DeTable<'_>,
        (keys, needed): (&[Key], &[&str]),
    ) -> bool {
        let missing = || needed.iter().filter(|key| !table.contains_key(**key));
        for key in missing() {
            let row = keys.iter().find(|row| row.name == *key);
            let doc = row.and_then(|row| row.doc.first()).map_or("", |line| line.trim());
            let problem = Problem::error(self.place(value.span()), format!("{key:?} is missing"));
            self.report.push(problem.hint(format!("{key}: {doc}")));
        }
        missing().count() > 0
    }

    /// Merges a key that may stand in both of two files.
    #[inline(never)]
    pub fn join_key<T: Typed>(
        &mut self,
        name: &str,
        mine: &mut Option<At<T>>,
        other: Option<At<T>>,
    ) {
        let Some(other) = other else { return };
        let Some(at) = mine else {
            *mine = Some(other);
            return;
        };
        if at.value.join(other.value, self).is_err() {
            self.twice(&format!("{name:?}"), &at.key, &other.key);
        }
    }

    /// Reports something that is defined in two places.
    pub fn twice(&mut self, what: &str, first: &Place, second: &Place) {
        let problem = Problem::error(second, format!("{what} is defined twice"));
        self.report.push(problem.also("the first one is here", first));
    }
}
