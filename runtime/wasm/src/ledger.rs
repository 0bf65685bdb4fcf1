//! What was hashed before, so that a start with nothing new reads no file whole.
//!
//! ```text
//! a file's device, inode, size and times ─▶ the key of what is in it
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
/// Files of a ledger, at most: those that nobody names any more are forgotten with the others.
const FILES_MAX: usize = 4096;
/// Nanoseconds within which some file systems can't tell two changes apart, and more.
const YOUNG: i128 = 2_000_000_000;

/// A file's state, by what the system says of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
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
}

/// The ledger of one load.
pub(crate) struct Ledger<'a> {
    dir: &'a Path,
    known: HashMap<Facts, String>,
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
        self.known.get(file).map(String::as_str)
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
        if file.changed.max(file.modified) + YOUNG > now {
            return;
        }
        if self.known.len() >= FILES_MAX {
            self.known.clear();
        }
        self.known.insert(file, key.to_owned());
        self.has_new = true;
    }
}

impl Drop for Ledger<'_> {
    fn drop(&mut self) {
        let Some((scratch, _)) = &self.scratch else { return };
        let written = self.has_new && fs::write(scratch, text(&self.known)).is_ok();
        // A ledger that can't be written costs hashing, no more.
        if !written || fs::rename(scratch, self.dir.join(NAME)).is_err() {
            let _ = fs::remove_file(scratch);
        }
    }
}

/// The first line: what else a key stands for.
fn head() -> String {
    format!("{CONFIG} {MACHINE} {}", std::env::consts::OS)
}

fn text(known: &HashMap<Facts, String>) -> String {
    let mut text = head();
    for (Facts { device, inode, size, modified, changed }, key) in known {
        text += &format!("\n{device} {inode} {size} {modified} {changed} {key}");
    }
    text
}

fn read(path: &Path) -> Option<HashMap<Facts, String>> {
    let file = File::open(path).ok()?;
    if !cache::is_ours(&file.metadata().ok()?) {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let (first, rest) = text.split_once('\n')?;
    if first != head() {
        return None;
    }
    rest.lines().take(FILES_MAX).map(line).collect()
}

fn line(line: &str) -> Option<(Facts, String)> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<i128>().ok();
    let mut size = || u64::try_from(number()?).ok();
    let (device, inode, size) = (size()?, size()?, size()?);
    let (modified, changed) = (number()?, number()?);
    let facts = Facts { device, inode, size, modified, changed };
    Some((facts, words.next()?.to_owned()))
}

#[cfg(test)]
mod tests;
