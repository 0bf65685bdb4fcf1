//! The tests of a release, run by a gateway over a copy of what was packed: what is not in it is not
//! found, and references have the fleet's values.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pilotlight_config::{literal, render};
use pilotlight_fleet::release::Release;

use super::folder::Folder;

/// Runs them.
///
/// Errors: why they did not pass, or could not be run.
pub(super) fn run(
    release: &Release,
    files: &BTreeMap<String, PathBuf>,
    vars: &BTreeMap<String, String>,
    gateway: &Path,
) -> Result<(), String> {
    let folder = Folder::new("tests")?;
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
    for (name, from) in files {
        let to = folder.path.join(name);
        let parent = to.parent().unwrap_or(&folder.path);
        fs::create_dir_all(parent).map_err(|e| failed(name, e))?;
        if release.render.contains(name) {
            let text = fs::read_to_string(from).map_err(|e| failed(name, e))?;
            fs::write(&to, sample(&text, vars)).map_err(|e| failed(name, e))?;
        } else {
            fs::copy(from, &to).map_err(|e| failed(name, e))?;
        }
    }
    let run = Command::new(gateway)
        .arg("test")
        .args(&release.tests)
        .current_dir(&folder.path)
        .stdin(Stdio::null())
        // Data goes to standard output, and tests are none.
        .stdout(std::io::stderr())
        .status();
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the tests do not pass".into()),
        Err(error) => Err(format!("{} cannot be started: {error}", gateway.display())),
    }
}

/// The fleet's values, and something for what only a node has.
fn sample(text: &str, vars: &BTreeMap<String, String>) -> String {
    render(text, &|kind, name| match kind {
        "fleet" => vars.get(name).map(|value| literal(value)),
        "secret" => Some(format!("secret {name}")),
        "secret-file" => Some("/dev/null".into()),
        _ => None,
    })
}
