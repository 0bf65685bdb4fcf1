//! Applications that sleep: the first request starts them, and they are stopped when there are none.
//!
//! ```text
//! exchange ─▶ App::enter ─▶ a seat, or a place in the queue             workers: one lock
//!                │ bell               ▲ an instance is ready, or has room
//!                ▼                    │
//!             Keeper ─ core::scale ─▶ Instance: start ─▶ probe ─▶ ready ─▶ stop    a thread of its own
//! ```
//! No worker starts, waits for or ends a process. An application that a reload does not change goes on; the
//! process does not sleep while instances run.

mod app;
mod cgroup;
mod instance;
mod keeper;
mod launch;
mod moment;
mod output;
mod owner;
mod pause;
pub(crate) mod probe;
mod process;
mod states;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pilotlight_filter::host::Level;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream as Channel;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

pub(crate) use self::app::{App, Did, STATES, Seat, Settings};
use self::keeper::Keeper;
use self::launch::Places;
pub(crate) use self::states::States;
use crate::clock::Clock;
use crate::generation::Generation;
use crate::log::Log;
use crate::metrics::Registry;

/// The applications of a process, and the thread that keeps them.
pub(crate) struct Apps {
    log: Arc<Log>,
    metrics: Arc<Registry>,
    clock: Clock,
    /// What was learnt of loads, to outlive sleep.
    pub(crate) states: Arc<States>,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    orders: mpsc::Sender<Order>,
    /// Closed when it has ended.
    over: watch::Receiver<()>,
    handle: JoinHandle<()>,
}

enum Order {
    /// These are the applications from now on; `elder` ends when the process before has left.
    Adopt { apps: Vec<Arc<App>>, drain: Duration, elder: Option<UnixStream> },
    /// All end.
    End(Wish),
}

/// What is wished of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Serve,
    /// Another has its place: it serves those who are there.
    Retire,
    End,
    Kill,
}

/// Orders that wait.
const ORDERS: usize = 16;

impl Apps {
    /// There are none yet.
    pub(crate) fn new(log: Arc<Log>, metrics: Arc<Registry>, clock: Clock) -> Apps {
        let (states, thread) = (Arc::default(), Mutex::default());
        Apps { log, metrics, clock, states, thread }
    }

    /// A generation serves: its applications are kept, those that it has not end. Where a process before
    /// this one is still there, and has some, `elder` is open.
    pub(crate) async fn adopt(&self, generation: &Generation, elder: Option<UnixStream>) {
        let drain = generation.manifest.gateway.drain;
        let mut apps = Vec::new();
        for shared in &generation.upstreams {
            if let (Some(app), Some(meant)) = (shared.app(), &shared.meant.activate) {
                let settings = Settings::new(&shared.meant, meant.clone(), shared.tls.clone());
                app.settings.store(Arc::new(settings));
                apps.push(app.clone());
            }
        }
        if let Some(orders) = self.orders(!apps.is_empty()) {
            drop(orders.send(Order::Adopt { apps, drain, elder }).await);
        }
    }

    /// Stops all instances, and waits until they have ended.
    pub(crate) async fn end(&self) {
        self.wish(Wish::End).await;
    }

    /// Kills them.
    pub(crate) async fn kill(&self) {
        self.wish(Wish::Kill).await;
    }

    async fn wish(&self, wish: Wish) {
        let Some(orders) = self.orders(false) else { return };
        let over = self.lock().as_ref().map(|thread| thread.over.clone());
        drop(orders.send(Order::End(wish)).await);
        if let Some(mut over) = over {
            while over.changed().await.is_ok() {}
        }
    }

    /// Ends whatever there still is; at the end of the process.
    pub(crate) fn finish(&self) {
        let thread = self.lock().take();
        if let Some(Thread { orders, handle, .. }) = thread {
            drop(orders);
            drop(handle.join());
        }
    }

    /// The way to the thread, which is started when it is needed.
    fn orders(&self, needed: bool) -> Option<mpsc::Sender<Order>> {
        let mut thread = self.lock();
        if thread.is_none() && needed {
            match self.start() {
                Ok(started) => *thread = Some(started),
                Err(error) => {
                    let fields = [("error", &*error.to_string())];
                    self.log.event(Level::Error, "applications can't be started", &fields);
                }
            }
        }
        thread.as_ref().map(|thread| thread.orders.clone())
    }

