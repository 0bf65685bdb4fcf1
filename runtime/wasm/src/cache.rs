//! Compiled modules on disk, by the content they were made from.
//!
//! ```text
//! an ELF file, mapped as it is | "pilot1\0\n" | SHA-256 of what is before
//! ```
//! Machine code is run as it stands, so a file is taken only when nobody but its owner, us, can
//! write it, and when its seal is whole: now, or when the ledger saw the very file before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN, digest};

use crate::config::{CONFIG, MACHINE};
use crate::ledger::{Facts, Ledger};

const MAGIC: &[u8; 8] = b"pilot1\0\n";
const SEAL: usize = MAGIC.len() + SHA256_OUTPUT_LEN;

/// A folder of compiled modules.
pub(crate) struct Cache<'a> {
    pub(crate) dir: &'a Path,
}

/// A file of machine code.
pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) facts: Facts,
    /// It was mapped before: it is of this machine and version.
    pub(crate) is_known: bool,
}

/// The name under which the machine code of `source` is kept.
pub(crate) fn key(source: &[u8]) -> String {
    let mut sum = Context::new(&SHA256);
    for part in [CONFIG, MACHINE, std::env::consts::OS] {
        sum.update(part.as_bytes());
        sum.update(&[0]);
    }
    sum.update(source);
    hex(sum.finish().as_ref())
}

/// Adds the seal to machine code.
#[cfg_attr(not(feature = "compile"), allow(dead_code))]
pub(crate) fn seal(mut code: Vec<u8>) -> Vec<u8> {
    let sum = digest(&SHA256, &code);
    code.extend_from_slice(MAGIC);
    code.extend_from_slice(sum.as_ref());
    code
}

/// The machine code within a sealed file; `None` when the seal is broken.
pub(crate) fn sealed(file: &[u8]) -> Option<&[u8]> {
    let (code, seal) = file.split_at_checked(file.len().checked_sub(SEAL)?)?;
    let (magic, sum) = seal.split_at(MAGIC.len());
    (magic == MAGIC && digest(&SHA256, code).as_ref() == sum).then_some(code)
}

/// Whether nobody else can have written a file.
pub(crate) fn is_ours(facts: &fs::Metadata) -> bool {
    // SAFETY: it has no preconditions.
    let us = unsafe { libc::geteuid() };
    facts.uid() == us && facts.mode() & 0o022 == 0
}

/// Whether a file's seal is whole, without holding the file.
fn is_whole(mut file: &File, len: u64) -> io::Result<bool> {
    let Some(mut left) = len.checked_sub(SEAL as u64) else { return Ok(false) };
    let mut sum = Context::new(&SHA256);
    let mut buffer = [0; 32 << 10];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = file.read(&mut buffer[..most])?;
        if read == 0 {
            return Ok(false);
        }
        sum.update(&buffer[..read]);
        left -= read as u64;
    }
    let mut seal = [0; SEAL];
    file.read_exact(&mut seal)?;
    let (magic, digest) = seal.split_at(MAGIC.len());
    Ok(magic == MAGIC && sum.finish().as_ref() == digest)
}

impl Cache<'_> {
    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{key}.cwasm"))
    }

    /// The file of the code that is kept under `key`, whole; `None` when there is none.
    ///
    /// # Errors
    /// There is a file, but not one to be run: what is wrong with it.
    pub(crate) fn find(
        &self,
        key: &str,
        ledger: &mut Ledger<'_>,
    ) -> Result<Option<Found>, &'static str> {
        let path = self.path(key);
        let Ok(file) = File::open(&path) else { return Ok(None) };
        let metadata = file.metadata().map_err(|_| "unreadable")?;
        if !is_ours(&metadata) {
            return Err("one that others may have written");
        }
        let facts = Facts::of(&metadata);
        let is_known = ledger.key(&facts) == Some(key);
        if !is_known {
            ledger.begin();
            if !is_whole(&file, metadata.len()).unwrap_or(false) {
                return Err("damaged");
            }
        }
        Ok(Some(Found { file, facts, is_known }))
    }

    /// Keeps a sealed file under `key`. A reader sees the old file or the new, never a part.
    pub(crate) fn put(&self, key: &str, file: &[u8]) -> io::Result<()> {
        let scratch = write_scratch(self.dir, "part", file)?;
        let renamed = fs::rename(&scratch, self.path(key));
        if renamed.is_err() {
            let _ = fs::remove_file(&scratch);
        }
        renamed
    }

    /// What was kept under `key` does not run here.
    pub(crate) fn forget(&self, key: &str) {
        let _ = fs::remove_file(self.path(key));
    }
}

/// Writes a file with a name of its own, which only we can read.
pub(crate) fn write_scratch(dir: &Path, extension: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!(".{}-{count}.{extension}", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    Ok(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
