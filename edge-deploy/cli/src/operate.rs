//! What operators ask a controller.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use pilotlight_content::Settings;
use pilotlight_content::api::Api;
use pilotlight_fleet::manifest::Rollout;
use serde_json::{Value, json};

use crate::flags::{Operate, Verb};
use crate::{BACK, FAILED, REFUSED, WAITS, manifests, print};

mod show;

const SILENCE: Duration = Duration::from_secs(120);
const EACH: Duration = Duration::from_secs(1);

/// A command that does not come to its end: what is said, and the code.
type Failed = (String, u8);

pub(crate) fn operate(flags: &Operate) -> ExitCode {
    match run(flags) {
        Ok(code) => code,
        Err((why, code)) => {
            if !why.is_empty() {
                eprintln!("edge-deploy: {why}");
            }
            ExitCode::from(code)
        }
    }
}

fn run(flags: &Operate) -> Result<ExitCode, Failed> {
    let api = api(flags)?;
    let what = flags.what.as_deref();
    let rollout = what.unwrap_or("latest");
    let told = match flags.verb {
        Verb::Plan | Verb::Apply => {
            let file = Path::new(what.unwrap_or("rollout.toml"));
            let read = manifests::read(Rollout::parse, file);
            let body = json!({ "rollout": read.map_err(|_| (String::new(), REFUSED))?, "plan": flags.plan });
            let path = if flags.verb == Verb::Plan { "/v1/plan" } else { "/v1/rollouts" };
            ask(&api, "POST", path, Some(&body))?
        }
        Verb::Status => return status(&api, rollout, flags),
        Verb::Pause | Verb::Resume | Verb::Approve | Verb::Abort | Verb::Revert => {
            let path = format!("/v1/rollouts/{rollout}/{}", flags.verb.name());
            let body = json!({ "reason": flags.reason });
            ask(&api, "POST", &path, Some(&body))?
        }
        Verb::Nodes => {
            let query = flags.selector.as_deref().map(|text| format!("?where={}", escaped(text)));
            ask(&api, "GET", &format!("/v1/nodes{}", query.unwrap_or_default()), None)?
        }
        Verb::TokenNew => {
            let body = json!({ "name": what, "role": flags.role });
            ask(&api, "POST", "/v1/tokens", Some(&body))?
        }
        Verb::TokenRevoke => ask(&api, "DELETE", &format!("/v1/tokens/{rollout}"), None)?,
    };
    let shown = match flags.verb {
        _ if flags.json => format!("{told}\n"),
        Verb::Plan => show::plan(&told),
        Verb::Apply => format!("rollout {} has begun\n", told["rollout"]),
        Verb::Nodes => show::nodes(&told),
        Verb::TokenNew => format!("{}\n", told["token"].as_str().unwrap_or_default()),
        Verb::TokenRevoke => {
            format!("{} is revoked\n", told["revoked"].as_str().unwrap_or_default())
        }
        _ => show::status(&told),
    };
    print(&shown);
    Ok(ExitCode::SUCCESS)
}

/// How a rollout stands; with `watch`, until it is over.
fn status(api: &Api, rollout: &str, flags: &Operate) -> Result<ExitCode, Failed> {
    let path = format!("/v1/rollouts/{rollout}");
    let mut before = String::new();
    loop {
        let told = ask(api, "GET", &path, None)?;
        let shown = if flags.json { format!("{told}\n") } else { show::status(&told) };
        if shown != before {
            print(&shown);
            before = shown;
        }
        let phase = told["phase"].as_str().unwrap_or_default();
        let over = matches!(phase, "done" | "reverted" | "expired");
        if over || !flags.watch {
            let waits = !told["paused"].is_null() || phase == "approval";
            return Ok(match phase {
                "reverting" | "reverted" | "expired" => ExitCode::from(BACK),
                _ if waits => ExitCode::from(WAITS),
                _ => ExitCode::SUCCESS,
            });
        }
        std::thread::park_timeout(EACH);
    }
}

fn api(flags: &Operate) -> Result<Api, Failed> {
    let refuse = |why: &str| (why.to_owned(), REFUSED);
    let or = |flag: &Option<String>, name: &str| flag.clone().or_else(|| manifests::env(name));
    let controller = or(&flags.controller, "EDGE_DEPLOY_CONTROLLER").ok_or_else(|| {
        refuse("which controller?\nhint: --controller URL, or EDGE_DEPLOY_CONTROLLER")
    })?;
    let token = or(&flags.token, "EDGE_DEPLOY_TOKEN")
        .ok_or_else(|| refuse("who are you?\nhint: --token TOKEN, or EDGE_DEPLOY_TOKEN"))?;
    let ca = flags.ca.clone().or_else(|| manifests::env("EDGE_DEPLOY_CA").map(Into::into));
    let ca = match &ca {
        None => None,
        Some(file) => Some(
            std::fs::read(file)
                .map_err(|e| refuse(&format!("cannot read {}: {e}", file.display())))?,
        ),
    };
    let settings = Settings { ca, ..Settings::default() };
    Api::new(&controller, &settings, Some(token), SILENCE).map_err(|e| refuse(&e.to_string()))
}

/// Asks, and takes nothing but a yes.
fn ask(api: &Api, method: &'static str, path: &str, body: Option<&Value>) -> Result<Value, Failed> {
    let body = body.map(|body| body.to_string().into_bytes());
    let answer = api.call(method, path, body.as_deref());
    let (status, body) = answer.map_err(|error| (error.to_string(), FAILED))?;
    let told: Value = serde_json::from_slice(&body)
        .map_err(|_| (format!("{}: this is no controller", api.url()), FAILED))?;
    match status {
        200 => Ok(told),
        _ => {
            let why = told["error"].as_str().unwrap_or("no reason is given").to_owned();
            // What was asked for is wrong in itself.
            let code = if matches!(status, 400 | 422) { REFUSED } else { FAILED };
            Err((why, code))
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
