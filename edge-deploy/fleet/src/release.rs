//! A signed release: what it consists of, by digest, and who says so.
//!
//! ```text
//! pilotlight-release 1
//! signed 5f0c9a... 8b1d4e...        a line for each key: its id, the signature
//!
//! {"name":"shop-edge","version":"1.42.0","files":{"pilotlight.toml":{...}}}
//! ```
//! What is signed are the bytes behind the empty line, as they are: nothing is written anew before it is
//! verified, and nothing is read before it is verified. A release's digest is that of the same bytes, so
//! another signature does not make another release.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::plan::{Content, Digest};
use crate::version::Needs;

mod key;

pub use key::{PrivateKey, PublicKey, is_name};

/// The largest release, in bytes: looked at before anything else.
pub const LARGEST: usize = 1 << 20;
/// The most signatures.
const SIGNATURES: usize = 16;
/// The most files, and the most bytes of all.
const FILES: usize = 4096;
const BYTES: u64 = 1 << 32;

const HEAD: &str = "pilotlight-release 1\n";

/// What may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// All files, by their paths.
    pub files: BTreeMap<String, File>,
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
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// The keys.
    pub keys: Vec<PublicKey>,
    /// How many of them.
    pub threshold: usize,
}

/// Why bytes are no release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Larger than any release.
    TooLarge,
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
            Refused::TooLarge => write!(f, "larger than {LARGEST} bytes"),
            Refused::Form(what) => write!(f, "this is no release: {what}"),
            Refused::Unsigned(has, needs) => {
                write!(f, "signed by {has} of the trusted keys, {needs} are needed")
            }
            Refused::Content(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Refused {}

impl Release {
    /// The signed form.
    ///
    /// Errors: it is not fit to be used.
    pub fn sign(&self, keys: &[PrivateKey]) -> Result<Vec<u8>, Refused> {
        self.check()?;
        let payload = serde_json::to_vec(self).map_err(|e| Refused::Content(e.to_string()))?;
        let mut text = String::from(HEAD);
        for key in keys {
            let signature = key::to_hex(&key.sign(&message(&payload)));
            text.push_str(&format!("signed {} {signature}\n", key.public().id()));
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend(payload);
        if bytes.len() > LARGEST { Err(Refused::TooLarge) } else { Ok(bytes) }
    }

    /// The release that these bytes are, with its digest, if enough of the trusted keys say so.
    pub fn verify(bytes: &[u8], trust: &Trust) -> Result<(Release, Digest), Refused> {
        if bytes.len() > LARGEST {
            return Err(Refused::TooLarge);
        }
        let (signatures, payload) = split(bytes)?;
        let message = message(payload);
        // Of each key once: nobody reaches a threshold by signing twice.
        let mut signed = BTreeSet::new();
        for (id, signature) in signatures {
            let mut known = trust.keys.iter().filter(|key| key.id() == id);
            if known.any(|key| key.verify(&message, &signature)) {
                signed.insert(id);
            }
        }
        let needed = trust.threshold.max(1);
        if signed.len() < needed {
            return Err(Refused::Unsigned(signed.len(), needed));
        }
        read(payload)
    }

    /// As far as planning goes; `bytes` is the length of its signed form.
    pub fn content(&self, digest: Digest, bytes: u64) -> Content {
        let blobs = self.blobs().into_iter().map(|(digest, size)| (digest.clone(), size));
        Content {
            digest,
            bytes,
            blobs: blobs.collect(),
            needs: self.needs.clone(),
            free_disk: self.free_disk,
        }
    }

    /// What it consists of, with sizes: the same content twice is fetched once.
    pub fn blobs(&self) -> BTreeMap<&Digest, u64> {
        self.files.values().map(|file| (&file.digest, file.size)).collect()
    }

    /// Whether it can be laid out on a disk without harm.
    fn check(&self) -> Result<(), Refused> {
        let refuse = |why: String| Err(Refused::Content(why));
        if self.files.len() > FILES {
            return refuse(format!("{} files, at most {FILES}", self.files.len()));
        }
        let mut bytes = 0u64;
        for (path, file) in &self.files {
            if !is_plain(path) {
                return refuse(format!("{path:?} is not a path within a release"));
            }
            // A file that is also a folder cannot be written.
            let below = format!("{path}/");
            let next = self.files.range(below.clone()..).next();
            if next.is_some_and(|(other, _)| other.starts_with(&below)) {
                return refuse(format!("{path:?} is a file and a folder"));
            }
            bytes = bytes.saturating_add(file.size);
        }
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
    split(signed).ok().map(|(_, payload)| Digest::of_bytes(payload))
}

/// The release that these bytes are, whoever has signed it: for the operator's own machine, never for a node.
pub fn unverified(signed: &[u8]) -> Result<(Release, Digest), Refused> {
    if signed.len() > LARGEST {
        return Err(Refused::TooLarge);
    }
    let (_, payload) = split(signed)?;
    read(payload)
}

fn read(payload: &[u8]) -> Result<(Release, Digest), Refused> {
    let release: Release = serde_json::from_slice(payload)
        .map_err(|error| Refused::Content(format!("its content cannot be read: {error}")))?;
    release.check()?;
    Ok((release, Digest::of_bytes(payload)))
}

/// What is signed: it says what it is, so that no signature means two things.
fn message(payload: &[u8]) -> Vec<u8> {
    [HEAD.as_bytes(), &(payload.len() as u64).to_be_bytes(), payload].concat()
}

/// Signatures as (key, signature), and what they sign.
type Split<'a> = (Vec<(String, Vec<u8>)>, &'a [u8]);

fn split(bytes: &[u8]) -> Result<Split<'_>, Refused> {
    let rest =
        bytes.strip_prefix(HEAD.as_bytes()).ok_or(Refused::Form("it does not begin as one"))?;
    let mut signatures = Vec::new();
    let mut rest = rest;
    loop {
        let end = rest.iter().take(1024).position(|byte| *byte == b'\n');
        let end = end.ok_or(Refused::Form("a line without its end"))?;
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or(&[]);
        if line.is_empty() {
            return Ok((signatures, rest));
        }
        let line = std::str::from_utf8(line).map_err(|_| Refused::Form("a signature"))?;
        let parts = line.strip_prefix("signed ").and_then(|line| line.split_once(' '));
        let (id, signature) = parts.ok_or(Refused::Form("a signature"))?;
        let signature = key::from_hex(signature).ok_or(Refused::Form("a signature"))?;
        signatures.push((id.to_owned(), signature));
        if signatures.len() > SIGNATURES {
            return Err(Refused::Form("too many signatures"));
        }
    }
}

#[cfg(test)]
mod tests;
