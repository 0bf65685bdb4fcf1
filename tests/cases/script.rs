//! Requests and upstreams' answers, from their lines.

use bytes::Bytes;

use super::parse::{bytes, duration, size};
use crate::support::message::{Piece, Request};
use crate::support::upstream::Step;
use crate::support::{Script, paced};

/// A request. Orders in its head: `@chunks a|b` (pieces of a body without a length), `@fill 1MiB`,
/// `@pause 20ms` between pieces, `@trailer name: value`, `@expects` (waits for a 100), `@leave`.
pub fn request(lines: &[String]) -> Request {
    let (method, target) =
        lines[0].split_once(' ').unwrap_or_else(|| panic!("no request: {}", lines[0]));
    let mut request = Request::new(method, target);
    let blank = lines.iter().position(String::is_empty).unwrap_or(lines.len());
    for line in &lines[1..blank] {
        match line.strip_prefix('@') {
            Some(order) => obey(&mut request, order),
            None => {
                let (name, value) = field(line);
                match name.as_str() {
                    "host" => request.authority = value,
                    _ => request.fields.push((name, value)),
                }
            }
        }
    }
    if blank + 1 < lines.len() {
        request.body.push(Piece::Data(bytes(&lines[blank + 1..]).into()));
    }
    request
}

fn obey(request: &mut Request, order: &str) {
    let (word, rest) = order.split_once(' ').unwrap_or((order, ""));
    match word {
        "chunks" => {
            request.sized = false;
            let pieces = rest.split('|').map(|p| Piece::Data(bytes(&[p.to_owned()]).into()));
            request.body.extend(pieces);
        }
        "fill" => request.body.push(Piece::Data(vec![b'x'; size(rest) as usize].into())),
        "pause" => request.body.push(Piece::Pause(paced(duration(rest)))),
        "trailer" => request.trailers.push(field(rest)),
        "expects" => request.expects = true,
        "unsized" => request.sized = false,
        "leave" => request.body.push(Piece::Leave),
        other => panic!("unknown order @{other}"),
    }
}

/// `name: value`.
pub fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no field: {line}"));
    (name.to_owned(), value.trim().to_owned())
}

/// What an upstream does. `content-length: auto` is counted. Orders: `@early` (does not wait for the
/// body), `@close`, `@reset`, `@stall`, `@echo`, `@fill 1MiB`, `@pause 20ms`, `@body`, `@raw bytes`.
pub fn script(lines: &[String]) -> Script {
    let mut script = Script::default();
    let mut head: Option<String> = None;
    let mut rest = lines.iter().peekable();
    while let Some(line) = rest.next() {
        if let Some(order) = line.strip_prefix('@') {
            let (word, argument) = order.split_once(' ').unwrap_or((order, ""));
            script.steps.push(match word {
                "early" => {
                    script.early = true;
                    continue;
                }
                "close" => Step::Close,
                "reset" => Step::Reset,
                "stall" => Step::Stall,
                "echo" => Step::Echo,
                "body" => Step::Body,
                "fill" => Step::Fill(size(argument)),
                "pause" => Step::Pause(duration(argument)),
                "raw" => Step::Send(bytes(&[argument.to_owned()]).into()),
                other => panic!("unknown order @{other}"),
            });
        } else if line.starts_with("HTTP/") && head.is_none() {
            head = Some(format!("{line}\r\n"));
        } else if let Some(mut text) = head.take() {
            if line.is_empty() {
                let mut body = Vec::new();
                while let Some(line) =
                    rest.next_if(|l| !l.starts_with('@') && !l.starts_with("HTTP/"))
                {
                    body.push(line.clone());
                }
                let body = bytes(&body);
                let text = text.replace(": auto\r\n", &format!(": {}\r\n", body.len()));
                let whole = [text.as_bytes(), b"\r\n", &body].concat();
                script.steps.push(Step::Send(whole.into()));
            } else {
                text.push_str(line);
                text.push_str("\r\n");
                head = Some(text);
            }
        } else if !line.is_empty() {
            panic!("not a part of an answer: {line}");
        }
    }
    if let Some(text) = head {
        let text = text.replace(": auto\r\n", ": 0\r\n") + "\r\n";
        script.steps.push(Step::Send(Bytes::from(text)));
    }
    script
}
