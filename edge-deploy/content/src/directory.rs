//! A folder: `blobs/HEX`, `releases/NAME/VERSION` and `roots/N`. What a web server may serve as it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use pilotlight_fleet::plan::{Digest, Hasher};
use pilotlight_fleet::release::{self, Release, is_name, root};

use crate::{Body, Destination, Error, Source};

/// A folder with releases.
#[derive(Debug, Clone)]
pub struct Directory(PathBuf);

impl Directory {
    /// This folder. It need not be there before something is put into it.
    pub fn new(path: impl Into<PathBuf>) -> Directory {
        Directory(path.into())
    }

    /// All releases that lie in it, by name and version.
    pub fn releases(&self) -> Result<Vec<(String, String)>, Error> {
        let mut found = Vec::new();
        let names = |path: &Path| -> Result<Vec<String>, Error> {
            let failed = |error| Error::io(&path.display().to_string(), &error);
            let entries = fs::read_dir(path).map_err(failed)?;
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            // What begins with a dot is being written.
            Ok(names.filter(|name| is_name(name) && !name.starts_with('.')).collect())
        };
        for name in names(&self.0.join("releases"))? {
            for version in names(&self.0.join("releases").join(&name))? {
                found.push((name.clone(), version));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The versions of the roots that lie in it.
    pub fn roots(&self) -> Result<Vec<u64>, Error> {
        let path = self.0.join("roots");
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| Error::io(&path.display().to_string(), &error))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut roots: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
        roots.sort_unstable();
        Ok(roots)
    }

    fn root_path(&self, version: u64) -> PathBuf {
        self.0.join("roots").join(version.to_string())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.0.join("blobs").join(digest.hex())
    }

    fn release_path(&self, name: &str, version: &str) -> Result<PathBuf, Error> {
        crate::fit(name, version)
            .map(|(name, version)| self.0.join("releases").join(name).join(version))
    }
}

impl Source for Directory {
    fn name(&self) -> String {
        self.0.display().to_string()
    }

    fn release(&self, name: &str, version: &str) -> Result<Vec<u8>, Error> {
        let what = format!("{name}@{version} in {}", self.name());
        short(&self.release_path(name, version)?, release::LARGEST, &what)
    }

    fn root(&self, version: u64) -> Result<Vec<u8>, Error> {
        let what = format!("root {version} in {}", self.name());
        short(&self.root_path(version), root::LARGEST, &what)
    }

    fn blob(&self, digest: &Digest, from: u64) -> Result<Body, Error> {
        let failed = |error| Error::io(&format!("{digest} in {}", self.name()), &error);
        let mut file = File::open(self.blob_path(digest)).map_err(failed)?;
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        Ok(Body { from, content: Box::new(file) })
    }
}

impl Destination for Directory {
    fn has(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.blob_path(digest).is_file())
    }

    fn put_blob(&self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let mut hasher = Hasher::default();
        let path = self.blob_path(digest);
        let written = whole(&path, &mut |file| {
            let mut buffer = [0; 64 << 10];
            let mut left = size;
            loop {
                match content.read(&mut buffer)? {
                    0 if left == 0 => return Ok(()),
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read if read as u64 > left => {
                        return Err(io::Error::other("it is longer than it should be"));
                    }
                    read => {
                        left -= read as u64;
                        hasher.update(&buffer[..read]);
                        file.write_all(&buffer[..read])?;
                    }
                }
            }
        });
        written.map_err(|error| Error::Unreachable(format!("{}: {error}", path.display())))?;
        if hasher.finish() == *digest {
            return Ok(());
        }
        // Nothing may lie under a name that is not its own.
        drop(fs::remove_file(&path));
        Err(Error::Refused(format!("what was read is not {digest}")))
    }

    fn put_release(&self, release: &Release, digest: &Digest, signed: &[u8]) -> Result<(), Error> {
        let path = self.release_path(&release.name, &release.version)?;
        crate::given_once(self, release, digest)?;
        whole(&path, &mut |file| file.write_all(signed))
            .map_err(|error| Error::Unreachable(format!("{}: {error}", path.display())))
    }

    fn put_root(&self, version: u64, signed: &[u8]) -> Result<(), Error> {
        let path = self.root_path(version);
        if crate::root_given_once(self, version, signed)? {
            return Ok(());
        }
        whole(&path, &mut |file| file.write_all(signed))
            .map_err(|error| Error::Unreachable(format!("{}: {error}", path.display())))
    }
}

/// A file of which no more is read than so many bytes and one, by which a longer one shows.
fn short(path: &Path, most: usize, what: &str) -> Result<Vec<u8>, Error> {
    let failed = |error| Error::io(what, &error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes a file that is to be seen whole or not at all.
fn whole(path: &Path, write: &mut dyn FnMut(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let part = folder.join(format!(".{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&part)?;
    let written = write(&mut file).and_then(|()| file.sync_all());
    match written.and_then(|()| fs::rename(&part, path)) {
        Ok(()) => File::open(folder)?.sync_all(),
        Err(error) => {
            drop(fs::remove_file(&part));
            Err(error)
        }
    }
}
