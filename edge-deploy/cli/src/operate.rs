//! What operators ask a controller.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use pilotlight_controller::store::Audit;
use pilotlight_fleet::manifest::Rollout;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::flags::{Operate, Verb};
use crate::{BACK, FAILED, LATE, REFUSED, WAITS, manifests, print};

mod diff;
mod line;
mod show;

use line::{Failed, Line};

const EACH: Duration = Duration::from_secs(1);
/// Who watches bears with a controller that is away for so long: it may be another one's turn.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn operate(flags: &Operate) -> ExitCode {
    match run(flags) {
        Ok(code) => code,
        Err(Failed { why, code, .. }) => {
            if !why.is_empty() {
                eprintln!("edge-deploy: {why}");
            }
            ExitCode::from(code)
        }
    }
}

fn run(flags: &Operate) -> Result<ExitCode, Failed> {
    let line = Line::new(flags)?;
    let what = flags.what.as_deref();
    let rollout = what.unwrap_or("latest");
    let told = match flags.verb {
        Verb::Plan | Verb::Apply => {
            let file = Path::new(what.unwrap_or("rollout.toml"));
            let read = manifests::read(Rollout::parse, file);
            let read = read.map_err(|_| Failed::new(String::new(), REFUSED))?;
            let body = json!({ "rollout": read, "plan": flags.plan });
            if flags.verb == Verb::Plan {
                let mut told = line.ask("POST", "/v1/plan", Some(&body))?;
                differ(&line, &mut told);
                told
            } else {
                line.ask("POST", "/v1/rollouts", Some(&body))?
            }
        }
        Verb::Status => return status(&line, rollout, flags),
        Verb::Rollouts => line.ask("GET", "/v1/rollouts", None)?,
        Verb::Pause | Verb::Resume | Verb::Approve | Verb::Abort | Verb::Revert => {
            let path = format!("/v1/rollouts/{rollout}/{}", flags.verb.name());
            let body = json!({ "reason": flags.reason });
            line.ask("POST", &path, Some(&body))?
        }
        Verb::Nodes => {
            let query = flags.selector.as_deref().map(|text| format!("?where={}", escaped(text)));
            line.ask("GET", &format!("/v1/nodes{}", query.unwrap_or_default()), None)?
        }
        Verb::Audit => return audit(&line, flags),
        Verb::TokenNew => {
            let body = json!({ "name": what, "role": flags.role });
            line.ask("POST", "/v1/tokens", Some(&body))?
        }
        Verb::TokenList => line.ask("GET", "/v1/tokens", None)?,
        Verb::TokenRevoke => line.ask("DELETE", &format!("/v1/tokens/{rollout}"), None)?,
    };
    let shown = match flags.verb {
        _ if flags.json => format!("{told}\n"),
        Verb::Plan => show::plan(&told),
        Verb::Apply => format!("rollout {} has begun\n", told["rollout"]),
        Verb::Rollouts => show::rollouts(&told),
        Verb::Nodes => show::nodes(&told),
        Verb::TokenNew => format!("{}\n", told["token"].as_str().unwrap_or_default()),
        Verb::TokenList => show::tokens(&told),
        Verb::TokenRevoke => {
            format!("{} is revoked\n", told["revoked"].as_str().unwrap_or_default())
        }
        _ => show::status(&told),
    };
    print(&shown);
    Ok(ExitCode::SUCCESS)
}

/// Puts what has changed beside each file that has, as far as it can be had.
fn differ(line: &Line, told: &mut Value) {
    let groups = told["from"].as_array_mut().into_iter().flatten();
    for change in groups.filter_map(|from| from["files"].as_object_mut()).flatten() {
        let change = change.1;
        let side = |name: &str| match change[name]["digest"].as_str() {
            None => Ok(Vec::new()),
            Some(digest) => line.get(&format!("/v1/blobs/{digest}")),
        };
        let text = match (side("old"), side("new")) {
            (Ok(old), Ok(new)) => diff::diff(&old, &new),
            (Err(failed), _) | (_, Err(failed)) => format!("not shown: {}\n", failed.why),
        };
        change["diff"] = text.into();
    }
}

/// How a rollout stands; with `watch`, until it is over.
fn status(line: &Line, rollout: &str, flags: &Operate) -> Result<ExitCode, Failed> {
    let path = format!("/v1/rollouts/{rollout}");
    let clock = Clock::new();
    let mut before = String::new();
    let mut away = None;
    // On a terminal a newer picture takes the place of the older one.
    let redraws = flags.watch && !flags.json && std::io::stdout().is_terminal();
    loop {
        let told = match line.ask("GET", &path, None) {
            Ok(told) => told,
            Err(failed) if flags.watch && failed.passes => {
                let since = *away.get_or_insert_with(|| clock.now());
                if clock.now() > since + PATIENCE {
                    return Err(failed);
                }
                std::thread::park_timeout(EACH);
                continue;
            }
            Err(failed) => return Err(failed),
        };
        away = None;
        let shown = if flags.json { format!("{told}\n") } else { show::status(&told) };
        if shown != before {
            let up = before.lines().count();
            if redraws && up > 0 {
                print(&format!("\x1b[{up}A\x1b[J"));
            }
            print(&shown);
            before = shown;
        }
        let phase = told["phase"].as_str().unwrap_or_default();
        let over = matches!(phase, "done" | "reverted" | "expired");
        let late = flags.timeout.is_some_and(|timeout| clock.now() > timeout);
        if over || late || !flags.watch {
            let waits = !told["paused"].is_null() || phase == "approval";
            return Ok(ExitCode::from(match phase {
                "reverting" | "reverted" | "expired" => BACK,
                _ if waits => WAITS,
                _ if late && !over => LATE,
                _ => 0,
            }));
        }
        std::thread::park_timeout(EACH);
    }
}

/// Who has done what, the oldest first; each line must hold the digest of the one before.
fn audit(line: &Line, flags: &Operate) -> Result<ExitCode, Failed> {
    let mut after = flags.after.unwrap_or(0);
    let mut last: Option<Audit> = None;
    loop {
        let told = line.ask("GET", &format!("/v1/audit?after={after}"), None)?;
        let lines: Vec<Audit> = serde_json::from_value(told)
            .map_err(|error| Failed::new(format!("the audit log: {error}"), FAILED))?;
        let Some(newest) = lines.last() else { return Ok(ExitCode::SUCCESS) };
        after = newest.seq;
        for entry in lines {
            let follows = match &last {
                Some(last) => entry.before == Some(last.digest()) && entry.seq == last.seq + 1,
                None => flags.after.is_some_and(|after| after > 0) || entry.before.is_none(),
            };
            if !follows {
                let why = format!(
                    "line {} does not follow the one before it: the log was changed",
                    entry.seq
                );
                return Err(Failed::new(why, FAILED));
            }
            print(&match flags.json {
                true => format!("{}\n", json!(entry)),
                false => show::audit(&entry),
            });
            last = Some(entry);
        }
    }
}

/// As a part of a query.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
