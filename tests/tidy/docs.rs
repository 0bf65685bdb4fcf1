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
