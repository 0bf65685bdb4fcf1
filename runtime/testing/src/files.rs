//! Which files hold tests, and a folder for what need not outlive them.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a test file's name ends with.
const ENDS: &str = "_test.lua";
/// Folders that hold other people's files.
const SKIPPED: [&str; 2] = ["target", "node_modules"];
/// Folders in folders.
const DEPTH: usize = 32;

/// The test files below these paths, in order.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        let told = |error| format!("{}: {error}", path.display());
        if fs::metadata(path).map_err(told)?.is_dir() {
            below(path, DEPTH, &mut found).map_err(told)?;
        } else {
            found.push(path.clone());
        }
    }
    let mut seen = Vec::new();
    found.retain(|path| {
        let new = !seen.contains(path);
        seen.push(path.clone());
        new
    });
    if found.is_empty() {
        let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(format!("no *{ENDS} in {}", shown.join(", ")));
    }
    Ok(found)
}

fn below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        // A link to a folder may lead back up; one to a file leads to a file.
        if entry.file_type()?.is_dir() {
            let skipped = name.starts_with('.') || SKIPPED.contains(&&*name);
            if !skipped && depth > 0 {
                below(&path, depth - 1, found)?;
            }
        } else if name.ends_with(ENDS) {
            found.push(path);
        }
    }
    Ok(())
}

/// A folder of this process's own, gone when dropped. Compiled modules are kept in it from test to test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Nobody else may write there: machine code is run from it.
    pub(crate) fn new() -> Scratch {
        let base = std::env::temp_dir();
        let made = (0..100).find_map(|number| {
            let path = base.join(format!("pilotlight-test-{}-{number}", std::process::id()));
            DirBuilder::new().mode(0o700).create(&path).ok().map(|()| path)
        });
        // Without one, each test compiles anew: the engine says so if it can't.
        Scratch(made.unwrap_or_else(|| base.join("pilotlight-test-none/none")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}
