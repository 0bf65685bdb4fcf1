//! What was typed on the command line.

use std::path::PathBuf;

mod keys;
mod operate;

pub(crate) use keys::{Keys, Rooted};
pub(crate) use operate::{Operate, Verb};

use lexopt::prelude::{Long, Short, Value, ValueExt};

/// A command with its flags.
#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Version,
    Init { folder: PathBuf },
    Keys(Keys),
    Quarantine(Quarantine),
    Check { files: Vec<PathBuf> },
    Simulate(Simulate),
    Pack(Pack),
    Push(Push),
    Agent(Agent),
    Launch(Launch),
    Serve { file: PathBuf },
    Operate(Operate),
}

/// Whose agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) node: PathBuf,
    pub(crate) once: bool,
}

/// Whose gateway.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) node: PathBuf,
}

/// What a node has given up, and what of it may be tried again.
#[derive(Debug)]
pub(crate) struct Quarantine {
    pub(crate) node: PathBuf,
    pub(crate) lift: Option<String>,
}

/// What is packed.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) release: PathBuf,
    pub(crate) keys: Vec<PathBuf>,
    pub(crate) output: PathBuf,
    pub(crate) fleet: Option<PathBuf>,
    pub(crate) gateway: Option<PathBuf>,
    /// For which modules are compiled.
    pub(crate) targets: Vec<String>,
    /// Versions that nodes may have: what differs from them is packed, too.
    pub(crate) bases: Vec<String>,
}

/// What is pushed, and where.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) from: PathBuf,
    pub(crate) to: String,
    pub(crate) ca: Option<PathBuf>,
}

/// What is simulated.
#[derive(Debug)]
pub(crate) struct Simulate {
    pub(crate) rollout: PathBuf,
    pub(crate) nodes: usize,
    pub(crate) faults: Option<PathBuf>,
    pub(crate) fleet: Option<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) json: bool,
}

/// The commands and what they do, as `help` prints them.
pub(crate) const COMMANDS: &[(&str, &str)] = &[
    ("init DIR", "begin a folder with the manifests of a fleet"),
    ("keys new NAME", "make a pair of keys: NAME.key signs releases, NAME.pub is for the nodes"),
    (
        "keys root --root PUB... --release PUB... --key FILE... -o DIR [--root-threshold N] [--threshold N] [--days N]",
        "begin a chain of roots: which keys sign roots, which sign releases, how many of each",
    ),
    (
        "keys rotate ROOT [--root PUB...] [--release PUB...] --key FILE... -o DIR [...]",
        "the root that comes next; what is not said stays as it is",
    ),
    ("keys sign FILE --key FILE...", "sign a root or a release, too, where another key is"),
    ("keys show FILE...", "what is in keys, roots and releases, and who has signed them"),
    (
        "pack [release.toml] --key FILE... -o DIR [--fleet FILE] [--gateway FILE] [--target TRIPLE]... [--base VERSION]...",
        "check the gateway's manifest, run the tests, compile modules, write blobs and a signed release",
    ),
    (
        "push DIR DESTINATION [--ca FILE]",
        "bring what is packed to a folder, oci://..., s3://... or https://...",
    ),
    ("serve [controller.toml]", "the controller: nodes ask it what they should run"),
    (
        "plan [rollout.toml] [--json]",
        "who would get it, in which wave, what changes; prints a digest",
    ),
    ("apply [rollout.toml] --plan DIGEST", "begin it, if the plan is still that one"),
    (
        "status [ROLLOUT] [--watch [--timeout TIME]] [--json]",
        "waves, failures by kind, who is behind; the last rollout if none is named",
    ),
    ("rollouts [--json]", "all rollouts that are remembered, a line each"),
    (
        "pause | resume | approve | abort | revert [ROLLOUT] [--reason TEXT]",
        "what an operator does to a rollout; each is recorded",
    ),
    (
        "nodes [--where EXPR] [--json]",
        "the inventory: what runs, what should, when it was heard of",
    ),
    (
        "audit [--after LINE] [--json]",
        "who has done what, and whether the log is whole; a line of JSON each with --json",
    ),
    (
        "token new NAME --role enrol|viewer|approver|operator|admin",
        "a token: for nodes that are new, or for people; it is shown once",
    ),
    ("token list [--json]", "names and roles"),
    ("token revoke NAME", "end a token; a node's is node:NAME"),
    ("agent [node.toml] [--once]", "on a node: bring it what it should run, and watch that"),
    ("launch [node.toml]", "on a node: start its gateway, and go back from a release that crashes"),
    (
        "quarantine [node.toml] [--lift DIGEST|all]",
        "on a node: releases that it does not try again, and why; or let it",
    ),
    ("check FILE...", "read manifests of a fleet and print every problem"),
    (
        "simulate [rollout.toml] --nodes N [--faults FILE] [--fleet FILE] [--seed S] [--json]",
        "run the rollout over a fleet, faults and time that are made up",
    ),
    ("version", "print the version"),
];

/// The manifest of a node when none is named.
const NODE: &str = "node.toml";
/// The most nodes that are simulated.
const MOST: usize = 10_000_000;

