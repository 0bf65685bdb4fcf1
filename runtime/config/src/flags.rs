//! `pilotlight run --listen ADDR --upstream URL [--filter FILE]...`: a gateway without a manifest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, Local};
use crate::load::{Loaded, parse_with};
use crate::report::{Problem, Report, Spot};

/// One listener "main" (HTTP/1 and HTTP/2 in clear), one route and one upstream "main"; the files
/// (`.lua`, `.wasm`) are its chain. Relative paths are relative to the current directory.
///
/// Errors: as for a manifest; places point into the manifest that the flags stand for.
pub fn from_flags(listen: &str, upstream: &str, filters: &[PathBuf]) -> Result<Loaded, Report> {
    from_flags_with(listen, upstream, filters, &Local)
}

fn from_flags_with(
    listen: &str,
    upstream: &str,
    filters: &[PathBuf],
    disk: &dyn Disk,
) -> Result<Loaded, Report> {
    let mut report = Report::default();
    let mut names: Vec<String> = Vec::new();
    let mut tables = String::new();
    for file in filters {
        let (Some(path), Some(kind)) = (file.to_str(), kind(file)) else {
            let message = format!("--filter {}: neither a .lua nor a .wasm file", file.display());
            report.push(Problem::error(Spot::Nowhere, message));
            continue;
        };
        let name = free_name(file, &names);
        let _ = write!(tables, "[filters.{name}]\n{kind} = {}\n", literal(path));
        names.push(name);
    }
    if report.has_errors() {
        return Err(report);
    }
    // A bare host and port is enough for a quick look.
    let bare =
        !upstream.contains("://") && !upstream.starts_with("unix:") && upstream.contains(':');
    let upstream = if bare { format!("http://{upstream}") } else { upstream.to_owned() };
    let text = format!(
        "[log]\naccess = \"off\"\n[[listeners]]\nname = \"main\"\naddress = {}\nprotocols = [\"http1\", \"http2\"]\n\
         [[routes]]\nname = \"main\"\nfilters = {names:?}\nupstream = \"main\"\n\
         [upstreams.main]\nendpoints = [{}]\n{tables}",
        literal(listen),
        literal(&upstream),
    );
    parse_with(&text, Path::new("(flags)"), &|_| None, disk)
}

fn kind(file: &Path) -> Option<&'static str> {
    match file.extension()?.to_str()? {
        "lua" => Some("lua"),
        "wasm" | "cwasm" => Some("wasm"),
        _ => None,
    }
}

/// The file's name without its extension, made a bare key, and different from those before.
fn free_name(file: &Path, taken: &[String]) -> String {
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let mut stem: String = stem.chars().map(safe).take(64).collect();
    if stem.is_empty() {
        stem.push_str("filter");
    }
    let mut name = stem.clone();
    let mut count = 1;
    while taken.contains(&name) {
        count += 1;
        name = format!("{stem}-{count}");
    }
    name
}

/// A TOML string that stands for exactly this text. JSON's escapes are TOML's, but for DEL.
fn literal(text: &str) -> String {
    let json = serde_json::Value::from(text.replace("${", "$${")).to_string();
    json.replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests;
