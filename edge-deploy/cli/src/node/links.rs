//! `current`: the generation that the gateway loads, under a path that stays the same. It follows the
//! pointer and is never asked what runs.
//!
//! What a gateway leaves behind belongs to the node: in each generation `run` and `cache` lead to folders
//! beside them all.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use pilotlight_agent::{GENERATIONS, Generation};

use super::disk::Disk;

/// Folders of the node, and where they are.
pub(super) struct Shared {
    /// That of the admin interface.
    pub(super) run: Option<PathBuf>,
    /// That of compiled modules.
    pub(super) cache: PathBuf,
}

/// Prepares a generation's folder.
pub(super) fn prepare(
    disk: &Disk,
    generation: &Generation,
    shared: &Shared,
) -> io::Result<PathBuf> {
    let folder = disk.at(&format!("{GENERATIONS}/{}", generation.id));
    // Relative to the manifest, as paths in it are.
    let base = folder.join(&generation.manifest);
    let base = base.parent().unwrap_or(&folder).to_path_buf();
    for (name, to) in [("run", shared.run.as_ref()), ("cache", Some(&shared.cache))] {
        let Some(to) = to else { continue };
        fs::create_dir_all(to)?;
        match symlink(to, base.join(name)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(folder)
}

/// Turns `current` to a generation, at once.
pub(super) fn turn(disk: &Disk, generation: &Generation, shared: &Shared) -> io::Result<()> {
    prepare(disk, generation, shared)?;
    let new = disk.at("current.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(Path::new(GENERATIONS).join(&generation.id), &new)?;
    fs::rename(&new, disk.at("current"))
}

/// The manifest that the gateway is started with.
pub(super) fn manifest(disk: &Disk, generation: &Generation) -> PathBuf {
    disk.at("current").join(&generation.manifest)
}
