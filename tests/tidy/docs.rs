//! Links of the documents lead somewhere.

use super::tree::{files, none, root};

#[test]
fn links_lead_somewhere() {
    let mut complaints = Vec::new();
    for file in files(&[""], &[".md"]) {
        let folder = root().join(&file.path).parent().unwrap().to_owned();
        for (number, line) in prose(&file.text) {
            for target in links(line) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let whole =
                    if path.is_empty() { root().join(&file.path) } else { folder.join(path) };
                let problem = if !whole.exists() {
                    "no such file"
                } else if !anchor.is_empty() && !has_heading(&whole, anchor) {
                    "no such heading"
                } else {
                    continue;
                };
                complaints.push(format!("{}:{number}: {target}: {problem}", file.path));
            }
        }
    }
    none(&complaints);
}

/// Lines outside of code blocks, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let lines = text.lines().enumerate().filter(|(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.map(|(number, line)| (number + 1, line)).collect()
}

fn links(line: &str) -> Vec<&str> {
    let parts = line.split("](").skip(1);
    parts.filter_map(|rest| rest.split_once(')').map(|(target, _)| target)).collect()
}

fn has_heading(file: &std::path::Path, anchor: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    prose(&text).iter().filter(|(_, line)| line.starts_with('#')).any(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>() == anchor
    })
}

/// Each row of the table of failures has a test, and each of these is there.
#[test]
fn failures_have_tests() {
    let sources = files(&["edge-deploy"], &[".rs"]);
    let is_there = |name: &str| {
        let function = format!("fn {name}()");
        sources.iter().any(|file| {
            let found = file.text.match_indices(&function);
            found.into_iter().any(|(at, _)| file.text[..at].trim_end().ends_with("#[test]"))
        })
    };
    let table = std::fs::read_to_string(root().join("docs/guides/fleet-failures.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let (mut complaints, mut count) = (Vec::new(), 0);
    for row in rows {
        let named = row.trim_end_matches(" |").rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = named.split('`').skip(1).step_by(2).collect();
        let missing: Vec<&str> = names.iter().filter(|name| !is_there(name)).copied().collect();
        if names.is_empty() || !missing.is_empty() {
            complaints.push(format!("{row}: no such test: {missing:?}"));
        }
        count += 1;
    }
    assert!(count > 20, "{count} rows");
    none(&complaints);
}
