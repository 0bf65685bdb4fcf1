//! The disk below a node's folder.

use std::any::Any;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pilotlight_agent::Files;

/// A folder.
#[derive(Debug, Clone)]
pub(super) struct Disk(PathBuf);

impl Disk {
    /// This folder, which is made if it is not there.
    pub(super) fn open(path: &Path) -> io::Result<Disk> {
        fs::create_dir_all(path)?;
        Ok(Disk(path.to_path_buf()))
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.0.clone() } else { self.0.join(path) }
    }
}

impl Files for Disk {
    fn read(&self, path: &str, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.at(path))?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most { Err(ErrorKind::InvalidData.into()) } else { Ok(bytes) }
    }

    fn each(&self, path: &str, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut file = File::open(self.at(path))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                read => take(&buffer[..read]),
            }
        }
    }

    fn length(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.at(path))?.len())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(path)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.at(path), bytes)
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().append(true).create(true).open(self.at(path))?.write_all(bytes)
    }

    fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.at(from), self.at(to));
        // Some file systems have no links.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop))
    }

    fn program(&mut self, path: &str) -> io::Result<()> {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(0o755))
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        let path = self.at(path);
        let removed = match fs::symlink_metadata(&path) {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        removed.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(path))
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        File::open(self.at(path))?.sync_all()
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        File::open(self.at(path))?.sync_all()
    }

    fn free(&self) -> io::Result<u64> {
        let path = CString::new(self.0.as_os_str().as_bytes())?;
        // SAFETY: plain numbers, which the call fills.
        let mut facts: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends with its zero, and the facts live through the call.
        if unsafe { libc::statvfs(path.as_ptr(), &mut facts) } != 0 {
            return Err(io::Error::last_os_error());
        }
        #[allow(clippy::useless_conversion, reason = "they are shorter on 32 bits")]
        Ok(u64::from(facts.f_bavail).saturating_mul(u64::from(facts.f_frsize)))
    }

    fn lock(&self) -> io::Result<Box<dyn Any>> {
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).open(self.at("lock"))?;
        file.lock()?;
        Ok(Box::new(file))
    }
}
