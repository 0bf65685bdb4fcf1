//! A controller's answers for people.

use std::fmt::Write as _;

use pilotlight_controller::store::Audit;
use serde_json::Value;

/// Characters of a progress bar.
const BAR: usize = 24;
/// Lines of a sort that are shown.
const SHOWN: usize = 10;
/// Changed lines of a file that are shown.
const LINES: usize = 100;
/// Nodes that are named beside a failure that they share.
const NAMED: usize = 3;

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
            out.push_str(&file(path, change));
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

/// A file that changes: its size, and its lines.
fn file(path: &str, change: &Value) -> String {
    let size = |side: &str| change[side]["size"].as_u64();
    let mut out = match (size("old"), size("new")) {
        (None, Some(new)) => format!("  + {path} ({new} bytes)\n"),
        (Some(old), None) => format!("  - {path} ({old} bytes)\n"),
        (old, new) => {
            format!("  ~ {path} ({} bytes, {} before)\n", new.unwrap_or(0), old.unwrap_or(0))
        }
    };
    let diff = change["diff"].as_str().unwrap_or_default();
    for line in diff.lines().take(LINES) {
        let _ = writeln!(out, "      {line}");
    }
    if let Some(more) = diff.lines().count().checked_sub(LINES + 1) {
        let _ = writeln!(out, "      ... {} more lines: --json has them", more + 1);
    }
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
    if let Some(names) = told["asks"].as_array() {
        let names: Vec<&str> = names.iter().map(text).collect();
        let _ = writeln!(out, "  it waits for {}", names.join(" or "));
    }
    out.push_str(&failures(list(&told["failures"])));
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

/// Failures by kind and by what the nodes say: most of a fleet fails in the same way.
fn failures(all: &[Value]) -> String {
    let mut groups: Vec<((&str, &str), Vec<&str>)> = Vec::new();
    for failure in all {
        let (kind, node) =
            ((text(&failure["kind"]), text(&failure["message"])), text(&failure["node"]));
        match groups.iter_mut().find(|(other, _)| *other == kind) {
            Some((_, nodes)) => nodes.push(node),
            None => groups.push((kind, vec![node])),
        }
    }
    groups.sort_by_key(|(_, nodes)| std::cmp::Reverse(nodes.len()));
    let mut out = String::new();
    for ((kind, message), nodes) in groups.iter().take(SHOWN) {
        let some = nodes.get(..NAMED.min(nodes.len())).unwrap_or_default().join(", ");
        let more = if nodes.len() > NAMED { ", ..." } else { "" };
        let _ = writeln!(out, "  {} {kind} ({some}{more}): {message}", nodes.len());
    }
    if let Some(more) = groups.len().checked_sub(SHOWN + 1) {
        let _ = writeln!(out, "  and {} more ways to fail", more + 1);
    }
    out
}

/// A line a rollout.
pub(super) fn rollouts(told: &Value) -> String {
    let mut out = String::new();
    for rollout in list(told) {
        let sum = |key: &str| {
            list(&rollout["waves"]).iter().filter_map(|wave| wave[key].as_u64()).sum::<u64>()
        };
        let paused = rollout["paused"].as_str().map(|why| format!("  paused: {why}"));
        let _ = writeln!(
            out,
            "{:>4} {:<24} {:<10} {:>6} of {:<6} {} by {}{}",
            rollout["id"],
            text(&rollout["release"]),
            text(&rollout["phase"]),
            sum("committed"),
            sum("nodes"),
            time(rollout["began"].as_i64().unwrap_or(0)),
            text(&rollout["by"]),
            paused.unwrap_or_default(),
        );
    }
    out
}

/// A line a token.
pub(super) fn tokens(told: &Value) -> String {
    let line = |token: &Value| format!("{:<10} {}\n", text(&token["role"]), text(&token["name"]));
    list(told).iter().map(line).collect()
}

/// What somebody did.
pub(super) fn audit(line: &Audit) -> String {
    format!("{:>6} {} {}: {}\n", line.seq, time(line.at), line.who, line.what)
}

/// Seconds since 1970, for people.
fn time(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
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
        remarks.extend(list(&node["warnings"]).iter().map(|warning| text(warning).to_owned()));
        if let Some(mended) = node["mended"].as_u64().filter(|mended| *mended > 0) {
            remarks.push(format!("{mended} files put back"));
        }
        let given_up = list(&node["denied"]);
        for denied in given_up {
            let (failure, message) = (text(&denied["failure"]), text(&denied["message"]));
            remarks.push(format!("gave up {}: {failure}: {message}", text(&denied["release"])));
        }
        // Why it gave up is where it is with it, too: that is said once.
        let is_new =
            |message: &&str| given_up.iter().all(|denied| text(&denied["message"]) != *message);
        remarks.extend(node["progress"]["message"].as_str().filter(is_new).map(str::to_owned));
        let (id, runs, should) = (text(&node["id"]), text(&node["runs"]), text(&node["should"]));
        let _ = writeln!(out, "{id:<20} {runs:<20} {should:<20} {ago:>7}  {}", remarks.join("; "));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::nodes;

    #[test]
    fn what_a_node_says_of_itself_is_told_once() {
        let why = "filters failed 3 times";
        let denied = json!([{ "release": "edge@2", "failure": "crash_loop", "message": why }]);
        let said = |message: &str| {
            nodes(&json!([{
                "id": "n1", "runs": "edge@1", "should": "edge@2", "ago": 7,
                "warnings": ["root 1 has expired"], "mended": 2,
                "denied": denied, "progress": { "message": message },
            }]))
        };
        let told =
            format!("7s  root 1 has expired; 2 files put back; gave up edge@2: crash_loop: {why}");
        assert!(said(why).ends_with(&format!("{told}\n")), "{}", said(why));
        assert!(said("it waits").ends_with(&format!("{told}; it waits\n")));
    }
}
