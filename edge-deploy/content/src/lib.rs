//! Where releases lie, and how they get there: a folder, a web server, an object store, an OCI registry.
//!
//! All of them hold the same two things: a signed release by its name and version, and blobs by their
//! digests. None of them is trusted: a release is verified by its signatures, a blob by its digest
//! ([`fetch`]), so a mirror can withhold and delay, and nothing else.

pub mod api;
mod directory;
pub mod fetch;
mod http;
mod oci;
mod s3;
mod web;

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, Release};

pub use directory::Directory;
pub use http::{Floor, Settings};
pub use oci::Registry;
pub use s3::{Account, Bucket};
pub use web::Web;

/// Where releases are read.
pub trait Source {
    /// What messages call it.
    fn name(&self) -> String;

    /// A release's signed form, not verified, at most as long as releases are.
    fn release(&self, name: &str, version: &str) -> Result<Vec<u8>, Error>;

    /// The signed root of this version, not verified.
    fn root(&self, version: u64) -> Result<Vec<u8>, Error>;

    /// A blob from this byte on, or from an earlier one where the source cannot do better.
    fn blob(&self, digest: &Digest, from: u64) -> Result<Body, Error>;
}

/// Where releases are written.
pub trait Destination {
    /// Whether a blob is there.
    fn has(&self, digest: &Digest) -> Result<bool, Error>;

    /// Puts a blob there. It is not to be seen before it is there whole.
    fn put_blob(&self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<(), Error>;

    /// Puts a release there whose blobs are there.
    ///
    /// Errors: that version is there already, with other content.
    fn put_release(&self, release: &Release, digest: &Digest, signed: &[u8]) -> Result<(), Error>;

    /// Puts a root there.
    ///
    /// Errors: that version is there already, with other content.
    fn put_root(&self, version: u64, signed: &[u8]) -> Result<(), Error>;
}

/// The content of a blob.
pub struct Body {
    /// Which byte comes first.
    pub from: u64,
    /// The bytes.
    pub content: Box<dyn Read>,
}

/// What went wrong at a source or destination.
#[derive(Debug)]
pub enum Error {
    /// It does not have that.
    Absent(String),
    /// It cannot be had now: the network, a server that is busy.
    Unreachable(String),
    /// It will not do.
    Refused(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Absent(what) => write!(f, "{what} is not there"),
            Error::Unreachable(why) | Error::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    fn io(what: &str, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => Error::Absent(what.into()),
            _ => Error::Unreachable(format!("{what}: {error}")),
        }
    }
}

/// A release's name and version, fit to be parts of a path.
fn fit<'n>(name: &'n str, version: &'n str) -> Result<(&'n str, &'n str), Error> {
    let fit = |part: &str| release::is_name(part) && !part.starts_with('.');
    match fit(name) && fit(version) {
        true => Ok((name, version)),
        false => Err(Error::Refused(format!("{name}@{version} cannot be a release's name"))),
    }
}

/// A version is given once: whoever has planned by it means that content.
fn given_once(there: &dyn Source, release: &Release, digest: &Digest) -> Result<(), Error> {
    match there.release(&release.name, &release.version) {
        Ok(signed) if release::digest(&signed).as_ref() == Some(digest) => Ok(()),
        Ok(_) => Err(Error::Refused(format!(
            "{}@{} is in {} already, with other content: a version is given once",
            release.name,
            release.version,
            there.name()
        ))),
        Err(Error::Absent(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A root is given once, too, and may be signed by more than before; whether it is there.
fn root_given_once(there: &dyn Source, version: u64, signed: &[u8]) -> Result<bool, Error> {
    let known = match there.root(version) {
        Err(Error::Absent(_)) => return Ok(false),
        known => known?,
    };
    match release::more_signed(&known, signed) {
        Some(more) => Ok(!more),
        None => Err(Error::Refused(format!(
            "root {version} is in {} already, with other content: a root is given once",
            there.name()
        ))),
    }
}

/// A place where content lies, as it is written in manifests and on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Folder(PathBuf),
    /// `http://` or `https://`.
    Web(String),
    /// `oci://HOST[:PORT]/NAME`.
    Registry(oci::Repository),
    /// `s3://BUCKET/PREFIX`.
    Bucket(Bucket),
}

impl Place {
    /// Reads it; `folder` is what a path is relative to.
    pub fn parse(text: &str, folder: &Path) -> Result<Place, Error> {
        if let Some(rest) = text.strip_prefix("oci://") {
            return oci::Repository::parse(rest).map(Place::Registry);
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            return Bucket::parse(rest).map(Place::Bucket);
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Place::Web(text.trim_end_matches('/').to_owned()));
        }
        match text.contains("://") {
            true => Err(Error::Refused(format!(
                "{text:?} is no place for content: a folder, https://, s3:// or oci://"
            ))),
            false => Ok(Place::Folder(folder.join(text))),
        }
    }

    /// To read from it.
    pub fn source(&self, settings: &Settings) -> Result<Box<dyn Source>, Error> {
        Ok(match self {
            Place::Folder(path) => Box::new(Directory::new(path)),
            Place::Web(url) => Box::new(Web::new(url, settings)?),
            Place::Registry(repository) => Box::new(Registry::new(repository, settings)?),
            Place::Bucket(bucket) => Box::new(Web::bucket(bucket, settings)?),
        })
    }

    /// To write to it.
    pub fn destination(&self, settings: &Settings) -> Result<Box<dyn Destination>, Error> {
        Ok(match self {
            Place::Folder(path) => Box::new(Directory::new(path)),
            Place::Web(url) => Box::new(Web::new(url, settings)?),
            Place::Registry(repository) => Box::new(Registry::new(repository, settings)?),
            Place::Bucket(bucket) => Box::new(Web::bucket(bucket, settings)?),
        })
    }
}

/// Copies a release with its blobs from a folder. Returns how many blobs were not there yet.
pub fn push(
    from: &Directory,
    to: &dyn Destination,
    release: &Release,
    digest: &Digest,
    signed: &[u8],
) -> Result<usize, Error> {
    let mut new = 0;
    for (blob, size) in release.blobs() {
        if !to.has(blob)? {
            to.put_blob(blob, size, &mut *from.blob(blob, 0)?.content)?;
            new += 1;
        }
    }
    to.put_release(release, digest, signed)?;
    Ok(new)
}
