//! What an agent reaches: sources of content, the gateway's program and its admin interface.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use pilotlight_agent::{Generation, Observation, Trouble, World};
use pilotlight_content::{Error, Floor, Source, fetch};
use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::Release;

use super::admin::Admin;
use super::disk::Disk;
use super::launched;
use super::links::{self, Shared};
use crate::clock::Clock;
use crate::gateway;

/// What is kept of what a program says.
const SAID: usize = 2000;
/// The small build has no tests to run; then the check is what there is.
const NO_TESTS: &str = "this build runs no tests";

pub(super) struct Outside {
    pub(super) sources: Vec<Box<dyn Source>>,
    pub(super) program: PathBuf,
    pub(super) admin: Admin,
    pub(super) disk: Disk,
    pub(super) shared: Shared,
    pub(super) secrets: PathBuf,
    /// Bytes a second.
    pub(super) rate: Option<u64>,
    pub(super) clock: Clock,
    pub(super) version: Option<String>,
    /// For which machine code of modules is made.
    pub(super) target: Option<String>,
    /// By which sources and controllers judge certificates.
    pub(super) floor: Floor,
}

impl Outside {
    /// Asks one source after the other, a different one first at each attempt.
    fn each<T>(
        &mut self,
        attempt: usize,
        ask: &mut dyn FnMut(&dyn Source) -> Result<T, Error>,
    ) -> Result<T, Trouble> {
        let mut said = Vec::new();
        let count = self.sources.len();
        for at in 0..count {
            match ask(&*self.sources[(attempt + at) % count]) {
                Ok(found) => return Ok(found),
                Err(error) => said.push(error.to_string()),
            }
        }
        // Whatever a source says: it may say something else tomorrow, and the release is not to blame.
        Err(Trouble::Passing(match count {
            0 => "there are no sources".into(),
            _ => said.join("; "),
        }))
    }

    /// Runs the gateway's program; gives what it said if it was not content.
    fn run(&self, folder: &Path, arguments: &[&str]) -> Result<(), Trouble> {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let ran = command.stderr(Stdio::piped()).output();
        let output = ran.map_err(|error| {
            Trouble::Lacking(format!("{} cannot be started: {error}", self.program.display()))
        })?;
        if output.status.success() {
            return Ok(());
        }
        let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        if said.contains(NO_TESTS) {
            return Ok(());
        }
        let said: String = said.trim().chars().take(SAID).collect();
        Err(Trouble::Bad(format!("{}: {said}", arguments.first().unwrap_or(&""))))
    }
}

impl World for Outside {
    fn release(&mut self, name: &str, version: &str, attempt: usize) -> Result<Vec<u8>, Trouble> {
        self.each(attempt, &mut |source| source.release(name, version))
    }

    fn blob(
        &mut self,
        (digest, size): (&Digest, u64),
        mut from: u64,
        attempt: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Trouble> {
        let (rate, clock) = (self.rate, self.clock);
        let begun = clock.now();
        let mut came = 0u64;
        let mut slow = fetch::Pace::new(begun);
        let mut pace = |bytes: usize| {
            came += bytes as u64;
            let fine = slow.is_fine(bytes, clock.now());
            let Some(rate) = rate else { return fine };
            let due = begun + Duration::from_secs_f64(came as f64 / rate as f64);
            while let Some(left) = due.checked_sub(clock.now()).filter(|left| !left.is_zero()) {
                std::thread::park_timeout(left);
            }
            fine
        };
        let mut failed = None;
        let fetched = self.each(attempt, &mut |source| {
            // What one source gave, the next need not give again.
            fetch::blob(source, (digest, size), from, &mut pace, &mut |bytes| {
                from += bytes.len() as u64;
                take(bytes).inspect_err(|error| failed = Some(error.kind()))
            })
        });
        match failed {
            Some(kind) => Err(io::Error::from(kind).into()),
            None => fetched,
        }
    }

    fn root(&mut self, version: u64, attempt: usize, take: &mut dyn FnMut(&str, &[u8]) -> bool) {
        // Where no source has one that is taken, the chain ends for now.
        drop(self.each(attempt, &mut |source| {
            let bytes = source.root(version)?;
            match take(&source.name(), &bytes) {
                true => Ok(()),
                false => Err(Error::Absent(format!("root {version}"))),
            }
        }));
    }

    fn time(&mut self, past: i64) -> (i64, bool) {
        self.floor.raise(past);
        let (wall, floor) = (Clock::wall(), self.floor.get());
        (wall.max(floor), wall >= floor)
    }

    fn target(&mut self) -> String {
        let of = |said: String| {
            let line = |name: &str| said.lines().find_map(|line| line.strip_prefix(name));
            match line("features")?.contains("pulley") {
                // Its interpreter, whatever the machine.
                true if cfg!(target_pointer_width = "32") => Some("pulley32".to_owned()),
                true => Some("pulley64".to_owned()),
                false => {
                    let machine = line("target")?.trim().split_once('-')?.0.to_owned();
                    Some(format!("{machine}-unknown-linux-gnu"))
                }
            }
        };
        if self.target.is_none() {
            self.target = gateway::told(&self.program, &["version", "--verbose"]).and_then(of);
        }
        self.target.clone().unwrap_or_else(|| "unknown".into())
    }

    fn secret(&self, name: &str) -> Option<String> {
        let path = self.secrets.join(name);
        if path.is_file() { path.to_str().map(str::to_owned) } else { None }
    }

    fn version(&mut self) -> Option<String> {
        if self.version.is_none() {
            self.version = gateway::version(&self.program);
        }
        self.version.clone()
    }

    fn test(&mut self, generation: &Generation, release: &Release) -> Result<(), Trouble> {
        let folder = links::prepare(&self.disk, generation, &self.shared)?;
        self.run(&folder, &["check", &generation.manifest])?;
        if release.tests.is_empty() {
            return Ok(());
        }
        let tests = release.tests.iter().map(String::as_str);
        self.run(&folder, &["test"].into_iter().chain(tests).collect::<Vec<_>>())
    }

    fn switch(&mut self, generation: &Generation, starts: u64) -> Result<(), String> {
        // The launcher turns the link when it starts a gateway.
        if launched::starts(&self.disk).is_some_and(|made| made < starts) {
            return launched::wait(&self.disk, starts, self.clock);
        }
        let turned = links::turn(&self.disk, generation, &self.shared);
        turned.map_err(|error| format!("the disk: {error}"))?;
        self.admin.reload()
    }

    fn is_launched(&mut self) -> bool {
        launched::starts(&self.disk).is_some()
    }

    fn observe(&mut self) -> Observation {
        self.admin.observe()
    }
}
