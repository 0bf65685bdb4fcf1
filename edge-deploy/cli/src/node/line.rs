//! The line to controllers: what the node says, and what it should run.
//!
//! One thread asks and waits for news, one says what has changed meanwhile. Neither touches the gateway: what they
//! hear lies here until the agent looks. Without a controller a node goes on as it is, and says how it stands when
//! one is there again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pilotlight_agent::{Counters, Files as _, Pointer, World as _};
use pilotlight_content::Settings;
use pilotlight_content::api::Api;
use pilotlight_fleet::evidence::Sample;
use pilotlight_fleet::manifest::Node;
use pilotlight_fleet::message::{Desired, Progress, Status};
use pilotlight_fleet::plan::Digest;
use serde::Deserialize;

use super::disk::Disk;
use super::world::Outside;
use crate::keys;

/// A controller that has no news says so after this time, in seconds: shorter than what NATs forget after.
const WAIT: u64 = 50;
/// Past that, a controller that says nothing is not there.
const SILENCE: Duration = Duration::from_secs(15);
/// A timer's agent looks after a probation rather than after a controller that is away.
const AWAY: Duration = Duration::from_secs(30);
/// After a failure: doubled up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));
/// How often traffic is counted.
const COUNT: Duration = Duration::from_secs(10);
/// In a probation it says so often that it is there.
const BEAT: Duration = Duration::from_secs(2);

/// What an agent knows.
pub(super) struct Known<'a> {
    pub(super) now: Duration,
    pub(super) progress: Option<&'a Progress>,
    pub(super) on_trial: bool,
    pub(super) warnings: &'a [String],
    pub(super) drift: u64,
}

/// What controllers have said since it was last looked.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) contact: bool,
    pub(super) desired: Option<Desired>,
}

/// To the first controller that answers.
#[derive(Clone)]
pub(super) struct Line(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to be said.
    news: Condvar,
    urls: Vec<String>,
    settings: Settings,
    /// The node's own token, and one that admits it.
    own: String,
    admits: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    status: Status,
    /// Rises with what is to be said at once.
    version: u64,
    said: u64,
    /// Of the newest wish.
    tag: String,
    serial: u64,
    heard: Heard,
    sample: Sample,
    counters: Option<Counters>,
    counted: Duration,
    beat: Duration,
    /// When nobody answered a timer's agent.
    failed: Option<Duration>,
    /// What went wrong, so that it is told once.
    trouble: Option<String>,
}

#[derive(Deserialize)]
struct Told {
    tag: String,
    desired: Desired,
}

impl Line {
    pub(super) fn new(node: &Node, settings: &Settings, own: &Path) -> Result<Line, String> {
        let mut settings = settings.clone();
        if let Some(path) = &node.identity {
            let read = fs::read(path);
            settings.identity =
                Some(read.map_err(|error| format!("cannot read {}: {error}", path.display()))?);
        }
        let failed = |error: io::Error| format!("{}: {error}", own.display());
        if !own.exists() {
            let secret = keys::secret().ok_or("the system has no randomness")?;
            // Half a token is none: it is seen whole, or not at all.
            let new = own.with_extension("token.new");
            drop(fs::remove_file(&new));
            keys::write(&new, secret.as_bytes(), 0o600).map_err(failed)?;
            fs::rename(&new, own).map_err(failed)?;
        }
        let own = fs::read_to_string(own).map_err(failed)?.trim().to_owned();
        // Differs at each start, and is no secret.
        let boot = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap_or_default();
        let status = Status {
            node: node.id.clone(),
            boot: boot.trim().into(),
            labels: node.labels.clone(),
            ..Status::default()
        };
        Ok(Line(Arc::new(Shared {
            // That it is there is the first thing to be said.
            state: Mutex::new(State { status, version: 1, ..State::default() }),
            news: Condvar::new(),
            urls: node.controllers.clone(),
            settings,
            own,
            admits: node.token.clone(),
        })))
    }

