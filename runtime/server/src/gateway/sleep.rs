//! Going to sleep, and what is said when it wakes.
//!
//! ```text
//! tired ─▶ gates paused ─▶ anything under way, or waiting? ─ yes ─▶ gates open, later again
//!                                  └─ no ─▶ sockets hushed ─▶ the workers end ─▶ Bed
//! ```
//! What arrives from the pause on waits in the kernel: a later look, or the next form, finds it there.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use pilotlight_config::manifest::{Address, Listener};
use pilotlight_filter::host::Level;
use tokio::sync::oneshot;

use super::house::{End, House};
use crate::listener::{self, Gate, WELL};
use crate::notify::{self, notify};
use crate::park::{self, Bed, Canned, Held, Kind, Woken};
use crate::threads::Order;

/// What clients are told by a gateway that can't wake.
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 33\r\nretry-after: 10\r\ncache-control: no-store\r\nconnection: close\r\n\r\n\
    the gateway could not be started\n";

/// It does not sleep for less, when it knows.
const NAP: Duration = Duration::from_secs(1);

impl House<'_> {
    /// Resolves when there was nothing to do for as long as the manifest says.
    pub(super) async fn tired(&self) {
        let control = &self.gateway.control;
        match control.generation().manifest.gateway.idle.sleep {
            Some(after) => control.memory.tired(after, self.tried).await,
            None => std::future::pending().await,
        }
    }

    /// Stops accepting, and looks whether anything is left to do. `None`: there is, and it goes on.
    pub(super) async fn sleep(&mut self) -> Option<End> {
        let control = &self.gateway.control;
        let gates = |to| self.open.iter().for_each(|open| open.tell(to));
        gates(Gate::Paused);
        let mut quiet = true;
        for thread in &self.threads {
            let (answer, told) = oneshot::channel();
            quiet &= thread.tell(Order::Pause(answer)).await && told.await.unwrap_or(false);
        }
        // Nothing is waited for from here on: nobody can ask meanwhile.
        quiet &= self.admin.as_ref().is_none_or(|admin| admin.is_quiet());
        quiet &= control.generation().apps().all(|app| app.is_asleep());
        // Nobody would wake it for them, once it has left.
        quiet &= self.wakes_in().is_none_or(|time| !self.is_held() && time >= NAP);
        // Asleep it would keep from the process before what is that one's.
        quiet &= !self.open.iter().flat_map(|open| &open.sockets).any(|s| s.passage.has_elder());
        // Where the server may be the first to speak, silence wakes.
        let hushed = self.sockets(|meant| meant.tcp.is_none());
        hushed.iter().for_each(|(fd, kind)| park::hush(*fd, *kind));
        if !quiet || waits(&self.sockets(|_| true)) {
            hushed.iter().for_each(|(fd, kind)| park::rouse(*fd, *kind));
            gates(Gate::Open);
            self.tried = self.gateway.clock.elapsed();
            control.log.event(Level::Debug, "stays awake", &[]);
            return None;
        }
        control.metrics.sleeps.fetch_add(1, Ordering::Relaxed);
        let after = control.generation().manifest.gateway.idle.sleep.unwrap_or_default();
        let after = after.as_secs_f64().to_string();
        let leaves = self.is_held();
        let how = if leaves { "left to the service manager" } else { "parked" };
        let fields = [("reason", "idle"), ("quiet_seconds", &*after), ("form", how)];
        control.log.event(Level::Info, "asleep", &fields);
        if leaves {
            notify("STOPPING=1");
            return Some(End::Leave);
        }
        notify("STATUS=asleep");
        notify::watch(false);
        Some(End::Sleep)
    }

    /// When an application is to be started without a request.
    pub(super) fn wakes_in(&self) -> Option<Duration> {
        let generation = self.gateway.control.generation();
        generation.apps().filter_map(|app| app.wakes_in()).min()
    }

    /// Whether the service manager holds all sockets, so that it starts us when something comes.
    fn is_held(&self) -> bool {
        let held = |open: &super::house::Open| {
            let current = open.current.load();
            matches!(current.settings.address, Address::Inherited(_))
        };
        listener::is_activated() && self.open.iter().all(held)
    }

    /// The sockets of such listeners.
    fn sockets(&self, such: fn(&Listener) -> bool) -> Vec<(RawFd, Kind)> {
        let open = self.open.iter().filter(|open| such(&open.current.load().settings));
        let all = open.flat_map(|open| &open.sockets);
        let each = all.flat_map(|sockets| {
            let of = |socket: &Option<socket2::Socket>, kind| {
                socket.as_ref().map(|socket| (socket.as_raw_fd(), kind))
            };
            [of(&sockets.stream, Kind::Stream), of(&sockets.datagram, Kind::Datagram)]
        });
        each.flatten().collect()
    }

    /// What the parked form is to hold and to say.
    pub(super) fn bed(&mut self) -> Bed {
        let mut sockets: Vec<Held> = Vec::new();
        for open in self.open.drain(..) {
            sockets.extend(listener::held(&open.current.load().settings, open.sockets));
        }
        let mut answers = Vec::new();
        let generation = self.gateway.control.generation();
        if let Some(path) = &generation.manifest.gateway.idle.health_path {
            let (path, bytes) = (path.clone(), WELL.to_vec());
            answers.push(Canned { kind: Kind::Stream, well: true, path, bytes });
        }
        if let Some(admin) = self.admin.take() {
            answers.extend(admin.canned());
            sockets.extend(admin.held());
        }
        let mut bed = Bed::new(sockets, answers, REFUSAL);
        if let Some(time) = self.wakes_in() {
            bed.wake_after(time);
        }
        bed
    }

    /// It was woken, and serves again: says so, and serves the connection that woke it.
    pub(super) async fn rise(&mut self, woken: &Woken) {
        let control = &self.gateway.control;
        if let Some(carried) = woken.carried() {
            match carried.kind {
                Kind::Admin => match &self.admin {
                    Some(admin) => drop(admin.take(carried.socket)),
                    None => drop(carried.socket),
                },
                _ => {
                    let of = |open: &&super::house::Open| {
                        listener::name(&open.current.load().settings.address) == carried.key
                    };
                    let thread = self.threads.get(carried.worker % self.threads.len());
                    if let (Some(open), Some(thread)) = (self.open.iter().find(of), thread) {
                        let (listener, socket) = (open.current.load_full(), carried.socket);
                        thread.tell(Order::Admit { listener, socket }).await;
                    }
                }
            }
        }
        notify::watch(true);
        notify("STATUS=awake");
        let ((reason, failures), (slept, took)) = (woken.why(), woken.times());
        control.metrics.woke(reason, took);
        let slept = format!("{:.3}", slept.as_secs_f64());
        let took = format!("{:.6}", took.as_secs_f64());
        let failures = failures.to_string();
        let generation = control.generation();
        let tried = generation.libraries.iter().map(|(_, library)| library.tried()).sum::<usize>();
        let tried = tried.to_string();
        let mut fields =
            vec![("reason", reason), ("slept_seconds", &*slept), ("wake_seconds", &*took)];
        fields.push(("tried", &*tried));
        if failures != "0" {
            fields.push(("failed_tries", &*failures));
        }
        control.log.event(Level::Info, "awake", &fields);
    }
}

/// Whether something has come that nobody has looked at.
fn waits(sockets: &[(RawFd, Kind)]) -> bool {
    let poll = |(fd, _): &(RawFd, Kind)| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut all: Vec<libc::pollfd> = sockets.iter().map(poll).collect();
    // SAFETY: a list of that many records; it does not wait.
    unsafe { libc::poll(all.as_mut_ptr(), all.len() as libc::nfds_t, 0) > 0 }
}
