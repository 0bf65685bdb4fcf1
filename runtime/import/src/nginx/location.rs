//! Locations: which requests each stands for, and in which order they are asked.
//!
//! nginx takes an exact location, else the longest prefix; unless that says `^~`, the first expression
//! that matches goes before it. Matches of the manifest have the same order, but for `^~`: where a
//! server has expressions, such a prefix becomes one, before all others.

use pilotlight_config::PathRegex;

use super::parse::{Directive, Spot};
use super::server::{Server, Way};
use super::var::{self, Names};
use super::{Import, Levels, guard, rewrite, route};
use crate::doc::{self, Table};
use crate::matching;

/// How a location is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Exact,
    Prefix,
    /// `^~`.
    Strong,
    Expression,
    Named,
}

/// A location, or what stands for a server where no location matches.
pub(super) struct Here<'c> {
    pub(super) kind: Kind,
    /// The path, expression or name.
    pub(super) value: String,
    pub(super) levels: Levels<'c>,
    pub(super) spot: Spot,
    /// What filters of it are called.
    pub(super) name: String,
    pub(super) names: Names,
    /// Named locations of the server, by the names that they have in the manifest.
    pub(super) named: Vec<(String, String)>,
    /// The expression's groups are wanted by something.
    pub(super) match_regex: Option<String>,
}

impl<'c> Here<'c> {
    /// The location's own directives.
    pub(super) fn own(&self) -> &'c [Directive] {
        self.levels.first().copied().unwrap_or_default()
    }

    /// The server's.
    pub(super) fn server(&self) -> &'c [Directive] {
        self.levels.len().checked_sub(2).map_or(&[][..], |at| self.levels[at])
    }

    /// Whether it stands for the server itself.
    pub(super) fn is_server(&self) -> bool {
        self.levels.len() == 2
    }
}

/// Adds the routes of a server. `last_resort`: one for all that no location matches, so that such
/// requests stay with this server.
pub(super) fn locations(
    import: &mut Import<'_>,
    server: &Server<'_>,
    ways: &[Way],
    last_resort: bool,
) {
    let mut all = Vec::new();
    let named = named(import, server);
    let ends = rewrite::ends(server.directive.children());
    if let Some(end) = &ends {
        // What answers for the whole server comes before its locations.
        if let Some(unused) = server.directive.children().iter().find(|one| one.name == "location")
        {
            let what =
                format!("no request reaches a location: `return` in line {} answers", end.line);
            import.note(&unused.spot, what, "remove the location, or the `return`");
        }
    } else {
        flatten(import, server, server.directive.children(), &server.levels(), &named, &mut all);
    }
    let whole = |here: &Here<'_>| here.kind == Kind::Prefix && here.value == "/";
    let acts = ends.is_some()
        || rewrite::has_steps(server.directive.children())
        || super::effective(&server.levels()[..1], "root").is_some();
    if !all.iter().any(whole) && (last_resort || acts) {
        all.push(Here {
            kind: Kind::Prefix,
            value: "/".to_owned(),
            levels: server.levels(),
            spot: server.directive.spot.clone(),
            name: base(server, "server"),
            names: names(server, "", None),
            named: named.clone(),
            match_regex: None,
        });
    }
    let expressions = all.iter().any(|here| here.kind == Kind::Expression);
    strong_first(import, &mut all, expressions);
    for here in &all {
        add(import, here, ways, expressions);
    }
}

/// Puts `^~` before expressions, the longest first.
fn strong_first(import: &mut Import<'_>, all: &mut [Here<'_>], expressions: bool) {
    if !expressions {
        return;
    }
    let prefixes: Vec<(String, Spot)> = all
        .iter()
        .filter(|here| here.kind == Kind::Prefix)
        .map(|here| (here.value.clone(), here.spot.clone()))
        .collect();
    for here in all.iter().filter(|here| here.kind == Kind::Strong) {
        for (longer, spot) in &prefixes {
            if longer.starts_with(&here.value) && longer.len() > here.value.len() {
                let what = format!("the location {longer} lies below `^~ {}`", here.value);
                import.note(spot, what, "requests for it go to the `^~` location: mark it ^~, too");
            }
        }
    }
    all.sort_by_key(|here| match here.kind {
        Kind::Strong => (0, usize::MAX - here.value.len()),
        _ => (1, 0),
    });
}

