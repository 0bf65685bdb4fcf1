//! `agent`: the machine of `pilotlight-agent` with a disk, sources and a gateway that are real.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use pilotlight_agent::{Agent, Next, Pointer};
use pilotlight_content::Place;
use pilotlight_fleet::manifest::Node;
use pilotlight_fleet::message::{self, Desired, Progress};
use pilotlight_fleet::rollout::Reported;
use serde_json::json;

use super::disk::Disk;
use super::launcher::shared;
use super::line::{Known, Line};
use super::world::Outside;
use super::{read, settings};
use crate::clock::{Clock, Signals};
use crate::end::{fail, refuse};
use crate::{FAILED, REFUSED, flags, gateway, print, push};

/// How often it looks for another wish in a file.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) fn agent(flags: &flags::Agent) -> ExitCode {
    let signals = match Signals::block(&[libc::SIGTERM, libc::SIGINT, libc::SIGUSR1]) {
        Ok(signals) => signals,
        Err(error) => return refuse(format!("signals: {error}")),
    };
    let node = match read(&flags.node) {
        Ok(node) => node,
        Err(code) => return code,
    };
    match Resident::new(&flags.node, &node) {
        Ok(mut resident) => match resident.run(&signals, flags.once) {
            Ok(code) => code,
            Err(why) => fail(why),
        },
        Err(why) => refuse(&why),
    }
}

struct Resident {
    agent: Agent,
    disk: Disk,
    world: Outside,
    clock: Clock,
    desired: PathBuf,
    /// To controllers, if there are any: then no file says what should run.
    line: Option<Line>,
    /// Its text when it was last read.
    text: Vec<u8>,
    /// What was last said.
    said: Option<Progress>,
    warned: Vec<String>,
    /// Held as long as this agent lives: two of them would switch against each other.
    _alone: fs::File,
}

