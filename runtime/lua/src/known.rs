//! What scripts came to when they were tried, so that a gateway that wakes runs none that is as it was.
//!
//! ```text
//! SHA-256 of all that a trial depends on ─▶ phases, tasks or none, exports, files that it read
//! ```
//! The files are modules that it required, and where it looked for them in vain. They are compared by what
//! is in them, whatever their times say.

use std::collections::HashMap;

use pilotlight_filter::abi::Phases;
use ring::digest::{Context, SHA256, digest};

use crate::program::{Chunk, Code, Script};
use crate::window::World;

/// A SHA-256.
pub(crate) type Sum = [u8; 32];

/// What a trial read: paths with what was there, if there was something.
pub(crate) type Read = Vec<(Box<str>, Option<Sum>)>;

/// A trial that went well.
#[derive(Clone)]
pub(crate) struct Trial {
    sum: Sum,
    read: Read,
}

/// What is known of earlier trials.
pub(crate) struct Known<'a> {
    /// Of what all scripts see.
    base: Sum,
    /// Whether trials can be told apart at all.
    is_sure: bool,
    all: HashMap<&'a [u8], &'a [u8]>,
    /// Files that were looked at.
    files: HashMap<Box<str>, Option<Sum>>,
}

pub(crate) fn sum(bytes: &[u8]) -> Sum {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// A file's, if it can be read.
fn of_file(path: &str) -> Option<Sum> {
    std::fs::read(path).ok().map(|text| sum(&text))
}

impl<'a> Known<'a> {
    /// Takes what [`written`] gave.
    pub(crate) fn new(found: &'a [u8], world: &World) -> Known<'a> {
        let base = sum(format!("{world:?}").as_bytes());
        let mut records = Pieces(found);
        let mut all = HashMap::new();
        while let (Some(sum), Some(outcome)) = (records.next(), records.next()) {
            all.insert(sum, outcome);
        }
        // Such scripts may read what we don't see.
        let is_sure = !world.script.io && !world.script.ffi;
        Known { base, is_sure, all, files: HashMap::new() }
    }

    /// The trial of a script, and whether it has gone well before: then the script knows what came of it.
    pub(crate) fn trial(&mut self, script: &mut Script) -> (Trial, bool) {
        let mut trial = Trial { sum: self.sum(script), read: Read::new() };
        let outcome = self.all.get(&trial.sum[..]).copied().filter(|_| self.is_sure);
        let known = outcome.and_then(|outcome| self.recall(script, outcome));
        let is_known = known.is_some();
        trial.read = known.unwrap_or_default();
        (trial, is_known)
    }

    /// A trial that has gone well now; `None`: it can't be known whether it would again.
    pub(crate) fn done(&self, trial: Trial, read: Read) -> Option<Trial> {
        self.is_sure.then_some(Trial { read, ..trial })
    }

    fn recall(&mut self, script: &mut Script, outcome: &[u8]) -> Option<Read> {
        let mut parts = Pieces(outcome);
        let (&[eager, low, high], exports) = (parts.next()?, parts.next()?) else { return None };
        let mut read = Read::new();
        while let (Some(path), Some(then)) = (parts.next(), parts.next()) {
            let path = std::str::from_utf8(path).ok()?;
            let now = self.files.entry(path.into()).or_insert_with(|| of_file(path));
            if now.as_ref().map_or(&[][..], |sum| sum) != then {
                return None;
            }
            read.push((path.into(), *now));
        }
        let name = |name: &[u8]| String::from_utf8_lossy(name).into();
        script.exports = Pieces(exports).map(name).collect();
        script.eager = eager == 1;
        script.phases = Phases::from_bits(u16::from_le_bytes([low, high]));
        Some(read)
    }

    /// All that a script's trial depends on, but for the time.
    fn sum(&self, script: &Script) -> Sum {
        let mut all = Context::new(&SHA256);
        all.update(&self.base);
        let Script { name, config, config_is_json, memory, fresh, target, .. } = script;
        let facts = format!("{:?}", (name, config_is_json, memory, fresh, target));
        let mut add = |part: &[u8]| {
            all.update(&part.len().to_le_bytes());
            all.update(part);
        };
        [facts.as_bytes(), config].into_iter().for_each(&mut add);
        match &script.code {
            Code::Native(Chunk { name, code }) => [name.as_bytes(), code].into_iter().for_each(add),
            Code::OpenResty(steps, settings) => {
                for step in steps {
                    let Chunk { name, code } = &step.chunk;
                    [name.as_bytes(), code].into_iter().for_each(&mut add);
                    add(format!("{:?}", (step.phase, &step.sets)).as_bytes());
                }
                add(settings.as_bytes());
            }
            Code::Kong(plugin) => add(format!("kong {plugin}").as_bytes()),
        }
        all.finish().as_ref().try_into().unwrap_or_default()
    }
}

/// The trials of scripts, and what came of them.
pub(crate) fn written(scripts: &[Script]) -> Vec<u8> {
    let mut all = Vec::new();
    for script in scripts {
        let Some(Trial { sum, read }) = &script.trial else { continue };
        let (mut outcome, mut exports) = (Vec::new(), Vec::new());
        let [low, high] = script.phases.bits().to_le_bytes();
        script.exports.iter().for_each(|name| put(&mut exports, name.as_bytes()));
        put(&mut outcome, &[u8::from(script.eager), low, high]);
        put(&mut outcome, &exports);
        for (path, then) in read {
            put(&mut outcome, path.as_bytes());
            put(&mut outcome, then.as_ref().map_or(&[], |sum| sum));
        }
        put(&mut all, sum);
        put(&mut all, &outcome);
    }
    all
}

/// Adds a piece, with its length before it.
fn put(to: &mut Vec<u8>, piece: &[u8]) {
    to.extend_from_slice(&(piece.len() as u32).to_le_bytes());
    to.extend_from_slice(piece);
}

/// Pieces, as far as they are whole.
struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk()?;
        let (piece, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.0 = rest;
        Some(piece)
    }
}
