//! Manifests from files, and what is wrong with them.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_config::{Disk as _, Local, Report};
use pilotlight_fleet::manifest::{Controller, Faults, Fleet, From, Node, Parsed, Release, Rollout};

use crate::REFUSED;
use crate::end::refuse;

/// Reads a manifest. What is wrong with it has been said when it is `None`.
pub(crate) fn read<M>(
    parse: fn(&str, &Path, From<'_>) -> Parsed<M>,
    file: &Path,
) -> Result<M, ExitCode> {
    let text = Local.read(file);
    let text = text.map_err(|error| refuse(format!("cannot read {}: {error}", file.display())))?;
    let from = From { env: &env, disk: &Local };
    match parse(&text, file, from) {
        Ok((manifest, warnings)) => {
            say(&warnings);
            Ok(manifest)
        }
        Err(report) => {
            say(&report);
            Err(ExitCode::from(REFUSED))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "here is the door")]
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn say(report: &Report) {
    let color = std::io::stderr().is_terminal() && env("NO_COLOR").is_none();
    eprint!("{}", report.render(color));
}

/// `check`: each file as what its `kind` says.
pub(crate) fn check(files: &[PathBuf]) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let checked = match kind(file).as_deref() {
            Some("rollout") => read(Rollout::parse, file).map(drop),
            Some("fleet") => read(Fleet::parse, file).map(drop),
            Some("node") => read(Node::parse, file).map(drop),
            Some("controller") => read(Controller::parse, file).map(drop),
            Some("faults") => read(Faults::parse, file).map(drop),
            // Whatever else it is, it is told that it is not that.
            _ => read(Release::parse, file).map(drop),
        };
        if let Err(refused) = checked {
            code = refused;
        }
    }
    code
}

/// What a manifest says it is.
fn kind(file: &Path) -> Option<String> {
    let text = Local.read(file).ok()?;
    let line = text.lines().find(|line| line.trim_start().starts_with("kind"))?;
    line.split('"').nth(1).map(str::to_owned)
}
