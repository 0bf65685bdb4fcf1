//! The tree as the rules see it.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// A text file.
pub struct Text {
    /// Relative to the root.
    pub path: String,
    pub text: String,
}

/// Folders that hold what was built, fetched or left by a run.
const SKIPPED: &[&str] = &["target", "var", "node_modules", "corpus", "artifacts", "__pycache__"];

/// All files below these folders whose name ends so, in order.
pub fn files(below: &[&str], ends: &[&str]) -> Vec<Text> {
    let mut found = Vec::new();
    for folder in below {
        collect(&root(), &root().join(folder), ends, &mut found);
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(root: &Path, folder: &Path, ends: &[&str], found: &mut Vec<Text>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && !SKIPPED.contains(&name) && !path.is_symlink() {
                collect(root, &path, ends, found);
            }
        } else if ends.iter().any(|end| name.ends_with(end)) {
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if let Ok(text) = fs::read_to_string(&path) {
                found.push(Text { path: relative, text });
            }
        }
    }
}

/// The Rust files of what ships: no tests, no crate's examples, nothing that only builds run.
pub fn sources(below: &[&str]) -> Vec<Text> {
    let is_aside = |path: &str| {
        ["/tests.rs", "/build.rs"].iter().any(|f| path.ends_with(f))
            || ["/tests/", "/examples/"].iter().any(|f| path.contains(f))
    };
    files(below, &[".rs"]).into_iter().filter(|file| !is_aside(&file.path)).collect()
}

/// Whether `path` is that file, or lies in that folder when it ends with a slash.
pub fn is_in(path: &str, place: &str) -> bool {
    if place.ends_with('/') { path.starts_with(place) } else { path == place }
}

/// Rust with its comments, strings and characters blanked; lines stay where they are.
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => find(bytes, at + 2, b"*/"),
            b'r' if !ends_in_word(&out) => raw_string(bytes, at).unwrap_or(at),
            b'"' => string(bytes, at + 1),
            b'\'' => character(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            out.push(char::from(bytes[at]));
            at += 1;
            continue;
        }
        out.extend(bytes[at..end].iter().map(|b| if *b == b'\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

fn ends_in_word(out: &str) -> bool {
    out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n)
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    let place = bytes[from..].windows(what.len()).position(|w| w == what);
    place.map_or(bytes.len(), |n| from + n + what.len())
}

fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    let hashes = bytes[at + 1..].iter().take_while(|b| **b == b'#').count();
    let open = at + 1 + hashes;
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    (bytes.get(open) == Some(&b'"')).then(|| find(bytes, open + 1, &close))
}

fn string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A character, not a lifetime.
fn character(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'\\' => Some(find(bytes, at + 3, b"'")),
        _ if bytes.get(at + 2) == Some(&b'\'') => Some(at + 3),
        _ => None,
    }
}

/// The lines (from 1) of `code` in which `word` stands by itself.
pub fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let stands = |line: &str| {
        line.match_indices(word).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + word.len()..]);
            let open = !word.starts_with(|c: char| c.is_alphanumeric());
            let shut = !word.ends_with(|c: char| c.is_alphanumeric());
            (open || !is_word(before.chars().next_back()))
                && (shut || !is_word(after.chars().next()))
        })
    };
    let lines = code.lines().enumerate().filter(|(_, line)| stands(line));
    lines.map(|(number, _)| number + 1).collect()
}

/// Fails with all complaints at once.
pub fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn comments_and_strings_are_blanked() {
    let text =
        "let a = \"x // y\"; // z\nlet r = r#\"q\"q\"#; let c = 'c'; fn f<'a>() {}\n/* w\n*/ v";
    let code = code(text);
    assert_eq!(code.lines().count(), 4);
    for gone in ["x", "y", "z", "q", "w"] {
        assert!(!code.contains(gone), "{gone} in {code}");
    }
    for kept in ["let a", "let r", "fn f<'a>()", "v"] {
        assert!(code.contains(kept), "{kept} in {code}");
    }
    assert_eq!(lines_with("refs::a\nfs::a\n a.fs::b", "fs::"), [2, 3]);
}
