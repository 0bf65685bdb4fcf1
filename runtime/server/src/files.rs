//! The target `files`: a folder's files, with conditional requests and ranges (RFC 9110 sections
//! 13 and 14).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use pilotlight_config::manifest::Files;
use pilotlight_filter::{Body, BodyError, Exchange, Fields, Frame, Method, Source};
use tokio::task::JoinHandle;

use crate::answer::{self, Problem};

/// Bytes of one read.
const CHUNK: usize = 64 * 1024;

/// Answers with the file that the path names below the root.
pub(crate) async fn serve(exchange: &mut Exchange, files: &Files, below: &[u8]) {
    if !matches!(exchange.request.head.method(), Method::Get | Method::Head) {
        answer::problem(exchange, Problem::new(405, "files are read by GET and HEAD"));
        exchange.response.head.fields.push_checked(b"allow", b"GET, HEAD");
        return;
    }
    let as_folder = below.is_empty() || below.ends_with(b"/");
    let Some(below) = decode(&String::from_utf8_lossy(below)) else {
        return answer::problem(exchange, NOT_FOUND);
    };
    let (root, index) = (files.root.clone(), files.index.clone());
    let found = tokio::task::spawn_blocking(move || open(&root, &below, &index)).await;
    match found {
        // A folder's links are relative to its path with a slash, and a file is none.
        Ok(Some(found)) if found.is_index && !as_folder => to_folder(exchange),
        Ok(Some(found)) if found.is_index || !as_folder => respond(exchange, files, found),
        _ => answer::problem(exchange, NOT_FOUND),
    }
}

/// Sends the client to the same path with a slash.
fn to_folder(exchange: &mut Exchange) {
    let head = &exchange.request.head;
    let mut to = String::from_utf8_lossy(head.path()).into_owned();
    to.push('/');
    if let Some(query) = head.query() {
        to.push('?');
        to.push_str(&String::from_utf8_lossy(query));
    }
    answer::fixed(exchange, 301, [("location", to.as_str())], Bytes::new());
}

const NOT_FOUND: Problem = Problem::new(404, "no such file");

/// An open file and what is known of it.
struct Found {
    file: File,
    length: u64,
    modified: SystemTime,
    kind: &'static str,
    /// It was found as the index of a folder.
    is_index: bool,
}

/// Percent-decodes a path and checks that each segment is a plain name: nothing climbs, nothing
/// is hidden.
fn decode(path: &str) -> Option<PathBuf> {
    let mut below = PathBuf::new();
    for segment in path.split('/').filter(|s| !s.is_empty()) {
        let name = pilotlight_core::query::decode(segment.as_bytes());
        // `+` is itself in a path.
        let name =
            if segment.contains('+') { percent(segment.as_bytes()) } else { name.into_owned() };
        let name = String::from_utf8(name).ok()?;
        if name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return None;
        }
        below.push(name);
    }
    Some(below)
}

fn percent(text: &[u8]) -> Vec<u8> {
    text.split(|b| *b == b'+')
        .map(|part| pilotlight_core::query::decode(part).into_owned())
        .collect::<Vec<_>>()
        .join(&b'+')
}

fn open(root: &Path, below: &Path, index: &[String]) -> Option<Found> {
    let root = root.canonicalize().ok()?;
    let mut path = root.join(below).canonicalize().ok()?;
    let is_index = path.is_dir();
    if is_index {
        path =
            index.iter().map(|name| path.join(name)).find(|p| p.is_file())?.canonicalize().ok()?;
    }
    // A link may not lead out of the root.
    if !path.starts_with(&root) {
        return None;
    }
    let file = File::open(&path).ok()?;
    let facts = file.metadata().ok()?;
    let modified = facts.modified().ok()?;
    let (length, kind) = (facts.len(), kind(&path));
    facts.is_file().then_some(Found { file, length, modified, kind, is_index })
}

fn respond(exchange: &mut Exchange, files: &Files, mut found: Found) {
    let since = found.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let etag = format!("\"{:x}-{:x}\"", since.as_nanos(), found.length);
    let modified = httpdate::fmt_http_date(found.modified);
    let request = &exchange.request.head;
    let head = &request.fields;
    let condition = condition(head, &etag, since.as_secs());
    let same = head
        .get(b"if-range")
        .is_none_or(|tag| tag == etag.as_bytes() || tag == modified.as_bytes());
    // Section 14.2: ranges are for GET.
    let asked = head.get(b"range").filter(|_| same && request.method() == Method::Get);
    let range = asked.and_then(|r| parse_range(r, found.length));

    let mut fields = vec![
        ("content-type", found.kind.to_owned()),
        ("accept-ranges", "bytes".to_owned()),
        ("etag", etag),
        ("last-modified", modified),
    ];
    if let Some(control) = &files.cache_control {
        fields.push(("cache-control", control.clone()));
    }
    let length = found.length;
    let (status, start, count) = match range {
        _ if condition == Condition::Unchanged => (304, 0, 0),
        _ if condition == Condition::Failed => return answer::problem(exchange, OTHER_VERSION),
        None => (200, 0, length),
        Some(Range::Part(first, last)) => {
            fields.push(("content-range", format!("bytes {first}-{last}/{length}")));
            (206, first, last - first + 1)
        }
        Some(Range::Unsatisfiable) => {
            fields.push(("content-range", format!("bytes */{length}")));
            (416, 0, 0)
        }
    };
    let fields = fields.iter().map(|(n, v)| (*n, v.as_str()));
    answer::fixed(exchange, status, fields, Bytes::new());
    if count > 0 {
        if start > 0 && found.file.seek(SeekFrom::Start(start)).is_err() {
            return answer::problem(exchange, NOT_FOUND);
        }
        let source = FileBody { file: Some(found.file), left: count, reading: None };
        exchange.response.body = Body::stream(Box::new(source), Some(count));
    }
}

