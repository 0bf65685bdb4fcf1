//! Roots: the first, those that come after it, and signatures that are added on other machines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_fleet::release::{self, Release, Root, Trust, root};

use super::{bytes, private, public, write};
use crate::clock::Clock;
use crate::end::{Stop, end};
use crate::flags::Rooted;

/// Unless something else is said, there should be another root after so many days.
const DAYS: u32 = 730;

/// `keys root`: a chain begins.
pub(crate) fn root(rooted: &Rooted) -> ExitCode {
    end(first(rooted))
}

fn first(rooted: &Rooted) -> Result<String, Stop> {
    let role = |files: &[PathBuf], threshold: Option<usize>| {
        let keys = public(files)?;
        let threshold = threshold.unwrap_or(1);
        Ok(Trust { keys, threshold })
    };
    let root = Root {
        version: 1,
        expires: Some(expiry(rooted.days)),
        root: role(&rooted.roots, rooted.root_threshold)?,
        release: role(&rooted.releases, rooted.threshold)?,
    };
    let signed = signed(&root, rooted)?;
    save(&root, &signed, None, rooted)
}

/// `keys rotate`: the next root. What is not said stays as it is.
pub(crate) fn rotate(rooted: &Rooted) -> ExitCode {
    end(next(rooted))
}

fn next(rooted: &Rooted) -> Result<String, Stop> {
    let Some(before) = &rooted.before else {
        return Err(Stop::Refused("rotate takes the root that is valid now".into()));
    };
    let old = bytes(before)?;
    let refused = |refused| Stop::Refused(format!("{}: {refused}", before.display()));
    let old = root::unverified(&old).map_err(refused)?;
    let role = |old: &Trust, files: &[PathBuf], threshold: Option<usize>| {
        let keys = if files.is_empty() { old.keys.clone() } else { public(files)? };
        Ok::<_, Stop>(Trust { keys, threshold: threshold.unwrap_or(old.threshold) })
    };
    let root = Root {
        version: old.version.saturating_add(1),
        expires: Some(expiry(rooted.days)),
        root: role(&old.root, &rooted.roots, rooted.root_threshold)?,
        release: role(&old.release, &rooted.releases, rooted.threshold)?,
    };
    let signed = signed(&root, rooted)?;
    save(&root, &signed, Some(&old), rooted)
}

fn expiry(days: Option<u32>) -> i64 {
    Clock::wall().saturating_add(i64::from(days.unwrap_or(DAYS)) * 86_400)
}

fn signed(root: &Root, rooted: &Rooted) -> Result<Vec<u8>, Stop> {
    let keys = private(&rooted.keys)?;
    root.sign(&keys, Clock::wall()).map_err(|refused| Stop::Refused(refused.to_string()))
}

fn save(root: &Root, signed: &[u8], old: Option<&Root>, rooted: &Rooted) -> Result<String, Stop> {
    let file = rooted.output.join("roots").join(root.version.to_string());
    write(&file, signed, 0o644)
        .map_err(|error| Stop::Failed(format!("cannot write {}: {error}", file.display())))?;
    let missing = match old.map_or_else(|| Root::first(signed), |old| old.next(signed)) {
        Ok(_) => String::new(),
        Err(refused) => format!(
            "\nit does not count yet: {refused}\nhint: edge-deploy keys sign {} --key FILE, where the other keys are",
            file.display()
        ),
    };
    Ok(format!(
        "{}: root {}, {} of {} keys for roots, {} of {} for releases{missing}\n",
        file.display(),
        root.version,
        root.root.threshold,
        root.root.keys.len(),
        root.release.threshold,
        root.release.keys.len(),
    ))
}

/// `keys sign`: a signature more, below a root or a release.
pub(crate) fn sign(file: &Path, keys: &[PathBuf]) -> ExitCode {
    end(countersigned(file, keys))
}

fn countersigned(file: &Path, keys: &[PathBuf]) -> Result<String, Stop> {
    let (old, keys) = (bytes(file)?, private(keys)?);
    let refused = |refused| Stop::Refused(format!("{}: {refused}", file.display()));
    // Nobody signs what nobody could use.
    let what = match root::unverified(&old) {
        Ok(root) => format!("root {}", root.version),
        Err(_) => {
            let (Release { name, version, .. }, _) = release::unverified(&old).map_err(refused)?;
            format!("{name}@{version}")
        }
    };
    let new = release::countersign(&old, &keys, Clock::wall()).map_err(refused)?;
    let failed = |error: std::io::Error| Stop::Failed(format!("{}: {error}", file.display()));
    let part = file.with_extension("signing");
    drop(fs::remove_file(&part));
    write(&part, &new, 0o644).map_err(failed)?;
    fs::rename(&part, file).map_err(failed)?;
    let signers = release::signers(&new).map_err(refused)?.len();
    Ok(format!("{what}: {signers} signatures\n"))
}
