//! The status page, and metrics: for people and for Prometheus.

use std::fmt::Write as _;

use pilotlight_fleet::rollout::{Failure, Now};
use serde_json::Value;

use super::{Answer, Core};

/// A node that was heard of within this time is there, in milliseconds.
const THERE: u64 = 120_000;
/// Rollouts on the page.
const SHOWN: usize = 5;
/// Nodes on the page that warn.
const WARN: usize = 10;

const HEAD: &str = "<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=3>\
<title>fleet</title><style>body{font:15px system-ui;max-width:60em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2em .8em .2em 0}\
progress{width:16em}.bad{color:#b00}small{color:#666}</style><h1>Fleet</h1>";

impl Core {
    fn there(&self, now: Now) -> usize {
        self.heard.values().filter(|at| now.steady.saturating_sub(**at) < THERE).count()
    }

    /// How it stands, for a browser that asks again and again.
    pub(super) fn page(&self, now: Now) -> Answer {
        let mut page = String::from(HEAD);
        let (all, there) = (self.nodes.len(), self.there(now));
        let drift = self.nodes.values().filter(|record| {
            record.wish.placed.as_ref().is_some_and(|placed| {
                placed.release.digest.is_some() && placed.release.digest != record.node.runs
            })
        });
        let _ = write!(
            page,
            "<p>{all} nodes, {there} there, {} not yet where they should be",
            drift.count()
        );
        // Nodes may say any number.
        let mended = self.nodes.values().map(|record| record.mended).fold(0, u64::saturating_add);
        if mended > 0 {
            let _ = write!(page, ", {mended} files put back as they were laid out");
        }
        let warn = self.nodes.iter().filter(|(_, record)| !record.warnings.is_empty());
        for (id, record) in warn.take(WARN) {
            let _ = write!(page, "<p class=bad>{id}: {}", escape(&record.warnings.join("; ")));
        }
        for running in self.rollouts.values().rev().take(SHOWN) {
            let told = self.summary(running);
            let text = |key: &str| escape(told[key].as_str().unwrap_or_default());
            let _ =
                write!(page, "<h2>{}: {} <small>{}", told["id"], text("release"), text("phase"));
            let _ = write!(page, " {} by {}</small></h2>", text("wave"), text("by"));
            if let Some(why) = told["paused"].as_str() {
                let _ = write!(page, "<p class=bad>paused: {}", escape(why));
            }
            page.push_str("<table>");
            for wave in told["waves"].as_array().into_iter().flatten() {
                let failed: Vec<String> = wave["failed"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(kind, count)| format!("{count} {kind}"))
                    .collect();
                let _ = write!(
                    page,
                    "<tr><td>{}<td><progress max={} value={}></progress><td>{} of {}<td class=bad>{}",
                    escape(wave["name"].as_str().unwrap_or_default()),
                    number(&wave["nodes"]).max(1),
                    number(&wave["committed"]),
                    wave["committed"],
                    wave["nodes"],
                    failed.join(", ")
                );
            }
            page.push_str("</table>");
            for failure in told["failures"].as_array().into_iter().flatten().take(10) {
                let part = |key: &str| escape(failure[key].as_str().unwrap_or_default());
                let _ = write!(
                    page,
                    "<p class=bad>{} {}: {}",
                    part("node"),
                    part("kind"),
                    part("message")
                );
            }
            page.push_str("<p><small>");
            for note in told["notes"].as_array().into_iter().flatten().rev().take(8) {
                let _ = write!(page, "{}<br>", escape(note["text"].as_str().unwrap_or_default()));
            }
            page.push_str("</small>");
        }
        Answer { status: 200, kind: "text/html; charset=utf-8", body: page.into_bytes() }
    }

    /// In Prometheus' text format.
    pub(super) fn metrics(&self, now: Now) -> Answer {
        let mut page = String::new();
        let mut metric = |name: &str, kind: &str, help: &str, rows: &[(String, u64)]| {
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in rows {
                let _ = writeln!(page, "{name}{labels} {value}");
            }
        };
        let plain = |value: usize| [(String::new(), value as u64)];
        metric("edge_deploy_nodes", "gauge", "Nodes that are known.", &plain(self.nodes.len()));
        metric(
            "edge_deploy_nodes_there",
            "gauge",
            "Nodes heard of lately.",
            &plain(self.there(now)),
        );
        let doubled = self.nodes.values().filter(|record| record.doubled).count();
        metric(
            "edge_deploy_nodes_doubled",
            "gauge",
            "Names that two agents report under.",
            &plain(doubled),
        );
        metric(
            "edge_deploy_polls_total",
            "counter",
            "Reports of nodes.",
            &[(String::new(), self.polls)],
        );
        let (mut open, mut members, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        for (id, running) in self.rollouts.iter().rev().take(SHOWN) {
            let machine = &running.machine;
            open.push((format!("{{rollout=\"{id}\"}}"), u64::from(machine.outcome().is_none())));
            let paused = u64::from(machine.paused().is_some());
            members.push((format!("{{rollout=\"{id}\",is=\"paused\"}}"), paused));
            let tallies = machine.tallies();
            let sum = |of: &dyn Fn(&pilotlight_fleet::rollout::Tally) -> usize| {
                tallies.iter().map(of).sum::<usize>() as u64
            };
            for (is, value) in [
                ("waiting", sum(&|tally| tally.waiting)),
                ("open", sum(&|tally| tally.open)),
                ("tried", sum(&|tally| tally.tried)),
                ("committed", sum(&|tally| tally.committed)),
            ] {
                members.push((format!("{{rollout=\"{id}\",is=\"{is}\"}}"), value));
            }
            for (at, kind) in Failure::ALL.iter().enumerate() {
                let count = sum(&|tally| tally.failed[at]);
                failures.push((format!("{{rollout=\"{id}\",kind=\"{}\"}}", kind.name()), count));
            }
        }
        metric("edge_deploy_rollout_open", "gauge", "Whether a rollout goes on.", &open);
        metric("edge_deploy_rollout_nodes", "gauge", "Nodes of a rollout.", &members);
        metric("edge_deploy_rollout_failures", "gauge", "Failures by kind.", &failures);
        Answer { status: 200, kind: "text/plain; version=0.0.4", body: page.into_bytes() }
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// What nodes and operators wrote is text, whatever it says.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
