//! Which files a release consists of: all that its gateway's manifest refers to, and its tests.
//!
//! Loading a manifest touches every file that it names, so what is touched is what belongs to it. Folders are taken
//! whole: those of scripts that `require` finds, and those that are served. A path that is whole (`/etc/...`)
//! means a file of the node.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use pilotlight_config::{
    Disk, Launch, Loaded, Local, Report, Target, parse_open, references, render,
};
use pilotlight_fleet::manifest;
use pilotlight_fleet::release::is_plain;

/// Kinds of references that a node answers.
const OF_NODES: &[&str] = &["fleet", "secret", "secret-file"];

/// The files of a release.
pub(super) struct Gathered {
    /// By their paths within the release, where they are.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// Those with references to values of the node.
    pub(super) render: Vec<String>,
    /// Those that are compiled for each target: by their paths within the release, of what.
    pub(super) compiled: BTreeMap<String, PathBuf>,
    /// References to values of the node, as (kind, name).
    pub(super) references: BTreeSet<(String, String)>,
    /// The gateway's manifest among the files.
    pub(super) gateway: String,
    /// What is probably not meant.
    pub(super) warnings: Report,
}

/// Why a release cannot be packed.
pub(super) enum Refused {
    /// The gateway's manifest does not do.
    Manifest(Report),
    /// Something else.
    Other(String),
}

impl From<String> for Refused {
    fn from(message: String) -> Refused {
        Refused::Other(message)
    }
}

/// All that is touched while a manifest is loaded.
struct Watched<'a> {
    folder: &'a Path,
    /// What the fleet says, as far as it is known here.
    vars: &'a BTreeMap<String, String>,
    files: RefCell<BTreeSet<PathBuf>>,
    /// Whether machine code is made, where there is a module beside it.
    compiles: bool,
    compiled: RefCell<BTreeSet<PathBuf>>,
    /// Those that were read, with their texts as typed.
    read: RefCell<BTreeMap<PathBuf, String>>,
    /// Those that a node has.
    left: RefCell<BTreeSet<PathBuf>>,
}

impl Watched<'_> {
    fn is_ours(&self, path: &Path) -> bool {
        let up = path.components().any(|part| part == Component::ParentDir);
        let ours = path.starts_with(self.folder) && !up;
        if !ours {
            self.left.borrow_mut().insert(path.to_owned());
        }
        ours
    }
}

impl Disk for Watched<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        if !self.is_ours(path) {
            return Ok(String::new());
        }
        let text = Local.read(path)?;
        self.files.borrow_mut().insert(path.to_owned());
        self.read.borrow_mut().insert(path.to_owned(), text.clone());
        Ok(known(&text, self.vars))
    }
    fn file(&self, path: &Path) -> io::Result<()> {
        if !self.is_ours(path) {
            return Ok(());
        }
        if self.compiles && module(path).is_some_and(|module| module.is_file()) {
            self.compiled.borrow_mut().insert(path.to_owned());
            return Ok(());
        }
        Local.file(path)?;
        self.files.borrow_mut().insert(path.to_owned());
        Ok(())
    }
    fn folder(&self, path: &Path) -> io::Result<()> {
        if self.is_ours(path) { Local.folder(path) } else { Ok(()) }
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        if self.is_ours(path) { Local.list(path) } else { Ok(Vec::new()) }
    }
}

/// What machine code is made of: `x.wasm` for `x.cwasm`.
fn module(path: &Path) -> Option<PathBuf> {
    let ahead = path.extension().is_some_and(|extension| extension == "cwasm");
    ahead.then(|| path.with_extension("wasm"))
}

/// A text with what is known of the fleet.
fn known(text: &str, vars: &BTreeMap<String, String>) -> String {
    render(text, &|kind, name| {
        let value = vars.get(name).filter(|_| kind == "fleet")?;
        Some(pilotlight_config::literal(value))
    })
}

