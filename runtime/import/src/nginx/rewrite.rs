//! nginx's rewrite module: `set`, `if`, `rewrite`, `return` and `break`, in their order, as a script.

use super::Import;
use super::location::Here;
use super::parse::{Directive, Spot};
use super::var::{Names, Part, bare, is_constant, is_own, parts};
use crate::lua::literal;

/// Statuses of redirects, whose text is a URL.
pub(super) const REDIRECTS: &[u16] = &[301, 302, 303, 307, 308];

const STEPS: &[&str] = &["if", "rewrite", "break"];

/// Whether a block has steps whose order matters, so that variables are set among them.
pub(super) fn flows(block: &[Directive]) -> bool {
    block.iter().any(|one| STEPS.contains(&one.name.as_str()))
}

/// Whether a block has more of the module than constants and an answer.
pub(super) fn has_steps(block: &[Directive]) -> bool {
    block.iter().any(|one| {
        STEPS.contains(&one.name.as_str())
            || one.name == "set" && !(is_constant(one.arg(1)) && is_own(bare(one.arg(0))))
    })
}

/// Where the first `return` of a block stands, which answers each request that gets there.
pub(super) fn ends(block: &[Directive]) -> Option<Spot> {
    block.iter().find(|one| one.name == "return").map(|one| one.spot.clone())
}

/// The lines of a script for all steps of a location, those of its server first.
pub(super) fn script(import: &mut Import<'_>, here: &Here<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let (own, server) = (here.own(), here.server());
    if has_steps(server) {
        // A request that looks for its location again does not pass the server's steps again.
        lines.push("if not ngx.ctx.server_rewritten then".to_owned());
        lines.push("ngx.ctx.server_rewritten = true".to_owned());
        lines.push("local moved = false".to_owned());
        lines.push("repeat".to_owned());
        let mut steps = Steps { import, here, server: true, in_if: 0 };
        let inner = steps.block(server, &here.names);
        lines.extend(inner);
        lines.push("until true".to_owned());
        lines.push("if moved then return ngx.req.set_uri(ngx.var.uri, true) end".to_owned());
        lines.push("end".to_owned());
    }
    if !here.is_server() && has_steps(own) {
        let mut steps = Steps { import, here, server: false, in_if: 0 };
        let inner = steps.block(own, &here.names);
        if !inner.is_empty() {
            lines.push("local moved = false".to_owned());
            lines.push("repeat".to_owned());
            lines.extend(inner);
            lines.push("until true".to_owned());
            lines.push("if moved then return ngx.req.set_uri(ngx.var.uri, true) end".to_owned());
        }
    }
    lines
}

struct Steps<'i, 's, 'h> {
    import: &'i mut Import<'s>,
    here: &'h Here<'h>,
    server: bool,
    in_if: usize,
}

