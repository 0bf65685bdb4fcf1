//! The gateway as a whole: load, open, serve, reload, drain. Start-up is a reload from nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use pilotlight_config::manifest::{self, Address};
use pilotlight_config::{Loaded, Report};
use pilotlight_filter::Engine;
use pilotlight_filter::host::Level;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::admin::{self, Ask};
use crate::clock::Clock;
use crate::control::Control;
use crate::generation::Listener;
use crate::listener::{self, GRACE, Sockets};
use crate::load::Loader;
use crate::log::Log;
use crate::metrics::Registry;
use crate::threads::{Order, Thread};

/// Reads the manifest anew, for start-up and for each reload.
pub type Source = Box<dyn Fn() -> Result<Loaded, Report>>;

/// A gateway that is loaded and not yet open.
pub struct Gateway {
    source: Source,
    loader: Loader,
    control: Arc<Control>,
    clock: Clock,
    /// What was probably not meant.
    pub warnings: Report,
}

/// Why a gateway could not serve.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A socket could not be opened: bad usage, exit code 2.
    #[error("{0}")]
    Listen(String),
    /// The system refused something else: exit code 1.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

/// A listener that is open.
struct Open {
    key: Key,
    current: Arc<ArcSwap<Listener>>,
    stop: watch::Sender<bool>,
}

/// What makes two listeners share sockets over a reload.
#[derive(PartialEq, Eq, Clone)]
struct Key {
    address: Address,
    stream: bool,
    datagram: bool,
}

impl Gateway {
    /// Reads and loads everything; opens nothing. `collect` makes the allocator give back what the
    /// calling thread has freed: idle workers call it.
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn load(
        source: Source,
        engines: Vec<Arc<dyn Engine>>,
        collect: fn(),
    ) -> Result<Gateway, Report> {
        let clock = Clock::new();
        let metrics = Arc::new(Registry::new());
        let loader = Loader { engines, clock, metrics: metrics.clone() };
        let loaded = source()?;
        let settings = loaded.manifest.log.clone();
        let (generation, warnings) = loader.load(loaded, None)?;
        let log = Arc::new(Log::new(&settings, clock, metrics.clone()));
        let control = Arc::new(Control::new(Arc::new(generation), log, metrics, collect));
        Ok(Gateway { source, loader, control, clock, warnings })
    }

    /// Opens the sockets and serves until SIGTERM or SIGINT, then drains.
    ///
    /// # Errors
    /// A socket that can't be opened, or a system that gives no threads.
    pub fn run(self) -> Result<(), RunError> {
        let system = |what| move |error| RunError::System { what, error };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(system("the control loop could not start"))?;
        let workers = self.workers();
        self.control.workers.store(workers, Ordering::Relaxed);
        let generation = self.control.generation();
        let sockets: Vec<Vec<Sockets>> = generation
            .listeners
            .iter()
            .map(|l| open(&l.settings, workers))
            .collect::<Result<_, _>>()?;
        let (drain, draining) = watch::channel(false);
        let mut threads = Vec::with_capacity(workers);
        for index in 0..workers {
            let thread = Thread::start(index, self.clock, self.control.clone(), draining.clone());
            threads.push(thread.map_err(system("a worker could not start"))?);
        }
        let served = runtime.block_on(async {
            let mut house = House { gateway: &self, threads: &threads, open: Vec::new() };
            for (listener, sockets) in generation.listeners.iter().zip(sockets) {
                house.listen(listener.clone(), sockets).await;
            }
            house.serve(&drain).await
        });
        drop(drain);
        threads.into_iter().for_each(Thread::join);
        self.control.log.event(Level::Info, "stopped", &[]);
        self.control.log.flush();
        served
    }

    fn workers(&self) -> usize {
        let auto = || std::thread::available_parallelism().map_or(1, usize::from);
        self.control.generation().manifest.gateway.workers.unwrap_or_else(auto).max(1)
    }
}

/// Opens a listener's sockets, or says clearly which one could not be.
fn open(settings: &manifest::Listener, workers: usize) -> Result<Vec<Sockets>, RunError> {
    listener::open(settings, workers).map_err(|error| {
        let address = match &settings.address {
            Address::Tcp(address) => address.to_string(),
            Address::Unix(path) => format!("unix:{}", path.display()),
            Address::Inherited(name) => format!("systemd:{name}"),
        };
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "\nhint: another program listens there; stop it, or change `address`"
            }
            io::ErrorKind::PermissionDenied => {
                "\nhint: ports below 1024 need the capability CAP_NET_BIND_SERVICE"
            }
            _ => "",
        };
        let name = &settings.name;
        RunError::Listen(format!("listener \"{name}\": cannot listen on {address}: {error}{hint}"))
    })
}

/// A gateway that serves.
struct House<'a> {
    gateway: &'a Gateway,
    threads: &'a [Thread],
    open: Vec<Open>,
}

/// Requests of the admin interface that wait.
const ASKS: usize = 16;