/// Gathers the files of a release; `vars` are the fleet's values, as far as they are known. With `compiles` machine code is
/// made of the modules beside it.
pub(super) fn gather(
    release: &manifest::Release,
    folder: &Path,
    vars: &BTreeMap<String, String>,
    compiles: bool,
) -> Result<Gathered, Refused> {
    let watched = Watched {
        folder,
        vars,
        files: RefCell::default(),
        compiles,
        compiled: RefCell::default(),
        read: RefCell::default(),
        left: RefCell::default(),
    };
    let text = watched.read(&release.gateway);
    let text = text.map_err(|e| format!("cannot read {}: {e}", release.gateway.display()))?;
    let loaded = parse_open(&text, &release.gateway, &watched).map_err(Refused::Manifest)?;
    let mut found = Found { folder, files: BTreeMap::new() };
    for path in watched.files.take() {
        found.file(&path)?;
    }
    let mut compiled = BTreeMap::new();
    for path in watched.compiled.take() {
        compiled.insert(found.name(&path)?, path.with_extension("wasm"));
    }
    found.folders(&loaded)?;
    for path in &release.tests {
        found.tree(path, &|_| true)?;
    }
    let (mut names, mut to_render) = (BTreeSet::new(), Vec::new());
    let read = watched.read.take();
    for (path, text) in &read {
        let references = references(text, OF_NODES);
        if !references.is_empty() {
            to_render.push(found.name(path)?);
            names.extend(references);
        }
    }
    for path in watched.left.take() {
        // Without the whole path in its text it was meant to be ours.
        if !read.values().any(|text| text.contains(path.to_string_lossy().as_ref())) {
            let shown = path.display();
            let why = format!(
                "{shown} is outside of the release's folder\nhint: move it below {}; a file that nodes have is named by its whole path",
                folder.display()
            );
            return Err(why.into());
        }
    }
    let gateway = found.name(&release.gateway)?;
    let Found { files, .. } = found;
    let (render, warnings) = (to_render, loaded.warnings);
    Ok(Gathered { files, render, compiled, references: names, gateway, warnings })
}

struct Found<'a> {
    folder: &'a Path,
    files: BTreeMap<String, PathBuf>,
}

impl Found<'_> {
    fn name(&self, path: &Path) -> Result<String, Refused> {
        let inner = path.strip_prefix(self.folder).ok().and_then(Path::to_str);
        let name = inner.filter(|name| is_plain(name));
        name.map(str::to_owned).ok_or_else(|| {
            let shown = path.display();
            format!("{shown} cannot be in a release: its path within the folder must be of letters, digits and `.-_+@`").into()
        })
    }

    fn file(&mut self, path: &Path) -> Result<(), Refused> {
        let name = self.name(path)?;
        self.files.insert(name, path.to_owned());
        Ok(())
    }

    /// All files below a path that are wanted; what begins with a dot is left out.
    fn tree(&mut self, path: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<(), Refused> {
        if !path.starts_with(self.folder) {
            return Ok(());
        }
        let failed = |error: io::Error| format!("cannot read {}: {error}", path.display());
        let kind = match fs::metadata(path) {
            Ok(kind) => kind,
            Err(error) => return Err(failed(error).into()),
        };
        if !kind.is_dir() {
            return if wanted(path) { self.file(path) } else { Ok(()) };
        }
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                self.tree(&entry.path(), wanted)?;
            }
        }
        Ok(())
    }

    /// What a manifest means by a folder.
    fn folders(&mut self, loaded: &Loaded) -> Result<(), Refused> {
        let manifest = &loaded.manifest;
        for pattern in &manifest.lua.path {
            let Some((before, after)) = pattern.split_once('?') else { continue };
            let base = if before.ends_with('/') {
                Path::new(before)
            } else {
                Path::new(before).parent().unwrap_or(Path::new("/"))
            };
            let ends = after.rsplit('/').next().unwrap_or(after);
            let fits = |path: &Path| {
                let text = path.to_string_lossy();
                text.starts_with(before) && text.ends_with(ends)
            };
            match fs::metadata(base) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                _ => self.tree(base, &fits)?,
            }
        }
        for route in &manifest.routes {
            if let Target::Files(files) = &route.target {
                self.tree(&files.root, &|_| true)?;
            }
        }
        for upstream in &manifest.upstreams {
            let Some(activate) = &upstream.activate else { continue };
            if let Launch::Command { argv, .. } = &activate.launch
                && let Some(program) = argv.first().map(Path::new).filter(|p| p.is_absolute())
            {
                self.tree(program, &|_| true)?;
            }
        }
        Ok(())
    }
}
