//! Handing over to the program that is on the disk now, and taking over from one that served before.
//!
//! ```text
//! elder  called ─▶ an heir is started ─▶ it has loaded ─▶ gates paused, state written ─▶ gone, drains
//!                        └───────── whatever fails until then ◀───┘ it serves?  └─ no ─▶ gates open again
//! ```
//! Both have the same sockets: nothing that waits in them is lost, whoever takes it.

use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use pilotlight_filter::host::Level;
use tokio::sync::oneshot;

use super::house::House;
use super::kept;
use crate::listener::{self, Gate};
use crate::notify::{self, notify};
use crate::park::{Bed, Heir, Held, Kind, Woken};
use crate::threads::Order;

impl House<'_> {
    /// Starts what is to take over, unless that is under way already.
    pub(super) fn call_heir(&self, heir: &mut Option<Heir>) {
        let log = &self.gateway.control.log;
        if let Some(heir) = heir {
            let pid = heir.pid().to_string();
            return log.event(Level::Info, "upgrade is under way", &[("pid", &pid)]);
        }
        notify("RELOADING=1");
        match self.bear() {
            Ok(new) => {
                let (program, pid) = (self.program.path.display().to_string(), new.pid());
                let fields = [("program", &*program), ("pid", &pid.to_string())];
                log.event(Level::Info, "upgrade begun", &fields);
                *heir = Some(new);
            }
            Err(why) => self.stay(&why),
        }
    }

    fn bear(&self) -> Result<Heir, String> {
        if std::process::id() == 1 {
            return Err("this process is its container's first, which would end with it".to_owned());
        }
        let bed = self.heirlooms().map_err(|error| error.to_string())?;
        bed.bear(self.program).map_err(|error| error.to_string())
    }

    /// Handles of all sockets, and ways for what comes in them and is still ours.
    fn heirlooms(&self) -> std::io::Result<Bed> {
        let mut all: Vec<Held> = Vec::new();
        for open in &self.open {
            let settings = &open.current.load().settings;
            for (worker, sockets) in open.sockets.iter().enumerate() {
                if sockets.datagram.is_some() {
                    let (socket, key) =
                        (sockets.passage.open()?, listener::name(&settings.address));
                    all.push(Held { socket, kind: Kind::Passage, plain: false, worker, key });
                }
            }
            let sockets = open.sockets.iter().map(listener::Sockets::another);
            all.extend(listener::held(settings, sockets.collect::<Result<_, _>>()?));
        }
        all.extend(self.admin.iter().filter_map(|admin| admin.held()));
        Ok(Bed::new(all, Vec::new(), &[]))
    }

    /// The heir has loaded, or never will: whether it serves from now on.
    pub(super) async fn hand_over(
        &mut self,
        heir: &mut Option<Heir>,
        loaded: Result<(), String>,
    ) -> bool {
        let Some(mut heir) = heir.take() else { return false };
        let gates = |to| self.open.iter().for_each(|open| open.tell(to));
        let served = match loaded {
            Ok(()) => {
                gates(Gate::Paused);
                for thread in &self.threads {
                    let (answer, told) = oneshot::channel();
                    if thread.tell(Order::Pause(answer)).await {
                        drop(told.await);
                    }
                }
                heir.take_over(&kept::written(&self.gateway.control)).await
            }
            Err(why) => Err(why),
        };
        if let Err(why) = served {
            // It must not accept when we do again.
            drop(heir);
            gates(Gate::Open);
            self.stay(&why);
            return false;
        }
        self.admin = None;
        let pid = heir.pid();
        notify::succeeded_by(pid);
        let fields = [("pid", &*pid.to_string())];
        self.gateway.control.log.event(Level::Info, "handed over", &fields);
        heir.release().await;
        true
    }

    /// Goes on as if nobody had asked.
    fn stay(&self, why: &str) {
        let control = &self.gateway.control;
        control.metrics.upgrades_failed.fetch_add(1, Ordering::Relaxed);
        control.log.event(Level::Error, "upgrade failed", &[("reason", why)]);
        notify("READY=1");
    }

    /// It serves in the place of another process, which may go now. What is returned ends when it has.
    pub(super) fn succeed(&self, elder: Woken) -> Option<UnixStream> {
        let control = &self.gateway.control;
        control.metrics.upgrades_ok.fetch_add(1, Ordering::Relaxed);
        control.log.event(Level::Info, "taken over", &[]);
        // Whoever started it goes as soon as it hears: if it has gone already, all the better.
        drop(elder.report());
        let channel = elder.elder();
        elder.settle();
        channel
    }
}
