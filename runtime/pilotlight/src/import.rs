//! `pilotlight import`: reads a configuration, writes a manifest with its files, and lists what is left
//! to do.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use pilotlight_config::{Disk as _, Local};
use pilotlight_import::{Imported, Kind, Source};
use serde_json::json;

use crate::commands::print;
use crate::flags::Import;
use crate::{FAILED, REFUSED};

/// The manifest in a folder.
const MANIFEST: &str = "pilotlight.toml";

/// Exit code 2: the source is none, or a file is in the way; 1: a file can't be written.
pub(crate) fn import(import: &Import) -> ExitCode {
    let file = absolute(&import.file);
    let text = match Local.read(&file) {
        Ok(text) => text,
        Err(error) => return refuse(&format!("cannot read {}: {error}", import.file.display())),
    };
    let kind = match import.from.as_deref() {
        Some("kong") => Kind::Kong,
        Some(_) => Kind::Nginx,
        None => Kind::of(&file, &text),
    };
    let manifest = import.output.as_deref().map(manifest);
    let folder = manifest.as_deref().and_then(Path::parent).map(absolute);
    let prefix = import.prefix.as_deref().map(absolute);
    let source =
        Source { file: &file, prefix: prefix.as_deref(), out: folder.as_deref(), disk: &Local };
    let imported = match pilotlight_import::import(kind, &text, source) {
        Ok(imported) => imported,
        Err(refused) => return refuse(&refused.to_string()),
    };
    if let Some(manifest) = &manifest {
        match write(manifest, &imported, import.force) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return refuse(&format!("{error}\nhint: --force writes it anew"));
            }
            Err(error) => {
                eprintln!("pilotlight: {error}");
                return ExitCode::from(FAILED);
            }
        }
    }
    match import.json {
        true => print(&format!("{}\n", as_json(&imported, manifest.as_deref()))),
        false => tell(&imported, manifest.as_deref()),
    }
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("pilotlight: {why}");
    ExitCode::from(REFUSED)
}

fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    // `a/..` is gone where the folder is there; another path stays as it was written.
    match (whole.parent().and_then(|parent| parent.canonicalize().ok()), whole.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => whole.canonicalize().unwrap_or(whole),
    }
}

/// A name that ends in `.toml` is the manifest's; any other a folder's.
fn manifest(output: &Path) -> PathBuf {
    match output.extension() {
        Some(extension) if extension == "toml" => absolute(output),
        _ => absolute(output).join(MANIFEST),
    }
}

/// Writes all files, or none where one of them is there already.
fn write(manifest: &Path, imported: &Imported, force: bool) -> io::Result<()> {
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let mut files: Vec<(PathBuf, &str)> = vec![(manifest.to_path_buf(), &imported.manifest)];
    files.extend(imported.files.iter().map(|(name, text)| (folder.join(name), text.as_str())));
    if !force && let Some((there, _)) = files.iter().find(|(path, _)| path.exists()) {
        let message = format!("{} is there already", there.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    for (path, text) in files {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = written.and_then(|()| open(&path)?.write_all(text.as_bytes()));
        written.map_err(|error| {
            io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
        })?;
    }
    Ok(())
}

/// Manifests and keys may hold secrets: they are their owner's alone.
fn open(path: &Path) -> io::Result<File> {
    let secret = path.extension().is_some_and(|end| end == "key" || end == "toml");
    let mode = if secret { 0o600 } else { 0o644 };
    OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)
}

/// What is left to do goes to standard error, the manifest to its file or to standard output.
fn tell(imported: &Imported, manifest: Option<&Path>) {
    let here = std::env::current_dir().unwrap_or_default();
    let near = |text: &str| text.replace(&format!("{}/", here.display()), "");
    for note in &imported.notes {
        eprintln!("{}", near(&note.to_string()));
    }
    match manifest {
        Some(path) => {
            let path = near(&path.display().to_string());
            let files = match imported.files.len() {
                0 => String::new(),
                1 => " and 1 file".to_owned(),
                count => format!(" and {count} files"),
            };
            let left = match imported.notes.len() {
                0 => "nothing is left to do".to_owned(),
                1 => "1 thing is left to look at".to_owned(),
                count => format!("{count} things are left to look at"),
            };
            eprintln!("{path}{files}: {left}\nhint: `pilotlight check {path}` loads it");
        }
        None => {
            print(&imported.manifest);
            if !imported.files.is_empty() {
                let names: Vec<&str> =
                    imported.files.iter().map(|(name, _)| name.as_str()).collect();
                eprintln!("it names files that -o DIR writes beside it: {}", names.join(", "));
            }
        }
    }
}

fn as_json(imported: &Imported, manifest: Option<&Path>) -> serde_json::Value {
    let notes: Vec<_> = imported
        .notes
        .iter()
        .map(|note| {
            json!({
                "file": note.file,
                "line": note.line,
                "column": note.column,
                "message": note.what,
                "hint": note.todo,
            })
        })
        .collect();
    match manifest {
        Some(path) => {
            let names: Vec<&str> = imported.files.iter().map(|(name, _)| name.as_str()).collect();
            json!({ "manifest": path, "files": names, "notes": notes })
        }
        None => {
            let files: serde_json::Map<String, serde_json::Value> =
                imported.files.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
            json!({ "manifest": imported.manifest, "files": files, "notes": notes })
        }
    }
}
