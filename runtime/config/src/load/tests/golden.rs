//! `tests-data/problems.txt`: manifests and the exact text of their problems.
//! `PILOTLIGHT_BLESS=1 cargo test -p pilotlight-config` writes what is said today.

use std::fmt::Write as _;

use super::*;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests-data/problems.txt");

/// `=== name`, the manifest, perhaps `>>> file` and its text, then `---` and what is said.
struct Case {
    name: String,
    text: String,
    files: Vec<(String, String)>,
    expected: String,
}

fn cases() -> Vec<Case> {
    let text = std::fs::read_to_string(FILE).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    let mut said = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("=== ") {
            let (name, empty) = (name.into(), String::new);
            cases.push(Case { name, text: empty(), files: Vec::new(), expected: empty() });
            said = false;
            continue;
        }
        let case = cases.last_mut().unwrap();
        if line == "---" {
            said = true;
        } else if let Some(file) = line.strip_prefix(">>> ") {
            case.files.push((file.into(), String::new()));
        } else {
            let part = match case.files.last_mut() {
                _ if said => &mut case.expected,
                Some((_, text)) => text,
                None => &mut case.text,
            };
            let _ = writeln!(part, "{line}");
        }
    }
    cases
}

fn say(case: &Case) -> String {
    let mut text = case.text.clone();
    // Cases that are not about listeners or routes need not have any.
    if !text.is_empty() && !text.contains("listeners") {
        text.push_str("[[listeners]]\naddress = \"127.0.0.1:1\"\n");
    }
    if !text.is_empty() && !text.contains("routes") {
        text.push_str("[[routes]]\nrespond = {}\n");
    }
    let files: Vec<_> =
        case.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let report =
        match parse_with(&text, Path::new("/edge/edge.toml"), &environment, &Shelf::new(&files)) {
            Ok(loaded) => loaded.warnings,
            Err(report) => report,
        };
    // The last line break of a case belongs to the form of the file.
    format!("{}\n", report.render(false).replace("/edge/", "").trim_end())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a switch of whoever runs the tests")]
fn problems() {
    let cases = cases();
    if std::env::var_os("PILOTLIGHT_BLESS").is_some() {
        let mut text = String::new();
        for case in &cases {
            let _ = write!(text, "=== {}\n{}", case.name, case.text);
            for (name, part) in &case.files {
                let _ = write!(text, ">>> {name}\n{part}");
            }
            let _ = write!(text, "---\n{}\n", say(case));
        }
        std::fs::write(FILE, format!("{}\n", text.trim_end())).unwrap();
        return;
    }
    assert!(cases.len() >= 60, "only {} cases", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let said = say(case);
        let expected = format!("{}\n", case.expected.trim_end());
        if said != expected {
            let _ = write!(wrong, "=== {}\n--- expected\n{expected}--- said\n{said}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
