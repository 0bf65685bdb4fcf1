//! What a node runs: one record that lasts, written to two slots in turn.
//!
//! The older slot is overwritten and synced; until then the newer one is there. A slot says its own digest, so one
//! that was half written is none.

use std::io;

use pilotlight_fleet::message::Denied;
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::rollout::Failure;
use serde::{Deserialize, Serialize};

use crate::{Counters, Files, Followed};

const SLOTS: [&str; 2] = ["pointer.0", "pointer.1"];
const LARGEST: u64 = 64 << 10;
/// Releases that are remembered as bad, the newest ones.
const DENIED: usize = 32;
/// Generations that are remembered as good.
const HISTORY: usize = 100;
/// What is kept of a message.
const MESSAGE: usize = 500;
/// Starts that a release has in its probation.
const TRIES: u32 = 2;

/// What a node runs, and what it has learnt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// Of two slots the higher one counts.
    pub serial: u64,
    /// What has proved itself.
    pub good: Option<Generation>,
    /// What is proving itself.
    pub trial: Option<Trial>,
    /// What has proved itself before, the newest first.
    pub history: Vec<String>,
    /// Releases with a lower epoch are not taken any more.
    pub floor: u64,
    /// The newest wish that was followed.
    pub seen: u64,
    /// Releases that are not tried again.
    pub denied: Vec<Denied>,
    /// A time that is past, in seconds after 1970, as it was signed.
    #[serde(default)]
    pub time: i64,
    /// How far the chain of roots was followed.
    #[serde(default)]
    pub root: Option<Followed>,
    /// The gateway's process is to be newer than so many others: it rises where a reload is not enough.
    #[serde(default)]
    pub starts: u64,
}

/// A release as it is laid out on this node, with its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The name of its folder.
    pub id: String,
    /// The release.
    pub release: Digest,
    /// Its name and version: `shop-edge@1.42.0`.
    pub name: String,
    /// Its epoch.
    pub epoch: u64,
    /// The gateway's manifest in the folder.
    pub manifest: String,
    /// Whether the gateway is started anew for it.
    #[serde(default)]
    pub restart: bool,
}

/// A release that is proving itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Which.
    pub generation: Generation,
    /// Starts that it still has.
    pub tries: u32,
    /// The wish that it follows.
    pub serial: u64,
    /// What the gateway had counted before, so that an agent that starts later does not take old failures for
    /// new ones.
    pub before: Counters,
    /// Whether the gateway was started anew for it: then it is for the way back, too.
    #[serde(default)]
    pub anew: bool,
}

impl Pointer {
    /// Reads the newer valid slot; without one nothing has been installed yet.
    pub fn read(files: &dyn Files) -> io::Result<Pointer> {
        Ok(newest(files)?.map(|(_, pointer)| pointer).unwrap_or_default())
    }

    /// What should run.
    pub fn target(&self) -> Option<&Generation> {
        self.trial.as_ref().map(|trial| &trial.generation).or(self.good.as_ref())
    }

    /// Why a release is not tried again.
    pub fn denies(&self, release: &Digest) -> Option<&Denied> {
        self.denied.iter().find(|denied| denied.release == *release)
    }

    /// Changes it so that the change lasts.
    pub fn update(
        files: &mut dyn Files,
        change: &mut dyn FnMut(&mut Pointer),
    ) -> io::Result<Pointer> {
        let _lock = files.lock()?;
        let found = newest(files)?;
        let slot = found.as_ref().map_or(0, |(slot, _)| 1 - slot);
        let mut pointer = found.map(|(_, pointer)| pointer).unwrap_or_default();
        let before = pointer.clone();
        change(&mut pointer);
        if pointer == before {
            return Ok(pointer);
        }
        pointer.serial += 1;
        let text = serde_json::to_vec(&pointer)?;
        let bytes = [Digest::of_bytes(&text).as_str().as_bytes(), b"\n", &text].concat();
        let is_new = files.length(SLOTS[slot]).is_err();
        files.write(SLOTS[slot], &bytes)?;
        files.sync(SLOTS[slot])?;
        if is_new {
            files.sync_folder("")?;
        }
        Ok(pointer)
    }

