//! A controller's answers for people.

use std::fmt::Write as _;

use serde_json::Value;

/// Characters of a progress bar.
const BAR: usize = 24;
/// Lines of a sort that are shown.
const SHOWN: usize = 10;

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// A plan, what it changes, and its digest.
pub(super) fn plan(told: &Value) -> String {
    let mut out = format!("{} ({})\n", text(&told["release"]), text(&told["content"]));
    for wave in list(&told["waves"]) {
        let nodes = list(&wave["nodes"]);
        let some: Vec<&str> = nodes.iter().take(5).map(text).collect();
        let more = if nodes.len() > some.len() { ", ..." } else { "" };
        let _ = writeln!(
            out,
            "  {:<12} {:>6} nodes  {}{more}",
            text(&wave["name"]),
            nodes.len(),
            some.join(", ")
        );
    }
    for from in list(&told["from"]) {
        let runs = match (&from["release"], &from["digest"]) {
            (Value::String(name), _) => name.clone(),
            (_, Value::String(digest)) => digest.clone(),
            _ => "nothing".into(),
        };
        let _ =
            writeln!(out, "{} nodes run {runs} and fetch {} bytes:", from["nodes"], from["bytes"]);
        for (path, change) in from["files"].as_object().into_iter().flatten() {
            let sign = match text(change) {
                "added" => '+',
                "removed" => '-',
                _ => '~',
            };
            let _ = writeln!(out, "  {sign} {path}");
        }
    }
    let excluded = told["excluded"].as_object();
    for (id, why) in excluded.into_iter().flatten().take(SHOWN) {
        let _ = writeln!(out, "left out: {id}: {}", text(why));
    }
    if let Some(more) = excluded.map(|all| all.len()).filter(|all| *all > SHOWN) {
        let _ = writeln!(out, "left out: {} more", more - SHOWN);
    }
    for warning in list(&told["warnings"]) {
        let _ = writeln!(out, "warning: {}", text(warning));
    }
    let _ = writeln!(out, "plan {}", text(&told["digest"]));
    out
}

/// How a rollout stands.
pub(super) fn status(told: &Value) -> String {
    let mut out =
        format!("rollout {}: {} {}", told["id"], text(&told["release"]), text(&told["phase"]));
    if let Some(wave) = told["wave"].as_str() {
        let _ = write!(out, ", wave {wave}");
    }
    out.push('\n');
    if let Some(why) = told["paused"].as_str() {
        let _ = writeln!(out, "paused: {why}");
    }
    for wave in list(&told["waves"]) {
        let number = |key: &str| wave[key].as_u64().unwrap_or(0) as usize;
        let (nodes, committed) = (number("nodes"), number("committed"));
        let full = BAR * committed.min(nodes) / nodes.max(1);
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(BAR - full));
        let _ = write!(out, "  {:<12} [{bar}] {committed}/{nodes}", text(&wave["name"]));
        for (kind, count) in wave["failed"].as_object().into_iter().flatten() {
            let _ = write!(out, "  {count} {kind}");
        }
        out.push('\n');
    }
    for failure in list(&told["failures"]).iter().take(SHOWN) {
        let (node, kind) = (text(&failure["node"]), text(&failure["kind"]));
        let _ = writeln!(out, "  {node} {kind}: {}", text(&failure["message"]));
    }
    let behind: Vec<&str> = list(&told["behind"]).iter().take(SHOWN).map(text).collect();
    if !behind.is_empty() {
        let more = if list(&told["behind"]).len() > SHOWN { ", ..." } else { "" };
        let _ = writeln!(out, "  behind: {}{more}", behind.join(", "));
    }
    for note in list(&told["notes"]).iter().rev().take(3).rev() {
        let _ = writeln!(out, "  {}", text(&note["text"]));
    }
    out
}

/// The inventory as a table.
pub(super) fn nodes(told: &Value) -> String {
    let mut out = format!("{:<20} {:<20} {:<20} {:>7}  \n", "node", "runs", "should", "seen");
    for node in list(told) {
        let ago = node["ago"].as_u64().map_or("-".to_owned(), |ago| format!("{ago}s"));
        let mut remarks = Vec::new();
        if let Some(hold) = node["hold"].as_str() {
            remarks.push(format!("held: {hold}"));
        }
        if node["doubled"] == true {
            remarks.push("two agents have this name".into());
        }
        if let Some(message) = node["progress"]["message"].as_str() {
            remarks.push(message.to_owned());
        }
        let (id, runs, should) = (text(&node["id"]), text(&node["runs"]), text(&node["should"]));
        let _ = writeln!(out, "{id:<20} {runs:<20} {should:<20} {ago:>7}  {}", remarks.join("; "));
    }
    out
}
