//! From blobs to a folder: files that are laid out, values that are put in. Nothing here touches what runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use pilotlight_config::{literal, references, render};
use pilotlight_fleet::label::Value;
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{File, Release};

use crate::blobs::{BLOBS, is, path as blob};
use crate::{Files, GENERATIONS, Generation, Trouble, World};

/// A manifest is not larger.
const LARGEST: u64 = 4 << 20;

/// How a release is called on a node, with the values that it has there.
pub(crate) fn generation(
    release: &Release,
    digest: &Digest,
    vars: &BTreeMap<String, Value>,
) -> Generation {
    let vars = serde_json::to_vec(vars).unwrap_or_default();
    let id = Digest::of(&[digest.as_str().as_bytes(), &vars]);
    Generation {
        id: id.hex().chars().take(32).collect(),
        release: digest.clone(),
        name: format!("{}@{}", release.name, release.version),
        epoch: release.epoch,
        manifest: release.gateway.clone(),
        restart: release.restart,
    }
}

/// Where a generation lies, and its signed release beside it.
pub(crate) fn folder(id: &str) -> String {
    format!("{GENERATIONS}/{id}")
}
pub(crate) fn signed(id: &str) -> String {
    format!("{GENERATIONS}/{id}.release")
}

/// Lays out a release whose blobs are there. Its folder has its name only when all in it lasts.
pub(crate) fn lay(
    files: &mut dyn Files,
    world: &dyn World,
    generation: &Generation,
    (release, bytes): (&Release, &[u8]),
    vars: &BTreeMap<String, Value>,
) -> Result<(), Trouble> {
    let (whole, part) = (folder(&generation.id), format!("{}.part", folder(&generation.id)));
    if files.list(GENERATIONS)?.contains(&generation.id) {
        if stands(files, world, generation, release, vars)? {
            // The power may have failed when its folder had its name, and the release beside it had not.
            return Ok(seal(files, generation, bytes)?);
        }
        files.remove(&whole)?;
    }
    files.remove(&part)?;
    files.folder(&part)?;
    let mut folders = BTreeSet::from([part.clone()]);
    for (name, file) in &release.files {
        let path = format!("{part}/{name}");
        for (at, _) in name.match_indices('/') {
            folders.insert(format!("{part}/{}", &name[..at]));
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            files.folder(parent)?;
        }
        place(files, world, (&path, file), release.render.contains(name), vars)?;
    }
    if !stands_at(files, &part, world, release, vars)? {
        // A blob that has changed on the disk since it was verified.
        for digest in release.contents().into_keys() {
            if !is(files, &blob(digest), digest)? {
                files.remove(&blob(digest))?;
            }
        }
        return Err(Trouble::Passing("a file on this disk is not what was written".into()));
    }
    // The deepest first: a folder lasts with what is in it.
    for folder in folders.iter().rev() {
        files.sync_folder(folder)?;
    }
    files.rename(&part, &whole)?;
    Ok(seal(files, generation, bytes)?)
}

/// Lays the signed release beside its generation, and makes both names last.
pub(crate) fn seal(files: &mut dyn Files, generation: &Generation, bytes: &[u8]) -> io::Result<()> {
    files.write(&signed(&generation.id), bytes)?;
    files.sync(&signed(&generation.id))?;
    files.sync_folder(GENERATIONS)?;
    files.sync_folder("")
}

/// Puts one file where it belongs, so that its content lasts.
fn place(
    files: &mut dyn Files,
    world: &dyn World,
    (path, file): (&str, &File),
    render: bool,
    vars: &BTreeMap<String, Value>,
) -> Result<(), Trouble> {
    let from = blob(&file.digest);
    if render {
        let text = files.read(&from, LARGEST)?;
        files.write(path, rendered(&text, world, vars)?.as_bytes())?;
    } else if file.program {
        // A program is one in this generation alone.
        let mut content = Vec::new();
        files.each(&from, &mut |bytes| content.extend_from_slice(bytes))?;
        files.write(path, &content)?;
        files.program(path)?;
    } else {
        files.link(&from, path)?;
    }
    Ok(files.sync(path)?)
}

