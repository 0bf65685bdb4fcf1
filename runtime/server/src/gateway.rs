//! The gateway as a whole: load, open, serve, reload, drain. Start-up is a reload from nothing.

mod crew;
mod handover;
mod house;
mod kept;
mod sleep;

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pilotlight_config::manifest::{self, Manifest};
use pilotlight_config::{Loaded, Report};
use pilotlight_filter::Engine;
use pilotlight_filter::host::Level;
use tokio::sync::watch;

use self::house::House;
use self::kept::Past;
use crate::clock::Clock;
use crate::control::Control;
use crate::listener::{self, Opened};
use crate::load::Loader;
use crate::log::Log;
use crate::metrics::Registry;
use crate::park::{Bed, Program, Woken};
use crate::shipped::Desk;
use crate::threads::Thread;

/// Reads the manifest anew, for start-up and for each reload.
pub type Source = Box<dyn Fn() -> Result<Loaded, Report>>;

/// A gateway that is loaded and not yet open.
pub struct Gateway {
    source: Source,
    loader: Loader,
    control: Arc<Control>,
    clock: Clock,
    past: Past,
    /// What was probably not meant.
    pub warnings: Report,
}

/// How a gateway's time ended.
pub enum Ended {
    /// It is over.
    Stopped,
    /// There is nothing to do: this process should become its parked form.
    Asleep(Bed),
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

impl Gateway {
    /// Reads, loads and tries everything; opens nothing. `collect` makes the allocator give back what the
    /// calling thread has freed: idle workers call it.
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn load(
        source: Source,
        engines: Vec<Arc<dyn Engine>>,
        collect: fn(),
    ) -> Result<Gateway, Report> {
        Gateway::made(source, engines, collect, |_| Past::default())
    }

    /// The same for one that is to run, and may have been asleep before (`woken`: as this process): what
    /// it has kept is not tried again.
    ///
    /// # Errors
    /// Every problem that was found.
    pub fn wake(
        source: Source,
        engines: Vec<Arc<dyn Engine>>,
        collect: fn(),
        woken: Option<&Woken>,
    ) -> Result<Gateway, Report> {
        Gateway::made(source, engines, collect, |manifest| Past::find(manifest, woken))
    }

    fn made(
        source: Source,
        engines: Vec<Arc<dyn Engine>>,
        collect: fn(),
        past: impl FnOnce(&Manifest) -> Past,
    ) -> Result<Gateway, Report> {
        let clock = Clock::new();
        let metrics = Arc::new(Registry::new());
        let desk = Arc::<Desk>::default();
        let loader = Loader { engines, clock, metrics: metrics.clone(), desk: desk.clone() };
        let loaded = source()?;
        let settings = loaded.manifest.log.clone();
        let past = past(&loaded.manifest);
        let found = |engine: &str| past.found(engine);
        let (generation, warnings) = loader.load(loaded, None, &found)?;
        let log = Arc::new(Log::new(&settings, clock, metrics.clone()));
        let control = Arc::new(Control::new(Arc::new(generation), log, metrics, clock, collect));
        drop(desk.control.set(Arc::downgrade(&control)));
        Ok(Gateway { source, loader, control, clock, past, warnings })
    }

    /// Opens the sockets (or finds them where it was asleep) and serves until it is told to stop, then
    /// drains; or until it has nothing to do. It is told to hand over to `program`, too.
    ///
    /// # Errors
    /// A socket that can't be opened, or a system that gives no threads.
    pub fn run(mut self, woken: &mut Option<Woken>, program: &Program) -> Result<Ended, RunError> {
        let system = |what| move |error| RunError::System { what, error };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(system("the control loop could not start"))?;
        let workers = self.workers();
        self.control.workers.store(workers, Ordering::Relaxed);
        let generation = self.control.generation();
        if let Some(woken) = &woken {
            // Before sockets are opened: clients would wait in new ones for a process that may fail.
            let gone = |error| RunError::System { what: "nobody hands over any more", error };
            woken.report().map_err(gone)?;
            if woken.is_heir() {
                // Written when we had loaded.
                self.past = Past::find(&generation.manifest, Some(woken));
            }
        }
        let opened: Vec<Opened> = generation
            .listeners
            .iter()
            .map(|l| open(&l.settings, workers, woken.as_ref()))
            .collect::<Result<_, _>>()?;
        std::mem::take(&mut self.past).take_back(&self.control);
        let (drain, draining) = watch::channel(false);
        let mut threads = Vec::with_capacity(workers);
        for index in 0..workers {
            let thread = Thread::start(index, self.clock, self.control.clone(), draining.clone());
            threads.push(thread.map_err(system("a worker could not start"))?);
        }
        let mut house = House::new(&self, threads, program);
        let served = runtime.block_on(async {
            let inbox = house.open_admin(woken.as_ref())?;
            for (listener, opened) in generation.listeners.iter().zip(opened) {
                house.listen(listener.clone(), opened).await?;
            }
            house.serve(inbox, &drain, woken).await
        });
        drop(drain);
        // Before the workers end: handles of their sockets.
        let bed = matches!(served, Ok(house::End::Sleep)).then(|| house.bed());
        let threads = std::mem::take(&mut house.threads);
        drop(house);
        threads.into_iter().for_each(Thread::join);
        let control = &self.control;
        control.apps.finish();
        let end = served?;
        let ended = match (end, bed) {
            (house::End::Sleep, Some(mut bed)) => {
                bed.keep(kept::in_memory(control));
                Ended::Asleep(bed)
            }
            (house::End::Stop, _) => {
                control.log.event(Level::Info, "stopped", &[]);
                Ended::Stopped
            }
            (house::End::Leave, _) => {
                kept::left(control);
                Ended::Stopped
            }
            (house::End::Sleep, None) => Ended::Stopped,
        };
        control.log.flush();
        Ok(ended)
    }

    fn workers(&self) -> usize {
        self.control.generation().manifest.gateway.workers.unwrap_or_else(crew::cpus).max(1)
    }
}

/// Opens a listener's sockets, or says clearly which one could not be.
fn open(
    settings: &manifest::Listener,
    workers: usize,
    woken: Option<&Woken>,
) -> Result<Opened, RunError> {
    listener::open(settings, workers, woken).map_err(|error| {
        let address = listener::name(&settings.address);
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
