//! `${env:NAME}` and `${file:PATH}` in strings; `$${` is a literal `${`.

use std::path::Path;

use crate::disk::{Disk, absolute, reason};

/// What references may see.
#[derive(Clone, Copy)]
pub(crate) struct Expander<'a> {
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) disk: &'a dyn Disk,
    /// Paths are relative to it.
    pub(crate) folder: &'a Path,
    /// Whether references that only a node can answer are left open.
    pub(crate) open: bool,
}

/// What only a node can answer: its environment, and what a fleet says of it.
const OPEN: &[&str] = &["env", "fleet", "secret", "secret-file"];

/// A reference that leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dangling {
    /// As it stands in the text: `${env:NAME}`.
    pub(crate) reference: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Not here: it is no mistake, and there is no value.
    pub(crate) open: bool,
}

impl Expander<'_> {
    /// The text with all references replaced, once: what they bring in is taken as it is.
    pub(crate) fn expand(&self, text: &str) -> Result<String, Dangling> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("$${") {
                out.push_str("${");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("${") {
                let Some(end) = after.find('}') else {
                    return Err(dangling(rest, "a reference without its `}`", Some(ESCAPE)));
                };
                out.push_str(&self.value(&after[..end], &rest[..end + 3])?);
                rest = &after[end + 1..];
            } else {
                out.push('$');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, inner: &str, reference: &str) -> Result<String, Dangling> {
        match inner.split_once(':') {
            Some((kind, _)) if self.open && OPEN.contains(&kind) => Err(open(reference)),
            // Where a path is whole, the node has the file.
            Some(("file", path)) if self.open && path.starts_with('/') => Err(open(reference)),
            Some(("env", name)) => (self.env)(name).ok_or_else(|| {
                let message = format!("the environment variable {name:?} is not set");
                dangling(reference, message, None)
            }),
            Some(("file", path)) => {
                let mut text = self.disk.read(&absolute(self.folder, path)).map_err(|error| {
                    let message = format!("cannot read {path:?}: {}", reason(&error));
                    dangling(reference, message, None)
                })?;
                // Editors end a file with a line break; a secret does not.
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                Ok(text)
            }
            Some(("fleet" | "secret" | "secret-file", _)) => {
                let message = format!("{reference:?} has its value on the nodes of a fleet");
                Err(dangling(reference, message, Some("edge-deploy replaces it there")))
            }
            _ => Err(dangling(reference, format!("unknown reference {reference:?}"), Some(ESCAPE))),
        }
    }
}

const ESCAPE: &str = "references are ${env:NAME} and ${file:PATH}; write $${ for a literal ${";

fn dangling(reference: &str, message: impl Into<String>, hint: Option<&str>) -> Dangling {
    let (reference, message) = (reference.into(), message.into());
    Dangling { reference, message, hint: hint.map(Into::into), open: false }
}

fn open(reference: &str) -> Dangling {
    Dangling { open: true, ..dangling(reference, "", None) }
}

#[cfg(test)]
mod tests;
