//! A path pattern of the manifest, in pieces.

use std::cmp::Reverse;

use crate::path::canonicalise;

/// Literals with one wildcard between each two of them.
///
/// `/users/*/posts` is `/users/`, `/posts`; `/a/*` is `/a/` and open at the end, `/a*` is `/a` and
/// open; any path is one empty literal, open at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) literals: Vec<Vec<u8>>,
    /// Ends in a wildcard that takes all that is left.
    pub(super) open: bool,
}

impl Pattern {
    /// `None` is any path. A pattern is compared to canonical paths, so it takes that form too.
    pub(super) fn new(text: Option<&str>) -> Pattern {
        let Some(text) = text else {
            return Pattern { literals: vec![Vec::new()], open: true };
        };
        let text = canonicalise(text.as_bytes()).unwrap_or_else(|_| text.as_bytes().to_vec());
        let (text, open) = match text.strip_suffix(b"*") {
            Some(before) => (before, true),
            None => (&text[..], false),
        };
        let mut literals = vec![Vec::new()];
        for (at, segment) in text.split(|byte| *byte == b'/').enumerate() {
            if at > 0 {
                push(&mut literals, b"/");
            }
            match segment {
                b"*" => literals.push(Vec::new()),
                _ => push(&mut literals, segment),
            }
        }
        Pattern { literals, open }
    }

    /// It stands for one path.
    pub(super) fn is_exact(&self) -> bool {
        self.literals.len() == 1 && !self.open
    }

    /// Sorts the most specific first, among the exact ones and among the others: by literal bytes.
    /// (An exact one that fits is as long as the path, so it comes before all others.)
    pub(super) fn specificity(&self) -> impl Ord + use<> {
        Reverse(self.literals.iter().map(Vec::len).sum::<usize>())
    }

    /// Whether a path fits, the slow way; [`super::trie`] is the fast one.
    pub(super) fn fits(&self, path: &[u8]) -> bool {
        let mut rest = path;
        for (at, literal) in self.literals.iter().enumerate() {
            if at > 0 {
                let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
                if end == 0 {
                    return false;
                }
                rest = &rest[end..];
            }
            match rest.strip_prefix(&literal[..]) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        self.open || rest.is_empty()
    }
}

fn push(literals: &mut [Vec<u8>], bytes: &[u8]) {
    if let Some(last) = literals.last_mut() {
        last.extend_from_slice(bytes);
    }
}
