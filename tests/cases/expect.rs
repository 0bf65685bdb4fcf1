//! What came, held against what a case wants.

use super::parse::{bytes, size};
use super::script::field;
use crate::support::message::Answer;
use crate::support::upstream::Seen;

type Fields = [(String, String)];

/// Lines of a wanted message. Orders: `@broken`, `@interim 103 name: value`, `@trailer name: value`,
/// `@length 1MiB`, `@has part` of the body, `@closed`; `@nothing`: no head at all.
pub fn answer(wanted: &[String], got: &Answer, wrong: &mut Vec<String>) {
    let broken = wanted.iter().any(|l| l == "@broken" || l == "@nothing");
    match (&got.broken, broken) {
        (Some(why), false) => wrong.push(format!("the message is broken: {why}")),
        (None, true) => wrong.push("the message is whole".into()),
        _ => {}
    }
    let blank = wanted.iter().position(String::is_empty).unwrap_or(wanted.len());
    for line in &wanted[..blank] {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let fits = match word {
            "@broken" => true,
            "@nothing" => got.status == 0,
            "@interim" => {
                let (status, line) = rest.split_once(' ').unwrap_or((rest, ""));
                let status = status.parse::<u16>().unwrap();
                got.interim
                    .iter()
                    .any(|(s, fields)| *s == status && (line.is_empty() || has(fields, line)))
            }
            "@trailer" => has(&got.trailers, rest),
            "@length" => got.body.len() as u64 == size(rest),
            "@has" => got.text().contains(rest),
            "@closed" => got.closed,
            digits if digits.len() == 3 && rest.is_empty() => digits.parse() == Ok(got.status),
            _ => has(&got.fields, line),
        };
        if !fits {
            wrong.push(format!("wanted: {line}"));
        }
    }
    body(wanted, blank, &got.body, wrong);
}

/// Lines of a request that an upstream saw. Orders: `@trailer`, `@length`, `@cut` (it never ended).
pub fn seen(wanted: &[String], got: &Seen, wrong: &mut Vec<String>) {
    let cut = wanted.iter().any(|l| l == "@cut");
    if cut == got.whole {
        wrong.push(format!("the upstream's request is {}", if cut { "whole" } else { "cut" }));
    }
    let blank = wanted.iter().position(String::is_empty).unwrap_or(wanted.len());
    for (index, line) in wanted[..blank].iter().enumerate() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let fits = match word {
            "@cut" => true,
            "@trailer" => has(&got.trailers, rest),
            "@length" => got.length == size(rest),
            _ if index == 0 => got.line.strip_suffix(" HTTP/1.1") == Some(line),
            _ => has(&got.fields, line),
        };
        if !fits {
            wrong.push(format!("the upstream should have seen: {line}"));
        }
    }
    body(wanted, blank, &got.body, wrong);
}

fn body(wanted: &[String], blank: usize, got: &[u8], wrong: &mut Vec<String>) {
    if blank < wanted.len() && bytes(&wanted[blank + 1..]) != got {
        let wanted = wanted[blank + 1..].join("\n");
        wrong.push(format!("body: {}\nwanted: {wanted}", got.escape_ascii()));
    }
}

/// Whether the fields are as the line says.
fn has(fields: &Fields, line: &str) -> bool {
    let all = |name: &str| {
        let values = fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        values.map(|(_, v)| v.as_str()).collect::<Vec<_>>()
    };
    if let Some(name) = line.strip_prefix("! ") {
        return all(name).is_empty();
    }
    let (name, value) = field(line);
    match value.strip_prefix('~') {
        Some(part) => all(&name).iter().any(|v| v.contains(part)),
        None if value == "*" => !all(&name).is_empty(),
        // Several lines of one name: any of them; a list is compared as one.
        None => all(&name).contains(&value.as_str()) || all(&name).join(", ") == value,
    }
}

pub fn show(seen: &Seen) -> String {
    let fields: Vec<String> = seen.fields.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    let body = seen.body[..seen.body.len().min(400)].escape_ascii().to_string();
    format!(
        "{}\n{}\n\n{body} ({} bytes, whole: {})",
        seen.line,
        fields.join("\n"),
        seen.length,
        seen.whole
    )
}