    /// Begins to ask and to say.
    pub(super) fn open(&self) -> io::Result<()> {
        for (name, wait) in [("asks", WAIT), ("says", 0)] {
            let line = self.clone();
            std::thread::Builder::new().name(name.into()).spawn(move || line.talk(wait))?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the node stands. What has changed is said at once, or as soon as anybody hears it.
    pub(super) fn say(&self, known: &Known<'_>, disk: &Disk, world: &mut Outside) {
        let pointer = Pointer::read(disk).unwrap_or_default();
        let gateway = world.version();
        let due = {
            let state = self.state();
            state.counters.is_none() || known.now >= state.counted + COUNT
        };
        let counters = if due { world.observe().counters } else { None };
        let mut state = self.state();
        if due {
            state.counted = known.now;
            state.count(counters);
        }
        let old = state.status.clone();
        let status = &mut state.status;
        status.gateway = gateway;
        if status.free_disk.is_none() || old.progress.as_ref() != known.progress {
            status.free_disk = disk.free().ok();
        }
        status.seen = pointer.seen;
        status.runs = pointer.good.map(|good| good.release);
        status.tries = pointer.trial.map(|trial| trial.generation.release);
        status.denied = pointer.denied;
        status.progress = known.progress.cloned();
        status.warnings = known.warnings.to_vec();
        status.drift = known.drift;
        let beats = known.on_trial && known.now >= state.beat + BEAT;
        if state.status != old || beats {
            state.beat = known.now;
            state.version += 1;
            self.0.news.notify_all();
        }
    }

    /// What was heard.
    pub(super) fn heard(&self) -> Heard {
        std::mem::take(&mut self.state().heard)
    }

    /// Whether another wish is there that nobody has looked at.
    pub(super) fn has_news(&self) -> bool {
        self.state().heard.desired.is_some()
    }

    /// Whether there is something to say, and perhaps somebody who hears it.
    pub(super) fn wants(&self, now: Duration) -> bool {
        let state = self.state();
        state.said < state.version && state.failed.is_none_or(|at| now >= at + AWAY)
    }

    /// Asks each controller in turn, without waiting for news.
    pub(super) fn ask_once(&self, now: Duration) {
        for at in 0..self.0.urls.len() {
            // Who is admitted asks once more.
            let version = self.state().version;
            let asked = self.api(at, 0).and_then(|api| {
                self.exchange(&api, 0)?;
                if self.state().said < version { self.exchange(&api, 0) } else { Ok(()) }
            });
            match asked {
                Ok(()) => return self.state().failed = None,
                Err(why) => self.trouble(Some(why)),
            }
        }
        self.state().failed = Some(now);
    }

    /// To one of them, which may wait so many seconds for news.
    fn api(&self, at: usize, wait: u64) -> Result<Api, String> {
        let url = self.0.urls.get(at).map_or("", String::as_str);
        let silence = SILENCE + Duration::from_secs(wait);
        let made = Api::new(url, &self.0.settings, Some(self.0.own.clone()), silence);
        made.map_err(|error| error.to_string())
    }

    /// Speaks for as long as the process lives.
    fn talk(&self, wait: u64) {
        let (mut at, mut failures) = (0, 0u32);
        // Kept, so that its connection is.
        let mut api = None;
        loop {
            if wait == 0 {
                let mut state = self.state();
                while state.said >= state.version {
                    state = self.0.news.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
            let open = match api.take() {
                Some(api) => Ok(api),
                None => self.api(at, wait),
            };
            match open.and_then(|api| self.exchange(&api, wait).map(|()| api)) {
                Ok(open) => {
                    api = Some(open);
                    failures = 0;
                    self.trouble(None);
                }
                Err(why) => {
                    self.trouble(Some(why));
                    at = (at + 1) % self.0.urls.len();
                    failures += 1;
                    std::thread::park_timeout(self.pause(failures));
                }
            }
        }
    }

    /// Longer after each failure, and of another length on each node: they do not all come back at once.
    fn pause(&self, failures: u32) -> Duration {
        let most = AGAIN.0.saturating_mul(2u32.saturating_pow(failures.min(16))).min(AGAIN.1);
        let state = self.state();
        let seed = format!("{}{}{failures}", state.status.boot, state.status.seq);
        let hash = Digest::of_bytes(seed.as_bytes());
        let part = u32::from_str_radix(hash.hex().get(..4).unwrap_or("8000"), 16).unwrap_or(0);
        most / 2 + most.mul_f64(f64::from(part) / 65536.0 / 2.0)
    }

    /// Says how it stands, and hears what it should run.
    fn exchange(&self, api: &Api, wait: u64) -> Result<(), String> {
        let url = api.url();
        let (body, version, path, sample) = {
            let mut state = self.state();
            state.status.seq += 1;
            let sample = std::mem::take(&mut state.sample);
            let mut status = state.status.clone();
            status.sample = (sample.requests > 0).then(|| sample.clone());
            let body = serde_json::to_vec(&status).map_err(|error| error.to_string())?;
            let path = format!("/v1/desired?wait={wait}&have={}", state.tag);
            (body, state.version, path, sample)
        };
        let answer = api.call("POST", &path, Some(&body));
        let mut state = self.state();
        match answer {
            Ok((200, body)) => {
                let told: Told = serde_json::from_slice(&body)
                    .map_err(|error| format!("{url}: the answer cannot be read: {error}"))?;
                state.said = state.said.max(version);
                state.heard.contact = true;
                if told.desired.serial >= state.serial {
                    (state.serial, state.tag) = (told.desired.serial, told.tag);
                    state.heard.desired = Some(told.desired);
                }
            }
            Ok((204, _)) => {
                state.said = state.said.max(version);
                state.heard.contact = true;
            }
            refused => {
                // What it has served is told another time.
                state.sample.add(&sample);
                drop(state);
                return match refused {
                    Ok((401, _)) => self.enrol(url),
                    Ok((status, body)) => Err(format!("{url}: {status}: {}", why(&body))),
                    Err(error) => Err(error.to_string()),
                };
            }
        }
        drop(state);
        // SAFETY: a signal to this very process, which has it blocked and waits for it.
        unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        Ok(())
    }

    /// Its own token is admitted by the one for all. It may be said twice.
    fn enrol(&self, url: &str) -> Result<(), String> {
        let Some(admits) = &self.0.admits else {
            return Err(format!(
                "{url}: this node is not enrolled\nhint: token = \"FILE\" in node.toml"
            ));
        };
        let token = fs::read_to_string(admits)
            .map_err(|error| format!("cannot read {}: {error}", admits.display()))?;
        let api = Api::new(url, &self.0.settings, Some(token.trim().into()), SILENCE)
            .map_err(|error| error.to_string())?;
        let node = self.state().status.node.clone();
        let body = serde_json::json!({ "node": node, "secret": self.0.own }).to_string();
        let answer = api.call("POST", "/v1/enrol", Some(body.as_bytes()));
        match answer.map_err(|error| error.to_string())? {
            (200, _) => {
                println!("enrolled at {url}");
                // One that admits and refuses in turn gets no more of this node's time than another.
                std::thread::park_timeout(AGAIN.0);
                Ok(())
            }
            (status, body) => Err(format!("{url}: {status}: {}", why(&body))),
        }
    }

    /// Said when it begins, when it is another one, and when it is over.
    fn trouble(&self, why: Option<String>) {
        let mut state = self.state();
        if state.trouble != why {
            match &why {
                Some(why) => eprintln!("edge-deploy: {why}"),
                None => eprintln!("edge-deploy: the controller is there"),
            }
            state.trouble = why;
        }
    }
}

impl State {
    fn count(&mut self, counters: Option<Counters>) {
        let Some(new) = counters else { return };
        if let Some(old) = self.counters.replace(new) {
            // A gateway that was restarted has begun anew.
            let again = new.requests < old.requests;
            let old = if again { Counters::default() } else { old };
            self.sample.requests += new.requests - old.requests;
            self.sample.errors += new.errors.saturating_sub(old.errors);
        }
    }
}

/// A controller's reason.
fn why(body: &[u8]) -> String {
    let told: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    told["error"].as_str().unwrap_or(&text).chars().take(500).collect()
}
