//! Shorter ways for nodes to large contents: compressed, and as what differs from releases that they may have.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use pilotlight_agent::delta;
use pilotlight_content::{Directory, Source as _};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{self, File, Packed, Release};
use pilotlight_fleet::version::Version;

/// Of less there is nothing to be saved.
const SMALLEST: u64 = 16 << 10;
/// Bases that are looked for where none are named.
const BASES: usize = 2;

/// Contents that are in the way already, by what they are called.
pub(super) type Blobs = BTreeMap<Digest, Vec<u8>>;

/// Adds to a release the ways that are shorter. `made` is where its files are, by their contents; `bases` are versions
/// that lie in the folder. Gives what is new.
///
/// Errors: a base is not there, a file cannot be read.
pub(super) fn add(
    release: &mut Release,
    made: &BTreeMap<Digest, PathBuf>,
    there: &Directory,
    bases: &[String],
) -> Result<Blobs, String> {
    let bases = before(release, there, bases)?;
    let mut blobs = Blobs::new();
    let mut packed = BTreeMap::new();
    let common = std::iter::once((None, &release.files));
    let kinds = release.targets.iter().map(|(target, files)| (Some(target.as_str()), files));
    for (target, files) in common.chain(kinds) {
        for (path, file) in files {
            if !(SMALLEST..=delta::LARGEST).contains(&file.size)
                || release.render.contains(path)
                || packed.contains_key(&file.digest)
            {
                continue;
            }
            let Some(from) = made.get(&file.digest) else { continue };
            let content = fs::read(from).map_err(|e| format!("{}: {e}", from.display()))?;
            let ways = ways((target, path, file), &content, &bases, there, &mut blobs)?;
            if !ways.is_empty() {
                packed.insert(file.digest.clone(), ways);
            }
        }
    }
    release.packed = packed;
    Ok(blobs)
}

/// The ways to one content.
fn ways(
    (target, path, file): (Option<&str>, &str, &File),
    content: &[u8],
    bases: &[Release],
    there: &Directory,
    blobs: &mut Blobs,
) -> Result<Vec<Packed>, String> {
    let mut ways: Vec<Packed> = Vec::new();
    let mut way = |from: Option<&Digest>, base: &[u8], shorter: u64| -> Result<u64, String> {
        let bytes = delta::pack(base, content).map_err(|error| format!("{path}: {error}"))?;
        let size = bytes.len() as u64;
        // An eighth less, or it is not worth a second name.
        if size < shorter - shorter / 8 {
            let digest = Digest::of_bytes(&bytes);
            ways.push(Packed { from: from.cloned(), digest: digest.clone(), size });
            blobs.insert(digest, bytes);
            return Ok(size);
        }
        Ok(shorter)
    };
    let whole = way(None, &[], file.size)?;
    for base in bases {
        let files = target.and_then(|target| base.targets.get(target)).unwrap_or(&base.files);
        let known = files
            .get(path)
            .filter(|old| old.digest != file.digest && (1..=delta::LARGEST).contains(&old.size));
        let Some(old) = known else { continue };
        let mut bytes = Vec::new();
        let body = there.blob(&old.digest, 0).map_err(|error| error.to_string())?;
        std::io::Read::read_to_end(&mut { body.content }, &mut bytes)
            .map_err(|error| format!("{}: {error}", old.digest))?;
        way(Some(&old.digest), &bytes, whole)?;
    }
    Ok(ways)
}

/// The releases that nodes may have: those that are named, or else the two highest below this one.
fn before(release: &Release, there: &Directory, named: &[String]) -> Result<Vec<Release>, String> {
    let read = |version: &str| {
        let signed = there.release(&release.name, version).map_err(|error| error.to_string())?;
        let read = release::unverified(&signed).map_err(|refused| refused.to_string())?;
        Ok(read.0)
    };
    if !named.is_empty() {
        return named.iter().map(|version| read(version)).collect();
    }
    let Some(own) = Version::parse(&release.version) else { return Ok(Vec::new()) };
    let known = there.releases().unwrap_or_default().into_iter();
    let mut lower: Vec<(Version, String)> = known
        .filter(|(name, _)| *name == release.name)
        .filter_map(|(_, version)| Some((Version::parse(&version)?, version)))
        .filter(|(version, _)| *version < own)
        .collect();
    lower.sort();
    lower.iter().rev().take(BASES).map(|(_, version)| read(version)).collect()
}
