//! A gateway that serves: its listeners, what it is asked, and how its time ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use pilotlight_config::manifest::Address;
use pilotlight_core::crew::Crew;
use pilotlight_filter::host::Level;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{Gateway, RunError, crew, open};
use crate::admin::{self, Ask};
use crate::generation::Listener;
use crate::listener::{GRACE, Gate, Opened, Sockets};
use crate::notify::{self, notify};
use crate::park::{self, Heir, Program, Woken};
use crate::pressure;
use crate::quic::Passage;
use crate::threads::{Order, Thread};

/// A gateway that serves.
pub(super) struct House<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) threads: Vec<Thread>,
    /// How many of them accept: the first ones.
    pub(super) active: usize,
    pub(super) crew: Crew,
    pub(super) open: Vec<Open>,
    pub(super) admin: Option<admin::Opened>,
    /// Who looks how short memory is, while there are gates to tell.
    watching: Option<JoinHandle<()>>,
    /// What takes over when it is told to hand over.
    pub(super) program: &'a Program,
    /// When it last found that it can't sleep: on the gateway's clock.
    pub(super) tried: Duration,
}

/// A listener that is open.
pub(super) struct Open {
    key: Key,
    pub(super) current: Arc<ArcSwap<Listener>>,
    /// Of those for datagrams, which stay with their workers.
    gate: watch::Sender<Gate>,
    /// Of each that accepts, which may go from one worker to another.
    pub(super) gates: Vec<watch::Sender<Gate>>,
    /// Handles of the workers' sockets, which stay open when the workers' go.
    pub(super) sockets: Vec<Sockets>,
}

impl Open {
    pub(super) fn tell(&self, to: Gate) {
        std::iter::once(&self.gate).chain(&self.gates).for_each(|gate| _ = gate.send(to));
    }
}

/// What makes two listeners share sockets over a reload.
#[derive(PartialEq, Eq, Clone)]
struct Key {
    address: Address,
    stream: bool,
    datagram: bool,
}

/// How its time ended.
pub(super) enum End {
    Stop,
    /// The service manager holds the sockets.
    Leave,
    Sleep,
}

/// Requests of the admin interface that wait.
const ASKS: usize = 16;
/// A woken gateway that has served for so long will go on to.
const SETTLED: Duration = Duration::from_secs(5);

