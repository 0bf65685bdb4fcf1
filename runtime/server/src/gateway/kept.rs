//! What outlives sleep: keys by which clients come back, what programs share, what was counted, and what was
//! found out about programs.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilotlight_abi::shared::{End, Kept, Put, Scalar};
use pilotlight_config::manifest::{Address, Listener, Manifest};
use pilotlight_filter::host::{Level, Shared};

use crate::control::Control;
use crate::health;
use crate::listener;
use crate::notify;
use crate::park::Woken;
use crate::park::state::{self, Reader, STATE_MAX, State, Writer};
use crate::quic;
use crate::shipped::Limiter;
use crate::tls::tickets;

const TICKETS: &str = "tickets";
const QUIC: &str = "quic";
const METRICS: &str = "metrics";
const APPS: &str = "applications";
const ENDPOINTS: &str = "endpoints";
const LIMITS: &str = "limits";
/// Which build has found out what follows; and what the parts of engines begin with.
const BUILD: &str = "build";
const FOUND: &str = "found ";
/// What the parts of dictionaries begin with.
const SHARED: &str = "shared ";
/// Where it lies when no descriptor can hold it, in `cache_dir`.
const FILE: &str = "state";
/// What it is called among the service manager's descriptors.
const STORED: &str = "pilotlight-state";

/// Everything that is kept, as bytes. A part whose layout changes gets another name: the reader may be
/// another version's.
pub(super) fn written(control: &Control) -> Vec<u8> {
    let generation = control.generation();
    state::written(|all| {
        all.part(TICKETS, tickets::keep);
        all.part(QUIC, quic::keys::keep);
        all.part(METRICS, |part| control.metrics.keep(part));
        all.part(APPS, |part| control.apps.states.keep(part));
        all.part(ENDPOINTS, |part| health::keep(control, part));
        all.part(LIMITS, |part| generation.limiters.iter().for_each(|one| one.keep(part)));
        all.part(BUILD, |part| part.0.extend(build()));
        for (engine, library) in &generation.libraries {
            all.part(&format!("{FOUND}{engine}"), |part| part.0.extend(library.found()));
        }
        for (name, shared) in &generation.dictionaries {
            let room = STATE_MAX.saturating_sub(all.0.len());
            let mut lost = 0;
            all.part(&format!("{SHARED}{name}"), |part| lost = keep_shared(&**shared, part, room));
            if lost > 0 {
                let lost = lost.to_string();
                let fields = [("dictionary", name.as_str()), ("entries", &*lost)];
                control.log.event(Level::Warn, "left behind in sleep", &fields);
            }
        }
    })
}

/// Writes a dictionary down, what was used last in any case; says how many entries had no room.
fn keep_shared(shared: &dyn Shared, to: &mut Writer, room: usize) -> usize {
    let mut entries = Vec::new();
    let mut text = Vec::new();
    // Those used longest ago come first.
    for key in shared.keys(0) {
        let (Some(left), Some(found)) = (shared.ttl(&key), shared.get(&key, &mut text)) else {
            continue;
        };
        let mut entry = Writer::default();
        entry.bytes(&key);
        entry.float(left);
        entry.number(found.flags as u32 as u64);
        match found.kept {
            Kept::List => {
                entry.number(LIST);
                // Each item goes to the end of the list: after a round all are where they were.
                for _ in 0..shared.len(&key).unwrap_or(0) {
                    let Ok(Some(item)) = shared.pop(&key, End::Left, &mut text) else { break };
                    keep_value(item, &text, &mut entry);
                    let again = match item {
                        Kept::Bool(value) => Scalar::Bool(value),
                        Kept::Number(value) => Scalar::Number(value),
                        Kept::Text | Kept::List => Scalar::Text(&text),
                    };
                    let _ = shared.push(&key, again, End::Right);
                }
                shared.expire(&key, if left.is_finite() { left } else { 0.0 }, false);
            }
            plain => keep_value(plain, &text, &mut entry),
        }
        entries.push(entry.0);
    }
    let mut used = 0;
    let fits = entries.iter().rev().take_while(|entry| {
        used += entry.len() + 8;
        used <= room
    });
    let first = entries.len() - fits.count();
    entries[first..].iter().for_each(|entry| to.bytes(entry));
    first
}

const LIST: u64 = 3;

fn keep_value(value: Kept, text: &[u8], to: &mut Writer) {
    match value {
        Kept::Bool(value) => {
            to.number(0);
            to.number(u64::from(value));
        }
        Kept::Number(value) => {
            to.number(1);
            to.float(value);
        }
        Kept::Text => {
            to.number(2);
            to.bytes(text);
        }
        Kept::List => {}
    }
}

fn value<'a>(kind: u64, from: &mut Reader<'a>) -> Option<Scalar<'a>> {
    Some(match kind {
        0 => Scalar::Bool(from.number()? == 1),
        1 => Scalar::Number(from.float()?),
        2 => Scalar::Text(from.bytes()?),
        _ => return None,
    })
}

/// Puts a dictionary's entries back, but for those that have expired meanwhile.
fn fill(shared: &dyn Shared, from: &mut Reader<'_>, age: Duration) -> Option<()> {
    loop {
        let Some(entry) = from.bytes() else { return Some(()) };
        let mut entry = Reader(entry);
        let (key, left, flags) = (entry.bytes()?, entry.float()?, entry.number()?);
        let left = left - age.as_secs_f64();
        if left <= 0.0 {
            continue;
        }
        let ttl = if left.is_finite() { left } else { 0.0 };
        match entry.number()? {
            LIST => {
                while let Some(kind) = entry.number() {
                    let _ = shared.push(key, value(kind, &mut entry)?, End::Right);
                }
                shared.expire(key, ttl, false);
            }
            kind => {
                let put = Put { ttl, flags: flags as u32 as i32, ..Put::default() };
                let _ = shared.put(key, value(kind, &mut entry)?, put);
            }
        }
    }
}

