//! YAML as a tree that knows where each part stands.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};

use crate::doc::{Table, Value};
use crate::note::Refused;

/// Nodes in all, aliases counted as often as they stand for something.
const MOST: usize = 1_000_000;

/// Nodes within nodes.
const DEEPEST: usize = 100;

/// Where something stands; both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Spot {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) spot: Spot,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// The text, and whether it stands there without quotes.
    Scalar(String, bool),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key, unless it is null.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let Kind::Map(rows) = &self.kind else { return None };
        let found =
            rows.iter().find(|(name, _)| matches!(&name.kind, Kind::Scalar(n, _) if n == key));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    pub(super) fn rows(&self) -> &[(Node, Node)] {
        match &self.kind {
            Kind::Map(rows) => rows,
            _ => &[],
        }
    }

    /// The items of a list; something that is none is a list of one.
    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// The items of the list under a key.
    pub(super) fn list(&self, key: &str) -> &[Node] {
        self.get(key).map_or(&[], Node::items)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(text, _) => Some(text),
            _ => None,
        }
    }

    /// The text under a key.
    pub(super) fn word(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Node::text)
    }

    /// The texts of the list under a key.
    pub(super) fn words(&self, key: &str) -> Vec<String> {
        self.list(key).iter().filter_map(Node::text).map(str::to_owned).collect()
    }

    /// The whole number under a key.
    pub(super) fn whole(&self, key: &str) -> Option<i64> {
        self.word(key)?.trim().parse().ok()
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        match self.word(key) {
            Some("true" | "True" | "TRUE" | "yes" | "on") => true,
            Some("false" | "False" | "FALSE" | "no" | "off") => false,
            _ => default,
        }
    }

    fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(text, true)
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// As a manifest's value; nothing for a null, which is the default everywhere.
    pub(super) fn value(&self) -> Option<Value> {
        if self.is_null() {
            return None;
        }
        Some(match &self.kind {
            Kind::Scalar(text, false) => super::text(text),
            Kind::Scalar(text, true) => plain(text),
            Kind::List(items) => Value::List(items.iter().filter_map(Node::value).collect()),
            Kind::Map(rows) => {
                let mut table = Table::new();
                for (key, value) in rows {
                    if let (Some(key), Some(value)) = (key.text(), value.value()) {
                        table.put(key, value);
                    }
                }
                table.into()
            }
        })
    }
}

/// A scalar without quotes, by YAML's core schema.
fn plain(text: &str) -> Value {
    match text {
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = digits.starts_with(|c: char| c.is_ascii_digit())
        || digits.starts_with('.') && digits[1..].starts_with(|c: char| c.is_ascii_digit());
    if number {
        if let Ok(number) = text.trim_start_matches('+').parse::<i64>() {
            return number.into();
        }
        let fine = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        if let (true, Ok(number)) = (text.chars().all(fine), text.parse::<f64>()) {
            return Value::Number(number);
        }
    }
    super::text(text)
}

/// The first document of a text.
///
/// Errors: it is not YAML, it is empty, or it is larger than a configuration can be.
pub(super) fn read(text: &str, file: &str) -> Result<Node, Refused> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: Vec::new(), nodes: 0, file };
    loop {
        let (event, span) = reader.event()?;
        match event {
            Event::StreamEnd => {
                let message = "there is nothing in this file".to_owned();
                return Err(reader.refuse(span.start, message));
            }
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event => return reader.node(event, span, 0),
        }
    }
}

struct Reader<'t> {
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: Vec<(usize, Node)>,
    nodes: usize,
    file: &'t str,
}

fn spot(marker: Marker) -> Spot {
    Spot { line: marker.line().max(1), column: marker.col() + 1 }
}

impl<'t> Reader<'t> {
    fn refuse(&self, at: Marker, message: String) -> Refused {
        let Spot { line, column } = spot(at);
        Refused { file: self.file.to_owned(), line, column, message }
    }

    fn event(&mut self) -> Result<(Event<'t>, Span), Refused> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.error(&error)),
            None => Ok((Event::StreamEnd, Span::empty(Marker::new(0, 1, 0)))),
        }
    }

    fn error(&self, error: &ScanError) -> Refused {
        self.refuse(*error.marker(), format!("this is not YAML: {}", error.info()))
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Refused> {
        let at = span.start;
        self.nodes += 1;
        if self.nodes > MOST || depth > DEEPEST {
            return Err(self.refuse(at, "this is too large for a configuration".to_owned()));
        }
        let (kind, anchor) = match event {
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(id, _)| *id == anchor);
                let Some((_, node)) = known else {
                    return Err(self.refuse(at, "an alias of what has no end yet".to_owned()));
                };
                let mut node = node.clone();
                self.nodes += count(&node);
                node.spot = spot(at);
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, _) => {
                (Kind::Scalar(text.into_owned(), style == ScalarStyle::Plain), anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        (Event::SequenceEnd | Event::StreamEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (Kind::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => (Kind::Map(self.map(depth)?), anchor),
            _ => (Kind::Scalar(String::new(), true), 0),
        };
        let node = Node { spot: spot(at), kind };
        if anchor > 0 {
            self.anchors.push((anchor, node.clone()));
            self.nodes += count(&node);
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Refused> {
        let mut rows: Vec<(Node, Node)> = Vec::new();
        let mut merged = Vec::new();
        loop {
            let key = match self.event()? {
                (Event::MappingEnd | Event::StreamEnd, _) => break,
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let (event, span) = self.event()?;
            let value = self.node(event, span, depth + 1)?;
            match key.text() {
                // A merge: what stands here itself counts before it.
                Some("<<") => merged.push(value),
                _ => rows.push((key, value)),
            }
        }
        for source in merged.iter().flat_map(Node::items) {
            for (key, value) in source.rows() {
                if !rows.iter().any(|(known, _)| known.text() == key.text()) {
                    rows.push((key.clone(), value.clone()));
                }
            }
        }
        Ok(rows)
    }
}

fn count(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar(..) => 0,
        Kind::List(items) => items.iter().map(count).sum(),
        Kind::Map(rows) => rows.iter().map(|(key, value)| count(key) + count(value)).sum(),
    }
}
