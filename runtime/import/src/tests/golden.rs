//! `tests-data/*.txt`: small configurations, and what becomes of each; `tests-data/whole/*`: large
//! ones, each with its `.expected`. `PILOTLIGHT_BLESS=1 cargo test -p pilotlight-import` writes what
//! comes out today.

use std::fmt::Write as _;
use std::fs;

use super::*;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests-data");

#[expect(clippy::disallowed_methods, reason = "a test asks its caller")]
fn bless() -> bool {
    std::env::var_os("PILOTLIGHT_BLESS").is_some()
}

/// The manifest without its first line, the files, the notes.
fn shown(imported: Result<Imported, Refused>) -> String {
    let imported = match imported {
        Ok(imported) => imported,
        Err(refused) => return format!("refused: {refused}\n"),
    };
    let rest = imported.manifest.split_once('\n').map_or("", |(_, rest)| rest);
    let mut text = rest.trim_start_matches('\n').to_owned();
    for (name, code) in &imported.files {
        let _ = write!(text, "\n>>> {name}\n{code}");
    }
    if !imported.notes.is_empty() {
        text.push_str("\nnotes:\n");
    }
    for note in &imported.notes {
        let _ = writeln!(text, "{}", note.to_string().replace("/etc/edge/", ""));
    }
    match loads(&imported.manifest) {
        Ok(warnings) if warnings.is_empty() => {}
        Ok(warnings) => {
            let _ = write!(text, "\nwarnings:\n{warnings}");
        }
        Err(problems) => panic!("does not load:\n{problems}\n{}", imported.manifest),
    }
    text
}

/// `=== name`, the text, perhaps `>>> file` and its text; `---`, and what is expected.
fn table(name: &str, kind: Kind) {
    let path = format!("{DATA}/{name}");
    let text = fs::read_to_string(&path).unwrap();
    let mut out = String::new();
    let mut wrong = Vec::new();
    for case in text.split("\n=== ").map(|case| case.trim_start_matches("=== ")) {
        let (title, body) = case.split_once('\n').unwrap_or((case, ""));
        let (source, expected) = body.split_once("\n---\n").unwrap_or((body, ""));
        let mut parts = source.split("\n>>> ");
        let main = parts.next().unwrap_or("");
        let files: Vec<(String, String)> = parts
            .map(|part| {
                let (name, text) = part.split_once('\n').unwrap_or((part, ""));
                (name.to_owned(), format!("{text}\n"))
            })
            .collect();
        let found = shown(run(kind, &format!("{main}\n"), &Shelf(&files)));
        if found.trim_end() != expected.trim_end() {
            wrong.push(format!("=== {title}\n{found}"));
        }
        let _ = write!(out, "=== {title}\n{source}\n---\n{}\n\n", found.trim_end());
    }
    if bless() {
        fs::write(&path, format!("{}\n", out.trim_end())).unwrap();
    } else {
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn nginx() {
    table("nginx.txt", Kind::Nginx);
}

#[test]
fn scripts_of_nginx() {
    table("scripts.txt", Kind::Nginx);
}

#[test]
fn kong() {
    table("kong.txt", Kind::Kong);
}

#[test]
fn whole_configurations() {
    let mut files: Vec<_> = fs::read_dir(format!("{DATA}/whole"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end != "expected"))
        .collect();
    files.sort();
    assert!(files.len() >= 2);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() > 100, "{} is not large", path.display());
        let found = shown(run(Kind::of(&path, &text), &text, &Shelf(&[])));
        let expected = format!("{}.expected", path.display());
        if bless() {
            fs::write(&expected, found).unwrap();
        } else {
            assert_eq!(found, fs::read_to_string(&expected).unwrap_or_default(), "{expected}");
        }
    }
}
