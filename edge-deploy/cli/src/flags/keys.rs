//! Flags of `keys`.

use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

/// What is done with keys.
#[derive(Debug)]
pub(crate) enum Keys {
    New { path: PathBuf },
    Root(Rooted),
    Rotate(Rooted),
    Sign { file: PathBuf, keys: Vec<PathBuf> },
    Show { files: Vec<PathBuf> },
}

/// A root that is made.
#[derive(Debug, Default)]
pub(crate) struct Rooted {
    /// The one that is valid now.
    pub(crate) before: Option<PathBuf>,
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) root_threshold: Option<usize>,
    pub(crate) releases: Vec<PathBuf>,
    pub(crate) threshold: Option<usize>,
    /// After so many days there should be another one.
    pub(crate) days: Option<u32>,
    /// Who signs.
    pub(crate) keys: Vec<PathBuf>,
    pub(crate) output: PathBuf,
}

pub(super) fn parse(parser: &mut lexopt::Parser) -> Result<Keys, lexopt::Error> {
    let verb = match parser.next()? {
        Some(Value(verb)) => verb.string()?,
        _ => return Err("keys takes new, root, rotate, sign or show".into()),
    };
    match verb.as_str() {
        "new" => match super::paths(parser)?.as_slice() {
            [path] => Ok(Keys::New { path: path.clone() }),
            _ => Err("keys new takes a name".into()),
        },
        "show" => match super::paths(parser)? {
            files if files.is_empty() => Err("keys show takes files".into()),
            files => Ok(Keys::Show { files }),
        },
        "root" | "rotate" => rooted(parser, verb == "rotate"),
        "sign" => sign(parser),
        other => Err(format!("keys takes new, root, rotate, sign or show, not \"{other}\"").into()),
    }
}

fn rooted(parser: &mut lexopt::Parser, rotates: bool) -> Result<Keys, lexopt::Error> {
    let (mut rooted, mut output) = (Rooted::default(), None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("root") => rooted.roots.push(parser.value()?.into()),
            Long("root-threshold") => rooted.root_threshold = Some(parser.value()?.parse()?),
            Long("release") => rooted.releases.push(parser.value()?.into()),
            Long("threshold") => rooted.threshold = Some(parser.value()?.parse()?),
            Long("days") => rooted.days = Some(parser.value()?.parse()?),
            Long("key") => rooted.keys.push(parser.value()?.into()),
            Short('o') | Long("output") => output = Some(parser.value()?.into()),
            Value(value) if rotates && rooted.before.is_none() => {
                rooted.before = Some(value.into());
            }
            other => return Err(other.unexpected()),
        }
    }
    rooted.output = output.ok_or("keys needs -o: the folder that `pack` writes to")?;
    if rooted.keys.is_empty() {
        return Err("keys needs --key: who signs the root".into());
    }
    match (rotates, rooted.before.is_some()) {
        (true, false) => Err("keys rotate takes the root that is valid now".into()),
        (true, true) => Ok(Keys::Rotate(rooted)),
        (false, _) if rooted.roots.is_empty() || rooted.releases.is_empty() => {
            Err("keys root needs --root and --release: public keys".into())
        }
        (false, _) => Ok(Keys::Root(rooted)),
    }
}

fn sign(parser: &mut lexopt::Parser) -> Result<Keys, lexopt::Error> {
    let (mut file, mut keys) = (None, Vec::new());
    while let Some(argument) = parser.next()? {
        match argument {
            Long("key") => keys.push(parser.value()?.into()),
            Value(value) if file.is_none() => file = Some(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    match file {
        Some(file) if !keys.is_empty() => Ok(Keys::Sign { file, keys }),
        _ => Err("keys sign takes a root or a release, and --key".into()),
    }
}
