//! Templates of rewrites and redirects: `/v2/{1}`, `https://{host}{path}?{query}`.

use crate::router::Captures;

/// A template, taken apart once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Capture(usize),
    Path,
    Query,
    Host,
}

/// What the names in a template stand for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// What the wildcards matched in `path`.
    pub captures: Captures,
    /// The canonical path that was matched.
    pub path: &'a [u8],
    /// Raw, without the `?`.
    pub query: Option<&'a [u8]>,
    /// As it shall appear; see [`crate::router::host_name`] to leave the port out.
    pub host: &'a [u8],
}

impl Template {
    /// Braces that name nothing stand for themselves (the manifest's reader refuses them).
    pub fn new(text: &str) -> Template {
        let mut parts = Vec::new();
        let mut rest = text;
        let mut literal = String::new();
        while let Some(at) = rest.find('{') {
            let (before, braced) = rest.split_at(at);
            literal.push_str(before);
            let end = braced.find('}').map(|end| end + 1);
            let part = end.and_then(|end| part(&braced[1..end - 1]));
            let taken = match (part, end) {
                (Some(part), Some(end)) => {
                    flush(&mut literal, &mut parts);
                    parts.push(part);
                    end
                }
                _ => {
                    literal.push('{');
                    1
                }
            };
            rest = &braced[taken..];
        }
        literal.push_str(rest);
        flush(&mut literal, &mut parts);
        Template { parts: parts.into() }
    }

    /// The text with everything filled in, appended to `out`. What is not there is empty.
    pub fn expand_into(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        for part in &self.parts {
            out.extend_from_slice(match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Capture(number) => values.captures.get(*number, values.path),
                Part::Path => values.path,
                Part::Query => values.query.unwrap_or_default(),
                Part::Host => values.host,
            });
        }
    }

    /// The text with everything filled in.
    pub fn expand(&self, values: &Values<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.expand_into(values, &mut out);
        out
    }

    /// Whether the template says itself where the query goes.
    pub fn names_query(&self) -> bool {
        self.parts.contains(&Part::Query)
    }
}

/// Takes a template apart and fills it in.
pub fn rewrite(template: &str, values: &Values<'_>) -> Vec<u8> {
    Template::new(template).expand(values)
}

fn part(name: &str) -> Option<Part> {
    match name {
        "path" => Some(Part::Path),
        "query" => Some(Part::Query),
        "host" => Some(Part::Host),
        number => number.parse().ok().filter(|number| *number > 0).map(Part::Capture),
    }
}

fn flush(literal: &mut String, parts: &mut Vec<Part>) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal).into()));
    }
}

#[cfg(test)]
mod tests;
