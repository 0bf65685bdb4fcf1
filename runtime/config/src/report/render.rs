//! Problems as text with carets, and as JSON.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{Problem, Report, Severity, Spot};
use crate::disk::{Disk as _, Local};
use crate::place::Place;

/// Characters of a source line that an excerpt shows.
const WIDTH: usize = 160;

/// A spot in the eyes of a reader.
struct Located {
    file: String,
    /// Line, column and the column after the last, from 1, in characters.
    point: Option<(usize, usize, usize)>,
    /// The text of the line.
    excerpt: Option<String>,
}

struct Paint {
    bold: &'static str,
    red: &'static str,
    yellow: &'static str,
    cyan: &'static str,
    dim: &'static str,
    off: &'static str,
}

const PLAIN: Paint = Paint { bold: "", red: "", yellow: "", cyan: "", dim: "", off: "" };
const COLOR: Paint = Paint {
    bold: "\x1b[1m",
    red: "\x1b[1;31m",
    yellow: "\x1b[1;33m",
    cyan: "\x1b[36m",
    dim: "\x1b[2m",
    off: "\x1b[0m",
};

impl Report {
    /// All problems, each with its line and a caret, ending in a line break.
    pub fn render(&self, color: bool) -> String {
        let paint = if color { &COLOR } else { &PLAIN };
        let mut out = String::new();
        for problem in &self.problems {
            let tone = match problem.severity {
                Severity::Error => paint.red,
                Severity::Warning => paint.yellow,
            };
            let label = match problem.severity {
                Severity::Error => "",
                Severity::Warning => "warning: ",
            };
            let message = format!("{tone}{label}{}{}", paint.off, printable(&problem.message));
            self.write_spot(&mut out, &problem.spot, &message, tone, paint);
            if let Some((message, spot)) = &problem.also {
                self.write_spot(&mut out, spot, &printable(message), paint.cyan, paint);
            }
            if let Some(hint) = &problem.hint {
                let _ = writeln!(out, "{}hint:{} {}", paint.cyan, paint.off, printable(hint));
            }
        }
        out
    }

    /// `[{severity, file, line, column, end_column, message, hint, also}]`, lines and columns
    /// from 1; `null` where there is none.
    pub fn to_json(&self) -> Value {
        self.problems.iter().map(|problem| self.problem_json(problem)).collect()
    }

    fn problem_json(&self, problem: &Problem) -> Value {
        let mut value = self.spot_json(&problem.spot, &problem.message);
        value["severity"] = match problem.severity {
            Severity::Error => "error".into(),
            Severity::Warning => "warning".into(),
        };
        value["hint"] = problem.hint.clone().into();
        if let Some((message, spot)) = &problem.also {
            value["also"] = self.spot_json(spot, message);
        }
        value
    }

    fn spot_json(&self, spot: &Spot, message: &str) -> Value {
        let at = self.locate(spot);
        let part = |pick: fn((usize, usize, usize)) -> usize| at.point.map(pick);
        json!({
            "file": (!at.file.is_empty()).then_some(&at.file),
            "line": part(|point| point.0),
            "column": part(|point| point.1),
            "end_column": part(|point| point.2),
            "message": message,
        })
    }

    fn write_spot(&self, out: &mut String, spot: &Spot, message: &str, tone: &str, paint: &Paint) {
        let at = self.locate(spot);
        let off = paint.off;
        let head = match at.point {
            Some((line, column, _)) => format!("{}:{line}:{column}: ", at.file),
            None if at.file.is_empty() => String::new(),
            None => format!("{}: ", at.file),
        };
        let _ = writeln!(out, "{}{}{off}{message}", paint.bold, printable(&head));
        let (Some((line, column, end)), Some(excerpt)) = (at.point, at.excerpt) else { return };
        let (excerpt, column, end) = clip(&excerpt, column, end);
        let pad: String =
            excerpt.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        let carets = "^".repeat(end.saturating_sub(column).max(1));
        let _ = writeln!(out, "{}{line:5} |{off} {excerpt}", paint.dim);
        let _ = writeln!(out, "{}      |{off} {pad}{tone}{carets}{off}", paint.dim);
    }

    fn locate(&self, spot: &Spot) -> Located {
        match spot {
            Spot::Nowhere => Located { file: String::new(), point: None, excerpt: None },
            Spot::File(file) => Located { file: self.show(file), point: None, excerpt: None },
            Spot::Line { file, line, column } => {
                let text = self.text(file);
                let excerpt =
                    text.as_deref().and_then(|text| text.lines().nth(line.saturating_sub(1)));
                let point = Some((*line, *column.max(&1), column + 1));
                Located { file: self.show(file), point, excerpt: excerpt.map(Into::into) }
            }
            Spot::Bytes(place) => self.locate_bytes(place),
        }
    }

    fn locate_bytes(&self, place: &Place) -> Located {
        let file = self.show(&place.file);
        let Some(text) = self.text(&place.file) else {
            return Located { file, point: None, excerpt: None };
        };
        let start = floor(&text, place.start);
        let begin = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line = text[begin..].lines().next().unwrap_or("");
        let end = floor(&text, place.end.max(start)).min(begin + line.len()).max(start);
        let number = text[..begin].matches('\n').count() + 1;
        let column = text[begin..start].chars().count() + 1;
        let after = column + text[start..end].chars().count();
        Located {
            file,
            point: Some((number, column, after.max(column + 1))),
            excerpt: Some(line.into()),
        }
    }

    fn text(&self, file: &Path) -> Option<String> {
        match self.sources.iter().find(|(name, _)| name.as_path() == file) {
            Some((_, text)) => Some(text.to_string()),
            None => Local.read(file).ok(),
        }
    }

    /// The file as the reader named it, if it lies beside or below the manifest.
    fn show(&self, file: &Path) -> String {
        let below = self.folder.as_ref().and_then(|(folder, shown)| {
            file.strip_prefix(folder).ok().map(|rest| shown.join(rest))
        });
        below.as_deref().unwrap_or(file).display().to_string()
    }
}

/// The nearest start of a character, at or before this byte.
fn floor(text: &str, byte: usize) -> usize {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    byte
}

/// The part of a long line around the caret.
fn clip(line: &str, column: usize, end: usize) -> (String, usize, usize) {
    let length = line.chars().count();
    let skip = if length <= WIDTH || column < WIDTH / 2 { 0 } else { column - WIDTH / 2 };
    let mut shown: String = if skip > 0 { "…".into() } else { String::new() };
    shown.extend(line.chars().skip(skip).take(WIDTH));
    let mut shown = printable(&shown);
    if length > skip + WIDTH {
        shown.push('…');
    }
    let moved = |column: usize| if skip > 0 { column - skip + 1 } else { column };
    (shown, moved(column), moved(end).min(WIDTH + 2))
}

/// Without what would speak to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