const OTHER_VERSION: Problem = Problem::new(412, "the file is not the one that was asked about");

/// What the request's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Holds,
    /// The client has it already: 304.
    Unchanged,
    /// 412.
    Failed,
}

/// RFC 9110 section 13.2.2: tags before dates, and what must match before what must not. `modified`:
/// seconds since 1970. A date that can't be read is ignored.
fn condition(head: &Fields, etag: &str, modified: u64) -> Condition {
    let date = |name: &[u8]| {
        let text = std::str::from_utf8(head.get(name)?).ok()?;
        let time = httpdate::parse_http_date(text).ok()?;
        Some(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    };
    let names = |tags: &[u8], weak: bool| tags == b"*" || contains(tags, etag.as_bytes(), weak);
    let stands = match head.get(b"if-match") {
        Some(tags) => names(tags, false),
        None => date(b"if-unmodified-since").is_none_or(|date| modified <= date),
    };
    let unchanged = match head.get(b"if-none-match") {
        Some(tags) => names(tags, true),
        None => date(b"if-modified-since").is_some_and(|date| modified <= date),
    };
    match (stands, unchanged) {
        (false, _) => Condition::Failed,
        (true, true) => Condition::Unchanged,
        (true, false) => Condition::Holds,
    }
}

/// Whether a list of entity tags has `tag`; `weak`: one marked weak will do (RFC 9110 section 8.8.3.2).
fn contains(list: &[u8], tag: &[u8], weak: bool) -> bool {
    list.split(|b| *b == b',').map(<[u8]>::trim_ascii).any(|t| match t.strip_prefix(b"W/") {
        Some(marked) => weak && marked == tag,
        None => t == tag,
    })
}

enum Range {
    Part(u64, u64),
    Unsatisfiable,
}

/// One range of bytes; several, or other units, are answered whole (RFC 9110 section 14.2).
fn parse_range(value: &[u8], length: u64) -> Option<Range> {
    let text = std::str::from_utf8(value).ok()?.strip_prefix("bytes=")?;
    let (first, last) = text.split_once('-')?;
    let number = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse::<u64>().ok())?;
    match (first, last) {
        ("", suffix) => {
            let suffix = number(suffix)?;
            let valid = suffix > 0 && length > 0;
            Some(if valid {
                Range::Part(length.saturating_sub(suffix), length - 1)
            } else {
                Range::Unsatisfiable
            })
        }
        (first, last) => {
            let first = number(first)?;
            let last = if last.is_empty() { u64::MAX } else { number(last)? };
            if last < first {
                return None;
            }
            Some(if first < length {
                Range::Part(first, last.min(length - 1))
            } else {
                Range::Unsatisfiable
            })
        }
    }
}

/// A file's bytes, read by a thread that may block.
struct FileBody {
    file: Option<File>,
    left: u64,
    reading: Option<JoinHandle<std::io::Result<(File, BytesMut)>>>,
}

impl Source for FileBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if let Some(file) = self.file.take() {
            if self.left == 0 {
                return Poll::Ready(None);
            }
            let most = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
            self.reading = Some(tokio::task::spawn_blocking(move || read(file, most)));
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let done = std::task::ready!(std::pin::Pin::new(reading).poll(cx));
        self.reading = None;
        match done {
            Ok(Ok((file, chunk))) if !chunk.is_empty() => {
                self.left = self.left.saturating_sub(chunk.len() as u64);
                self.file = Some(file);
                Poll::Ready(Some(Ok(Frame::Data(chunk.freeze()))))
            }
            // It shrank, or the disk failed, while it was sent.
            _ => Poll::Ready(Some(Err(BodyError::Incomplete))),
        }
    }
}

fn read(mut file: File, most: usize) -> std::io::Result<(File, BytesMut)> {
    let mut chunk = BytesMut::zeroed(most);
    let read = file.read(&mut chunk)?;
    chunk.truncate(read);
    Ok((file, chunk))
}

/// Media types by extension, for what gateways serve.
const KINDS: &[(&str, &str)] = &[
    ("avif", "image/avif"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("gif", "image/gif"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("toml", "application/toml"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
    ("zip", "application/zip"),
];

fn kind(path: &Path) -> &'static str {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let known = extension.and_then(|e| KINDS.iter().find(|(name, _)| *name == e));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}