impl Resident {
    fn new(file: &Path, node: &Node) -> Result<Resident, String> {
        let settings = settings(node)?;
        let at = |error: std::io::Error| format!("{}: {error}", node.dir.display());
        let disk = Disk::open(&node.dir).map_err(at)?;
        let alone = fs::File::create(disk.at("agent.lock")).map_err(at)?;
        alone.try_lock().map_err(|_| format!("another agent works in {}", node.dir.display()))?;
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.into());
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        let content = push::settings(node.ca.as_deref(), node.credentials.as_deref())
            .map_err(|error| error.to_string())?;
        let mut sources = Vec::new();
        for source in &node.sources {
            let place = Place::parse(source, folder).map_err(|error| error.to_string())?;
            sources.push(place.source(&content).map_err(|error| error.to_string())?);
        }
        let clock = Clock::new();
        let (admin, shared) = shared(file, node);
        let world = Outside {
            sources,
            program: gateway::find(node.program.as_deref())?,
            admin,
            disk: disk.clone(),
            shared,
            secrets: node.secrets.clone(),
            rate: node.rate,
            clock,
            version: None,
            target: node.target.clone(),
            floor: content.floor.clone(),
        };
        let desired = node.desired.clone();
        let line = match node.controllers.is_empty() {
            true => None,
            false => Some(Line::new(node, &content, &disk.at("node.token"))?),
        };
        let agent = Agent::new(settings);
        Ok(Resident {
            agent,
            disk,
            world,
            clock,
            desired,
            line,
            text: Vec::new(),
            said: None,
            warned: Vec::new(),
            _alone: alone,
        })
    }

    fn run(&mut self, signals: &Signals, once: bool) -> Result<ExitCode, String> {
        if let Some(line) = self.line.as_ref().filter(|_| !once) {
            line.open().map_err(|error| format!("a thread: {error}"))?;
        }
        loop {
            self.report();
            let now = self.clock.now();
            if let Some(line) = self.line.as_ref().filter(|line| once && line.wants(now)) {
                line.ask_once(now);
            }
            self.look()?;
            let step = self.agent.step(&mut self.disk, &mut self.world, self.clock.now());
            // A disk that fails is tried again; nothing was switched.
            let next = step.unwrap_or_else(|error| {
                eprintln!("edge-deploy: the disk: {error}");
                Next::Later(LOOK)
            });
            self.tell();
            let pause = match next {
                Next::Now => Duration::ZERO,
                Next::Later(pause) if !once || self.agent.is_on_trial() => pause.min(LOOK),
                Next::Settled if !once => LOOK,
                Next::Later(_) | Next::Settled => {
                    // What it has come to may bring the next wish.
                    self.report();
                    let news = self.line.as_ref().is_some_and(|line| {
                        line.ask_once(now);
                        line.has_news()
                    });
                    if !news {
                        return Ok(self.code());
                    }
                    Duration::ZERO
                }
            };
            // A controller's word ends the wait, and nothing else.
            if signals.wait(pause).is_some_and(|signal| signal != libc::SIGUSR1) {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    /// Says how it stands to whoever holds the line.
    fn report(&mut self) {
        let Some(line) = &self.line else { return };
        let known = Known {
            now: self.clock.now(),
            progress: self.agent.progress(),
            on_trial: self.agent.is_on_trial(),
            warnings: self.agent.warnings(),
            drift: self.agent.drift(),
        };
        line.say(&known, &self.disk, &mut self.world);
    }

    /// Looks what is wanted.
    fn look(&mut self) -> Result<(), String> {
        if let Some(line) = &self.line {
            let heard = line.heard();
            if heard.contact {
                self.agent.contact(self.clock.now());
            }
            if let Some(desired) = heard.desired {
                self.agent.desire(desired, self.clock.now());
            }
            return Ok(());
        }
        let shown = self.desired.display();
        let text = match fs::read(&self.desired) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("cannot read {shown}: {error}")),
        };
        if text == self.text || text.len() > message::LARGEST {
            return Ok(());
        }
        match Desired::parse_file(&text) {
            Ok(desired) => self.agent.desire(desired, self.clock.now()),
            // What runs goes on running.
            Err(error) => eprintln!("edge-deploy: {shown}: {error}"),
        }
        self.text = text;
        Ok(())
    }

    /// Says what has changed, to people and in `status.json`.
    fn tell(&mut self) {
        let progress = self.agent.progress();
        let (said, warned) = (progress == self.said.as_ref(), self.warned == self.agent.warnings());
        if said && warned {
            return;
        }
        if !warned {
            self.warned = self.agent.warnings().to_vec();
            self.warned.iter().for_each(|warning| eprintln!("edge-deploy: warning: {warning}"));
        }
        self.said = progress.cloned();
        let pointer = Pointer::read(&self.disk).unwrap_or_default();
        let status = json!({
            "runs": pointer.good.as_ref().map(|good| &good.name),
            "release": pointer.good.as_ref().map(|good| &good.release),
            "tries": pointer.trial.as_ref().map(|trial| &trial.generation.name),
            "progress": self.said,
            "denied": pointer.denied,
            "root": pointer.root,
            "warnings": self.warned,
            "drift": self.agent.drift(),
        });
        let (new, path) = (self.disk.at("status.json.new"), self.disk.at("status.json"));
        let written = fs::write(&new, format!("{status}\n")).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = written {
            eprintln!("edge-deploy: {}: {error}", path.display());
        }
        if let Some(Progress { reported, message, .. }) = self.said.as_ref().filter(|_| !said) {
            let message = message.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
            print(&format!("{}{message}\n", word(*reported)));
        }
    }

    fn code(&self) -> ExitCode {
        match self.agent.progress() {
            None => ExitCode::SUCCESS,
            Some(progress) => match progress.reported {
                Reported::Committed | Reported::Ready | Reported::Reverted => ExitCode::SUCCESS,
                Reported::Rejected => ExitCode::from(REFUSED),
                _ => ExitCode::from(FAILED),
            },
        }
    }
}

fn word(reported: Reported) -> String {
    match reported {
        Reported::Idle => "on the way".into(),
        Reported::Ready => "ready".into(),
        Reported::Switching => "switching".into(),
        Reported::Committed => "committed".into(),
        Reported::Rejected => "rejected".into(),
        Reported::Failed(failure) => format!("rolled back ({})", failure.name()),
        Reported::Reverted => "reverted".into(),
    }
}