/// Names that variables of a server's texts may have.
fn names(server: &Server<'_>, expression: &str, root: Option<&str>) -> Names {
    let mut known =
        vec![("server_name".to_owned(), server.names.first().cloned().unwrap_or_default())];
    if let Some(root) = root {
        known.push(("document_root".to_owned(), root.to_owned()));
    }
    Names { groups: var::groups(expression), captures: None, known }
}

fn base(server: &Server<'_>, location: &str) -> String {
    let host = server.names.iter().find(|name| name.contains('.') && !name.starts_with('~'));
    match host {
        Some(host) => doc::name(&format!("{host}_{location}"), "root"),
        None => doc::name(location, "root"),
    }
}

/// The names of a server's named locations, each different from those of other servers.
fn named(import: &mut Import<'_>, server: &Server<'_>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for one in server.directive.children() {
        if one.name != "location" || !one.arg(0).starts_with('@') {
            continue;
        }
        let name = doc::free(one.arg(0), |name| !import.named.iter().any(|known| known == name));
        if name != one.arg(0) {
            let what = format!("another server has a location {}, too", one.arg(0));
            let todo = format!("it is {name} here: scripts that call ngx.exec must say so");
            import.note(&one.spot, what, todo);
        }
        import.named.push(name.clone());
        found.push((one.arg(0).to_owned(), name));
    }
    found
}

/// A server's locations with those in them, in the order of the file.
fn flatten<'c>(
    import: &mut Import<'_>,
    server: &Server<'c>,
    block: &'c [Directive],
    outer: &Levels<'c>,
    named: &[(String, String)],
    all: &mut Vec<Here<'c>>,
) {
    for directive in block.iter().filter(|one| one.name == "location") {
        let (kind, value, nocase) = kind(directive);
        let mut levels = vec![directive.children()];
        levels.extend(outer.iter().copied());
        let root = super::effective(&levels, "root").map(|root| import.below_prefix(root.arg(0)));
        let expression = if kind == Kind::Expression { value.as_str() } else { "" };
        let label = if value == "/" { "root" } else { &value };
        let here = Here {
            kind,
            name: base(server, label),
            names: names(server, expression, root.as_deref()),
            match_regex: (kind == Kind::Expression)
                .then(|| format!("{}{value}", if nocase { "(?i)" } else { "" })),
            value,
            spot: directive.spot.clone(),
            named: named.to_vec(),
            levels,
        };
        let inner = directive.children();
        if kind == Kind::Expression && outer.len() > 2 {
            let what = "an expression within a location is asked for other paths, too";
            import.note(&directive.spot, what, "begin it with the outer location's path: ^/...");
        }
        let levels = here.levels.clone();
        if all.iter().any(|other: &Here<'_>| same(other, &here)) {
            import.note(&directive.spot, "the location stands there twice", "the first counts");
            continue;
        }
        all.push(here);
        flatten(import, server, inner, &levels, named, all);
    }
}

fn same(a: &Here<'_>, b: &Here<'_>) -> bool {
    let class = |kind| if kind == Kind::Strong { Kind::Prefix } else { kind };
    class(a.kind) == class(b.kind) && a.value == b.value && a.match_regex == b.match_regex
}

/// The modifier may be glued to the path.
fn kind(directive: &Directive) -> (Kind, String, bool) {
    const MODIFIERS: &[(&str, Kind, bool)] = &[
        ("=", Kind::Exact, false),
        ("^~", Kind::Strong, false),
        ("~*", Kind::Expression, true),
        ("~", Kind::Expression, false),
    ];
    let (first, second) = (directive.arg(0), directive.arg(1));
    if first.starts_with('@') {
        return (Kind::Named, first.to_owned(), false);
    }
    for (modifier, kind, nocase) in MODIFIERS {
        if first == *modifier && directive.args.len() > 1 {
            return (*kind, second.to_owned(), *nocase);
        }
        if let Some(value) = first.strip_prefix(modifier).filter(|_| directive.args.len() == 1) {
            return (*kind, value.to_owned(), *nocase);
        }
    }
    (Kind::Prefix, first.to_owned(), false)
}

