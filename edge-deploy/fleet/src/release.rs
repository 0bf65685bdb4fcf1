//! A signed release: what it consists of, by digest, and who says so; roots, which say who may.
//!
//! A release's digest is that of the bytes that are signed, so another signature does not make another release.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::{Content, Digest};
use crate::version::Needs;

mod envelope;
mod key;
pub mod root;
mod variants;

pub use key::{PrivateKey, PublicKey, is_name};
pub use root::Root;
pub use variants::Packed;

use envelope::Envelope;

/// The largest release, in bytes: looked at before anything else.
pub const LARGEST: usize = 1 << 20;
/// No build of this is older: 2026-11-01, in seconds after 1970.
pub const BUILT: i64 = 1_793_491_200;
/// The most files, and the most bytes of all.
const FILES: usize = 4096;
const BYTES: u64 = 1 << 32;

const HEAD: &str = "pilotlight-release 1\n";

/// What may run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Only rises: a node that has committed one takes none with a lower.
    pub epoch: u64,
    /// The gateway's manifest among the files.
    pub gateway: String,
    /// What the gateway must be.
    pub needs: Option<Needs>,
    /// Bytes that must be free on a node.
    pub free_disk: u64,
    /// Files and folders of tests, which a node runs before it switches.
    pub tests: Vec<String>,
    /// Names of secrets that a node must have.
    pub secrets: Vec<String>,
    /// Those of the files in which references to values of the node (`${fleet:NAME}`) are replaced there.
    pub render: Vec<String>,
    /// Whether the gateway is started anew for it, rather than told to load it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restart: bool,
    /// Files that all nodes have, by their paths.
    pub files: BTreeMap<String, File>,
    /// Files that are others on each kind of machine: by its name, then by their paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub targets: BTreeMap<String, BTreeMap<String, File>>,
    /// Shorter ways to contents, by what they lead to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packed: BTreeMap<Digest, Vec<Packed>>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its content's name.
    pub digest: Digest,
    /// Its content's length.
    pub size: u64,
    /// Whether it is a program.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub program: bool,
}

/// Keys, so many of which must have signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// How many of them.
    pub threshold: usize,
}

