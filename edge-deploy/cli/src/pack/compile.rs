//! Machine code for the targets of a fleet, made by the gateway's own compiler.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::folder::Folder;

/// Compiles modules for a target, or for this machine; gives where each lies in the folder.
///
/// Errors: what the compiler says.
pub(super) fn compile(
    modules: &BTreeMap<String, PathBuf>,
    target: Option<&str>,
    gateway: &Path,
    folder: &Folder,
) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut made = BTreeMap::new();
    for (name, module) in modules {
        let output = folder.path.join(target.unwrap_or("here")).join(name);
        let parent = output.parent().unwrap_or(&folder.path);
        fs::create_dir_all(parent).map_err(|error| format!("{}: {error}", parent.display()))?;
        let mut command = Command::new(gateway);
        command.arg("compile").arg(module).arg("-o").arg(&output).stdin(Stdio::null());
        if let Some(target) = target {
            command.args(["--target", target]);
        }
        let ran = command.output();
        let ran =
            ran.map_err(|error| format!("{} cannot be started: {error}", gateway.display()))?;
        if !ran.status.success() {
            let target = target.unwrap_or("this machine");
            let said = String::from_utf8_lossy(&ran.stderr);
            return Err(format!("{name} for {target}: {}", said.trim()));
        }
        made.insert(name.clone(), output);
    }
    Ok(made)
}