/// Keeps it in memory, for the next form of this process.
pub(super) fn in_memory(control: &Control) -> Option<OwnedFd> {
    let file = state::file(&written(control));
    file.inspect_err(|error| lost(control, &error.to_string())).ok()
}

/// Keeps it with the service manager, or in a file where that stores no descriptors or no more.
pub(super) fn left(control: &Control) {
    let bytes = written(control);
    let generation = control.generation();
    let listeners = &generation.manifest.listeners;
    let is_known = |name: &str| {
        let of = |l: &Listener| matches!(&l.address, Address::Inherited(own) if own == name);
        name == STORED || listeners.iter().any(of)
    };
    let has_room = notify::stores(listener::handed_but(is_known));
    let stored = has_room && state::file(&bytes).is_ok_and(|fd| notify::store(&fd, STORED));
    if !stored && let Err(error) = write(&path(control), &bytes) {
        lost(control, &error.to_string());
    }
}

fn path(control: &Control) -> PathBuf {
    control.generation().manifest.gateway.cache_dir.join(FILE)
}

/// There are keys in it: for its owner only, and whole or not there.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = path.with_extension("new");
    drop(fs::remove_file(&new));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    fs::rename(new, path)
}

/// What an earlier form has kept, as it was found.
#[derive(Default)]
pub(super) struct Past {
    state: Option<State>,
    /// It is of a process that still runs.
    inherited: bool,
    /// Where it still lies.
    place: Option<Place>,
    /// Why it can't be read.
    trouble: Option<String>,
}

/// Where it is to be taken from when the gateway serves.
enum Place {
    Manager,
    File(PathBuf),
}

impl Past {
    /// Looks for it, wherever it lies. It stays there: this start may fail.
    pub(super) fn find(manifest: &Manifest, woken: Option<&Woken>) -> Past {
        let inherited = woken.is_some_and(Woken::is_heir);
        let mut past = Past { inherited, ..Past::default() };
        let mut bytes = Vec::new();
        let mut read = |file: OwnedFd| {
            let mut file = File::from(file);
            file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).err()
        };
        let mut same_boot = true;
        let error = if let Some(woken) = woken {
            woken.state().and_then(read)
        } else if let Some(stored) = listener::handed(STORED) {
            past.place = Some(Place::Manager);
            read(stored)
        } else if listener::is_activated() {
            let path = manifest.gateway.cache_dir.join(FILE);
            bytes = fs::read(&path).unwrap_or_default();
            past.place = Some(Place::File(path));
            same_boot = false;
            None
        } else {
            None
        };
        past.trouble = error.map(|error| error.to_string());
        if !bytes.is_empty() {
            match State::open(bytes, same_boot) {
                Ok(state) => past.state = Some(state),
                Err(why) => past.trouble = Some(why.to_owned()),
            }
        }
        past
    }

    /// What an engine has found out about its programs; nothing when another build has.
    pub(super) fn found(&self, engine: &str) -> Vec<u8> {
        let part = |name: &str| {
            let mut parts = self.state.iter().flat_map(State::parts);
            parts.find(|(known, _)| *known == name).map(|(_, part)| part.0.to_vec())
        };
        match part(BUILD).is_some_and(|then| then == build()) {
            true => part(&format!("{FOUND}{engine}")).unwrap_or_default(),
            false => Vec::new(),
        }
    }

    /// Takes it back, from where it lies.
    pub(super) fn take_back(self, control: &Control) {
        match self.place {
            Some(Place::Manager) => notify::forget(STORED),
            Some(Place::File(path)) => drop(fs::remove_file(path)),
            None => {}
        }
        self.trouble.iter().for_each(|why| lost(control, why));
        let Some(state) = self.state else { return };
        let (generation, age) = (control.generation(), state.age);
        for (name, mut part) in state.parts() {
            let taken = match name {
                TICKETS => tickets::take_back(&mut part),
                QUIC => quic::keys::take_back(&mut part, self.inherited),
                METRICS => control.metrics.take_back(&mut part),
                APPS => control.apps.states.take_back(&mut part),
                ENDPOINTS => health::take_back(control, age, &mut part),
                LIMITS => Limiter::take_back(&generation.limiters, &mut part),
                // One that the manifest does not have any more is nobody's.
                other => {
                    match other.strip_prefix(SHARED).map(|name| generation.dictionaries.get(name)) {
                        Some(Some(shared)) => fill(&**shared, &mut part, age),
                        _ => Some(()),
                    }
                }
            };
            if taken.is_none() {
                lost(control, name);
            }
        }
    }
}

/// What tells this build from another: another may find otherwise.
fn build() -> Vec<u8> {
    let Ok(facts) = fs::metadata("/proc/self/exe") else { return Vec::new() };
    let time = [facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec()];
    format!("{} {} {} {time:?}", facts.dev(), facts.ino(), facts.size()).into_bytes()
}

fn lost(control: &Control, why: &str) {
    control.log.event(Level::Warn, "what was kept in sleep is lost", &[("reason", why)]);
}