/// Why bytes are no release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Larger than any may be.
    TooLarge(usize),
    /// Not written as a release is.
    Form(&'static str),
    /// So many of the trusted keys have signed it, so many must.
    Unsigned(usize, usize),
    /// Signed, and not to be used all the same.
    Content(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::TooLarge(most) => write!(f, "larger than {most} bytes"),
            Refused::Form(what) => write!(f, "it is not written as what is signed: {what}"),
            Refused::Unsigned(has, needs) => {
                write!(f, "signed by {has} of the trusted keys, {needs} are needed")
            }
            Refused::Content(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}

impl Release {
    /// The signed form, at no particular time.
    ///
    /// Errors: it is not fit to be used.
    pub fn sign(&self, keys: &[PrivateKey]) -> Result<Vec<u8>, Refused> {
        self.sign_at(keys, 0)
    }

    /// The signed form; the keys say that it is this late, in seconds after 1970.
    ///
    /// Errors: it is not fit to be used.
    pub fn sign_at(&self, keys: &[PrivateKey], time: i64) -> Result<Vec<u8>, Refused> {
        self.check()?;
        let payload = serde_json::to_vec(self).map_err(|e| Refused::Content(e.to_string()))?;
        let mut envelope = Envelope::new(HEAD, &payload);
        envelope.sign(keys, time);
        envelope.sealed()
    }

    /// The release that these bytes are, with its digest, if enough of the trusted keys say so.
    pub fn verify(bytes: &[u8], trust: &Trust) -> Result<(Release, Digest), Refused> {
        Release::verify_timed(bytes, trust).map(|(release, digest, _)| (release, digest))
    }

    /// The same, with a time that is past when they are right.
    pub fn verify_timed(bytes: &[u8], trust: &Trust) -> Result<(Release, Digest, i64), Refused> {
        let envelope = opened(bytes)?;
        let time = envelope.signed_by(trust)?;
        read(envelope.payload).map(|(release, digest)| (release, digest, time))
    }

    /// As far as planning goes; `bytes` is the length of its signed form.
    pub fn content(&self, digest: Digest, bytes: u64) -> Content {
        Content {
            digest,
            bytes,
            blobs: self.fetched(),
            needs: self.needs.clone(),
            free_disk: self.free_disk,
        }
    }

    /// Whether it can be laid out on a disk without harm.
    fn check(&self) -> Result<(), Refused> {
        let refuse = |why: String| Err(Refused::Content(why));
        let files = self.targets.values().fold(self.files.len(), |sum, files| sum + files.len());
        if files > FILES {
            return refuse(format!("{files} files, at most {FILES}"));
        }
        self.check_paths()?;
        self.check_sizes()?;
        let bytes = self.blobs().values().fold(0, |sum: u64, size| sum.saturating_add(*size));
        if bytes > BYTES {
            return refuse(format!("{bytes} bytes of files, at most {BYTES}"));
        }
        if !self.files.contains_key(&self.gateway) {
            return refuse(format!(
                "the gateway's manifest {:?} is not among its files",
                self.gateway
            ));
        }
        if let Some(path) = self.tests.iter().find(|path| !is_plain(path)) {
            return refuse(format!("{path:?} is not a path within a release"));
        }
        if let Some(secret) = self.secrets.iter().find(|secret| !is_name(secret)) {
            return refuse(format!("{secret:?} cannot be the name of a secret"));
        }
        match self.render.iter().find(|path| !self.files.contains_key(*path)) {
            Some(path) => refuse(format!("{path:?}, to be rendered, is not among its files")),
            None => Ok(()),
        }
    }
}

/// Whether a path is relative, downwards, and the same on every file system.
pub fn is_plain(path: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '@');
    let step = |step: &str| {
        !step.is_empty()
            && step.len() <= 128
            && step.chars().all(fine)
            && !matches!(step, "." | "..")
    };
    path.len() <= 512 && path.split('/').all(step)
}

/// The digest of a release in its signed form, whoever has signed it; `None` if it is none.
pub fn digest(signed: &[u8]) -> Option<Digest> {
    Envelope::open(HEAD, signed).ok().map(|envelope| Digest::of_bytes(envelope.payload))
}

/// The release that these bytes are, whoever has signed it: for the operator's own machine, and for what a node
/// has verified before.
pub fn unverified(signed: &[u8]) -> Result<(Release, Digest), Refused> {
    read(opened(signed)?.payload)
}

/// Who says to have signed a release or a root, and when.
///
/// Errors: it is neither.
pub fn signers(signed: &[u8]) -> Result<Vec<(String, i64)>, Refused> {
    let signers = either(signed)?.signers().map(|(id, time)| (id.to_owned(), time)).collect();
    Ok(signers)
}

/// A release or a root with further signatures.
///
/// Errors: it is neither, or has no room for them.
pub fn countersign(signed: &[u8], keys: &[PrivateKey], time: i64) -> Result<Vec<u8>, Refused> {
    let mut envelope = either(signed)?;
    envelope.sign(keys, time);
    envelope.sealed()
}

/// Whether more have signed the new one; `None` if it is not the same root.
pub fn more_signed(old: &[u8], new: &[u8]) -> Option<bool> {
    let [old, new] = [old, new].map(|signed| Envelope::open(root::HEAD, signed).ok());
    let (old, new) = (old?, new?);
    (old.payload == new.payload).then(|| new.signers().count() > old.signers().count())
}

fn either(signed: &[u8]) -> Result<Envelope<'_>, Refused> {
    Envelope::open(HEAD, signed).or_else(|_| Envelope::open(root::HEAD, signed))
}

fn opened(bytes: &[u8]) -> Result<Envelope<'_>, Refused> {
    match bytes.len() > LARGEST {
        true => Err(Refused::TooLarge(LARGEST)),
        false => Envelope::open(HEAD, bytes),
    }
}

fn read(payload: &[u8]) -> Result<(Release, Digest), Refused> {
    let release: Release = serde_json::from_slice(payload)
        .map_err(|error| Refused::Content(format!("its content cannot be read: {error}")))?;
    release.check()?;
    Ok((release, Digest::of_bytes(payload)))
}

#[cfg(test)]
mod tests;
