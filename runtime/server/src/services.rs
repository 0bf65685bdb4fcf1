//! What programs get of the world, on one worker.

mod fetch;
pub(crate) mod resolver;
mod shared;
pub(crate) mod socket;
mod spill;
mod subrequest;
mod talk;

use std::any::Any;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::Services;
use pilotlight_filter::host::{
    Called, Connect, Datagram, Fetch, FetchError, Fetched, Job, Level, LogLine, Metric, Module,
    Names, NewMetric, Remote, Shared, Socket, Spilled, Subanswer, Subrequest, Talk, Wait,
};

use crate::aside::Aside;
use crate::clock::{self, Clock};
use crate::generation::Local;
use crate::worker::Worker;

pub(crate) use shared::dictionary;

/// The services of one realm.
pub(crate) struct Host {
    worker: Weak<Worker>,
    local: Weak<Local>,
    clock: Clock,
}

impl Host {
    pub(crate) fn new(worker: Weak<Worker>, local: Weak<Local>, clock: Clock) -> Rc<Host> {
        Rc::new(Host { worker, local, clock })
    }

    /// Where requests of a program's own are made.
    fn place(&self) -> Result<(Rc<Worker>, Rc<Local>), FetchError> {
        let place = self.worker.upgrade().zip(self.local.upgrade());
        place.ok_or_else(|| FetchError("the gateway is closing".into()))
    }
}

impl Services for Host {
    fn log(&self, line: &LogLine<'_>) {
        if let Some(worker) = self.worker.upgrade() {
            worker.log.script(line);
        }
    }

    fn logs(&self, level: Level) -> bool {
        self.worker.upgrade().is_some_and(|worker| worker.log.logs(level))
    }

    fn now(&self) -> f64 {
        self.clock.wall().as_secs_f64()
    }

    fn monotonic(&self) -> f64 {
        self.clock.elapsed().as_secs_f64()
    }

    fn random(&self, buffer: &mut [u8]) {
        clock::random(buffer);
    }

    fn worker(&self) -> (usize, usize) {
        self.worker.upgrade().map_or((0, 1), |worker| worker.place())
    }

    fn sleep(&self, duration: Duration) -> Wait<()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: Wait<()>) {
        tokio::task::spawn_local(task);
    }

    fn aside(&self, pool: &str, job: Job) -> Result<(), &'static str> {
        let (worker, local) = self.place().map_err(|_| "the gateway is closing")?;
        let generation = &local.generation;
        let (log, dictionaries) = (worker.log.clone(), generation.dictionaries.clone());
        generation.pools.run(pool, job, Aside { log, clock: self.clock, dictionaries })
    }

    fn spill(&self, body: Bytes) -> Wait<io::Result<Spilled>> {
        match self.local.upgrade() {
            Some(local) => {
                let folder = local.generation.manifest.gateway.cache_dir.clone();
                Box::pin(spill::spill(folder, body))
            }
            None => Box::pin(async { Err(io::ErrorKind::ConnectionAborted.into()) }),
        }
    }

    fn passing(&self, file: PathBuf) -> Box<dyn Any> {
        spill::passing(file)
    }

    fn hold(&self) -> Box<dyn Any> {
        Box::new(self.worker.upgrade().map(|worker| worker.count()))
    }

    fn fetch(&self, request: Fetch) -> Wait<Result<Fetched, FetchError>> {
        match self.place() {
            Ok((worker, local)) => Box::pin(fetch::fetch(worker, local, request)),
            Err(closing) => Box::pin(async { Err(closing) }),
        }
    }

    fn talk(&self, request: Fetch) -> Wait<Result<Box<dyn Talk>, FetchError>> {
        match self.place() {
            Ok((worker, local)) => Box::pin(talk::talk(worker, local, request)),
            Err(closing) => Box::pin(async { Err(closing) }),
        }
    }

    fn subrequest(&self, request: Subrequest) -> Wait<Result<Subanswer, FetchError>> {
        match self.place() {
            Ok((worker, local)) => Box::pin(subrequest::subrequest(worker, local, request)),
            Err(closing) => Box::pin(async { Err(closing) }),
        }
    }

    fn connect(&self, connect: Connect) -> Wait<io::Result<Box<dyn Socket>>> {
        match self.local.upgrade() {
            Some(local) => {
                let tls = local.generation.program_tls.clone();
                Box::pin(socket::connect(connect, tls))
            }
            None => Box::pin(async { Err(io::ErrorKind::ConnectionAborted.into()) }),
        }
    }

    fn datagram(&self, to: &Remote, from: Option<SocketAddr>) -> io::Result<Box<dyn Datagram>> {
        socket::datagram(to, from)
    }

    fn resolve(&self, name: &str, who: Names) -> Wait<Result<Vec<IpAddr>, String>> {
        let name = name.to_owned();
        let resolver = self.local.upgrade().and_then(|local| local.resolver.clone());
        match (resolver, who) {
            (Some(resolver), _) => Box::pin(resolver.resolve(name)),
            (None, Names::System) => Box::pin(resolver::by_system(name)),
            (None, Names::Manifest) => {
                Box::pin(async move { Err(format!("no resolver defined to resolve \"{name}\"")) })
            }
        }
    }

    fn shared(&self, name: &str) -> Option<Arc<dyn Shared>> {
        let local = self.local.upgrade()?;
        local.generation.dictionaries.get(name).cloned()
    }

    fn metric(&self, new: &NewMetric<'_>) -> Result<Arc<dyn Metric>, &'static str> {
        self.worker.upgrade().ok_or("the gateway is closing")?.control.metrics.own.open(new)
    }

    fn module(&self, name: &str) -> Option<Rc<dyn Module>> {
        self.local.upgrade()?.realms.iter().find_map(|realm| realm.module(name))
    }

    fn exported(&self, name: &str, argument: &[u8]) -> Option<Called> {
        self.local.upgrade()?.realms.iter().find_map(|realm| realm.exported(name, argument))
    }
}
