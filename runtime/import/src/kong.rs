//! Kong's declarative configuration as a manifest: `_format_version` 1.1, 2.1 and 3.0, as decK and
//! `declarative_config` take it.
//!
//! A service becomes an upstream; a route with its plugins, those of its service and the global ones,
//! routes with filters; a consumer with its credentials an entry of `[[consumers]]`.

mod certificate;
mod consumer;
mod known;
mod path;
mod plugin;
mod route;
mod service;
mod yaml;

use crate::doc::{self, Doc, Table, Value};
use crate::note::{Note, Refused};
use crate::{Imported, Source};
use yaml::{Node, Spot};

/// Where Kong's packages put its source.
const KONG: &str = "/usr/local/share/lua/5.1";

/// A manifest in the making.
struct Import<'s> {
    source: Source<'s>,
    file: String,
    /// Of `_format_version`: from 3 on, expressions are marked with a `~`.
    marked: bool,
    notes: Vec<Note>,
    lua: Table,
    routes: Vec<Route>,
    filters: Vec<(String, Table)>,
    upstreams: Vec<(String, Table)>,
    consumers: Vec<Table>,
    files: Vec<(String, String)>,
    certificates: Vec<certificate::Certificate>,
    /// Plugins with their scopes.
    plugins: Vec<plugin::Plugin>,
    /// What plugin configurations share: `_plugin_configs`.
    shared: Vec<(String, Node)>,
}

/// A route in the making.
struct Route {
    from: String,
    /// Higher ones come first in the file: `regex_priority`.
    priority: i64,
    table: Table,
}

pub(crate) fn import(text: &str, source: Source<'_>) -> Result<Imported, Refused> {
    let file = source.file.display().to_string();
    let root = yaml::read(text, &file)?;
    if root.rows().is_empty() {
        let Spot { line, column } = root.spot;
        let message = "this is no configuration of Kong's: it has no keys".to_owned();
        return Err(Refused { file, line, column, message });
    }
    let version = root.word("_format_version").unwrap_or("3.0").to_owned();
    let mut import = Import {
        source,
        file,
        marked: !(version.starts_with("1.") || version.starts_with("2.")),
        notes: Vec::new(),
        lua: Table::new(),
        routes: Vec::new(),
        filters: Vec::new(),
        upstreams: Vec::new(),
        consumers: Vec::new(),
        files: Vec::new(),
        certificates: Vec::new(),
        plugins: Vec::new(),
        shared: Vec::new(),
    };
    if root.get("_format_version").is_none() {
        let todo = "it is read as 3.0; write _format_version first in the file";
        import.note(root.spot, "there is no `_format_version`", todo);
    }
    known::unread(&mut import, &root);
    for (name, config) in root.get("_plugin_configs").map_or(&[][..], Node::rows) {
        if let Some(name) = name.text() {
            import.shared.push((name.to_owned(), config.clone()));
        }
    }
    certificate::certificates(&mut import, &root);
    plugin::collect(&mut import, &root);
    consumer::consumers(&mut import, &root);
    let services: Vec<&Node> = root.list("services").iter().collect();
    for service in &services {
        let routes: Vec<&Node> = service.list("routes").iter().collect();
        let named = service.word("name").or(service.word("id"));
        let others = root
            .list("routes")
            .iter()
            .filter(|route| named.is_some() && reference(route, "service") == named);
        let routes: Vec<&Node> = routes.into_iter().chain(others).collect();
        service::service(&mut import, &root, service, &routes);
    }
    for route in root.list("routes") {
        let to = reference(route, "service");
        let known = services.iter().any(|service| {
            to.is_some() && (service.word("name") == to || service.word("id") == to)
        });
        if !known {
            service::without(&mut import, &root, route);
        }
    }
    Ok(import.finish())
}

/// What an entity is bound to: `service: NAME`, `service: { name: NAME }` or `{ id: ... }`.
fn reference<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
    let to = node.get(key)?;
    to.text().or_else(|| to.word("name")).or_else(|| to.word("id")).or_else(|| to.word("username"))
}