impl<'a> House<'a> {
    pub(super) fn new(
        gateway: &'a Gateway,
        threads: Vec<Thread>,
        program: &'a Program,
    ) -> House<'a> {
        House {
            gateway,
            active: threads.len(),
            crew: Crew::default(),
            threads,
            open: Vec::new(),
            admin: None,
            watching: None,
            program,
            tried: Duration::ZERO,
        }
    }

    /// Opens the admin interface, if there is to be one; returns what it is asked.
    pub(super) fn open_admin(
        &mut self,
        woken: Option<&Woken>,
    ) -> Result<mpsc::Receiver<Ask>, RunError> {
        let (asks, inbox) = mpsc::channel(ASKS);
        let (control, clock) = (&self.gateway.control, self.gateway.clock);
        if let Some(address) = &control.generation().manifest.gateway.admin {
            let opened = admin::open(address, control.clone(), clock, asks, woken);
            self.admin = Some(opened.map_err(RunError::Listen)?);
        }
        Ok(inbox)
    }

    pub(super) async fn listen(
        &mut self,
        listener: Arc<Listener>,
        opened: Opened,
    ) -> Result<(), RunError> {
        let (gate, watched) = watch::channel(Gate::Open);
        let key = key(&listener);
        let current = Arc::new(ArcSwap::new(listener));
        let mut kept = Vec::with_capacity(opened.workers.len());
        let mut gates = Vec::with_capacity(opened.workers.len());
        let active = &self.threads[..self.active];
        for (thread, mut sockets) in active.iter().cycle().zip(opened.workers) {
            let system = |error| RunError::System { what: "no more descriptors", error };
            kept.push(sockets.another().map_err(system)?);
            let stream = Sockets { stream: sockets.stream.take(), ..Sockets::default() };
            let (own, watching) = watch::channel(Gate::Open);
            gates.push(own);
            for (sockets, gate) in [(sockets, watched.clone()), (stream, watching)] {
                if sockets.is_empty() {
                    continue;
                }
                let listener = current.clone();
                thread.tell(Order::Listen { listener, sockets, gate }).await;
            }
        }
        let closed = watch::channel(Gate::Closed).1;
        for (thread, sockets) in active.iter().cycle().zip(opened.left_over) {
            let (listener, gate) = (current.clone(), closed.clone());
            thread.tell(Order::Listen { listener, sockets, gate }).await;
        }
        self.open.push(Open { key, current, gate, gates, sockets: kept });
        Ok(())
    }

    /// Signals and the admin interface, until it is time to end.
    pub(super) async fn serve(
        &mut self,
        mut inbox: mpsc::Receiver<Ask>,
        drain: &watch::Sender<bool>,
        woken: &mut Option<Woken>,
    ) -> Result<End, RunError> {
        let on = |kind| {
            signal(kind).map_err(|error| RunError::System { what: "no signal handler", error })
        };
        let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        let (mut hup, mut usr2) = (on(SignalKind::hangup())?, on(SignalKind::user_defined2())?);
        // What came while the form changed comes now.
        park::block_signals(false);
        let control = &self.gateway.control;
        let generation = control.generation();
        let names: Vec<String> = generation.listeners.iter().map(|l| l.name.to_string()).collect();
        control.log.event(Level::Info, "serving", &[("listeners", &names.join(", "))]);
        let elder = match woken.take_if(|woken| woken.is_heir()) {
            Some(elder) => self.succeed(elder),
            None => {
                if let Some(woken) = woken {
                    self.rise(woken).await;
                }
                notify("READY=1");
                None
            }
        };
        control.apps.adopt(&generation, elder).await;
        drop(generation);
        self.watch_memory();
        self.keep_ledgers().await;
        let mut sign = notify::watchdog().map(tokio::time::interval);
        let settled = tokio::time::sleep(SETTLED);
        tokio::pin!(settled);
        let mut looks = crew::looks();
        let memory = control.memory.clone();
        let mut heir = None;
        let mut handed_over = false;
        // Loading has left more behind than it has made.
        let mut littered = true;
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => {
                    drop(self.reload(&mut heir).await);
                    littered = true;
                }
                _ = usr2.recv() => self.call_heir(&mut heir),
                loaded = told_by(&mut heir) => if self.hand_over(&mut heir, loaded).await {
                    handed_over = true;
                    break;
                },
                Some(ask) = inbox.recv() => match ask {
                    Ask::Reload(answer) => {
                        drop(answer.send(self.reload(&mut heir).await));
                        littered = true;
                    }
                    Ask::Drain => break,
                },
                () = control.memory.idle(), if littered => {
                    control.memory.give_back();
                    littered = false;
                }
                () = self.tired(), if heir.is_none() => if let Some(end) = self.sleep().await { return Ok(end) },
                () = crew::look(&mut looks, &memory), if control.follows_cpus() => self.follow(drain).await,
                () = &mut settled, if woken.is_some() => woken.take().into_iter().for_each(Woken::settle),
                Some(_) = tick(&mut sign) => notify("WATCHDOG=1"),
            }
        }
        // Its handles would keep sockets open that nobody accepts on.
        woken.take().into_iter().for_each(Woken::settle);
        drop(heir);
        if !handed_over {
            notify("STOPPING=1");
        }
        let hurry = async {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        };
        let ends = async {
            self.drain(drain, handed_over).await;
            control.apps.end().await;
        };
        tokio::select! {
            () = ends => {}
            // Asked twice: now.
            () = hurry => control.apps.kill().await,
        }
        Ok(End::Stop)
    }

    fn watch_memory(&mut self) {
        let gateway = self.gateway;
        let wanted = gateway.control.generation().gates.iter().next().is_some();
        match self.watching.take() {
            Some(watching) if wanted => self.watching = Some(watching),
            Some(watching) => watching.abort(),
            None if wanted => {
                let watching = pressure::watch(gateway.control.clone(), gateway.clock);
                self.watching = Some(tokio::spawn(watching));
            }
            None => {}
        }
    }

    /// Has a worker answer for the servers that nobody answers for yet.
    async fn keep_ledgers(&self) {
        for ledger in &self.gateway.control.generation().ledgers {
            if ledger.is_new()
                && let Some(thread) = self.threads.first()
            {
                thread.tell(Order::Keep(ledger.clone())).await;
            }
        }
    }

    /// Loads the manifest anew and switches to it; on any mistake the old one goes on.
    async fn reload(&mut self, heir: &mut Option<Heir>) -> Result<String, String> {
        // What was begun for the old manifest begins anew.
        let begun = heir.take().is_some();
        notify("RELOADING=1");
        let outcome = self.switch().await;
        let control = &self.gateway.control;
        let (count, level, message, text) = match &outcome {
            Ok(text) => (&control.metrics.reloads_ok, Level::Info, "reloaded", text),
            Err(text) => (&control.metrics.reloads_failed, Level::Error, "reload refused", text),
        };
        count.fetch_add(1, Ordering::Relaxed);
        control.log.event(level, message, &[("detail", text)]);
        control.set_last_reload(outcome.clone());
        notify("READY=1");
        if begun {
            self.call_heir(heir);
        }
        outcome
    }

    async fn switch(&mut self) -> Result<String, String> {
        let gateway = self.gateway;
        let old = gateway.control.generation();
        let loaded = (gateway.source)().map_err(|report| report.render(false))?;
        let loaded = gateway.loader.load(loaded, Some(&old), &|_| Vec::new());
        let (new, _warnings) = loaded.map_err(|report| report.render(false))?;
        // New sockets first: a port in use refuses the reload and harms nothing.
        let mut added = Vec::new();
        for listener in &new.listeners {
            if !self.open.iter().any(|o| o.key == key(listener)) {
                let opened = open(&listener.settings, self.active, None);
                added.push((listener.clone(), opened.map_err(|e| e.to_string())?));
            }
        }
        let changes = pilotlight_config::diff(&old.manifest, &new.manifest);
        gateway.control.log.configure(&new.manifest.log);
        let new = Arc::new(new);
        gateway.control.install(new.clone());
        self.watch_memory();
        self.keep_ledgers().await;
        gateway.control.apps.adopt(&new, None).await;
        self.open.retain(|open| {
            let stays = new.listeners.iter().find(|l| key(l) == open.key);
            match stays {
                Some(listener) => open.current.store(listener.clone()),
                None => open.tell(Gate::Closed),
            }
            stays.is_some()
        });
        for (listener, opened) in added {
            self.listen(listener, opened).await.map_err(|e| e.to_string())?;
        }
        for thread in &self.threads {
            thread.tell(Order::Renew).await;
        }
        let number = new.number;
        Ok(match changes.is_empty() {
            true => format!("generation {number}: no change in the manifest"),
            false => format!("generation {number}: {}", changes.join("; ")),
        })
    }

    /// Accepts no more, lets open exchanges end, and gives up at the manifest's limit.
    async fn drain(&mut self, drain: &watch::Sender<bool>, handed_over: bool) {
        let limit = self.gateway.control.generation().manifest.gateway.drain;
        self.gateway.control.log.event(Level::Info, "draining", &[]);
        self.gateway.control.set_draining();
        let mut gates = Vec::with_capacity(self.open.len());
        // Processes before this one get through us what is theirs.
        let mut elders = Vec::new();
        for mut open in self.open.drain(..) {
            elders.extend(open.sockets.iter().map(|sockets| sockets.passage.clone()));
            // Ours first: a socket that nobody accepts on must not get connections.
            open.sockets.clear();
            open.tell(if handed_over { Gate::Left } else { Gate::Closed });
            gates.push(open);
        }
        // Somebody listens already: nobody has to be waited for.
        let grace = if handed_over { Duration::ZERO } else { GRACE.min(limit / 2) };
        let idle = async {
            // Clients are told to leave once no listener is in their way back: a handshake that it
            // leaves unanswered is tried again after a second.
            tokio::time::sleep(grace).await;
            let _ = drain.send(true);
            // The first figures are from before the drain.
            tokio::time::sleep(Duration::from_millis(20)).await;
            while self.threads.iter().any(|t| t.busy.load(Ordering::Acquire) > 0)
                || elders.iter().any(Passage::has_elder)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        drop(tokio::time::timeout(limit, idle).await);
    }
}

fn key(listener: &Listener) -> Key {
    let settings = &listener.settings;
    Key {
        address: settings.address.clone(),
        stream: settings.has_streams(),
        datagram: settings.http3,
    }
}

/// What the process says that is to take over, if there is one.
async fn told_by(heir: &mut Option<Heir>) -> Result<(), String> {
    match heir {
        Some(heir) => heir.loaded().await,
        None => std::future::pending().await,
    }
}

/// The next tick, where there are ticks.
async fn tick(interval: &mut Option<tokio::time::Interval>) -> Option<tokio::time::Instant> {
    match interval {
        Some(interval) => Some(interval.tick().await),
        None => std::future::pending().await,
    }
}
