//! `pilotlight test`: filters tried without a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::REFUSED;

/// Runs the tests below these paths.
#[cfg(feature = "testing")]
pub(crate) fn test(paths: &[PathBuf], tap: bool, junit: Option<&Path>) -> ExitCode {
    use pilotlight_testing::{Bench, Refusal};

    use crate::{FAILED, commands, engines};

    let bench = Bench {
        engines: engines::all(),
        plan: |manifest, engine, now| pilotlight_server::plan_of(manifest, engine, 1, now).0,
        env: commands::env,
    };
    let summary = match pilotlight_testing::run(bench, paths, tap, &mut commands::print) {
        Ok(summary) => summary,
        Err(Refusal::Manifest(report)) => return commands::refuse(&report),
        Err(Refusal::Usage(message)) => {
            eprintln!("pilotlight: {message}");
            return ExitCode::from(REFUSED);
        }
    };
    if let Some(file) = junit
        && let Err(error) = std::fs::write(file, summary.junit())
    {
        eprintln!("pilotlight: cannot write {}: {error}", file.display());
        return ExitCode::from(FAILED);
    }
    if summary.has_passed() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

#[cfg(not(feature = "testing"))]
pub(crate) fn test(_: &[PathBuf], _: bool, _: Option<&Path>) -> ExitCode {
    eprintln!(
        "pilotlight: this build runs no tests\nhint: run them with the full build, which has the feature `testing`"
    );
    ExitCode::from(REFUSED)
}
