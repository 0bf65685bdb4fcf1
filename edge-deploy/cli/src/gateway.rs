//! The gateway's program: the one that was named, or lies beside this one, or is found on the path.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Finds it.
///
/// Errors: a sentence for people.
pub(crate) fn find(named: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(named) = named {
        return match named.is_file() {
            true => Ok(std::path::absolute(named).unwrap_or_else(|_| named.into())),
            false => Err(format!("{} is no program", named.display())),
        };
    }
    let beside = std::env::current_exe().ok().and_then(|me| me.parent().map(Path::to_path_buf));
    let path = crate::manifests::env("PATH").unwrap_or_default();
    let folders = beside.into_iter().chain(std::env::split_paths(&path).collect::<Vec<_>>());
    folders.map(|folder| folder.join("pilotlight")).find(|path| path.is_file()).ok_or_else(|| {
        "there is no `pilotlight` beside edge-deploy or on PATH\nhint: --gateway FILE names the program"
            .to_owned()
    })
}

/// Asks the program something that it tells on standard output.
pub(crate) fn told(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

/// What the program says that it is.
pub(crate) fn version(program: &Path) -> Option<String> {
    let said = told(program, &["version"])?;
    said.trim().strip_prefix("pilotlight ").map(str::to_owned)
}
