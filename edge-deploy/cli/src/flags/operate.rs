//! Flags of commands that ask a controller.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::{Long, Value, ValueExt};

use super::Command;

/// What an operator wants of a controller.
#[derive(Debug)]
pub(crate) struct Operate {
    pub(crate) verb: Verb,
    /// A manifest, a rollout, a selector's or a token's name: what the verb takes.
    pub(crate) what: Option<String>,
    pub(crate) plan: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) selector: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) watch: bool,
    /// Who watches does so for so long.
    pub(crate) timeout: Option<Duration>,
    /// A line of the audit log.
    pub(crate) after: Option<u64>,
    pub(crate) json: bool,
    pub(crate) controller: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) ca: Option<PathBuf>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Plan,
    Apply,
    Status,
    Pause,
    Resume,
    Approve,
    Abort,
    Revert,
    Nodes,
    Rollouts,
    Audit,
    TokenNew,
    TokenList,
    TokenRevoke,
}

impl Verb {
    pub(crate) fn of(name: &str) -> Option<Verb> {
        Some(match name {
            "plan" => Verb::Plan,
            "apply" => Verb::Apply,
            "status" => Verb::Status,
            "pause" => Verb::Pause,
            "resume" => Verb::Resume,
            "approve" => Verb::Approve,
            "abort" => Verb::Abort,
            "revert" => Verb::Revert,
            "nodes" => Verb::Nodes,
            "rollouts" => Verb::Rollouts,
            "audit" => Verb::Audit,
            "token" => Verb::TokenNew,
            _ => return None,
        })
    }

    /// As a controller's interface calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Verb::Plan => "plan",
            Verb::Apply => "apply",
            Verb::Status => "status",
            Verb::Pause => "pause",
            Verb::Resume => "resume",
            Verb::Approve => "approve",
            Verb::Abort => "abort",
            Verb::Revert => "revert",
            Verb::Nodes => "nodes",
            Verb::Rollouts => "rollouts",
            Verb::Audit => "audit",
            Verb::TokenNew | Verb::TokenList | Verb::TokenRevoke => "token",
        }
    }
}

pub(super) fn parse(name: &str, parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut verb = Verb::of(name).ok_or("unknown command")?;
    if verb == Verb::TokenNew {
        verb = match parser.value().ok().as_ref().and_then(|word| word.to_str()) {
            Some("new") => Verb::TokenNew,
            Some("list") => Verb::TokenList,
            Some("revoke") => Verb::TokenRevoke,
            _ => return Err("token takes `new` or `revoke` and a name, or `list`".into()),
        };
    }
    let mut flags = Operate {
        verb,
        what: None,
        plan: None,
        reason: None,
        selector: None,
        role: None,
        watch: false,
        timeout: None,
        after: None,
        json: false,
        controller: None,
        token: None,
        ca: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Long("controller") => flags.controller = Some(parser.value()?.string()?),
            Long("token") => flags.token = Some(parser.value()?.string()?),
            Long("ca") => flags.ca = Some(parser.value()?.into()),
            Long("json") => flags.json = true,
            Long("watch") if verb == Verb::Status => flags.watch = true,
            Long("timeout") if verb == Verb::Status => {
                flags.timeout = Some(duration(&parser.value()?.string()?)?);
            }
            Long("after") if verb == Verb::Audit => flags.after = Some(parser.value()?.parse()?),
            Long("plan") if verb == Verb::Apply => flags.plan = Some(parser.value()?.string()?),
            Long("where") if verb == Verb::Nodes => {
                flags.selector = Some(parser.value()?.string()?);
            }
            Long("role") if verb == Verb::TokenNew => flags.role = Some(parser.value()?.string()?),
            Long("reason") => flags.reason = Some(parser.value()?.string()?),
            Value(value) if flags.what.is_none() && takes(verb) => {
                flags.what = Some(value.string()?);
            }
            other => return Err(other.unexpected()),
        }
    }
    if verb == Verb::Apply && flags.plan.is_none() {
        return Err("apply needs --plan: the digest that `plan` has printed".into());
    }
    if matches!(verb, Verb::TokenNew | Verb::TokenRevoke) && flags.what.is_none() {
        return Err("token needs a name".into());
    }
    if verb == Verb::TokenNew && flags.role.is_none() {
        return Err("token new needs --role: enrol, viewer, approver, operator or admin".into());
    }
    Ok(Command::Operate(flags))
}

/// Whether it takes a name of something.
fn takes(verb: Verb) -> bool {
    !matches!(verb, Verb::Nodes | Verb::Rollouts | Verb::Audit | Verb::TokenList)
}

/// As manifests write it.
fn duration(text: &str) -> Result<Duration, lexopt::Error> {
    match pilotlight_config::units::duration(text) {
        Ok(time) => Ok(time),
        Err(_) => Err(format!("--timeout {text}: a time is wanted, as \"30m\"").into()),
    }
}
