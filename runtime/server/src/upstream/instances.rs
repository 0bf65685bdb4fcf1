//! The instances of an application, as a worker sees them: each a pool of its own, under the limits of all.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Lease, Upstream, UpstreamError, Way};
use crate::apps::Seat;
use crate::worker::Worker;

/// By their numbers; none where no application is behind an upstream.
#[derive(Default)]
pub(super) struct Instances(RefCell<Vec<(u64, Rc<Upstream>)>>);

impl Instances {
    pub(super) fn trim(&self) {
        self.0.borrow().iter().for_each(|(_, instance)| instance.trim());
    }
}

impl Upstream {
    /// A hold on an endpoint that is not among `tried`. The application behind it is started for that, when it
    /// is asleep, and the wait for it is here.
    ///
    /// # Errors
    /// Those of [`Upstream::lease`], and of the application.
    pub(crate) async fn reach(
        self: &Rc<Upstream>,
        worker: &Rc<Worker>,
        tried: &[usize],
    ) -> Result<Lease, UpstreamError> {
        let app = match &self.shared.way {
            Way::Plain => return self.lease(worker, tried),
            Way::Watched(roster) => {
                roster.known(self.shared.meant.timeouts.connect).await;
                return self.elect(worker, roster, tried);
            }
            Way::App(app) => app,
        };
        let seat = app.enter().await?;
        let mut lease = self.instance(worker, &seat).lease(worker, &[])?;
        lease.number = seat.instance as usize;
        lease.seat = Some(Box::new(seat));
        Ok(lease)
    }

    fn instance(&self, worker: &Worker, seat: &Seat) -> Rc<Upstream> {
        let mut known = self.instances.0.borrow_mut();
        if let Some((_, instance)) = known.iter().find(|(number, _)| *number == seat.instance) {
            return instance.clone();
        }
        known.retain(|(number, gone)| {
            let stays = self.shared.app().is_some_and(|app| app.has(*number));
            if !stays {
                gone.trim();
            }
            stays
        });
        let shared = self.shared.at((*seat.endpoint).clone());
        let instance = Rc::new(Upstream::new(shared, worker.random()));
        known.push((seat.instance, instance.clone()));
        instance
    }
}
