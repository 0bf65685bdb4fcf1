//! The files that a manifest speaks of, as far as loading it must touch them.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The most that is read of a manifest, or of a `${file:}` value.
const LARGEST: u64 = 4 << 20;

/// Read-only access to files. Loading uses nothing else, so tests and fuzzers can stand in for it.
pub trait Disk {
    /// The whole text of a small file. Errors: not there, not readable, over 4 MiB, not UTF-8.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// Whether this is a file that can be opened for reading.
    fn file(&self, path: &Path) -> io::Result<()>;

    /// Whether this is a folder that can be listed.
    fn folder(&self, path: &Path) -> io::Result<()>;

    /// Names of a folder's entries, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Whether files count as there without a look: then what they hold says nothing.
    fn pretends(&self) -> bool {
        false
    }
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

impl Disk for Local {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.file(path)?;
        let mut text = String::new();
        File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
        if text.len() as u64 > LARGEST {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "larger than 4 MiB"));
        }
        Ok(text)
    }

    fn file(&self, path: &Path) -> io::Result<()> {
        // Asked before it is opened: opening a pipe would wait for its writer.
        let kind = fs::metadata(path)?;
        if kind.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if !kind.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        File::open(path).map(drop)
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        fs::read_dir(path).map(drop)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // A name that is not UTF-8 cannot match a pattern of a manifest, which is.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }
}

/// No file system: every file is there and empty, every folder is there without entries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pretend;

impl Disk for Pretend {
    fn read(&self, _: &Path) -> io::Result<String> {
        Ok(String::new())
    }
    fn file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn pretends(&self) -> bool {
        true
    }
}

/// Why a path cannot be used, for people.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "it does not exist".into(),
        ErrorKind::PermissionDenied => "permission denied".into(),
        ErrorKind::IsADirectory => "it is a folder".into(),
        ErrorKind::NotADirectory => "it is not a folder".into(),
        ErrorKind::InvalidData => "it is not UTF-8 text".into(),
        _ => error.to_string(),
    }
}

/// `text` seen from `folder`, without `.` steps.
pub(crate) fn absolute(folder: &Path, text: &str) -> PathBuf {
    folder.join(text).components().collect()
}