/// A text as a value of the manifest. decK's `${{ env "NAME" }}` is the manifest's `${env:NAME}`.
fn text(text: &str) -> Value {
    let mut out = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find("${{") {
        let Some((inner, after)) = rest[at + 3..].split_once("}}") else { break };
        let name = inner.trim().strip_prefix("env").map(str::trim);
        let name = name.map(|name| name.trim_matches(['"', '\'']));
        let Some(name) = name.filter(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        }) else {
            break;
        };
        out.push_str(&rest[..at].replace("${", "$${"));
        out.push_str(&format!("${{env:{name}}}"));
        rest = after;
        found = true;
    }
    if !found {
        return Value::Text(text.to_owned());
    }
    out.push_str(&rest.replace("${", "$${"));
    Value::Reference(out)
}

impl Import<'_> {
    fn note(&mut self, spot: Spot, what: impl Into<String>, todo: impl Into<String>) {
        self.notes.push(Note {
            file: self.file.clone(),
            line: spot.line,
            column: spot.column,
            what: what.into(),
            todo: todo.into(),
        });
    }

    /// A filter by its name, or by another where that is taken by one that says something else.
    fn filter(&mut self, base: &str, table: Table) -> String {
        let base = doc::name(base, "filter");
        let fits = |name: &str| match self.filters.iter().find(|(known, _)| known == name) {
            None => true,
            Some((_, known)) => *known == table,
        };
        let name = doc::free(&base, fits);
        if !self.filters.iter().any(|(known, _)| *known == name) {
            self.filters.push((name.clone(), table));
        }
        name
    }

    /// A file beside the manifest; its path.
    fn write(&mut self, folder: &str, base: &str, end: &str, text: String) -> String {
        let base = doc::name(base, "file");
        let path = |base: &str| format!("{folder}/{base}{end}");
        let fits = |base: &str| {
            let path = path(base);
            self.files
                .iter()
                .find(|(name, _)| *name == path)
                .is_none_or(|(_, known)| *known == text)
        };
        let path = path(&doc::free(&base, fits));
        if !self.files.iter().any(|(name, _)| *name == path) {
            self.files.push((path.clone(), text));
        }
        path
    }

    fn finish(mut self) -> Imported {
        let mut doc = Doc::default();
        if self.filters.iter().any(|(_, table)| table.get("kong").is_some()) {
            let folder =
                self.source.prefix.map_or(KONG.to_owned(), |prefix| prefix.display().to_string());
            let folder = folder.trim_end_matches('/');
            let mut path = vec![format!("{folder}/?.lua"), format!("{folder}/?/init.lua")];
            path.extend(crate::LIBRARIES.iter().map(|path| (*path).to_owned()));
            let mut lua = Table::new().with("path", path);
            lua.0.append(&mut self.lua.0);
            self.lua = lua;
        }
        doc.section("lua", self.lua);
        let body = Table::new().with("body_bytes", "1TiB");
        let http = Table::new().with("name", "http").with("address", "[::]:8000");
        doc.item(
            "listeners",
            Some("kong.conf: proxy_listen".into()),
            http.with("limits", body.clone()),
        );
        let pairs: Vec<Value> =
            self.certificates.iter().map(|one| one.pair.clone().into()).collect();
        if !pairs.is_empty() {
            let https = Table::new()
                .with("name", "https")
                .with("address", "[::]:8443")
                .with("tls", Value::List(pairs))
                .with("limits", body);
            doc.item("listeners", Some("kong.conf: proxy_listen".into()), https);
        }
        // Expressions are asked in the order of the file.
        self.routes.sort_by_key(|route| std::cmp::Reverse(route.priority));
        for route in self.routes {
            doc.item("routes", Some(route.from), route.table);
        }
        for (name, table) in self.filters {
            doc.named("filters", &name, table);
        }
        for (name, table) in self.upstreams {
            doc.named("upstreams", &name, table);
        }
        for table in self.consumers {
            doc.item("consumers", None, table);
        }
        let name = self.source.file.file_name().and_then(|name| name.to_str());
        Imported { manifest: doc.text(name.unwrap_or("")), files: self.files, notes: self.notes }
    }
}