    fn start(&self) -> io::Result<Thread> {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (ends, over) = watch::channel(());
        let (log, metrics, clock) = (self.log.clone(), self.metrics.clone(), self.clock);
        let states = self.states.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = std::thread::Builder::new().name("applications".into()).spawn(move || {
            let _ends = ends;
            let office = Rc::new(Office {
                log,
                metrics,
                clock,
                states,
                places: Rc::default(),
                elder: RefCell::default(),
                drain: Cell::default(),
                numbers: Cell::default(),
            });
            LocalSet::new().block_on(&runtime, office.run(inbox));
        })?;
        Ok(Thread { orders, over, handle })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all keepers share.
struct Office {
    log: Arc<Log>,
    metrics: Arc<Registry>,
    clock: Clock,
    states: Arc<States>,
    places: Rc<Places>,
    /// Closed when the process before has left, and its applications with it.
    elder: RefCell<Option<watch::Receiver<()>>>,
    drain: Cell<Duration>,
    numbers: Cell<u64>,
}

/// An application that is kept.
struct Kept {
    app: Arc<App>,
    wish: watch::Sender<Wish>,
    /// Closed when it has ended.
    over: watch::Receiver<()>,
}

impl Office {
    /// Keeps applications as it is told to, until it is told to end and they have ended.
    async fn run(self: Rc<Office>, mut orders: mpsc::Receiver<Order>) {
        let mut kept: Vec<Kept> = Vec::new();
        let mut keepers = JoinSet::new();
        let (mut ends, mut hears) = (false, true);
        while !ends || !keepers.is_empty() {
            tokio::select! {
                order = orders.recv(), if hears => match order {
                    Some(Order::Adopt { apps, drain, elder }) if !ends => {
                        self.drain.set(drain);
                        if let Some(elder) = elder {
                            self.succeed(elder);
                        }
                        self.adopt(&mut kept, &mut keepers, apps);
                    }
                    Some(Order::Adopt { .. }) => {}
                    Some(Order::End(wish)) => {
                        ends = true;
                        kept.iter().for_each(|kept| kept.wish(wish));
                    }
                    // Nobody waits for them to end in peace.
                    None => {
                        (ends, hears) = (true, false);
                        kept.iter().for_each(|kept| kept.wish(Wish::Kill));
                    }
                },
                Some(_) = keepers.join_next() => kept.retain(|kept| kept.over.has_changed().is_ok()),
            }
        }
    }

    /// There is a process before this one: hears when it has left.
    fn succeed(&self, elder: UnixStream) {
        let (ends, over) = watch::channel(());
        *self.elder.borrow_mut() = Some(over);
        tokio::task::spawn_local(async move {
            let _ends = ends;
            let elder = elder.set_nonblocking(true).and_then(|()| Channel::from_std(elder));
            if let Ok(mut elder) = elder {
                while elder.read_u8().await.is_ok() {}
            }
        });
    }

    fn adopt(
        self: &Rc<Office>,
        kept: &mut Vec<Kept>,
        keepers: &mut JoinSet<()>,
        apps: Vec<Arc<App>>,
    ) {
        for old in kept.iter() {
            let stays = apps.iter().any(|app| Arc::ptr_eq(app, &old.app));
            old.wish(if stays { Wish::Serve } else { Wish::Retire });
        }
        for app in apps {
            if kept.iter().any(|kept| Arc::ptr_eq(&kept.app, &app)) {
                continue;
            }
            let (wish, wished) = watch::channel(Wish::Serve);
            let (ends, over) = watch::channel(());
            // Two can't listen at one place.
            let before = kept.iter().filter(|old| old.app.is_in_the_way_of(&app));
            let elder = self.elder.borrow().clone().filter(|_| app.has_place());
            let before: Vec<_> = before.map(|old| old.over.clone()).chain(elder).collect();
            let (office, its) = (self.clone(), app.clone());
            keepers.spawn_local(async move {
                let _ends = ends;
                for mut over in before {
                    while over.changed().await.is_ok() {}
                }
                Keeper::new(office, its, wished).keep().await;
            });
            kept.push(Kept { app, wish, over });
        }
    }

    fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    fn event(
        &self,
        level: Level,
        message: &str,
        app: &str,
        id: Option<u64>,
        more: &[(&str, &str)],
    ) {
        let id = id.map(|id| id.to_string());
        let mut fields = vec![("upstream", app)];
        fields.extend(id.as_deref().map(|id| ("instance", id)));
        fields.extend_from_slice(more);
        self.log.event(level, message, &fields);
    }
}

impl Kept {
    /// Wishes go further only; the same one again means that settings may be new.
    fn wish(&self, wish: Wish) {
        self.wish.send_modify(|now| *now = wish.max(*now));
    }
}
