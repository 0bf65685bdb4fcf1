//! Other gateways' configurations as manifests: nginx's (as far as OpenResty's use goes) and Kong's
//! declarative one.
//!
//! Text in; a manifest, the files that it names, and notes out: each note is a place in the source,
//! what of it the manifest does not say, and what to do about it. Nothing that guards is dropped in
//! silence: where a guard cannot be said, its route refuses everyone, and a note tells.
//!
//! Includes are asked of a [`Disk`]; this crate touches no file itself.

mod doc;
mod kong;
mod lua;
mod matching;
mod nginx;
mod note;

use std::path::Path;

use pilotlight_config::Disk;

pub use note::{Note, Refused};

/// Where OpenResty keeps its libraries in Lua; Kong's packages bring them, too.
const LIBRARIES: &[&str] = &[
    "/usr/local/openresty/site/lualib/?.lua",
    "/usr/local/openresty/lualib/?.lua",
    "/usr/local/openresty/lualib/?/init.lua",
];

/// What is imported, and how names in it are understood.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The file, absolute; its folder is where names of certificates and includes start.
    pub file: &'a Path,
    /// Where nginx's other relative names start. Default: the folder above, where the file's own is
    /// called `conf`; else the file's own.
    pub prefix: Option<&'a Path>,
    /// The folder that the manifest will stand in, absolute. What is below it gets a relative name.
    pub out: Option<&'a Path>,
    /// Whom includes are asked of.
    pub disk: &'a dyn Disk,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// The manifest's text.
    pub manifest: String,
    /// Files that it names, by their paths relative to it.
    pub files: Vec<(String, String)>,
    /// What it does not say, in the order of the source.
    pub notes: Vec<Note>,
}

/// A kind of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `nginx.conf`.
    Nginx,
    /// `kong.yaml`, with `_format_version`; JSON is YAML, too.
    Kong,
}

impl Kind {
    /// By the file's extension, or else by the text: Kong's begins with its format.
    pub fn of(file: &Path, text: &str) -> Kind {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("yaml" | "yml" | "json") => Kind::Kong,
            Some("conf" | "nginx") => Kind::Nginx,
            _ if text.contains("_format_version") => Kind::Kong,
            _ => Kind::Nginx,
        }
    }
}

/// Turns a configuration into a manifest.
///
/// Errors: the text is none of its kind.
pub fn import(kind: Kind, text: &str, source: Source<'_>) -> Result<Imported, Refused> {
    let mut imported = match kind {
        Kind::Nginx => nginx::import(text, source)?,
        Kind::Kong => kong::import(text, source)?,
    };
    // The main file's first.
    let main = source.file.display().to_string();
    imported.notes.sort_by_key(|note| {
        let place = (note.file != main, note.file.clone(), note.line, note.column);
        (place, note.what.clone())
    });
    imported.notes.dedup();
    Ok(imported)
}

#[cfg(test)]
mod tests;
