//! From a file, or from text, to a manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use crate::disk::{Disk, Local, Pretend, absolute, reason};
use crate::expand::Expander;
use crate::glob;
use crate::manifest::{Address, Manifest};
use crate::raw::{At, Reader, Root, Typed};
use crate::report::{Problem, Report, Spot};
use crate::resolve::resolve;
use crate::typed;

/// A manifest that can run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// As meant.
    pub manifest: Manifest,
    /// What is probably not meant. Holds no errors; it has the manifest's text, so problems that
    /// engines find later can be pushed into it and shown with their lines.
    pub warnings: Report,
}

/// Reads a manifest with its includes. `env` gives the values of `${env:NAME}`.
///
/// Errors: every problem that was found, not only the first.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Report> {
    match Local.read(path) {
        Ok(text) => parse_with(&text, path, env, &Local),
        Err(error) => {
            let message = format!("cannot read the manifest: {}", reason(&error));
            Err(Problem::error(Spot::File(path.into()), message).into())
        }
    }
}

/// Where the gateway of this manifest takes commands. The rest of the manifest may be broken: what
/// runs was loaded from an earlier one.
///
/// Errors: what [`load`] says, if there is no address in what can be read.
pub fn admin(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Address>, Report> {
    load(path, env).map(|loaded| loaded.manifest.gateway.admin).or_else(|report| {
        let text = Local.read(path).unwrap_or_default();
        let (table, _) = DeTable::parse_recoverable(&text);
        let gateway = table.get_ref().get("gateway").and_then(|value| value.get_ref().as_table());
        let typed = gateway.and_then(|gateway| text.get(gateway.get("admin")?.span()));
        let alone = typed.map(|admin| format!("gateway.admin = {admin}\n{SERVES}"));
        let loaded = alone.and_then(|text| parse_with(&text, path, env, &Local).ok());
        loaded.map(|loaded| loaded.manifest.gateway.admin).ok_or(report)
    })
}

/// What a manifest needs at least.
const SERVES: &str = "listeners = [{ address = \"127.0.0.1:0\" }]";

/// A manifest's text as if it stood in `dir/pilotlight.toml`, without a look at any file: files
/// that it names count as there, `${file:}` as empty, `include` finds nothing, no environment.
pub fn parse_str(text: &str, dir: &Path) -> Result<Loaded, Report> {
    parse_with(text, &dir.join("pilotlight.toml"), &|_| None, &Pretend)
}

/// A manifest's text as if it stood in `file`; all that it refers to is asked of `env` and `disk`.
pub fn parse_with(
    text: &str,
    file: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    disk: &dyn Disk,
) -> Result<Loaded, Report> {
    parse(text, file, env, disk, false)
}

/// A manifest as far as it can be judged away from the node that will run it: what only that can answer
/// (`${fleet:}`, `${secret:}`, `${env:}`, `${file:}` with a whole path) is left open, and so are the keys whose values it
/// is part of.
pub fn parse_open(text: &str, file: &Path, disk: &dyn Disk) -> Result<Loaded, Report> {
    parse(text, file, &|_| None, disk, true)
}

fn parse(
    text: &str,
    file: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    disk: &dyn Disk,
    open: bool,
) -> Result<Loaded, Report> {
    let shown = file.parent().unwrap_or(Path::new(""));
    let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
    let folder = file.parent().unwrap_or(Path::new("/")).to_path_buf();
    let mut report = Report::about(&folder, shown);
    let expander = Expander { env, disk, folder: &folder, open };

    let mut root: Root =
        typed::parse(text, &file, expander, &mut report).ok_or_else(|| sorted(&report))?;
    let mut seen = vec![file.clone()];
    for include in root.include.take().map(|list| list.value).unwrap_or_default() {
        include_files(&include, &mut seen, &mut root, expander, &mut report);
    }
    resolve(root, &file, disk, report)
}

fn sorted(report: &Report) -> Report {
    let mut report = report.clone();
    report.sort();
    report
}

/// Merges the files that one pattern of `include` stands for, each of them once.
fn include_files(
    include: &At<String>,
    seen: &mut Vec<PathBuf>,
    root: &mut Root,
    expander: Expander<'_>,
    report: &mut Report,
) {
    let (pattern, refuse) = (&include.value, |message| Problem::error(&include.place, message));
    let files = if !glob::is_pattern(pattern) {
        vec![absolute(expander.folder, pattern)]
    } else {
        match glob::expand(expander.disk, expander.folder, pattern) {
            Ok(files) if files.is_empty() => {
                let message = format!("no file matches {pattern:?}");
                report.push(Problem::warning(&include.place, message));
                return;
            }
            Ok(files) => files,
            Err(error) => {
                report.push(refuse(format!("cannot look for {pattern:?}: {}", reason(&error))));
                return;
            }
        }
    };
    for file in files {
        if seen.contains(&file) {
            continue;
        }
        seen.push(file.clone());
        match expander.disk.read(&file) {
            Ok(text) => include_text(&text, &file, root, expander, report),
            Err(error) => {
                let name = file.strip_prefix(expander.folder).unwrap_or(&file).display();
                report.push(refuse(format!("cannot read \"{name}\": {}", reason(&error))));
                root.broken = true;
            }
        }
    }
}

fn include_text(
    text: &str,
    file: &Path,
    root: &mut Root,
    expander: Expander<'_>,
    report: &mut Report,
) {
    let Some(mut included) = typed::parse::<Root>(text, file, expander, report) else {
        // What it would have defined is missing now: do not report that too.
        root.broken = true;
        return;
    };
    if let Some(nested) = included.include.take() {
        let problem = Problem::error(&nested.key, "an included file cannot include others");
        report.push(problem.hint("list the files in the manifest itself"));
    }
    let mut reader = Reader { file: Arc::new(file.into()), source: text, expander, report };
    // A root always takes over another one.
    let _ = root.join(included, &mut reader);
}

#[cfg(test)]
pub(crate) mod tests;
