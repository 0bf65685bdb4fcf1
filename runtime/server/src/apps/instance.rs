//! One instance, from its start to its end.
//!
//! ```text
//! start ─▶ probe ─▶ ready ─▶ told to stop ─▶ SIGTERM ─ stop_timeout ─▶ SIGKILL
//!   └───────┴─────────┴─ ended by itself
//! ```

use std::process::ExitStatus;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pilotlight_config::manifest::{Endpoint, InstanceLimits, Launch};
use pilotlight_filter::host::Level;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Office;
use super::app::{App, Settings};
use super::cgroup::Cgroup;
use super::launch::Launched;
use super::probe::Sight;
use super::process::{Process, Spec};
use super::{output, probe};

/// What the keeper asks of it; each goes further than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ask {
    Run,
    /// Look whether it still answers.
    Look,
    Stop,
    Kill,
}

/// What it tells the keeper.
pub(super) enum Told {
    Ready {
        endpoint: Arc<Endpoint>,
        took: Duration,
    },
    /// It was looked at, and is well.
    Well,
    Ended(End),
}

/// How it ended.
pub(super) enum End {
    /// It was told to; `killed`: SIGTERM was not enough.
    Stopped { killed: bool },
    /// By itself, after it was ready.
    Left { status: String, clean: bool },
    /// It does not answer any more.
    Hung,
    /// It never was ready: why.
    Failed(String),
    /// It was not ready in time.
    Late,
}

/// Where a thing stands that is to be kept alive.
pub(super) struct Instance {
    pub(super) office: Rc<Office>,
    pub(super) app: Arc<App>,
    pub(super) id: u64,
    /// Why it is started.
    pub(super) reason: &'static str,
    pub(super) asks: watch::Receiver<Ask>,
    pub(super) tell: mpsc::Sender<(u64, Told)>,
}

/// After the end: for what it has written last.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Looks at one that was silent, each with a wait.
const LOOKS: u32 = 2;
/// For commands that stop what a signal does not, beyond `stop_timeout`.
const MARGIN: Duration = Duration::from_secs(5);
/// How long a process may take to die.
const DEATH: Duration = Duration::from_secs(5);

/// How its time was over.
enum Over {
    Itself,
    Asked(End),
}

impl Instance {
    /// Starts it, and tells how it goes to the end.
    pub(super) async fn live(mut self) {
        let end = self.run().await.unwrap_or_else(End::Failed);
        drop(self.tell.send((self.id, Told::Ended(end))).await);
    }

    async fn run(&mut self) -> Result<End, String> {
        let settings = self.app.settings.load_full();
        let name = self.name();
        let launched = Launched::new(&self.office.places, &settings, &name);
        let mut launched = launched.map_err(|error| format!("no place to listen: {error}"))?;
        let cgroup = self.cgroup(&settings, &name);
        let began = self.office.clock.elapsed();
        let spec = Spec {
            argv: &launched.argv,
            env: &launched.env,
            dir: &launched.dir,
            passed: launched.passed.as_ref(),
            cgroup: cgroup.as_ref(),
        };
        let program = &launched.argv[0];
        let mut process =
            Process::start(&spec).map_err(|error| format!("{program} does not start: {error}"))?;
        // Ours would take connections when its own is gone.
        launched.passed = None;
        let pid = process.id().to_string();
        self.log(Level::Info, "instance starts", &[("pid", &pid), ("reason", self.reason)]);
        let followed = self.follow(&mut process);
        let mut ready = false;
        let over = self.attend(&process, &launched, &settings, began, &mut ready).await?;
        let end = match over {
            Over::Itself => {
                let status = process.reap();
                let clean = status.is_some_and(|status| status.success());
                let status = said(status);
                match ready {
                    true => End::Left { status, clean },
                    false => End::Failed(format!("it ended before it was ready: {status}")),
                }
            }
            Over::Asked(end) => {
                let killed = self.stop(&mut process, &launched, &settings).await;
                match end {
                    End::Stopped { .. } => End::Stopped { killed },
                    other => other,
                }
            }
        };
        cgroup.iter().for_each(Cgroup::kill);
        for mut task in followed {
            if timeout(LAST_WORDS, &mut task).await.is_err() {
                task.abort();
            }
        }
        Ok(end)
    }

