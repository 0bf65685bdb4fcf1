//! `keys`: pairs of keys, of which one half never leaves its machine, and roots, which say whose signatures count.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_fleet::plan::hex;
use pilotlight_fleet::release::{PrivateKey, PublicKey, is_name};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{FAILED, REFUSED, print};

mod roots;
mod show;

pub(crate) use roots::{root, rotate, sign};
pub(crate) use show::show;

/// Writes `NAME.key`, which only its owner can read, and `NAME.pub`; a file that is there stays as it is.
pub(crate) fn new(path: &Path) -> ExitCode {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name));
    let Some(name) = name else {
        eprintln!("edge-deploy: names of keys are letters, digits, `-`, `_` and `.`, at most 64");
        return ExitCode::from(REFUSED);
    };
    let mut seed = [0; 32];
    let pair = SystemRandom::new().fill(&mut seed).ok().and_then(|()| PrivateKey::new(seed, name));
    let Some(pair) = pair else {
        eprintln!("edge-deploy: the system has no randomness");
        return ExitCode::from(FAILED);
    };
    let half = |end: &str| path.with_file_name(format!("{name}.{end}"));
    let (private, public) = (half("key"), half("pub"));
    for (file, text, mode) in
        [(&private, pair.text(), 0o600), (&public, pair.public().text(), 0o644)]
    {
        if let Err(error) = write(file, text.as_bytes(), mode) {
            eprintln!("edge-deploy: cannot write {}: {error}", file.display());
            return ExitCode::from(FAILED);
        }
    }
    let (private, public) = (private.display(), public.display());
    print(&format!(
        "{private} signs: keep it. {public} (id {}) is for the nodes.\n",
        pair.public().id()
    ));
    ExitCode::SUCCESS
}

/// Why a command ends.
pub(crate) enum Stop {
    /// What was given will not do.
    Refused(String),
    /// Something failed.
    Failed(String),
}

/// Says what has come of it.
fn end(done: Result<String, Stop>) -> ExitCode {
    let (why, code) = match done {
        Ok(said) => {
            print(&said);
            return ExitCode::SUCCESS;
        }
        Err(Stop::Refused(why)) => (why, REFUSED),
        Err(Stop::Failed(why)) => (why, FAILED),
    };
    eprintln!("edge-deploy: {why}");
    ExitCode::from(code)
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