impl Steps<'_, '_, '_> {
    /// Up to an answer: what stands behind it is never reached.
    fn block(&mut self, block: &[Directive], names: &Names) -> Vec<String> {
        let mut lines = Vec::new();
        for one in block {
            match one.name.as_str() {
                "set" => lines.push(self.set(one, names)),
                "break" => {
                    if !self.server {
                        lines.push("moved = false".to_owned());
                    }
                    lines.push("do break end".to_owned());
                    return lines;
                }
                "return" => {
                    // The route's target, if it is no step of a condition.
                    if self.in_if > 0 {
                        lines.extend(self.answer(one, names));
                    }
                    return lines;
                }
                "rewrite" => lines.extend(self.rewrite(one, names)),
                "if" => lines.extend(self.condition(one, names)),
                _ => self.other(one),
            }
        }
        lines
    }

    /// Directives of other modules count in a block of their own only.
    fn other(&mut self, one: &Directive) {
        if self.in_if == 0 || matches!(one.name.as_str(), "access_log" | "log_not_found") {
            return;
        }
        let what = format!("`{}` within `if` is left out", one.name);
        let todo = "write a script that asks for the condition, or a route with match.headers";
        self.import.note(&one.spot, what, todo);
    }

    fn set(&mut self, one: &Directive, names: &Names) -> String {
        let value = self.import.expression(one.arg(1), names, &one.spot);
        format!("ngx.var[{}] = {value}", literal(bare(one.arg(0))))
    }

    fn answer(&mut self, one: &Directive, names: &Names) -> Vec<String> {
        answer(self.import, self.here, one, names)
            .into_iter()
            .map(|line| match line.strip_prefix("return ") {
                Some(rest) => format!("do return {rest} end"),
                None => line,
            })
            .collect()
    }

    fn rewrite(&mut self, one: &Directive, names: &Names) -> Vec<String> {
        let (pattern, to, flag) = (one.arg(0), one.arg(1), one.arg(2));
        let mut inner = names.clone();
        inner.captures = Some("m");
        inner.groups.clear();
        let find = format!("local m = ngx.re.match(ngx.var.uri, {}, \"jo\")", literal(pattern));
        let mut lines = vec!["do".to_owned(), find, "if m then".to_owned()];
        let (path, query) = match to.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (to, None),
        };
        let there = ["http://", "https://", "$scheme"].iter().any(|start| to.starts_with(start));
        if there || matches!(flag, "redirect" | "permanent") {
            let status = if flag == "permanent" { 301 } else { 302 };
            let to = self.import.expression(path, &inner, &one.spot);
            let rest = self.query(query, &inner, &one.spot);
            lines.push(format!("local query = {rest}"));
            lines.push("if query ~= \"\" then query = \"?\" .. query end".to_owned());
            lines.push(format!("do return ngx.redirect({to} .. query, {status}) end"));
        } else {
            let path = self.import.expression(path, &inner, &one.spot);
            lines.push(format!("local path = {path}"));
            if query.is_some() {
                let rest = self.query(query, &inner, &one.spot);
                lines.push(format!("ngx.req.set_uri_args({rest})"));
            }
            match flag {
                "last" => lines.push("do return ngx.req.set_uri(path, true) end".to_owned()),
                "break" => {
                    // Of a server's steps: its location is still to be found.
                    lines.push("ngx.req.set_uri(path)".to_owned());
                    lines.push(format!("moved = {}", self.server));
                    lines.push("do break end".to_owned());
                }
                _ => {
                    lines.push("ngx.req.set_uri(path)".to_owned());
                    lines.push("moved = true".to_owned());
                }
            }
        }
        lines.extend(["end".to_owned(), "end".to_owned()]);
        lines
    }

    /// The new query: what the text says, then the old one, unless it ends with a `?`.
    fn query(&mut self, query: Option<&str>, names: &Names, spot: &Spot) -> String {
        let Some(query) = query else { return "(ngx.var.args or \"\")".to_owned() };
        if let Some(alone) = query.strip_suffix('?').or(query.is_empty().then_some("")) {
            return self.import.expression(alone, names, spot);
        }
        let new = self.import.expression(query, names, spot);
        format!("{new} .. ((ngx.var.args or \"\") ~= \"\" and \"&\" .. ngx.var.args or \"\")")
    }

    fn condition(&mut self, one: &Directive, names: &Names) -> Vec<String> {
        let text = one.args.join(" ");
        let text = text.trim().trim_start_matches('(').trim_end_matches(')').trim();
        let mut inner = names.clone();
        let unknown = parts(text).iter().any(|part| match part {
            Part::Variable(name) => !self.import.has(name, names),
            Part::Text(_) => false,
        });
        let test = if unknown { None } else { self.test(text, one, &mut inner) };
        let Some(test) = test else {
            let guards = one.children().iter().any(|inner| {
                inner.name == "return" && matches!(inner.arg(0), "401" | "403" | "444")
            });
            if guards {
                let what = format!("the condition ({text}) can't be asked: everyone is refused");
                self.import.note(&one.spot, what, "ask for it in a script; then remove the 403");
                return vec!["do return ngx.exit(403) end".to_owned()];
            }
            let what = format!("the condition ({text}) is left out, with what depends on it");
            let todo = "ask for it in a script; for files, `try_files` or the target `files`";
            self.import.note(&one.spot, what, todo);
            return Vec::new();
        };
        self.in_if += 1;
        let block = self.block(one.children(), &inner);
        self.in_if -= 1;
        if block.is_empty() {
            return Vec::new();
        }
        let mut lines = vec!["do".to_owned()];
        lines.extend(test);
        lines.extend(block);
        lines.extend(["end".to_owned(), "end".to_owned()]);
        lines
    }

    /// Lines up to `if ... then`.
    fn test(&mut self, text: &str, one: &Directive, names: &mut Names) -> Option<Vec<String>> {
        let [Part::Variable(name), ..] = parts(text)[..] else { return None };
        let rest = text.trim_start_matches('$').trim_start_matches('{');
        let rest = rest.strip_prefix(name)?.trim_start_matches('}').trim();
        let left = self.import.expression(&format!("${{{name}}}"), names, &one.spot);
        if rest.is_empty() {
            return Some(vec![
                format!("local v = {left}"),
                "if v ~= \"\" and v ~= \"0\" then".to_owned(),
            ]);
        }
        for (operator, not, nocase) in
            [("!~*", true, true), ("!~", true, false), ("~*", false, true), ("~", false, false)]
        {
            let Some(pattern) = rest.strip_prefix(operator) else { continue };
            let pattern = pattern.trim().trim_matches('"');
            let flags = if nocase { "ijo" } else { "jo" };
            let find = format!("local m = ngx.re.match({left}, {}, \"{flags}\")", literal(pattern));
            if not {
                return Some(vec![find, "if not m then".to_owned()]);
            }
            names.captures = Some("m");
            return Some(vec![find, "if m then".to_owned()]);
        }
        let (sign, value) = match (rest.strip_prefix("!="), rest.strip_prefix('=')) {
            (Some(value), _) => ("~=", value),
            (None, Some(value)) => ("==", value),
            (None, None) => return None,
        };
        let value = self.import.expression(value.trim().trim_matches('"'), names, &one.spot);
        Some(vec![format!("if {left} {sign} {value} then")])
    }
}