    /// Until it is over, one way or the other.
    async fn attend(
        &mut self,
        process: &Process,
        launched: &Launched,
        settings: &Settings,
        began: Duration,
        is_ready: &mut bool,
    ) -> Result<Over, String> {
        let endpoint = &launched.endpoint;
        let mine =
            launched.port.filter(|_| matches!(settings.meant.launch, Launch::Command { .. }));
        let mine = mine.map(|port| (process.id(), port));
        let ready = probe::ready(settings, endpoint, launched.mailbox.as_ref(), mine);
        tokio::select! {
            biased;
            () = process.ended() => return Ok(Over::Itself),
            () = asked(&mut self.asks, Ask::Stop) => {
                return Ok(Over::Asked(End::Stopped { killed: false }));
            }
            ready = timeout(settings.meant.start_timeout, ready) => match ready {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return Ok(Over::Asked(End::Failed(why))),
                Err(_) => return Ok(Over::Asked(End::Late)),
            },
        }
        *is_ready = true;
        let took = self.office.clock.elapsed() - began;
        let endpoint = endpoint.clone();
        drop(self.tell.send((self.id, Told::Ready { endpoint, took })).await);
        loop {
            tokio::select! {
                () = process.ended() => return Ok(Over::Itself),
                () = asked(&mut self.asks, Ask::Look) => {}
            }
            if *self.asks.borrow_and_update() >= Ask::Stop {
                return Ok(Over::Asked(End::Stopped { killed: false }));
            }
            if !looks_well(settings, &launched.endpoint).await {
                // One that has just ended is not one that hangs.
                let ended = timeout(Duration::ZERO, process.ended()).await;
                return Ok(if ended.is_ok() { Over::Itself } else { Over::Asked(End::Hung) });
            }
            drop(self.tell.send((self.id, Told::Well)).await);
            tokio::select! {
                () = process.ended() => return Ok(Over::Itself),
                _ = self.asks.changed() => {}
            }
        }
    }

    /// Ends it; true: it had to be killed.
    async fn stop(
        &mut self,
        process: &mut Process,
        launched: &Launched,
        settings: &Settings,
    ) -> bool {
        let mut limit = settings.meant.stop_timeout;
        let mut command = None;
        match &launched.stop {
            None => process.signal(libc::SIGTERM),
            Some(argv) => {
                let dir = &launched.dir;
                let spec = Spec { argv, env: &[], dir, passed: None, cgroup: None };
                command = Process::start(&spec).ok();
                limit += MARGIN;
            }
        }
        let followed = command.iter_mut().flat_map(|command| self.follow(command));
        drop(followed.collect::<Vec<_>>());
        let killed = tokio::select! {
            () = process.ended() => false,
            () = sleep(limit) => true,
            () = asked(&mut self.asks, Ask::Kill) => match command {
                // What it has begun it may bring to its end.
                Some(_) => timeout(MARGIN, process.ended()).await.is_err(),
                None => true,
            },
        };
        if killed {
            process.signal(libc::SIGKILL);
            drop(timeout(DEATH, process.ended()).await);
        }
        let _ = process.reap();
        killed
    }

    fn follow(&self, process: &mut Process) -> Vec<JoinHandle<()>> {
        let pipes = process.output().into_iter().zip(["stdout", "stderr"]);
        let pipes = pipes.filter_map(|(pipe, stream)| Some((pipe?, stream)));
        pipes
            .map(|(pipe, stream)| {
                let (office, app, id) =
                    (self.office.clone(), self.app.clone(), self.id.to_string());
                tokio::task::spawn_local(async move {
                    output::follow(pipe, &office.log, office.clock, &app.name, &id, stream).await;
                })
            })
            .collect()
    }

    /// A group for its limits, if it has any that are ours to hold, and the system lets us.
    fn cgroup(&self, settings: &Settings, name: &str) -> Option<Cgroup> {
        let limits = &settings.meant.limits;
        let is_ours = matches!(settings.meant.launch, Launch::Command { .. });
        if !is_ours || *limits == InstanceLimits::default() {
            return None;
        }
        let made = Cgroup::new(limits, name);
        let tell = |why: &String| {
            self.log(Level::Warn, "instance without limits", &[("reason", why)]);
        };
        made.inspect_err(tell).ok()
    }

    /// Unlike any other's, and made of what groups and containers may be called.
    fn name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self.app.name.chars().map(plain).collect();
        format!("pilotlight-{name}-{}-{}", std::process::id(), self.id)
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        self.office.event(level, message, &self.app.name, Some(self.id), fields);
    }
}

/// Resolves when so much is asked.
async fn asked(asks: &mut watch::Receiver<Ask>, least: Ask) {
    if asks.wait_for(|ask| *ask >= least).await.is_err() {
        // Nobody will ask any more: its keeper is gone, which takes it along.
        std::future::pending::<()>().await;
    }
}

async fn looks_well(settings: &Settings, endpoint: &Endpoint) -> bool {
    for _ in 0..LOOKS {
        if probe::look(settings, endpoint).await == Sight::Ready {
            return true;
        }
        sleep(LAST_WORDS).await;
    }
    false
}

fn said(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "unknown".to_owned(), |status| status.to_string())
}