/// One route for each way to it.
fn add(import: &mut Import<'_>, here: &Here<'_>, ways: &[Way], expressions: bool) {
    let Some(mut matched) = matched(import, here, expressions) else { return };
    let from = match here.is_server() {
        true => format!("{}:{} server", Import::stem(&here.spot), here.spot.line),
        false => {
            let sign = match here.kind {
                Kind::Exact => "= ",
                Kind::Strong => "^~ ",
                Kind::Expression => "~ ",
                Kind::Prefix | Kind::Named => "",
            };
            let file = Import::stem(&here.spot);
            format!("{file}:{} location {sign}{}", here.spot.line, here.value)
        }
    };
    let mut made = route::route(import, here);
    if let Some(table) = made.regex.take() {
        matched.put("regex", table);
    }
    if made.exact_path
        && let Some(path) = matching::path(&here.value)
    {
        matched = Table::new().with("path", path);
    }
    if here.kind == Kind::Named {
        let mut table = matched;
        table.0.extend(made.table.0);
        import.routes.push((from, table));
        return;
    }
    for way in ways {
        let mut matcher = Table::new();
        if let Some(host) = &way.host {
            matcher.put("host", host.as_str());
        }
        matcher.0.extend(matched.0.iter().cloned());
        if !way.listeners.is_empty() {
            matcher.put("listeners", way.listeners.clone());
        }
        let mut table = Table::new().with("match", matcher.clone());
        table.0.extend(made.table.0.iter().cloned());
        import.routes.push((from.clone(), table));
        if made.table.get("internal").is_some() {
            import.routes.push((format!("{from}, for clients"), hidden(matcher, &made.table)));
        }
    }
}

/// What clients get who ask for an internal location: else a less specific one would answer them.
fn hidden(matcher: Table, internal: &Table) -> Table {
    let respond = Table::new().with("status", 404i64);
    let mut table = Table::new().with("match", matcher).with("respond", respond);
    if let Some(pages) = internal.get("errors") {
        table.put("errors", pages.clone());
    }
    table
}

/// The match; of a named location, its name. Nothing if no match can say it.
fn matched(import: &mut Import<'_>, here: &Here<'_>, expressions: bool) -> Option<Table> {
    let path = |import: &mut Import<'_>| {
        let path = matching::path(&here.value);
        if path.is_none() {
            let what = format!("no match says the location {:?}", here.value);
            import.note(&here.spot, what, "the route is left out: write one with another path");
        }
        path
    };
    Some(match here.kind {
        Kind::Named => {
            let name = here.named.iter().find(|(own, _)| *own == here.value);
            let name = name.map_or(here.value.as_str(), |(_, name)| name);
            Table::new().with("name", name)
        }
        Kind::Exact => Table::new().with("path", path(import)?),
        Kind::Strong if expressions => {
            let path = path(import)?;
            Table::new().with("regex", format!("^{}(.*)", matching::escaped(&path)))
        }
        Kind::Prefix | Kind::Strong => Table::new().with("path", format!("{}*", path(import)?)),
        Kind::Expression => {
            let text = here.match_regex.clone().unwrap_or_default();
            let refused = match () {
                () if text.len() > 1024 => Some("it is too long".to_owned()),
                () if !text.is_ascii() => Some("paths are ASCII: write %XX".to_owned()),
                () => PathRegex::new(&text).err(),
            };
            if let Some(why) = refused {
                let what = format!("no match says the expression {text:?}: {why}");
                let todo = match guard::guards(here) {
                    true => "the route is left out, WITH ITS GUARD: write it without that",
                    false => "the route is left out: write it without that",
                };
                import.note(&here.spot, what, todo);
                return None;
            }
            Table::new().with("regex", text)
        }
    })
}
