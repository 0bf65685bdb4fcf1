//! Variables of nginx in texts, as expressions of Lua.

use super::Import;
use super::parse::{Directive, Spot};
use crate::lua::literal;

/// `map $source $name { ... }`.
pub(super) struct Map {
    source: String,
    spot: Spot,
    rows: Vec<(String, String)>,
    default: String,
}

/// What the texts of one location may speak of.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// The groups of the location's expression that have names, by their numbers.
    pub(super) groups: Vec<(String, usize)>,
    /// The table of Lua that holds captures, instead of `ngx.var`.
    pub(super) captures: Option<&'static str>,
    /// Variables with values that are known.
    pub(super) known: Vec<(String, String)>,
}

/// Variables that the gateway has.
const HAS: &[&str] = &[
    "args",
    "binary_remote_addr",
    "body_bytes_sent",
    "bytes_sent",
    "connection",
    "connection_requests",
    "content_length",
    "content_type",
    "document_uri",
    "host",
    "hostname",
    "http2",
    "http3",
    "https",
    "is_args",
    "msec",
    "nginx_version",
    "pid",
    "query_string",
    "realip_remote_addr",
    "realip_remote_port",
    "remote_addr",
    "remote_port",
    "remote_user",
    "request",
    "request_body",
    "request_completion",
    "request_id",
    "request_length",
    "request_method",
    "request_time",
    "request_uri",
    "scheme",
    "server_addr",
    "server_name",
    "server_port",
    "server_protocol",
    "ssl_cipher",
    "ssl_client_cert",
    "ssl_client_escaped_cert",
    "ssl_client_fingerprint",
    "ssl_client_raw_cert",
    "ssl_client_s_dn",
    "ssl_client_verify",
    "ssl_protocol",
    "ssl_server_name",
    "status",
    "time_iso8601",
    "time_local",
    "upstream_addr",
    "upstream_connect_time",
    "upstream_header_time",
    "upstream_response_time",
    "upstream_status",
    "uri",
];

/// ... and families of them.
const FAMILIES: &[&str] =
    &["http_", "arg_", "cookie_", "sent_http_", "upstream_http_", "upstream_cookie_"];

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// Takes a text apart: `$name`, `${name}`, `$1`.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let Some((name, end)) = (bytes[at] == b'$').then(|| variable(text, at + 1)).flatten()
        else {
            at += 1;
            continue;
        };
        if from < at {
            parts.push(Part::Text(&text[from..at]));
        }
        parts.push(Part::Variable(name));
        (from, at) = (end, end);
    }
    if from < text.len() {
        parts.push(Part::Text(&text[from..]));
    }
    parts
}

/// The name that stands there, and where it ends.
fn variable(text: &str, at: usize) -> Option<(&str, usize)> {
    let word = |from: usize| {
        let rest = text[from..].bytes();
        let first_is_digit = text.as_bytes().get(from).is_some_and(u8::is_ascii_digit);
        // `$1x` is `$1` and an x.
        let length = match first_is_digit {
            true => 1,
            false => rest.take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count(),
        };
        (length > 0).then_some(from + length)
    };
    if text.as_bytes().get(at) == Some(&b'{') {
        let end = word(at + 1)?;
        return (text.as_bytes().get(end) == Some(&b'}')).then(|| (&text[at + 1..end], end + 1));
    }
    let end = word(at)?;
    Some((&text[at..end], end))
}

pub(super) fn is_constant(text: &str) -> bool {
    parts(text).iter().all(|part| matches!(part, Part::Text(_)))
}

/// A variable as `set` names it.
pub(super) fn bare(name: &str) -> &str {
    name.trim_start_matches('$').trim_start_matches('{').trim_end_matches('}')
}

/// Whether a variable is the configuration's own, and none that nginx has of itself.
pub(super) fn is_own(name: &str) -> bool {
    !HAS.contains(&name) && name != "limit_rate"
}

/// Finds all maps and all variables that anything sets.
pub(super) fn collect(import: &mut Import<'_>, all: &[Directive]) {
    for directive in all {
        let name = bare(directive.arg(if directive.name == "map" { 1 } else { 0 })).to_owned();
        match directive.name.as_str() {
            "map" => map(import, directive, name),
            "set" | "auth_request_set" => import.declared.push(name),
            other if other.starts_with("set_by_lua") => import.declared.push(name),
            _ => collect(import, directive.children()),
        }
    }
}

fn map(import: &mut Import<'_>, directive: &Directive, name: String) {
    let mut made = Map {
        source: directive.arg(0).to_owned(),
        spot: directive.spot.clone(),
        rows: Vec::new(),
        default: String::new(),
    };
    for row in directive.children() {
        let value = row.arg(0).to_owned();
        match row.name.as_str() {
            "default" => made.default = value,
            "volatile" => {}
            "hostnames" => {
                let what = "`hostnames` of a map: its patterns are compared as texts";
                import.note(&row.spot, what, "write the names as regular expressions (~...)");
            }
            "include" => {
                import.note(&row.spot, "an `include` in a map is left out", "write the rows here");
            }
            key => {
                // `\default` is the word itself.
                let key = key.strip_prefix('\\').unwrap_or(key).to_owned();
                made.rows.push((key, value));
            }
        }
    }
    import.maps.insert(name, made);
}