/// `return CODE [TEXT]`, `return [CODE] URL`, as lines; the last one leaves the script.
pub(super) fn answer(
    import: &mut Import<'_>,
    here: &Here<'_>,
    one: &Directive,
    names: &Names,
) -> Vec<String> {
    let (status, text) = code(one);
    let Some(text) = text else { return vec![format!("return ngx.exit({status})")] };
    let value = import.expression(text, names, &one.spot);
    if REDIRECTS.contains(&status) {
        return vec![format!("return ngx.redirect({value}, {status})")];
    }
    let kind = super::effective(&here.levels, "default_type");
    let kind = kind.map_or("text/plain", |kind| kind.arg(0));
    vec![
        format!("ngx.status = {status}"),
        format!("ngx.header.content_type = {}", literal(kind)),
        format!("ngx.print({value})"),
        "return ngx.exit(ngx.HTTP_OK)".to_owned(),
    ]
}

/// The status and the text or URL.
pub(super) fn code(one: &Directive) -> (u16, Option<&str>) {
    match one.arg(0).parse::<u16>() {
        Ok(status) => (status, one.args.get(1).map(String::as_str)),
        Err(_) => (302, Some(one.arg(0))),
    }
}

/// Two blanks for each block of Lua that is open.
pub(super) fn indented(lines: &[String]) -> Vec<String> {
    let mut depth = 0usize;
    let mut out = Vec::with_capacity(lines.len());
    for line in lines {
        let shuts = line == "end" || line.starts_with("until ");
        depth = depth.saturating_sub(usize::from(shuts));
        out.push(format!("{}{line}", "  ".repeat(depth)));
        let opens = line.ends_with(" then")
            || line == "do"
            || line == "repeat"
            || line.starts_with("local function ");
        depth += usize::from(opens);
    }
    out
}