impl House<'_> {
    async fn listen(&mut self, listener: Arc<Listener>, sockets: Vec<Sockets>) {
        let (stop, stopped) = watch::channel(false);
        let key = key(&listener);
        let current = Arc::new(ArcSwap::new(listener));
        for (thread, sockets) in self.threads.iter().zip(sockets) {
            let (listener, stop) = (current.clone(), stopped.clone());
            thread.tell(Order::Listen { listener, sockets, stop }).await;
        }
        self.open.push(Open { key, current, stop });
    }

    /// Signals and the admin interface, until it is time to end.
    async fn serve(&mut self, drain: &watch::Sender<bool>) -> Result<(), RunError> {
        let on = |kind| {
            signal(kind).map_err(|error| RunError::System { what: "no signal handler", error })
        };
        let (mut term, mut int) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
        let mut hup = on(SignalKind::hangup())?;
        let (asks, mut inbox) = mpsc::channel::<Ask>(ASKS);
        let control = &self.gateway.control;
        let generation = control.generation();
        let (clock, address) = (self.gateway.clock, generation.manifest.gateway.admin.clone());
        let _admin = match &address {
            Some(address) => {
                let opened = admin::open(address, control.clone(), clock, asks.clone());
                Some(opened.map_err(RunError::Listen)?)
            }
            None => None,
        };
        let names: Vec<String> = generation.listeners.iter().map(|l| l.name.to_string()).collect();
        control.log.event(Level::Info, "serving", &[("listeners", &names.join(", "))]);
        drop(generation);
        notify("READY=1");
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => drop(self.reload().await),
                Some(ask) = inbox.recv() => match ask {
                    Ask::Reload(answer) => drop(answer.send(self.reload().await)),
                    Ask::Drain => break,
                },
            }
        }
        notify("STOPPING=1");
        let hurry = async {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        };
        tokio::select! {
            () = self.drain(drain) => {}
            // Asked twice: now.
            () = hurry => {}
        }
        Ok(())
    }

    /// Loads the manifest anew and switches to it; on any mistake the old one goes on.
    async fn reload(&mut self) -> Result<String, String> {
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
        outcome
    }

    async fn switch(&mut self) -> Result<String, String> {
        let gateway = self.gateway;
        let old = gateway.control.generation();
        let loaded = (gateway.source)().map_err(|report| report.render(false))?;
        let loaded = gateway.loader.load(loaded, Some(&old));
        let (new, _warnings) = loaded.map_err(|report| report.render(false))?;
        // New sockets first: a port in use refuses the reload and harms nothing.
        let mut added = Vec::new();
        for listener in &new.listeners {
            if !self.open.iter().any(|o| o.key == key(listener)) {
                let opened = open(&listener.settings, self.threads.len());
                added.push((listener.clone(), opened.map_err(|e| e.to_string())?));
            }
        }
        let changes = pilotlight_config::diff(&old.manifest, &new.manifest);
        gateway.control.log.configure(&new.manifest.log);
        let new = Arc::new(new);
        gateway.control.install(new.clone());
        self.open.retain(|open| {
            let stays = new.listeners.iter().find(|l| key(l) == open.key);
            match stays {
                Some(listener) => open.current.store(listener.clone()),
                None => drop(open.stop.send(true).is_ok()),
            }
            stays.is_some()
        });
        for (listener, sockets) in added {
            self.listen(listener, sockets).await;
        }
        for thread in self.threads {
            thread.tell(Order::Renew).await;
        }
        let number = new.number;
        Ok(match changes.is_empty() {
            true => format!("generation {number}: no change in the manifest"),
            false => format!("generation {number}: {}", changes.join("; ")),
        })
    }

    /// Accepts no more, lets open exchanges end, and gives up at the manifest's limit.
    async fn drain(&mut self, drain: &watch::Sender<bool>) {
        let limit = self.gateway.control.generation().manifest.gateway.drain;
        self.gateway.control.log.event(Level::Info, "draining", &[]);
        self.gateway.control.set_draining();
        for open in &self.open {
            let _ = open.stop.send(true);
        }
        let idle = async {
            // Clients are told to leave once no listener is in their way back: a handshake that it
            // leaves unanswered is tried again after a second.
            tokio::time::sleep(GRACE.min(limit / 2)).await;
            let _ = drain.send(true);
            // The first figures are from before the drain.
            tokio::time::sleep(Duration::from_millis(20)).await;
            while self.threads.iter().any(|t| t.busy.load(Ordering::Acquire) > 0) {
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

/// Tells the service manager (sd_notify(3)), where there is one.
#[allow(clippy::disallowed_methods)]
fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from) else { return };
    if let Ok(socket) = std::os::unix::net::UnixDatagram::unbound() {
        let mut text = state.to_owned();
        if state == "RELOADING=1" {
            let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `now` is a writable timespec.
            unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
            text =
                format!("{state}\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000);
        }
        drop(socket.send_to(text.as_bytes(), path));
    }
}
