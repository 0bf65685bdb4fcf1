//! What a launcher has started, for the agent to see: a file that it holds a lock on as long as it lives.
//!
//! It says how many starts the pointer wanted when the gateway's process was started. Where the pointer wants more, that
//! process is to go, and another one to come.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use super::disk::Disk;
use crate::clock::Clock;

const FILE: &str = "launched";
/// The gateway before has so long to end what is open, and the new one to come.
const START: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// A launcher's own side.
pub(super) struct Launched(File);

impl Launched {
    /// Errors: another launcher is there.
    pub(super) fn new(disk: &Disk) -> io::Result<Launched> {
        let path = disk.at(FILE);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(|_| io::Error::other("another launcher is at work there"))?;
        let mut launched = Launched(file);
        launched.say(0)?;
        Ok(launched)
    }

    /// The gateway that runs now was started when the pointer wanted so many starts.
    pub(super) fn say(&mut self, starts: u64) -> io::Result<()> {
        // As long as any other, so that no digit of before is left.
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(format!("{starts:020}\n").as_bytes())
    }
}

/// What the launcher says; nothing where none is.
pub(super) fn starts(disk: &Disk) -> Option<u64> {
    let mut file = File::open(disk.at(FILE)).ok()?;
    if file.try_lock_shared().is_ok() {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Waits until the gateway was started anew.
pub(super) fn wait(disk: &Disk, wanted: u64, clock: Clock) -> Result<(), String> {
    let until = clock.now() + START;
    while clock.now() < until {
        match starts(disk) {
            Some(made) if made >= wanted => return Ok(()),
            Some(_) => std::thread::park_timeout(LOOK),
            None => return Err("the launcher has gone".into()),
        }
    }
    Err(format!("it was not started anew within {} s", START.as_secs()))
}
