//! Manifests as typed, of whatever kind: TOML with the place of every key and value, read by one
//! declaration a table ([`tables`]), judged in a [`Scene`], refused by a [`Report`].
//!
//! The gateway's manifest stands on it, and so do those of the fleet.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

mod kind;
mod list;
mod read;
pub mod row;
mod scene;
mod table;
mod word;

pub use kind::{Free, Later, REFERENCE, Rate, Share, Size, TextOrOff, Whole};
pub use list::{Named, OneOrMany, TextOr};
pub use read::{At, Name, Reader, Typed, Value};
pub use scene::{Refusal, Scene};
pub use serde_json::Value as Json;
pub use table::{Key, Put, Table, expected, key, table_schema, tables};
pub use word::{word, word_schema, words};

pub use crate::name::{closest, list as listed};

use crate::disk::Disk;
use crate::expand::Expander;
use crate::place::Place;
use crate::report::{Problem, Report};

/// A file as typed, and the scene to judge it in, which has what is wrong with its form so far.
/// `file` is how the user named it; references are asked of `env` and `disk`.
///
/// Errors: it is no TOML, or no table of that kind.
pub fn document<'d, T: Typed>(
    text: &str,
    file: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    disk: &'d dyn Disk,
) -> Result<(T, Scene<'d>), Report> {
    let shown = file.parent().unwrap_or(Path::new(""));
    let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
    let folder = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut report = Report::about(&folder, shown);
    match parse(text, &file, Expander { env, disk, folder: &folder, open: false }, &mut report) {
        Some(typed) => Ok((typed, Scene { folder, disk, report })),
        None => Err(report),
    }
}

/// One file as typed; `None` if it is no TOML.
pub(crate) fn parse<T: Typed>(
    text: &str,
    file: &Path,
    expander: Expander<'_>,
    report: &mut Report,
) -> Option<T> {
    let file = Arc::new(file.to_path_buf());
    report.add_source(file.clone(), text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        report.push(syntax(error.message(), place(&file, span)));
    }
    if !errors.is_empty() {
        return None;
    }
    let mut reader = Reader { file, source: text, expander, report };
    T::read(&Spanned::new(table.span(), DeValue::Table(table.into_inner())), &mut reader)
}

fn place(file: &Arc<PathBuf>, span: Range<usize>) -> Place {
    Place { file: file.clone(), start: span.start, end: span.end }
}

/// The parser's message on one line.
fn syntax(message: &str, place: Place) -> Problem {
    Problem::error(place, message.lines().map(str::trim).collect::<Vec<_>>().join(", "))
}
