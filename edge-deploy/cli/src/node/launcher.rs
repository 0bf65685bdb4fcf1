//! `launch`: starts the gateway, and starts it again. It knows the pointer and nothing else: no network, no
//! agent, no controller.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use pilotlight_agent::launch::{self, Exits};
use pilotlight_agent::{Generation, Pointer};
use pilotlight_fleet::manifest::Node;

use super::admin::Admin;
use super::disk::Disk;
use super::launched::Launched;
use super::links::{self, Shared};
use super::read;
use crate::clock::{Clock, Signals};
use crate::end::{fail, refuse};
use crate::{FAILED, flags, gateway};

const LOOK: Duration = Duration::from_millis(100);
/// The fallback runs so long before what had proved itself is tried again.
const REST: Duration = Duration::from_secs(300);
/// A gateway that is to make room for another has so long to end what is open.
const LEAVE: Duration = Duration::from_secs(10);
/// It is told again so often, and the last time it is not asked.
const TOLD: u32 = 3;
/// While there is nothing to run yet.
const WAIT: Duration = Duration::from_millis(500);

pub(crate) fn launch(flags: &flags::Launch) -> ExitCode {
    let signals = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];
    let signals = match Signals::block(&signals) {
        Ok(signals) => signals,
        Err(error) => return refuse(format!("signals: {error}")),
    };
    let node = match read(&flags.node) {
        Ok(node) => node,
        Err(code) => return code,
    };
    match Launcher::new(&flags.node, &node, signals).and_then(Launcher::run) {
        Ok(code) => code,
        Err(why) => fail(why),
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
    program: PathBuf,
    signals: Signals,
    clock: Clock,
    exits: Exits,
    most: u64,
    silence: Duration,
    /// When an agent was there last.
    watched: Duration,
    /// What agents see of it.
    launched: Launched,
    /// What runs when nothing else does.
    fallback: Option<PathBuf>,
}

/// A gateway that was started.
struct Started {
    child: Child,
    generation: Generation,
    /// How many starts the pointer wanted then.
    starts: u64,
    /// It is the fallback, and makes room at this time.
    until: Option<Duration>,
}

/// How a gateway has ended.
enum Ended {
    /// Somebody has asked for that.
    Asked(ExitStatus),
    /// To make room for another.
    Replaced,
    /// By itself.
    Itself(ExitStatus),
}

impl Launcher {
    fn new(file: &Path, node: &Node, signals: Signals) -> Result<Launcher, String> {
        let disk = Disk::open(&node.dir).map_err(|e| format!("{}: {e}", node.dir.display()))?;
        let safety = &node.safety;
        let launched = Launched::new(&disk).map_err(|e| format!("{}: {e}", node.dir.display()))?;
        Ok(Launcher {
            disk,
            launched,
            shared: shared(file, node).1,
            program: gateway::find(node.program.as_deref())?,
            fallback: safety.fallback.clone(),
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
        let mut rests = false;
        loop {
            let Some(generation) = next else {
                // The agent brings the first release.
                if self.signals.wait(WAIT).is_some_and(|signal| signal != libc::SIGHUP) {
                    return Ok(ExitCode::SUCCESS);
                }
                next = Pointer::read(&self.disk).map_err(failed)?.target().cloned();
                continue;
            };
            let started = self.start(&generation, std::mem::take(&mut rests))?;
            let status = match self.attend(started)? {
                Ended::Replaced => {
                    next = Pointer::read(&self.disk).map_err(failed)?.target().cloned();
                    self.exits.clear();
                    continue;
                }
                Ended::Itself(status) if !status.success() => status,
                Ended::Asked(status) | Ended::Itself(status) => {
                    return Ok(status.code().map_or(ExitCode::SUCCESS, |code| {
                        ExitCode::from(u8::try_from(code).unwrap_or(FAILED))
                    }));
                }
            };
            let how = how(status);
            eprintln!("edge-deploy: the gateway with {} ended: {how}", generation.name);
            let many = self.exits.count(self.clock.now());
            let mut pointer = Pointer::read(&self.disk).map_err(failed)?;
            if many && pointer.trial.is_some() {
                let to = if pointer.good.is_some() { "what ran before" } else { "nothing" };
                eprintln!("edge-deploy: {} ended too often, back to {to}", generation.name);
                pointer = launch::crashed(&mut self.disk, self.most, &how).map_err(failed)?;
            } else if many && self.fallback.is_some() {
                eprintln!(
                    "edge-deploy: QUARANTINE: {} had proved itself and crashes, too: the fallback runs",
                    generation.name
                );
                self.exits.clear();
                rests = true;
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

    /// Starts a gateway with a generation, or with the fallback.
    fn start(&mut self, generation: &Generation, rests: bool) -> Result<Started, String> {
        let failed = |error: std::io::Error| format!("the disk: {error}");
        let starts = Pointer::read(&self.disk).map_err(failed)?.starts;
        links::turn(&self.disk, generation, &self.shared).map_err(failed)?;
        let fallback = self.fallback.clone().filter(|_| rests);
        let until = fallback.as_ref().map(|_| self.clock.now() + REST);
        let child = Command::new(&self.program)
            .arg("run")
            .arg(fallback.unwrap_or_else(|| links::manifest(&self.disk, generation)))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", self.program.display()))?;
        self.launched.say(starts).map_err(failed)?;
        Ok(Started { child, generation: generation.clone(), starts, until })
    }

    /// Waits for the gateway to end.
    fn attend(&mut self, started: Started) -> Result<Ended, String> {
        let Started { mut child, generation: mut runs, starts, until } = started;
        let mut asked = false;
        // When it was told to make room, and how often.
        let (mut leaves, mut told) = (None, 0);
        loop {
            let ended = child.try_wait().map_err(|error| format!("the gateway: {error}"))?;
            if let Some(status) = ended {
                return Ok(match (asked, leaves) {
                    (true, _) => Ended::Asked(status),
                    (false, Some(_)) => Ended::Replaced,
                    (false, None) => Ended::Itself(status),
                });
            }
            let pointer = Pointer::read(&self.disk).unwrap_or_default();
            let now = self.clock.now();
            let mut makes_room = pointer.starts > starts || until.is_some_and(|until| until <= now);
            // The agent may have made it load another one, which begins with a clean record.
            if let Some(target) = pointer.target().filter(|target| **target != runs) {
                runs = target.clone();
                self.exits.clear();
                makes_room |= until.is_some();
            }
            let back = self.back_unwatched();
            let signal = match leaves {
                None if makes_room => {
                    leaves = Some(now);
                    Some(libc::SIGTERM)
                }
                // The second time what is open is cut off; one that does not heed that either is ended.
                Some(since) if told < TOLD && now.saturating_sub(since) >= LEAVE * (told + 1) => {
                    told += 1;
                    Some(if told < TOLD { libc::SIGTERM } else { libc::SIGKILL })
                }
                // To load a manifest is what SIGHUP asks for.
                None if back => Some(libc::SIGHUP),
                _ => {
                    let signal = self.signals.wait(LOOK);
                    asked |= signal.is_some_and(|signal| signal != libc::SIGHUP);
                    signal
                }
            };
            let Some(signal) = signal else { continue };
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
