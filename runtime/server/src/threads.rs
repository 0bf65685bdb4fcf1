//! Worker threads: each a current-thread runtime, told what to do through a channel.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use pilotlight_filter::host::Level;
use socket2::Socket;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use crate::clock::Clock;
use crate::control::Control;
use crate::generation::Listener;
use crate::health::Watches;
use crate::idle;
use crate::ledger::Ledger;
use crate::listener::{self, Gate, Sockets};
use crate::pace;
use crate::worker::Worker;

/// What a worker is told.
pub(crate) enum Order {
    /// Accept on these sockets while the gate is open.
    Listen { listener: Arc<ArcSwap<Listener>>, sockets: Sockets, gate: watch::Receiver<Gate> },
    /// Serve a connection that was accepted elsewhere.
    Admit { listener: Arc<Listener>, socket: Socket },
    /// The gates are paused: say, once nothing is accepted any more, whether nothing is under way.
    Pause(oneshot::Sender<bool>),
    /// A new generation is there.
    Renew,
    /// There are CPUs for it no more, or again: whether its connections are to leave.
    Retire(bool),
    /// Answer for a server that nodes share something by.
    Keep(Arc<Ledger>),
}

/// A running worker, as the control thread sees it.
pub(crate) struct Thread {
    orders: mpsc::Sender<Order>,
    /// Exchanges and connections under way, refreshed while it drains.
    pub(crate) busy: Arc<AtomicUsize>,
    handle: JoinHandle<()>,
}

/// Orders that wait for a busy worker.
const ORDERS: usize = 256;
/// Scripts may recurse: the stack is virtual until it is touched.
const STACK: usize = 8 << 20;
/// How often a worker that drains tells how busy it is.
const BUSY: Duration = Duration::from_millis(5);

impl Thread {
    /// Starts a worker.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        index: usize,
        clock: Clock,
        control: Arc<Control>,
        draining: watch::Receiver<bool>,
    ) -> io::Result<Thread> {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let busy = Arc::new(AtomicUsize::new(0));
        let shared = busy.clone();
        let handle = std::thread::Builder::new()
            .name(format!("worker-{index}"))
            .stack_size(STACK)
            .spawn(move || work(index, clock, control, draining, inbox, &shared))?;
        Ok(Thread { orders, busy, handle })
    }

    /// Tells the worker something; false when it is gone.
    pub(crate) async fn tell(&self, order: Order) -> bool {
        self.orders.send(order).await.is_ok()
    }

    /// Lets the worker end, and waits for it.
    pub(crate) fn join(self) {
        drop(self.orders);
        drop(self.handle.join());
    }
}

fn work(
    index: usize,
    clock: Clock,
    control: Arc<Control>,
    draining: watch::Receiver<bool>,
    inbox: mpsc::Receiver<Order>,
    busy: &AtomicUsize,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(pace::looked)
        .build();
    let Ok(runtime) = runtime else { return };
    LocalSet::new().block_on(&runtime, async {
        let worker = Worker::new(index, clock, control, draining);
        run(worker, inbox, busy).await;
    });
    runtime.shutdown_timeout(Duration::from_millis(100));
}

/// Turns that scripts have when their worker ends.
const LAST_TURNS: usize = 64;

/// Scripts may want to run when their worker ends; whatever they wait for then is given up.
async fn end(worker: &Rc<Worker>) {
    worker.local().realms.iter().for_each(|realm| realm.close());
    for _ in 0..LAST_TURNS {
        tokio::task::yield_now().await;
    }
}

async fn run(worker: Rc<Worker>, mut inbox: mpsc::Receiver<Order>, busy: &AtomicUsize) {
    tokio::task::spawn_local(worker.timers.clone().sweep());
    tokio::task::spawn_local(idle::watch(worker.clone()));
    // One worker looks after endpoints, for all.
    let mut watches = (worker.place().0 == 0).then(Watches::default);
    watches.iter_mut().for_each(|watches| watches.adopt(&worker));
    let mut draining = worker.draining.clone();
    let mut drained = false;
    let acceptors: Rc<RefCell<usize>> = Rc::default();
    loop {
        tokio::select! {
            order = inbox.recv() => match order {
                None => return end(&worker).await,
                Some(Order::Listen { listener, sockets, gate }) => {
                    let (worker, acceptors) = (worker.clone(), acceptors.clone());
                    tokio::task::spawn_local(async move {
                        *acceptors.borrow_mut() += 1;
                        let ended = listener::accept(worker.clone(), listener, sockets, gate).await;
                        if let Err(error) = ended {
                            let text = error.to_string();
                            let fields = [("error", text.as_str())];
                            worker.log.event(Level::Error, "listener failed", &fields);
                        }
                        *acceptors.borrow_mut() -= 1;
                    });
                }
                Some(Order::Admit { listener, socket }) => {
                    drop(listener::admit_socket(&worker, &listener, socket));
                }
                Some(Order::Pause(answer)) => {
                    while worker.accepting.get() > 0 {
                        tokio::task::yield_now().await;
                    }
                    let _ = answer.send(worker.is_quiet());
                }
                Some(Order::Retire(retires)) => worker.retired.set(retires),
                Some(Order::Keep(ledger)) => {
                    tokio::task::spawn_local(ledger.keep(worker.clone()));
                }
                Some(Order::Renew) => {
                    // What the old one held goes when it falls idle again.
                    worker.idle.wake();
                    drop(worker.local());
                    watches.iter_mut().for_each(|watches| watches.adopt(&worker));
                }
            },
            Ok(_) = draining.wait_for(|d| *d), if !drained => {
                drained = true;
                worker.timers.wake_all();
            }
            () = tokio::time::sleep(BUSY), if drained => {}
        }
        let open = worker.connections.get() + *acceptors.borrow();
        busy.store(open, Ordering::Release);
    }
}