impl Import<'_> {
    /// A text as an expression of Lua.
    pub(super) fn expression(&mut self, text: &str, names: &Names, spot: &Spot) -> String {
        self.expression_at(text, names, spot, 0)
    }

    fn expression_at(&mut self, text: &str, names: &Names, spot: &Spot, depth: usize) -> String {
        let mut all = Vec::new();
        for part in parts(text) {
            all.push(match part {
                Part::Text(text) => literal(text),
                Part::Variable(name) => self.variable(name, names, spot, depth),
            });
        }
        if all.is_empty() { "\"\"".to_owned() } else { all.join(" .. ") }
    }

    /// Whether a variable may ever have a value.
    pub(super) fn has(&self, name: &str, names: &Names) -> bool {
        let lower = name.to_ascii_lowercase();
        HAS.contains(&lower.as_str())
            || ["proxy_add_x_forwarded_for", "request_filename"].contains(&name)
            || FAMILIES.iter().any(|family| lower.starts_with(family))
            || name.bytes().all(|b| b.is_ascii_digit())
            || self.declared.iter().any(|declared| declared == name)
            || self.maps.contains_key(name)
            || names.known.iter().any(|(known, _)| known == name)
            || names.groups.iter().any(|(group, _)| group == name)
    }

    fn variable(&mut self, name: &str, names: &Names, spot: &Spot, depth: usize) -> String {
        if let Some((_, value)) = names.known.iter().find(|(known, _)| known == name) {
            return literal(value);
        }
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return match names.captures {
                Some(table) => format!("({table}[{name}] or \"\")"),
                None => format!("(ngx.var[{name}] or \"\")"),
            };
        }
        if let Some((_, number)) = names.groups.iter().find(|(group, _)| group == name) {
            return format!("(ngx.var[{number}] or \"\")");
        }
        if let Some(map) = self.maps.get(name)
            && depth < 8
        {
            return self.mapped(map.source.clone(), name, names, depth);
        }
        if name == "proxy_add_x_forwarded_for" {
            return "(ngx.var.http_x_forwarded_for and ngx.var.http_x_forwarded_for .. \", \" \
                    or \"\") .. (ngx.var.remote_addr or \"\")"
                .to_owned();
        }
        if name == "request_filename" {
            return "(ngx.var.uri or \"\")".to_owned();
        }
        let lower = name.to_ascii_lowercase();
        if !self.has(name, names) {
            let what = format!("the variable ${name} is always empty");
            self.note(spot, what, "write another value, or let a script set it");
        }
        format!("(ngx.var[{}] or \"\")", literal(&lower))
    }

    /// A map as a function that is called where its variable stands.
    fn mapped(&mut self, source: String, name: &str, names: &Names, depth: usize) -> String {
        let source = self.expression_at(&source, names, &self.map_spot(name), depth + 1);
        let Some(map) = self.maps.get(name) else { return "\"\"".to_owned() };
        let (spot, rows, default) = (map.spot.clone(), map.rows.clone(), map.default.clone());
        let mut lines = vec![format!("(function() local value = {source}")];
        // Texts come before expressions, whatever their order.
        let (expressions, texts): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(key, _)| key.starts_with('~'));
        for (key, value) in texts {
            let value = self.expression_at(&value, names, &spot, depth + 1);
            let key = literal(&key.to_ascii_lowercase());
            lines.push(format!("if value:lower() == {key} then return {value} end"));
        }
        for (key, value) in expressions {
            let inner = Names { captures: Some("m"), ..names.clone() };
            let value = self.expression_at(&value, &inner, &spot, depth + 1);
            let (flags, pattern) = match key.strip_prefix("~*") {
                Some(pattern) => ("ijo", pattern),
                None => ("jo", &key[1..]),
            };
            let find = format!("ngx.re.match(value, {}, \"{flags}\")", literal(pattern));
            lines.push(format!("do local m = {find} if m then return {value} end end"));
        }
        let default = self.expression_at(&default, names, &spot, depth + 1);
        lines.push(format!("return {default} end)()"));
        lines.join(" ")
    }

    fn map_spot(&self, name: &str) -> Spot {
        let spot = self.maps.get(name).map(|map| map.spot.clone());
        spot.unwrap_or_else(|| Spot { file: "".into(), line: 1, column: 1 })
    }
}

/// The groups of an expression that have names, and their numbers.
pub(super) fn groups(expression: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let (mut number, mut class) = (0, false);
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let mut chars = after.chars();
                chars.next();
                rest = chars.as_str();
                continue;
            }
            '[' => class = true,
            ']' => class = false,
            '(' if !class => {
                let named = ["?<", "?P<", "?'"].iter().find_map(|start| after.strip_prefix(start));
                match named.filter(|name| !name.starts_with(['=', '!'])) {
                    Some(name) => {
                        number += 1;
                        let end = name.find(['>', '\'']).unwrap_or(0);
                        found.push((name[..end].to_owned(), number));
                    }
                    None if after.starts_with('?') || after.starts_with('*') => {}
                    None => number += 1,
                }
            }
            _ => {}
        }
        rest = after;
    }
    found
}
