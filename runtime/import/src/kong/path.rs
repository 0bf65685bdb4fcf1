//! Paths of a route: what matches them, and what the service is asked for.

use pilotlight_config::PathRegex;

use super::Import;
use super::service::Service;
use super::yaml::Node;
use crate::matching;

/// Where a path leads: the key and value of its match, and what becomes of it.
pub(super) struct Way {
    pub(super) key: &'static str,
    pub(super) value: String,
    pub(super) rewrite: Option<String>,
}

/// One for each way to be matched; nothing: none of the paths can be said.
pub(super) fn ways(
    import: &mut Import<'_>,
    service: Option<&Service<'_>>,
    node: &Node,
    label: &str,
) -> Option<Vec<Way>> {
    let base = service.map_or("", |service| service.path.as_str());
    if base.contains(['{', '}', ' ']) {
        let what = format!("the path of the service of {label} can't be written: {base}");
        import.note(node.spot, what, "the route is left out; write it with `rewrite`");
        return None;
    }
    let strip = node.flag("strip_path", true);
    let whole = (!base.is_empty()).then(|| format!("{base}{{path}}"));
    let given = node.list("paths");
    if given.is_empty() {
        return Some(vec![Way { key: "", value: String::new(), rewrite: whole }]);
    }
    let mut ways = Vec::new();
    for one in given {
        let Some(text) = one.text() else { continue };
        let expression = match import.marked {
            true => text.strip_prefix('~'),
            // Older formats know an expression by its characters.
            false => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/%".contains(c);
                (!text.chars().all(plain)).then_some(text)
            }
        };
        match expression {
            Some(expression) => match self::expression(expression, base, strip, whole.clone()) {
                Ok(way) => ways.push(way),
                Err(why) => {
                    let what = format!("no match says the path {text:?}: {why}");
                    import.note(one.spot, what, "write it without that, or as several paths");
                }
            },
            None => match matching::decoded(text).and_then(|path| matching::path(&path)) {
                Some(path) => prefix(&path, base, strip, whole.clone(), &mut ways),
                None => {
                    let what = format!("no match says the path {text:?}");
                    import.note(one.spot, what, "a path begins with `/` and has no empty parts");
                }
            },
        }
    }
    (!ways.is_empty()).then_some(ways)
}

/// A plain path is a prefix. Where it is stripped, what follows must begin with a slash.
fn prefix(path: &str, base: &str, strip: bool, whole: Option<String>, ways: &mut Vec<Way>) {
    let way = |value: String, rewrite| Way { key: "path", value, rewrite };
    if !strip {
        return ways.push(way(format!("{path}*"), whole));
    }
    let below = Some(format!("{base}/{{1}}"));
    if path == "/" {
        return ways.push(way("/*".to_owned(), below.filter(|_| !base.is_empty())));
    }
    if path.ends_with('/') {
        return ways.push(way(format!("{path}*"), below));
    }
    let alone = if base.is_empty() { "/" } else { base };
    ways.push(way(path.to_owned(), Some(alone.to_owned())));
    ways.push(way(format!("{path}/*"), below));
}

/// An expression holds from the path's begin; stripped is what it matches.
fn expression(text: &str, base: &str, strip: bool, whole: Option<String>) -> Result<Way, String> {
    let bare = text.strip_prefix('^').unwrap_or(text);
    let ends = bare.ends_with('$') && !bare.ends_with("\\$");
    let (value, rewrite) = match (strip, ends) {
        (false, _) => (format!("^(?:{bare})"), whole),
        // A path that ends where the expression does has nothing left.
        (true, true) => {
            let alone = if base.is_empty() { "/" } else { base };
            (format!("^(?:{})", matching::without_groups(bare)), Some(alone.to_owned()))
        }
        (true, false) => {
            let value = format!("^(?:{})/?(.*)", matching::without_groups(bare));
            (value, Some(format!("{base}/{{1}}")))
        }
    };
    if !value.is_ascii() {
        return Err("paths are ASCII: write %XX".to_owned());
    }
    if value.len() > 1024 {
        return Err("it is too long".to_owned());
    }
    let regex = PathRegex::new(&value)?;
    if strip && rewrite.as_ref().is_some_and(|path| path.contains("{1}")) && regex.groups() != 1 {
        return Err("its groups have names".to_owned());
    }
    Ok(Way { key: "regex", value, rewrite })
}
