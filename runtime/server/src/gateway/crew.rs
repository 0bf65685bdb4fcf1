//! With `workers = "auto"` the workers follow the CPUs that the process may use, as its cgroup changes.
//!
//! A worker comes with a socket of its own. One that there is no CPU for any more retires: another accepts on its
//! socket, in whose queue nothing is lost, and its connections leave after their next answer. HTTP/3 stays with
//! the workers that have had it from the beginning: its clients know their sockets.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pilotlight_filter::host::Level;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::house::House;
use crate::idle::Memory;
use crate::listener::{self, Gate, Sockets};
use crate::threads::{Order, Thread};

/// How often the CPUs are counted, while a worker is awake.
const LOOK: Duration = Duration::from_secs(1);

/// As many as this process may use: by its affinity, and by the quota of its cgroup, rounded down.
pub(super) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(super) fn looks() -> Interval {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Resolves when it is time to count them.
pub(super) async fn look(looks: &mut Interval, memory: &Arc<Memory>) {
    memory.awake().await;
    looks.tick().await;
}

impl House<'_> {
    /// Counts the CPUs, and changes how many workers there are when that has lasted.
    pub(super) async fn follow(&mut self, drain: &watch::Sender<bool>) {
        let gateway = self.gateway;
        let (now, before) = (gateway.clock.elapsed().as_secs_f64(), self.active);
        let Some(wanted) = self.crew.look(now, before, cpus()) else { return };
        while self.threads.len() < wanted {
            let (index, control) = (self.threads.len(), gateway.control.clone());
            match Thread::start(index, gateway.clock, control, drain.subscribe()) {
                Ok(thread) => self.threads.push(thread),
                Err(why) => {
                    let fields = [("error", &*why.to_string())];
                    gateway.control.log.event(Level::Warn, "no more workers", &fields);
                    break;
                }
            }
        }
        self.active = wanted.min(self.threads.len());
        if self.active == before {
            return;
        }
        gateway.control.workers.store(self.active, Ordering::Relaxed);
        for (index, thread) in self.threads.iter().enumerate() {
            thread.tell(Order::Retire(index >= self.active)).await;
        }
        for at in 0..self.open.len() {
            self.deal(at, before).await;
        }
        let (from, to) = (before.to_string(), self.active.to_string());
        let fields = [("from", &*from), ("to", &to), ("reason", "cpus")];
        gateway.control.log.event(Level::Info, "workers", &fields);
    }

    /// Gives each socket of a listener to a worker that accepts; there were so many of these before.
    async fn deal(&mut self, at: usize, before: usize) {
        let active = self.active;
        let open = &mut self.open[at];
        let meant = open.current.load_full();
        let accepts = |sockets: &Sockets| sockets.stream.is_some();
        while open.sockets.iter().filter(|sockets| accepts(sockets)).count() < active {
            let first = open.sockets.iter().find_map(|sockets| sockets.stream.as_ref());
            // Where it may have no other (a port that only root binds), two accept on one.
            let more = first.map(|first| {
                listener::one_more(&meant.settings, first).or_else(|_| first.try_clone())
            });
            let Some(Ok(stream)) = more else { break };
            // Nobody accepts on it yet.
            let gate = watch::channel(Gate::Left).0;
            // The place of one that has only datagrams, or a new one.
            match open.sockets.iter().position(|sockets| !accepts(sockets)) {
                Some(place) => {
                    (open.sockets[place].stream, open.gates[place]) = (Some(stream), gate);
                }
                None => {
                    open.sockets.push(Sockets { stream: Some(stream), ..Sockets::default() });
                    open.gates.push(gate);
                }
            }
        }
        for (index, sockets) in open.sockets.iter().enumerate() {
            let Some(stream) = sockets.stream.as_ref() else { continue };
            let is_new = *open.gates[index].borrow() == Gate::Left;
            if !is_new && index % active == index % before {
                continue;
            }
            let Ok(stream) = stream.try_clone() else { continue };
            let (gate, watching) = watch::channel(Gate::Open);
            // What comes meanwhile waits in the socket.
            let old = std::mem::replace(&mut open.gates[index], gate);
            let _ = old.send(Gate::Left);
            let (listener, gate) = (open.current.clone(), watching);
            let sockets = Sockets { stream: Some(stream), ..Sockets::default() };
            let thread = &self.threads[index % active];
            thread.tell(Order::Listen { listener, sockets, gate }).await;
        }
    }
}
