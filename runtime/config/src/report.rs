//! What is wrong with a manifest, for people (caret and hint) and for programs (JSON).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::place::Place;

mod render;

/// The most problems that one report keeps; one more line says that there are others.
const MOST: usize = 200;

/// Every problem that was found, in the order of the files.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Errors and warnings.
    pub problems: Vec<Problem>,
    /// Texts that places point into. A file that is not here is read when its excerpt is shown.
    sources: Vec<(Arc<PathBuf>, Arc<str>)>,
    /// The manifest's folder, absolute and as it was named: what is below is shown the second way.
    folder: Option<(PathBuf, PathBuf)>,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Whether it keeps the manifest from loading.
    pub severity: Severity,
    /// Where it is.
    pub spot: Spot,
    /// What is wrong, on one line.
    pub message: String,
    /// What to do about it, on one line.
    pub hint: Option<String>,
    /// Another place that has to do with it, and what stands there.
    pub also: Option<(String, Spot)>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The manifest is refused.
    Error,
    /// The manifest loads.
    Warning,
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq)]
pub enum Spot {
    /// A byte range of a manifest or an included file.
    Bytes(Place),
    /// A line and column of any text file (a script), both counted from 1, columns in characters.
    Line {
        /// The file.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// A whole file.
    File(PathBuf),
    /// No file: a flag of the command line.
    Nowhere,
}

impl From<Place> for Spot {
    fn from(place: Place) -> Spot {
        if place == Place::default() { Spot::Nowhere } else { Spot::Bytes(place) }
    }
}

impl From<&Place> for Spot {
    fn from(place: &Place) -> Spot {
        place.clone().into()
    }
}

/// A file, a line and a column, both from 1.
impl From<(PathBuf, usize, usize)> for Spot {
    fn from((file, line, column): (PathBuf, usize, usize)) -> Spot {
        Spot::Line { file, line, column }
    }
}

impl Problem {
    /// A mistake that keeps the manifest from loading.
    pub fn error(spot: impl Into<Spot>, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            spot: spot.into(),
            message: message.into(),
            hint: None,
            also: None,
        }
    }

    /// Something that is probably not meant.
    pub fn warning(spot: impl Into<Spot>, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(spot, message) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a second place, and what stands there.
    #[must_use]
    pub fn also(mut self, message: impl Into<String>, spot: impl Into<Spot>) -> Problem {
        self.also = Some((message.into(), spot.into()));
        self
    }
}

impl Report {
    /// An empty report about a manifest in `folder` (absolute), which was named `shown`.
    pub(crate) fn about(folder: &Path, shown: &Path) -> Report {
        Report { folder: Some((folder.into(), shown.into())), ..Report::default() }
    }

    /// Adds a problem. A report keeps 200.
    pub fn push(&mut self, problem: Problem) {
        match self.problems.len() {
            0..MOST => self.problems.push(problem),
            MOST => self.problems.push(Problem::error(Spot::Nowhere, "there are more problems")),
            _ => {}
        }
    }

    /// Whether the manifest must be refused.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Gives the text of a file, for excerpts.
    pub fn add_source(&mut self, file: Arc<PathBuf>, text: impl Into<Arc<str>>) {
        self.sources.push((file, text.into()));
    }

    /// Puts problems in the order in which a reader meets them; those without a file come last.
    pub(crate) fn sort(&mut self) {
        let file = |path: &Path| {
            self.sources
                .iter()
                .position(|(file, _)| file.as_path() == path)
                .unwrap_or(usize::MAX - 1)
        };
        let key = |problem: &Problem| match &problem.spot {
            Spot::Bytes(place) => (file(&place.file), place.start),
            Spot::Line { file: path, line, .. } => (file(path), *line),
            Spot::File(path) => (file(path), 0),
            Spot::Nowhere => (usize::MAX, 0),
        };
        let mut keyed: Vec<_> = self.problems.iter().map(|p| (key(p), p.clone())).collect();
        keyed.sort_by_key(|(key, _)| *key);
        self.problems = keyed.into_iter().map(|(_, problem)| problem).collect();
    }
}

impl From<Problem> for Report {
    fn from(problem: Problem) -> Report {
        Report { problems: vec![problem], ..Report::default() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

#[cfg(test)]
mod tests;
