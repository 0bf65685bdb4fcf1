//! `nginx.conf` as a manifest.
//!
//! ```text
//!   parse, include   the text as a tree
//!   process          what the whole process shares: [gateway] [log] [lua] [shared]
//!   server           servers by their addresses and names           listener
//!   location         which requests a location stands for
//!   route            one location: chain and target        rewrite, header, guard, upstream, script
//! ```

mod cover;
mod guard;
mod header;
mod include;
mod known;
mod lex;
mod listener;
mod location;
mod parse;
mod process;
mod proxy;
mod rewrite;
mod route;
mod script;
mod server;
mod setting;
mod target;
mod units;
mod upstream;
mod var;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::doc::{self, Doc, Table};
use crate::note::{Note, Refused};
use crate::{Imported, Source};
use parse::{Directive, Spot};
use var::Map;

/// A manifest in the making.
struct Import<'s> {
    source: Source<'s>,
    prefix: PathBuf,
    notes: Vec<Note>,
    gateway: Table,
    log: Table,
    lua: Table,
    listeners: Vec<listener::Listener>,
    /// Each with where it comes from.
    routes: Vec<(String, Table)>,
    filters: Vec<(String, Table)>,
    shared: Vec<(String, Table)>,
    upstreams: Vec<(String, Table)>,
    /// Names of internal routes that are taken.
    named: Vec<String>,
    files: Vec<(String, String)>,
    maps: BTreeMap<String, Map>,
    /// Variables that any `set` declares.
    declared: Vec<String>,
    /// The filter at the head of chains, for scripts of the whole process.
    http: Option<String>,
}

/// Directives from the innermost block to the outermost.
type Levels<'c> = Vec<&'c [Directive]>;

pub(crate) fn import(text: &str, source: Source<'_>) -> Result<Imported, Refused> {
    let mut import = Import {
        source,
        prefix: prefix(source),
        notes: Vec::new(),
        gateway: Table::new(),
        log: Table::new(),
        lua: Table::new(),
        listeners: Vec::new(),
        routes: Vec::new(),
        filters: Vec::new(),
        shared: Vec::new(),
        upstreams: Vec::new(),
        named: Vec::new(),
        files: Vec::new(),
        maps: BTreeMap::new(),
        declared: Vec::new(),
        http: None,
    };
    let tree = include::whole(&mut import, text)?;
    known::unread(&mut import, &tree);
    let none: &[Directive] = &[];
    // Files that an `http` block includes may be imported alone.
    let alone =
        tree.iter().any(|directive| matches!(directive.name.as_str(), "server" | "upstream"));
    let blocks = tree.iter().filter(|directive| directive.name == "http");
    let mut http: Vec<&[Directive]> = blocks.map(Directive::children).collect();
    if alone {
        http.push(&tree);
    }
    process::main(&mut import, &tree);
    var::collect(&mut import, &tree);
    if http.is_empty() {
        let spot = Spot { file: source.file.display().to_string().into(), line: 1, column: 1 };
        import.note(&spot, "there is no `http` block: nothing to serve", "import the main file");
        http.push(none);
    }
    for block in http {
        process::http(&mut import, block);
        server::servers(&mut import, block);
    }
    Ok(import.finish())
}

fn prefix(source: Source<'_>) -> PathBuf {
    let folder = source.file.parent().unwrap_or(Path::new("/"));
    match (source.prefix, folder.file_name()) {
        (Some(prefix), _) => prefix.to_path_buf(),
        (None, Some(name)) if name == "conf" => folder.parent().unwrap_or(folder).to_path_buf(),
        _ => folder.to_path_buf(),
    }
}

impl Import<'_> {
    fn note(&mut self, spot: &Spot, what: impl Into<String>, todo: impl Into<String>) {
        self.notes.push(Note {
            file: spot.file.to_string(),
            line: spot.line,
            column: spot.column,
            what: what.into(),
            todo: todo.into(),
        });
    }

    /// A name that nginx looks for below its prefix.
    fn below_prefix(&self, name: &str) -> String {
        self.shown(&self.prefix.join(name))
    }

    /// A name that nginx looks for beside its configuration.
    fn beside(&self, name: &str) -> String {
        let folder = self.source.file.parent().unwrap_or(Path::new("/"));
        self.shown(&folder.join(name))
    }

    /// A path as the manifest names it: relative where it is below the manifest.
    fn shown(&self, path: &Path) -> String {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => {
                    plain.pop();
                }
                part => plain.push(part),
            }
        }
        let near = self.source.out.and_then(|out| plain.strip_prefix(out).ok());
        match near {
            Some(near) if near.as_os_str().is_empty() => ".".to_owned(),
            Some(near) => near.display().to_string(),
            None => plain.display().to_string(),
        }
    }

    /// What a spot's file is called in names.
    fn stem(spot: &Spot) -> String {
        let name = Path::new(&*spot.file).file_name().and_then(|name| name.to_str());
        doc::name(name.unwrap_or(""), "nginx.conf")
    }

    fn finish(mut self) -> Imported {
        let mut doc = Doc::default();
        self.head_chains();
        doc.section("gateway", self.gateway);
        doc.section("log", self.log);
        doc.section("lua", self.lua);
        for (name, table) in self.shared {
            doc.named("shared", &name, table);
        }
        for listener in self.listeners {
            doc.item("listeners", None, listener.table());
        }
        for (from, table) in self.routes {
            doc.item("routes", Some(from), table);
        }
        for (name, table) in self.filters {
            doc.named("filters", &name, table);
        }
        for (name, table) in self.upstreams {
            doc.named("upstreams", &name, table);
        }
        let name = self.source.file.file_name().and_then(|name| name.to_str());
        Imported { manifest: doc.text(name.unwrap_or("")), files: self.files, notes: self.notes }
    }
}

/// The first of a directive, in the innermost block that has it.
fn effective<'c>(levels: &[&'c [Directive]], name: &str) -> Option<&'c Directive> {
    // Of a setting that stands twice in a block, nginx refuses all but a few: the first counts.
    levels.iter().find_map(|level| level.iter().find(|directive| directive.name == name))
}

/// All of a directive, in the innermost block that has any.
fn all<'c>(levels: &[&'c [Directive]], name: &str) -> Vec<&'c Directive> {
    let of = |level: &&'c [Directive]| -> Vec<&'c Directive> {
        level.iter().filter(|directive| directive.name == name).collect()
    };
    levels.iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
}

/// Whether a switch is on; `default` where it is not written.
fn switch(levels: &[&[Directive]], name: &str, default: bool) -> bool {
    effective(levels, name).map_or(default, |directive| directive.arg(0) == "on")
}
