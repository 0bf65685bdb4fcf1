//! One location as one route: its chain and its target.
//!
//! The chain is nginx's own modules around the location's scripts: first what the rewrite module and
//! the guards do (and, on the way back, the fields that nginx writes last), then the scripts, then what
//! an upstream sees.

use super::location::Here;
use super::parse::Directive;
use super::target::{self, Handler};
use super::var::{bare, is_constant};
use super::{Import, guard, header, proxy, rewrite, script};
use crate::doc::{Table, Value};

/// A route without its match.
pub(super) struct Made {
    pub(super) table: Table,
    /// An expression in the place of the location's.
    pub(super) regex: Option<String>,
    /// The path must be the location's alone.
    pub(super) exact_path: bool,
}

pub(super) fn route(import: &mut Import<'_>, from: &Here<'_>) -> Made {
    let mut here = Here {
        kind: from.kind,
        value: from.value.clone(),
        levels: from.levels.clone(),
        spot: from.spot.clone(),
        name: from.name.clone(),
        names: from.names.clone(),
        named: from.named.clone(),
        match_regex: from.match_regex.clone(),
    };
    let mut made = Made { table: Table::new(), regex: None, exact_path: false };
    // `return` comes before every script but those on the way back.
    let which = match target::handler(&here) {
        Handler::Return(_) => &["header_filter", "body_filter", "log"][..],
        _ => script::OF_LOCATIONS,
    };
    let mut phases = script::phases(import, &here.levels, which);
    let mut late = Vec::new();
    let mut errors = Vec::new();
    let mut asked = false;
    let handler = target::handler(&here);
    let mut target = Table::new();
    match handler {
        Handler::Return(one) => match target::fixed(&here, one) {
            Some(table) => target = table,
            None => phases.put("content", target::returned(import, &here, one)),
        },
        Handler::Content(one) => {
            let path = script::file(import, one, "content", 0);
            phases.put("content", path);
        }
        Handler::Echo(all) => {
            let code = target::echo(import, &here, &all);
            let path = script::write(import, &here.spot, "echo", code);
            phases.put("content", path);
        }
        Handler::Other(one) => target = target::missing(import, one),
        Handler::Proxy(one) => match proxy::forward(import, &mut here, one) {
            Some(forwarded) => {
                asked = true;
                target = forwarded.table;
                late = forwarded.lines;
                if let Some(path) = forwarded.balancer {
                    phases.put("balancer", path);
                }
            }
            None => target = target::missing(import, one),
        },
        Handler::Files => {
            let files = target::files(import, &here);
            (target, errors, made.regex) = (files.table, files.errors, files.regex);
            made.exact_path = files.exact;
        }
    }
    let blocks = [here.server(), here.own()];
    let blocks = if here.is_server() { &blocks[1..] } else { &blocks[..] };
    let sets = script::sets(import, blocks, &here.names);
    let by_script = sets.is_some();
    let listed = by_script && !blocks.iter().any(|block| rewrite::flows(block));
    let returns = matches!(target::handler(&here), Handler::Return(_));
    let mut first = first(import, &here, returns, listed);
    if let Some(sets) = sets {
        first.put("set", sets);
    }
    let mut links = vec![(label(&here, &first), first)];
    let scripts = !phases.is_empty();
    script::with_settings(import, &here.levels, &mut phases);
    links.push((here.name.clone(), phases));
    if !late.is_empty() {
        let code = format!("{}\n", late.join("\n"));
        let path = script::write(import, &here.spot, "upstream", code);
        links.push(("proxy".to_owned(), Table::new().with("access", path)));
    }
    let mut chain: Vec<String> = Vec::new();
    for (name, phases) in links.into_iter().filter(|(_, phases)| !phases.is_empty()) {
        let name = script::filter(import, &name, phases);
        if !chain.contains(&name) {
            chain.push(name);
        }
    }
    let table = &mut made.table;
    if here.own().iter().any(|one| one.name == "internal") {
        table.put("internal", true);
    }
    if !chain.is_empty() {
        table.put("filters", chain);
    }
    let vars = variables(&here, by_script);
    if !vars.is_empty() {
        table.put("vars", vars);
    }
    table.0.extend(target.0);
    if let Some(limit) = target::body_limit(&here.levels) {
        table.put("limits", Table::new().with("body_bytes", limit));
    }
    // What `try_files` ends with comes before pages for the same status.
    errors.extend(target::error_pages(import, &here, asked, scripts));
    if !errors.is_empty() {
        table.put("errors", Value::List(errors));
    }
    made
}

/// What the filter of nginx's own modules is called: several locations may share one.
fn label(here: &Here<'_>, phases: &Table) -> String {
    match &phases.0[..] {
        [(phase, _)] if phase == "header_filter" => "headers".to_owned(),
        [(phase, _)] if phase == "access" => "guard".to_owned(),
        _ => format!("{}-nginx", here.name),
    }
}

/// nginx's own modules before the scripts. `listed`: its variables are set by the list of them.
fn first(import: &mut Import<'_>, here: &Here<'_>, returns: bool, listed: bool) -> Table {
    let mut table = Table::new();
    let mut lines = header::input(import, here);
    if !listed {
        lines.extend(rewrite::script(import, here));
    }
    if !returns {
        lines.extend(target::need_body(&here.levels));
    }
    put(import, here, &mut table, "rewrite", "rewrite", &lines);
    if !returns {
        let lines = guard::lines(import, here);
        put(import, here, &mut table, "access", "guard", &lines);
    }
    let lines = header::response(import, here);
    put(import, here, &mut table, "header_filter", "headers", &lines);
    table
}

fn put(
    import: &mut Import<'_>,
    here: &Here<'_>,
    table: &mut Table,
    phase: &str,
    what: &str,
    lines: &[String],
) {
    if !lines.is_empty() {
        let lines = rewrite::indented(lines);
        let path = script::write(import, &here.spot, what, format!("{}\n", lines.join("\n")));
        table.put(phase, path);
    }
}

/// Variables that the location's directives set: constants with their values.
fn variables(here: &Here<'_>, by_script: bool) -> Table {
    let mut vars = Table::new();
    for block in [here.server(), here.own()] {
        declared(block, &mut vars, true, by_script);
    }
    vars
}

fn declared(block: &[Directive], vars: &mut Table, outside: bool, by_script: bool) {
    for one in block {
        let name = bare(one.arg(0));
        let fine = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && super::var::is_own(name);
        match one.name.as_str() {
            "set" if fine => {
                let constant = outside && !by_script && is_constant(one.arg(1));
                vars.put(name, if constant { one.arg(1) } else { "" });
            }
            "auth_request_set" if fine => vars.put(name, ""),
            "if" => declared(one.children(), vars, false, by_script),
            name_of if name_of.starts_with("set_by_lua") && fine => vars.put(name, ""),
            _ => {}
        }
    }
}