/// Puts files of a generation that runs back as they were, each at once: it is never without one that was right.
/// Gives those that had been changed.
pub(crate) fn mend(
    files: &mut dyn Files,
    world: &dyn World,
    generation: &Generation,
    release: &Release,
    vars: &BTreeMap<String, Value>,
) -> Result<Vec<String>, Trouble> {
    let mut mended = Vec::new();
    for (name, file) in &release.files {
        let one =
            Release { files: BTreeMap::from([(name.clone(), file.clone())]), ..release.clone() };
        let path = format!("{}/{name}", folder(&generation.id));
        if stands(files, world, generation, &one, vars)? {
            continue;
        }
        // A blob may share its bytes with the file that was changed.
        let path_of_blob = blob(&file.digest);
        if !is(files, &path_of_blob, &file.digest)? {
            files.remove(&path_of_blob)?;
            return Err(Trouble::Passing(format!("{path_of_blob} has changed on this disk")));
        }
        let part = format!("{path}.part");
        files.remove(&part)?;
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        files.folder(parent)?;
        place(files, world, (&part, file), release.render.contains(name), vars)?;
        files.rename(&part, &path)?;
        files.sync_folder(parent)?;
        mended.push(name.clone());
    }
    Ok(mended)
}

/// Whether a generation's files are what they should be.
pub(crate) fn stands(
    files: &dyn Files,
    world: &dyn World,
    generation: &Generation,
    release: &Release,
    vars: &BTreeMap<String, Value>,
) -> Result<bool, Trouble> {
    stands_at(files, &folder(&generation.id), world, release, vars)
}

fn stands_at(
    files: &dyn Files,
    folder: &str,
    world: &dyn World,
    release: &Release,
    vars: &BTreeMap<String, Value>,
) -> Result<bool, Trouble> {
    for (name, file) in &release.files {
        let path = format!("{folder}/{name}");
        let fine = match release.render.contains(name) {
            false => is(files, &path, &file.digest),
            true => files.read(&blob(&file.digest), LARGEST).and_then(|text| {
                let meant = rendered(&text, world, vars).map_err(|_| io::ErrorKind::NotFound)?;
                Ok(files.read(&path, LARGEST * 2)? == meant.into_bytes())
            }),
        };
        match fine {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// A manifest with this node's values.
fn rendered(
    bytes: &[u8],
    world: &dyn World,
    vars: &BTreeMap<String, Value>,
) -> Result<String, Trouble> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Trouble::Bad("a manifest is not UTF-8 text".into()))?;
    let value = |kind: &str, name: &str| match kind {
        "fleet" => vars.get(name).map(|value| match value {
            Value::Text(text) => literal(text),
            other => literal(&other.to_string()),
        }),
        "secret" => world.secret(name).map(|path| format!("${{file:{path}}}")),
        "secret-file" => world.secret(name).map(|path| literal(&path)),
        _ => None,
    };
    let of_nodes = references(text, &["fleet", "secret", "secret-file"]);
    if let Some((kind, name)) = of_nodes.iter().find(|(kind, name)| value(kind, name).is_none()) {
        return Err(Trouble::Lacking(format!("there is no ${{{kind}:{name}}} for this node")));
    }
    Ok(render(text, &value))
}

/// Removes what none of these generations needs, but for the newest so many.
pub(crate) fn clean(
    files: &mut dyn Files,
    kept: &[String],
    releases: &[Release],
) -> io::Result<()> {
    let mut removed = false;
    for name in files.list(GENERATIONS)? {
        let id = name.split('.').next().unwrap_or(&name);
        if !kept.iter().any(|kept| kept == id) {
            files.remove(&format!("{GENERATIONS}/{name}"))?;
            removed = true;
        }
    }
    let needed: BTreeSet<&str> =
        releases.iter().flat_map(|r| r.files.values()).map(|file| file.digest.hex()).collect();
    for name in files.list(BLOBS)? {
        if !needed.contains(name.split('.').next().unwrap_or(&name)) {
            files.remove(&format!("{BLOBS}/{name}"))?;
            removed = true;
        }
    }
    if removed {
        files.sync_folder(GENERATIONS)?;
        files.sync_folder(BLOBS)?;
    }
    Ok(())
}
