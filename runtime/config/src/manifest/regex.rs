//! Regular expressions over paths. They search in time linear in the path, which clients choose: so
//! there is no look-around and no back-reference.

use std::fmt;
use std::ops::Range;

use regex_automata::meta::{Builder, Config, Regex};
use regex_automata::util::primitives::NonMaxUsize;
use regex_syntax::ParserBuilder;

/// More groups than that do not compile.
pub(crate) const MOST_GROUPS: usize = 8;

/// Bytes of a compiled expression.
const LARGEST: usize = 256 << 10;

/// Groups within groups.
const DEEPEST: u32 = 32;

/// A regular expression that matches somewhere in a canonical path.
#[derive(Clone)]
pub struct PathRegex {
    text: String,
    compiled: Regex,
    groups: usize,
}

impl PathRegex {
    /// Errors: why it is none, on one line.
    pub fn new(text: &str) -> Result<PathRegex, String> {
        // Canonical paths are ASCII: tables of Unicode would only cost memory.
        let mut parser =
            ParserBuilder::new().unicode(false).utf8(false).nest_limit(DEEPEST).build();
        let parsed = parser.parse(text).map_err(|error| reason(&error))?;
        let config = Config::new()
            .utf8_empty(false)
            .nfa_size_limit(Some(LARGEST))
            .onepass_size_limit(Some(LARGEST));
        let compiled = Builder::new().configure(config).build_from_hir(&parsed);
        let compiled = compiled.map_err(|_| "it is too large".to_owned())?;
        let groups = compiled.captures_len() - 1;
        match groups {
            0..=MOST_GROUPS => Ok(PathRegex { text: text.into(), compiled, groups }),
            _ => Err(format!("it has more than {MOST_GROUPS} groups")),
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many groups it has, at most eight.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether it matches. Hands out where each group did, in order; one that took no part, as an
    /// empty range. Allocates nothing but, now and then, room to search in.
    pub fn captures(&self, path: &[u8], mut group: impl FnMut(Range<usize>)) -> bool {
        let mut slots: [Option<NonMaxUsize>; 2 * (MOST_GROUPS + 1)] = Default::default();
        let slots = &mut slots[..2 * (self.groups + 1)];
        if self.compiled.search_slots(&path.into(), slots).is_none() {
            return false;
        }
        for pair in slots[2..].chunks_exact(2) {
            group(match (pair[0], pair[1]) {
                (Some(start), Some(end)) => start.get()..end.get(),
                _ => 0..0,
            });
        }
        true
    }
}

fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string().lines().last().unwrap_or_default().to_owned(),
    }
}

impl fmt::Debug for PathRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &PathRegex) -> bool {
        self.text == other.text
    }
}

impl Eq for PathRegex {}

#[cfg(test)]
mod tests;
