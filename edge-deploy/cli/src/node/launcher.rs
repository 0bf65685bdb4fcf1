//! `launch`: starts the gateway, and starts it again. It knows the pointer and nothing else: no network, no
//! agent, no controller.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use pilotlight_agent::launch::{self, Exits};
use pilotlight_agent::{Generation, Pointer};
use pilotlight_fleet::manifest::Node;

use super::admin::Admin;
use super::disk::Disk;
use super::links::{self, Shared};
use super::{read, refuse};
use crate::clock::{Clock, Signals};
use crate::{FAILED, flags, gateway};

const LOOK: Duration = Duration::from_millis(100);
/// While there is nothing to run yet.
const WAIT: Duration = Duration::from_millis(500);

pub(crate) fn launch(flags: &flags::Launch) -> ExitCode {
    let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    let signals = match Signals::block(&signals) {
        Ok(signals) => signals,
        Err(error) => return refuse(&format!("signals: {error}")),
    };
    let node = match read(&flags.node) {
        Ok(node) => node,
        Err(code) => return code,
    };
    match Launcher::new(&flags.node, &node, signals).and_then(Launcher::run) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("edge-deploy: {why}");
            ExitCode::from(FAILED)
        }
    }
}

/// The folders that all generations of a node share.
pub(super) fn shared(file: &Path, node: &Node) -> (Admin, Shared) {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.into());
    let folder = file.parent().unwrap_or(Path::new("/"));
    let admin = node.admin.as_deref().unwrap_or("unix:run/admin.sock");
    let admin = Admin::parse(admin, folder);
    let shared = Shared { run: admin.folder(), cache: node.dir.join("cache") };
    (admin, shared)
}

struct Launcher {
    disk: Disk,
    shared: Shared,
    program: std::path::PathBuf,
    signals: Signals,
    clock: Clock,
    exits: Exits,
    most: u64,
    silence: Duration,
    /// When an agent was there last.
    watched: Duration,
}

impl Launcher {
    fn new(file: &Path, node: &Node, signals: Signals) -> Result<Launcher, String> {
        let disk = Disk::open(&node.dir).map_err(|e| format!("{}: {e}", node.dir.display()))?;
        let safety = &node.safety;
        Ok(Launcher {
            disk,
            shared: shared(file, node).1,
            program: gateway::find(node.program.as_deref())?,
            signals,
            clock: Clock::new(),
            exits: Exits::new(safety.exits, safety.within),
            most: safety.exits,
            silence: safety.silence,
            watched: Duration::ZERO,
        })
    }

    fn run(mut self) -> Result<ExitCode, String> {
        let failed = |error: std::io::Error| format!("the disk: {error}");
        let mut next = launch::start(&mut self.disk).map_err(failed)?.map(|start| start.generation);
        loop {
            let Some(generation) = next else {
                // The agent brings the first release.
                if self.signals.wait(WAIT).is_some_and(|signal| signal != libc::SIGHUP) {
                    return Ok(ExitCode::SUCCESS);
                }
                next = Pointer::read(&self.disk).map_err(failed)?.target().cloned();
                continue;
            };
            let child = self.start(&generation)?;
            let (status, asked) = self.attend(child, &generation)?;
            if asked || status.success() {
                return Ok(status.code().map_or(ExitCode::SUCCESS, |code| {
                    ExitCode::from(u8::try_from(code).unwrap_or(FAILED))
                }));
            }
            let how = how(status);
            eprintln!("edge-deploy: the gateway with {} ended: {how}", generation.name);
            let many = self.exits.count(self.clock.now());
            let mut pointer = Pointer::read(&self.disk).map_err(failed)?;
            if many && pointer.trial.is_some() && pointer.good.is_some() {
                eprintln!(
                    "edge-deploy: {} ended too often, back to what ran before",
                    generation.name
                );
                pointer = launch::crashed(&mut self.disk, self.most, &how).map_err(failed)?;
            }
            let target = pointer.target().cloned();
            if target.as_ref() != Some(&generation) {
                self.exits.clear();
            }
            next = target;
            if self.signals.wait(self.exits.pause()).is_some_and(|signal| signal != libc::SIGHUP) {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    fn start(&self, generation: &Generation) -> Result<Child, String> {
        links::turn(&self.disk, generation, &self.shared)
            .map_err(|error| format!("the disk: {error}"))?;
        Command::new(&self.program)
            .arg("run")
            .arg(links::manifest(&self.disk, generation))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", self.program.display()))
    }

    /// Waits for the gateway to end; true if somebody has asked for that.
    fn attend(
        &mut self,
        mut child: Child,
        started: &Generation,
    ) -> Result<(ExitStatus, bool), String> {
        let (mut asked, mut runs) = (false, started.clone());
        loop {
            let ended = child.try_wait().map_err(|error| format!("the gateway: {error}"))?;
            if let Some(status) = ended {
                return Ok((status, asked));
            }
            // The agent may have made it load another one, which begins with a clean record.
            if let Ok(pointer) = Pointer::read(&self.disk)
                && let Some(target) = pointer.target().filter(|target| **target != runs)
            {
                runs = target.clone();
                self.exits.clear();
            }
            // To load a manifest is what SIGHUP asks for.
            let back = self.back_unwatched().then_some(libc::SIGHUP);
            let Some(signal) = back.or_else(|| self.signals.wait(LOOK)) else { continue };
            asked |= signal != libc::SIGHUP;
            if let Ok(pid) = libc::pid_t::try_from(child.id()) {
                // SAFETY: it has not been waited for, so the number is still that of our child.
                unsafe { libc::kill(pid, signal) };
            }
        }
    }

    /// Goes back from a trial that no agent watches any more. True if it did.
    fn back_unwatched(&mut self) -> bool {
        let now = self.clock.now();
        let on_trial = |pointer: &Pointer| pointer.trial.is_some() && pointer.good.is_some();
        if !Pointer::read(&self.disk).is_ok_and(|pointer| on_trial(&pointer)) || self.is_watched() {
            self.watched = now;
        }
        if now.saturating_sub(self.watched) < self.silence {
            return false;
        }
        self.watched = now;
        let good = launch::unwatched(&mut self.disk).ok().and_then(|pointer| pointer.good);
        eprintln!("edge-deploy: the agent ended in a probation, back to what ran before");
        good.is_some_and(|good| links::turn(&self.disk, &good, &self.shared).is_ok())
    }

    /// Whether an agent holds its lock.
    fn is_watched(&self) -> bool {
        let lock = std::fs::File::open(self.disk.at("agent.lock"));
        lock.is_ok_and(|lock| lock.try_lock_shared().is_err())
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".into(),
    }
}
