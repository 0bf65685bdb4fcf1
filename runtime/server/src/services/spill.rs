//! Bodies of requests in files, for scripts that want them there.

use std::any::Any;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pilotlight_filter::host::Spilled;

/// A file that goes with whoever holds this.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // A script may have moved it away.
        let _ = fs::remove_file(&self.0);
    }
}

/// Writes `body` into a new file below `folder`, off the worker.
pub(super) async fn spill(folder: PathBuf, body: Bytes) -> io::Result<Spilled> {
    let write = move || write(&folder, &body);
    let file = tokio::task::spawn_blocking(write).await.map_err(io::Error::other)??;
    Ok(Spilled { path: file.0.as_os_str().as_bytes().into(), hold: Box::new(file) })
}

/// A file that is there already, and goes with whoever holds this.
pub(super) fn passing(file: PathBuf) -> Box<dyn Any> {
    Box::new(Passing(file))
}

fn write(folder: &Path, body: &[u8]) -> io::Result<Passing> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let folder = folder.join("client_body_temp");
    fs::create_dir_all(&folder)?;
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let file = Passing(folder.join(format!("{}{number:010}", std::process::id())));
    let mut out =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file.0)?;
    out.write_all(body)?;
    Ok(file)
}
