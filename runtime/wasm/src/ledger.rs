//! What was hashed and tried before, so that a start with nothing new reads no file whole and runs no module.
//!
//! ```text
//! a file's device, inode, size and times ─▶ the key of what is in it
//! a program's trial (`check`), by its name ─▶ what came of it, so that it need not even be mapped
//! ```
//! It lies in the cache's folder and is trusted as the files there are: written by us, and by nobody
//! else. Who changes a file changes its times, and it is hashed anew; a file so young that a change
//! might not show in them is not noted.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cache;
use crate::config::{CONFIG, MACHINE};

/// Its name in the cache's folder.
const NAME: &str = "known";
/// Lines of a ledger, at most: those that nobody asks for any more are forgotten with the others.
const LINES_MAX: usize = 4096;
/// Nanoseconds within which some file systems can't tell two changes apart, and more.
const YOUNG: i128 = 2_000_000_000;

/// A file's state, by what the system says of it.
#[derive(Clone, Copy)]
pub(crate) struct Facts {
    device: u64,
    inode: u64,
    size: u64,
    modified: i128,
    changed: i128,
}

impl Facts {
    pub(crate) fn of(file: &Metadata) -> Facts {
        let nanoseconds = |seconds, rest| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Facts {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: nanoseconds(file.mtime(), file.mtime_nsec()),
            changed: nanoseconds(file.ctime(), file.ctime_nsec()),
        }
    }

    /// As a ledger has them.
    pub(crate) fn name(&self) -> String {
        let Facts { device, inode, size, modified, changed } = self;
        format!("{device} {inode} {size} {modified} {changed}")
    }
}

/// The ledger of one load.
pub(crate) struct Ledger<'a> {
    dir: &'a Path,
    known: HashMap<String, String>,
    /// Where it is written to when there is something new, and the time then, as files have it.
    scratch: Option<(PathBuf, i128)>,
    has_new: bool,
}

impl Ledger<'_> {
    pub(crate) fn open(dir: &Path) -> Ledger<'_> {
        let known = read(&dir.join(NAME)).unwrap_or_default();
        Ledger { dir, known, scratch: None, has_new: false }
    }

    /// The key of what a file holds, if that is known.
    pub(crate) fn key(&self, file: &Facts) -> Option<&str> {
        self.known.get(&file.name()).map(String::as_str)
    }

    /// What came of a program's trial, if it went well before.
    pub(crate) fn tried(&self, trial: &str) -> Option<&str> {
        self.known.get(trial).map(String::as_str)
    }

    /// Says that files are about to be read: those that are younger than this are not noted.
    pub(crate) fn begin(&mut self) {
        if self.scratch.is_some() {
            return;
        }
        let Ok(path) = cache::write_scratch(self.dir, NAME, &[]) else { return };
        if let Ok(file) = fs::metadata(&path) {
            self.scratch = Some((path, Facts::of(&file).modified));
        }
    }

    /// Notes what a file holds that was looked at since [`Ledger::begin`].
    pub(crate) fn note(&mut self, file: Facts, key: &str) {
        let Some((_, now)) = self.scratch else { return };
        if file.changed.max(file.modified) + YOUNG <= now {
            self.add(file.name(), key.to_owned());
        }
    }

    /// Notes a trial that went well, and what came of it: a word.
    pub(crate) fn note_trial(&mut self, trial: String, outcome: String) {
        self.begin();
        self.add(trial, outcome);
    }

    fn add(&mut self, name: String, value: String) {
        if self.known.len() >= LINES_MAX {
            self.known.clear();
        }
        self.known.insert(name, value);
        self.has_new = true;
    }
}

impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        let Some((scratch, _)) = &self.scratch else { return };
        let text = if self.has_new { text(&self.known) } else { None };
        let written = text.is_some_and(|text| fs::write(scratch, text).is_ok());
        // A ledger that can't be written costs hashing and trials, no more.
        if !written || fs::rename(scratch, self.dir.join(NAME)).is_err() {
            let _ = fs::remove_file(scratch);
        }
    }
}

/// The first line: what else a line stands for. Another build may find otherwise.
fn head() -> Option<String> {
    let build = Facts::of(&fs::metadata("/proc/self/exe").ok()?);
    let Facts { size, modified, changed, .. } = build;
    Some(format!("{CONFIG} {MACHINE} {} {size} {modified} {changed}", std::env::consts::OS))
}

fn text(known: &HashMap<String, String>) -> Option<String> {
    let mut text = head()?;
    for (name, value) in known {
        text += &format!("\n{name} {value}");
    }
    Some(text)
}

fn read(path: &Path) -> Option<HashMap<String, String>> {
    let file = File::open(path).ok()?;
    if !cache::is_ours(&file.metadata().ok()?) {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let (first, rest) = text.split_once('\n')?;
    if first != head()? {
        return None;
    }
    let line = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.into(), value.into()));
    rest.lines().take(LINES_MAX).map(line).collect()
}

#[cfg(test)]
mod tests;
