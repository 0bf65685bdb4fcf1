//! Blobs: fetched, in the shortest way that there is, and verified before they have their names.

use std::collections::BTreeSet;
use std::io;

use pilotlight_fleet::plan::{Digest, Hasher};
use pilotlight_fleet::release::{Packed, Release};

use crate::{Files, Trouble, World, delta};

pub(crate) const BLOBS: &str = "blobs";
/// A packed blob that was not to be had so often gives way to the content itself.
const MISSES: usize = 3;

/// What was learnt while a release was fetched.
#[derive(Debug, Default)]
pub(crate) struct Learnt {
    /// Which source is asked first.
    pub(crate) attempt: usize,
    /// How often a packed blob was not to be had.
    misses: usize,
    /// Packed blobs that led nowhere: their contents are fetched whole.
    useless: BTreeSet<Digest>,
}

pub(crate) fn path(digest: &Digest) -> String {
    format!("{BLOBS}/{}", digest.hex())
}

/// Bytes that are not there yet.
pub(crate) fn missing(files: &dyn Files, release: &Release) -> u64 {
    let left = release.contents().into_iter().map(|(digest, size)| {
        let part = files.length(&format!("{}.part", path(digest))).unwrap_or(0);
        if files.length(&path(digest)).is_ok() { 0 } else { size.saturating_sub(part) }
    });
    left.sum()
}

/// Fetches one blob that is not there. False if all are.
pub(crate) fn fetch(
    files: &mut dyn Files,
    world: &mut dyn World,
    release: &Release,
    learnt: &mut Learnt,
) -> Result<bool, Trouble> {
    files.folder(BLOBS)?;
    for (digest, size) in release.contents() {
        if files.length(&path(digest)).is_ok_and(|length| length == size) {
            continue;
        }
        match way(files, release, (digest, size), learnt) {
            Some(packed) => unpack(files, world, (digest, size), packed, learnt)?,
            None => {
                // Where the content is not to be had either it is the network, and the shorter way counts again.
                learnt.misses = 0;
                whole(files, world, (digest, size), learnt)?;
            }
        }
        return Ok(true);
    }
    Ok(false)
}

/// The shortest way to a content, if it is shorter than the rest of the content itself.
fn way<'r>(
    files: &dyn Files,
    release: &'r Release,
    (digest, size): (&Digest, u64),
    learnt: &Learnt,
) -> Option<&'r Packed> {
    if learnt.misses >= MISSES {
        return None;
    }
    let begun = files.length(&format!("{}.part", path(digest))).unwrap_or(0);
    let fits = |packed: &&Packed| {
        let base = packed.from.as_ref().map(|from| files.length(&path(from)));
        packed.size < size.saturating_sub(begun)
            && size <= delta::LARGEST
            && base.is_none_or(|length| length.is_ok_and(|length| length <= delta::LARGEST))
            && !learnt.useless.contains(&packed.digest)
    };
    release.packed.get(digest)?.iter().filter(fits).min_by_key(|packed| packed.size)
}

/// Makes a content of a packed blob. Whatever is wrong with it, the content can still be had whole.
fn unpack(
    files: &mut dyn Files,
    world: &mut dyn World,
    (digest, size): (&Digest, u64),
    packed: &Packed,
    learnt: &mut Learnt,
) -> Result<(), Trouble> {
    let from = path(&packed.digest);
    if !files.length(&from).is_ok_and(|length| length == packed.size) {
        let fetched = whole(files, world, (&packed.digest, packed.size), learnt);
        // A disk that is full would not take more of the content.
        learnt.misses += usize::from(matches!(fetched, Err(Trouble::Passing(_))));
        return fetched;
    }
    let base = match &packed.from {
        Some(base) => files.read(&path(base), delta::LARGEST)?,
        None => Vec::new(),
    };
    let (bytes, new) = (files.read(&from, packed.size)?, format!("{}.new", path(digest)));
    files.write(&new, b"")?;
    let mut full = None;
    let unpacked = delta::unpack(&base, &bytes, size, &mut |part| {
        files.append(&new, part).inspect_err(|error| full = Some(error.kind()))
    });
    if let Some(kind) = full {
        return Err(io::Error::from(kind).into());
    }
    if unpacked.is_ok() && is(files, &new, digest)? {
        files.sync(&new)?;
        files.rename(&new, &path(digest))?;
        files.sync_folder(BLOBS)?;
    } else {
        files.remove(&new)?;
        learnt.useless.insert(packed.digest.clone());
    }
    Ok(files.remove(&from)?)
}

/// Fetches a blob as it is.
fn whole(
    files: &mut dyn Files,
    world: &mut dyn World,
    (digest, size): (&Digest, u64),
    learnt: &mut Learnt,
) -> Result<(), Trouble> {
    let (path, part) = (path(digest), format!("{}.part", path(digest)));
    let mut from = files.length(&part).unwrap_or(0);
    if from > size {
        files.remove(&part)?;
        from = 0;
    }
    if from < size {
        let attempt = learnt.attempt;
        world.blob((digest, size), from, attempt, &mut |bytes| files.append(&part, bytes))?;
    } else if size == 0 {
        files.write(&part, b"")?;
    }
    // All of it: what was there before the power failed may not be what was written.
    if !is(files, &part, digest)? {
        files.remove(&part)?;
        learnt.attempt += 1;
        return Err(Trouble::Passing(format!("{digest} is not what the sources send")));
    }
    files.sync(&part)?;
    files.rename(&part, &path)?;
    Ok(files.sync_folder(BLOBS)?)
}

pub(crate) fn is(files: &dyn Files, path: &str, digest: &Digest) -> io::Result<bool> {
    let mut hasher = Hasher::default();
    files.each(path, &mut |bytes| hasher.update(bytes))?;
    Ok(hasher.finish() == *digest)
}
