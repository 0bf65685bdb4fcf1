//! Scripts: files for what stands in blocks, and filters that name them.

use super::parse::{Directive, Spot};
use super::var::{Names, is_constant};
use super::{Import, Levels, known, rewrite, setting};
use crate::doc::{self, Table, Value};
use crate::lua::literal;

/// Phases that a location may have or inherit, in the order in which they run.
pub(super) const OF_LOCATIONS: &[&str] = &[
    "server_rewrite",
    "rewrite",
    "access",
    "precontent",
    "proxy_ssl_certificate",
    "proxy_ssl_verify",
    "header_filter",
    "body_filter",
    "log",
];

/// What a script can't have here, whatever the manifest grants.
const BEYOND: &[(&str, &str)] = &[
    ("os.execute", "scripts start no processes; ask a server instead"),
    ("os.remove", "scripts change no files by os; see [lua] io"),
    ("os.rename", "scripts change no files by os; see [lua] io"),
    ("os.exit", "scripts do not end the process"),
    ("io.popen", "scripts start no processes; ask a server instead"),
    ("string.dump", "there is no bytecode"),
    ("ngx.pipe", "scripts start no processes; ask a server instead"),
];

/// The path of a directive's script; what stands in the configuration itself becomes a file. `skip`
/// arguments stand before the script.
pub(super) fn file(
    import: &mut Import<'_>,
    directive: &Directive,
    phase: &str,
    skip: usize,
) -> String {
    if directive.name.ends_with("_file") {
        return by_name(import, directive, directive.arg(skip), phase);
    }
    let code = directive.lua.as_deref().unwrap_or(directive.arg(skip));
    look(import, code, &directive.spot);
    let code = format!("{}\n", trimmed(code));
    write(import, &directive.spot, phase, code)
}

/// Without the blank lines around it and the indentation that all lines share.
fn trimmed(code: &str) -> String {
    let lines: Vec<&str> = code.lines().map(str::trim_end).collect();
    let first = lines.iter().position(|line| !line.is_empty()).unwrap_or(0);
    let last = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    let lines = lines.get(first..last).unwrap_or_default();
    // Long brackets keep their blanks: such code stays as it is.
    let long = code.contains("[[") || code.contains("[=");
    let indent = |line: &&&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let shared = lines.iter().filter(|line| !line.is_empty()).map(|line| indent(&line)).min();
    let shared = if long { 0 } else { shared.unwrap_or(0) };
    let cut = lines.iter().map(|line| line.get(shared..).unwrap_or(""));
    cut.collect::<Vec<_>>().join("\n")
}

/// A script that nginx reads from a file, by a name that may hold variables.
fn by_name(import: &mut Import<'_>, directive: &Directive, name: &str, phase: &str) -> String {
    let whole = match name.starts_with('/') {
        true => name.to_owned(),
        false => import.prefix.join(name).display().to_string(),
    };
    if is_constant(name) {
        let path = std::path::Path::new(&whole);
        if let Ok(code) = import.source.disk.read(path) {
            look(import, &code, &directive.spot);
        }
        return import.shown(path);
    }
    let path = import.expression(&whole, &Names::default(), &directive.spot);
    import.lua.put("io", true);
    let code = format!(
        "local path = {path}\nlocal chunk, why = loadfile(path)\nif not chunk then\n  \
         ngx.log(ngx.ERR, \"failed to load \", path, \": \", why)\n  return ngx.exit(500)\nend\n\
         return chunk()\n"
    );
    write(import, &directive.spot, phase, code)
}

/// Grants what a script asks for, and says so.
fn look(import: &mut Import<'_>, code: &str, spot: &Spot) {
    let asks = |what: &str| {
        [
            format!("require \"{what}\""),
            format!("require '{what}'"),
            format!("require(\"{what}\")"),
            format!("require('{what}')"),
        ]
        .iter()
        .any(|form| code.contains(form.as_str()))
    };
    if asks("ffi") && import.lua.get("ffi").is_none() {
        import.lua.put("ffi", true);
        let todo = "see that scripts may be trusted with everything, or set [lua] ffi = false";
        import.note(spot, "a script uses ffi: the manifest grants it to all", todo);
    }
    let files = ["io.open", "io.lines", "io.read", "io.write"];
    if files.iter().any(|name| code.contains(name)) && import.lua.get("io").is_none() {
        import.lua.put("io", true);
        let todo = "see that scripts may read and write files, or set [lua] io = false";
        import.note(spot, "a script opens files: the manifest grants it to all", todo);
    }
    for (name, todo) in BEYOND {
        if code.contains(name) {
            import.note(spot, format!("a script uses {name}"), *todo);
        }
    }
}

