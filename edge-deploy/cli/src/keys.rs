//! `keys`: pairs of keys, of which one half never leaves its machine, and roots, which say whose signatures count.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_fleet::plan::hex;
use pilotlight_fleet::release::{PrivateKey, PublicKey, is_name};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::end::{Stop, end};

mod roots;
mod show;

pub(crate) use roots::{root, rotate, sign};
pub(crate) use show::show;

/// Writes `NAME.key`, which only its owner can read, and `NAME.pub`; a file that is there stays as it is.
pub(crate) fn new(path: &Path) -> ExitCode {
    end(made(path))
}

fn made(path: &Path) -> Result<String, Stop> {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name));
    let unfit = "names of keys are letters, digits, `-`, `_` and `.`, at most 64";
    let name = name.ok_or_else(|| Stop::Refused(unfit.into()))?;
    let mut seed = [0; 32];
    let pair = SystemRandom::new().fill(&mut seed).ok().and_then(|()| PrivateKey::new(seed, name));
    let pair = pair.ok_or_else(|| Stop::Failed("the system has no randomness".into()))?;
    let half = |end: &str| path.with_file_name(format!("{name}.{end}"));
    let (private, public) = (half("key"), half("pub"));
    for (file, text, mode) in
        [(&private, pair.text(), 0o600), (&public, pair.public().text(), 0o644)]
    {
        write(file, text.as_bytes(), mode)
            .map_err(|error| Stop::Failed(format!("cannot write {}: {error}", file.display())))?;
    }
    let (private, public) = (private.display(), public.display());
    Ok(format!(
        "{private} signs: keep it. {public} (id {}) is for the nodes.\n",
        pair.public().id()
    ))
}

/// The halves that sign, from their files.
pub(crate) fn private(files: &[PathBuf]) -> Result<Vec<PrivateKey>, Stop> {
    let read = |file: &PathBuf| {
        PrivateKey::parse(&text(file)?).ok_or_else(|| {
            Stop::Refused(format!("{} is no private key of `edge-deploy keys new`", file.display()))
        })
    };
    files.iter().map(read).collect()
}

/// The other halves.
fn public(files: &[PathBuf]) -> Result<Vec<PublicKey>, Stop> {
    let read = |file: &PathBuf| {
        PublicKey::parse(&text(file)?)
            .ok_or_else(|| Stop::Refused(format!("{} is no public key", file.display())))
    };
    files.iter().map(read).collect()
}

fn text(file: &Path) -> Result<String, Stop> {
    bytes(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn bytes(file: &Path) -> Result<Vec<u8>, Stop> {
    std::fs::read(file)
        .map_err(|error| Stop::Refused(format!("cannot read {}: {error}", file.display())))
}

/// A secret of a node's own.
pub(crate) fn secret() -> Option<String> {
    let mut bytes = [0; 24];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

/// Writes a file that is not there yet, and lasts.
pub(crate) fn write(file: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(file)?;
    file.write_all(content)?;
    file.sync_all()
}