/// Reads the process's arguments.
pub(crate) fn parse() -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let name = match parser.next()? {
        None | Some(Long("help") | Short('h')) => return Ok(Command::Help),
        Some(Long("version") | Short('V')) => return Ok(Command::Version),
        Some(Value(name)) => name,
        Some(other) => return Err(other.unexpected()),
    };
    if std::env::args_os().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Command::Help);
    }
    match name.to_string_lossy().as_ref() {
        "help" => Ok(Command::Help),
        "version" => paths(&mut parser).map(|_| Command::Version),
        "init" => match paths(&mut parser)?.as_slice() {
            [folder] => Ok(Command::Init { folder: folder.clone() }),
            _ => Err("init takes a folder".into()),
        },
        "keys" => keys::parse(&mut parser).map(Command::Keys),
        "quarantine" => quarantine(&mut parser),
        "check" => match paths(&mut parser)? {
            files if files.is_empty() => Err("check takes files".into()),
            files => Ok(Command::Check { files }),
        },
        "pack" => pack(&mut parser),
        "push" => push(&mut parser),
        "serve" => match paths(&mut parser)?.as_slice() {
            [] => Ok(Command::Serve { file: "controller.toml".into() }),
            [file] => Ok(Command::Serve { file: file.clone() }),
            _ => Err("serve takes one manifest of a controller".into()),
        },
        "agent" => agent(&mut parser),
        "launch" => match paths(&mut parser)?.as_slice() {
            [] => Ok(Command::Launch(Launch { node: NODE.into() })),
            [node] => Ok(Command::Launch(Launch { node: node.clone() })),
            _ => Err("launch takes one manifest of a node".into()),
        },
        "simulate" => simulate(&mut parser),
        other if Verb::of(other).is_some() => operate::parse(other, &mut parser),
        other => Err(format!("unknown command \"{other}\"").into()),
    }
}

/// A command without flags.
fn paths(parser: &mut lexopt::Parser) -> Result<Vec<PathBuf>, lexopt::Error> {
    let mut paths = Vec::new();
    while let Some(argument) = parser.next()? {
        match argument {
            Value(value) => paths.push(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(paths)
}

fn pack(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut release, mut keys, mut output) = (None, Vec::new(), None);
    let (mut fleet, mut gateway) = (None, None);
    let (mut targets, mut bases) = (Vec::new(), Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("key") => keys.push(parser.value()?.into()),
            Short('o') | Long("output") => output = Some(parser.value()?.into()),
            Long("fleet") => fleet = Some(parser.value()?.into()),
            Long("gateway" | "gateway-bin") => gateway = Some(parser.value()?.into()),
            Long("target") => targets.push(parser.value()?.string()?),
            Long("base") => bases.push(parser.value()?.string()?),
            Value(value) if release.is_none() => release = Some(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    if keys.is_empty() {
        return Err("pack needs --key: who signs".into());
    }
    let output = output.ok_or("pack needs -o: a folder for what is packed")?;
    let release = release.unwrap_or_else(|| "release.toml".into());
    Ok(Command::Pack(Pack { release, keys, output, fleet, gateway, targets, bases }))
}

fn agent(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut node, mut once) = (None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("once") => once = true,
            Value(value) if node.is_none() => node = Some(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Agent(Agent { node: node.unwrap_or_else(|| NODE.into()), once }))
}

fn quarantine(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut node, mut lift) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("lift") => lift = Some(parser.value()?.string()?),
            Value(value) if node.is_none() => node = Some(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Command::Quarantine(Quarantine { node: node.unwrap_or_else(|| NODE.into()), lift }))
}

fn push(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut from, mut to, mut ca) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("ca") => ca = Some(parser.value()?.into()),
            Value(value) if from.is_none() => from = Some(value.into()),
            Value(value) if to.is_none() => to = Some(value.string()?),
            other => return Err(other.unexpected()),
        }
    }
    match (from, to) {
        (Some(from), Some(to)) => Ok(Command::Push(Push { from, to, ca })),
        _ => Err("push takes a folder and a destination".into()),
    }
}

fn simulate(parser: &mut lexopt::Parser) -> Result<Command, lexopt::Error> {
    let (mut rollout, mut nodes, mut faults, mut fleet) = (None, None, None, None);
    let (mut seed, mut json) = (0, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("nodes") => nodes = Some(parser.value()?.parse()?),
            Long("faults") => faults = Some(parser.value()?.into()),
            Long("fleet") => fleet = Some(parser.value()?.into()),
            Long("seed") => seed = parser.value()?.parse()?,
            Long("json") => json = true,
            Value(value) if rollout.is_none() => rollout = Some(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    let nodes = nodes.ok_or("simulate needs --nodes: how many are made up")?;
    if !(1..=MOST).contains(&nodes) {
        return Err(format!("--nodes is from 1 to {MOST}").into());
    }
    let rollout = rollout.unwrap_or_else(|| "rollout.toml".into());
    Ok(Command::Simulate(Simulate { rollout, nodes, faults, fleet, seed, json }))
}