/// A file beside the manifest, called by its place. One with the same text serves again.
pub(super) fn write(import: &mut Import<'_>, spot: &Spot, what: &str, code: String) -> String {
    let end = format!(".{what}.lua");
    let same = import.files.iter().find(|(name, text)| name.ends_with(&end) && *text == code);
    if let Some((name, _)) = same {
        return name.clone();
    }
    let base = format!("lua/{}-{}", Import::stem(spot), spot.line);
    let name = doc::free(&base, |base| {
        !import.files.iter().any(|(name, _)| *name == format!("{base}{end}"))
    });
    let name = format!("{name}{end}");
    import.files.push((name.clone(), code));
    name
}

/// A filter of these phases. One that says the same serves again.
pub(super) fn filter(import: &mut Import<'_>, base: &str, phases: Table) -> String {
    let table = Table::new().with("openresty", phases);
    let same = import.filters.iter().find(|(_, known)| *known == table);
    if let Some((name, _)) = same {
        return name.clone();
    }
    let name = doc::free(base, |name| !import.filters.iter().any(|(known, _)| known == name));
    import.filters.push((name.clone(), table));
    name
}

/// The directives of a phase in the innermost block that has any; the last of one block counts.
fn inherited<'c>(levels: &Levels<'c>, phase: &str) -> Option<&'c Directive> {
    let is = |directive: &&'c Directive| {
        known::phase(&directive.name).is_some_and(|(name, _)| name == phase)
    };
    levels.iter().find_map(|level| level.iter().rfind(is))
}

/// The scripts of a location in these phases, its own and those it inherits.
pub(super) fn phases(import: &mut Import<'_>, levels: &Levels<'_>, which: &[&str]) -> Table {
    let mut table = Table::new();
    for phase in which {
        if let Some(directive) = inherited(levels, phase) {
            let path = file(import, directive, phase, 0);
            table.put(phase, path);
        }
    }
    table
}

/// `set_by_lua` and `set`, in order, where a script sets any of them; where steps lie between them,
/// `set_by_lua` alone: the others are steps, too.
pub(super) fn sets(
    import: &mut Import<'_>,
    blocks: &[&[Directive]],
    names: &Names,
) -> Option<Value> {
    let of_lua = |directive: &&Directive| directive.name.starts_with("set_by_lua");
    let all: Vec<&Directive> = blocks
        .iter()
        .flat_map(|block| block.iter())
        .filter(|directive| directive.name == "set" || of_lua(directive))
        .collect();
    if !all.iter().any(of_lua) {
        return None;
    }
    let flows = blocks.iter().any(|block| rewrite::flows(block));
    let all: Vec<&Directive> = all.into_iter().filter(|one| !flows || of_lua(one)).collect();
    let mut list = Vec::new();
    for directive in all {
        let var = super::var::bare(directive.arg(0)).to_owned();
        // nginx refuses other names.
        if var.is_empty() || !var.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            continue;
        }
        let mut step = Table::new().with("var", var);
        if directive.name == "set" {
            let value = import.expression(directive.arg(1), names, &directive.spot);
            let path = write(import, &directive.spot, "set", format!("return {value}\n"));
            step.put("lua", path);
        } else {
            let path = file(import, directive, "set", 1);
            step.put("lua", path);
            let from = if directive.lua.is_some() { 1 } else { 2 };
            let args: Vec<String> = directive.args.iter().skip(from).cloned().collect();
            if !args.is_empty() {
                step.put("args", args);
            }
        }
        list.push(Value::Table(step));
    }
    Some(Value::List(list))
}

/// Settings of the Lua module, where there are scripts for them.
pub(super) fn with_settings(import: &mut Import<'_>, levels: &Levels<'_>, phases: &mut Table) {
    if !phases.is_empty() {
        setting::settings(import, levels, phases);
    }
}

/// A line that writes a field.
pub(super) fn set_field(name: &str, value: &str) -> String {
    format!("ngx.header[{}] = {value}", literal(name))
}