    /// Begins the trial of a generation.
    pub(crate) fn begin(
        files: &mut dyn Files,
        generation: &Generation,
        serial: u64,
        before: Counters,
    ) -> io::Result<Pointer> {
        Pointer::update(files, &mut |pointer| {
            let anew = pointer.needs_start(generation);
            pointer.starts += u64::from(anew);
            let generation = generation.clone();
            // It is tried again because somebody wants that.
            pointer.denied.retain(|denied| denied.release != generation.release);
            pointer.trial = Some(Trial { generation, tries: TRIES, serial, before, anew });
            pointer.seen = pointer.seen.max(serial);
        })
    }

    /// What is on trial has proved itself.
    pub(crate) fn commit(files: &mut dyn Files) -> io::Result<Pointer> {
        Pointer::update(files, &mut |pointer| {
            if let Some(trial) = pointer.trial.take() {
                pointer.floor = pointer.floor.max(trial.generation.epoch);
                let id = trial.generation.id.clone();
                if let Some(before) = pointer.good.replace(trial.generation) {
                    pointer.history.insert(0, before.id);
                }
                pointer.history.retain(|old| *old != id);
                pointer.history.truncate(HISTORY);
            }
        })
    }

    /// Goes back to what has proved itself. With a failure what was on trial is not tried again.
    pub fn take_back(
        files: &mut dyn Files,
        failure: Option<(Failure, &str)>,
    ) -> io::Result<Pointer> {
        Pointer::update(files, &mut |pointer| {
            let Some(trial) = pointer.trial.take() else { return };
            // Where there is nothing to go back to, nothing runs.
            pointer.starts += u64::from(trial.anew || pointer.good.is_none());
            if let Some((failure, message)) = failure {
                pointer.deny(&trial.generation.release, failure, message);
            }
        })
    }

    /// Whether a reload is not enough to come to this generation: it says so, or its manifest is another file.
    pub(crate) fn needs_start(&self, generation: &Generation) -> bool {
        let moved = self.good.as_ref().is_some_and(|good| good.manifest != generation.manifest);
        generation.restart || moved
    }

    /// Lets releases be tried again whose digest begins so; all if it is empty. Gives how many there were.
    pub fn lift(files: &mut dyn Files, begins: &str) -> io::Result<usize> {
        let mut lifted = 0;
        Pointer::update(files, &mut |pointer| {
            let before = pointer.denied.len();
            pointer.denied.retain(|denied| !denied.release.hex().starts_with(begins));
            lifted = before - pointer.denied.len();
        })?;
        Ok(lifted)
    }

    /// A release that is not tried again.
    pub(crate) fn deny(&mut self, release: &Digest, failure: Failure, message: &str) {
        self.denied.retain(|denied| denied.release != *release);
        let message = message.chars().take(MESSAGE).collect();
        self.denied.push(Denied { release: release.clone(), failure, message });
        let many = self.denied.len().saturating_sub(DENIED);
        self.denied.drain(..many);
    }
}

fn newest(files: &dyn Files) -> io::Result<Option<(usize, Pointer)>> {
    let mut newest: Option<(usize, Pointer)> = None;
    for (slot, path) in SLOTS.iter().enumerate() {
        let bytes = match files.read(path, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Where a disk gives no answer, nobody may conclude that nothing was installed.
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(error),
            Err(_) => continue,
        };
        if let Some(pointer) = parse(&bytes)
            && newest.as_ref().is_none_or(|(_, other)| other.serial < pointer.serial)
        {
            newest = Some((slot, pointer));
        }
    }
    Ok(newest)
}

fn parse(bytes: &[u8]) -> Option<Pointer> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (digest, text) = (bytes.get(..end)?, bytes.get(end + 1..)?);
    if Digest::of_bytes(text).as_str().as_bytes() != digest {
        return None;
    }
    serde_json::from_slice(text).ok()
}
