//! The endpoints of an upstream that come and go, as a worker sees them: each a pool of its own, under the
//! limits of all.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pilotlight_core::balance::Balancer;

use super::roster::{Member, Roster};
use super::{Lease, Upstream, UpstreamError, Way};
use crate::worker::Worker;

/// As of one version of the roster; 0: as of none.
#[derive(Default)]
pub(super) struct Members(RefCell<View>);

#[derive(Default)]
struct View {
    version: u64,
    balancer: Option<Balancer>,
    pools: Vec<(Arc<Member>, Rc<Upstream>)>,
}

impl Members {
    pub(super) fn trim(&self) {
        self.0.borrow().pools.iter().for_each(|(_, pool)| pool.trim());
    }
}

impl Upstream {
    /// Picks a member that takes requests and is not among `tried`.
    pub(crate) fn elect(
        self: &Rc<Upstream>,
        worker: &Rc<Worker>,
        roster: &Arc<Roster>,
        tried: &[usize],
    ) -> Result<Lease, UpstreamError> {
        let view = &mut *self.members.0.borrow_mut();
        if view.version != roster.version() {
            view.renew(self, worker, roster);
        }
        let pools = &view.pools;
        let balancer = view.balancer.as_mut().ok_or(UpstreamError::NoEndpoint)?;
        if pools.is_empty() {
            // Only names can stand for nothing.
            return Err(UpstreamError::Dns);
        }
        let active = |at: usize| pools[at].1.endpoints[0].active.get();
        let mut picked = None;
        if !tried.is_empty() {
            let is_tried = |at: &usize| tried.contains(&pools[*at].0.number);
            let exclude: Vec<usize> = (0..pools.len()).filter(is_tried).collect();
            picked = balancer.pick(&exclude, active, worker.random());
        }
        // All that are left had a turn: a round begins.
        let picked = picked.or_else(|| balancer.pick(&[], active, worker.random()));
        let (member, pool) = &pools[picked.ok_or(UpstreamError::NoEndpoint)?];
        let mut lease = pool.lease(worker, &[])?;
        lease.number = member.number;
        Ok(lease)
    }

    /// An exchange with such an endpoint has ended: with an answer, or an error.
    pub(crate) fn saw(&self, worker: &Worker, number: usize, well: bool) {
        let Way::Watched(roster) = &self.shared.way else { return };
        let view = self.members.0.borrow();
        let mut pools = view.pools.iter();
        if roster.listens()
            && let Some((member, _)) = pools.find(|(member, _)| member.number == number)
        {
            roster.saw(member, well, worker.control.now(), &worker.log);
        }
    }
}

impl View {
    #[cold]
    fn renew(&mut self, upstream: &Rc<Upstream>, worker: &Worker, roster: &Roster) {
        let (version, members) = roster.members();
        let mut old = std::mem::take(&mut self.pools);
        let weights: Vec<u32> = members.iter().map(|(_, weight)| *weight).collect();
        for (member, weight) in members {
            let pool = match old.iter().position(|(known, _)| known.number == member.number) {
                Some(at) => old.swap_remove(at).1,
                None => {
                    let shared = upstream.shared.at((*member.endpoint).clone());
                    Rc::new(Upstream::new(shared, worker.random()))
                }
            };
            if weight == 0 {
                pool.trim();
            }
            self.pools.push((member, pool));
        }
        old.iter().for_each(|(_, gone)| gone.trim());
        let balancer = Balancer::new(&upstream.shared.meant.balance, &weights);
        self.balancer = Some(balancer.starting_at(worker.random()));
        self.version = version;
    }
}
