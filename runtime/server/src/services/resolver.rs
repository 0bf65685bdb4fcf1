//! Addresses of names: from the manifest's servers, kept as long as those allow.

mod ask;
pub(crate) mod message;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use pilotlight_config::manifest;

use crate::clock::Clock;
use message::Refusal;

/// Names that a worker knows, or is asking for.
const NAMES_MAX: usize = 1024;
/// The longest that an address is kept, whatever its server says.
const TTL_MAX: Duration = Duration::from_secs(86_400);

/// A worker's client of name servers.
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    /// For a whole look-up.
    timeout: Duration,
    ipv6: bool,
    clock: Clock,
    names: RefCell<HashMap<Box<str>, Entry>>,
    /// The server that is asked first takes turns.
    turn: Cell<usize>,
}

enum Entry {
    Known { addresses: Rc<[IpAddr]>, until: Duration },
    Asked(Rc<Asking>),
}

/// A look-up under way: all who want the name wait for it.
#[derive(Default)]
struct Asking {
    outcome: RefCell<Option<Result<Rc<[IpAddr]>, Refusal>>>,
    done: Notify,
}

impl Resolver {
    pub(crate) fn new(
        servers: Vec<SocketAddr>,
        timeout: Duration,
        ipv6: bool,
        clock: Clock,
    ) -> Rc<Resolver> {
        let (names, turn) = Default::default();
        Rc::new(Resolver { servers, timeout, ipv6, clock, names, turn })
    }

    /// The addresses of a name, or a sentence that says why there are none.
    pub(crate) async fn resolve(self: Rc<Self>, name: String) -> Result<Vec<IpAddr>, String> {
        let key = name.trim_end_matches('.').to_ascii_lowercase();
        let found = match self.look(&key) {
            Ok(addresses) => Ok(addresses),
            Err(Some(asking)) => asking.outcome().await,
            Err(None) => Err(Refusal::SERVER),
        };
        match found {
            Ok(addresses) => Ok(addresses.to_vec()),
            Err(refusal) => Err(format!("{name} could not be resolved ({refusal})")),
        }
    }

    /// What is known of a name, or who asks for it; nobody does when too many names are asked for.
    fn look(self: &Rc<Self>, name: &str) -> Result<Rc<[IpAddr]>, Option<Rc<Asking>>> {
        let now = self.clock.elapsed();
        let mut names = self.names.borrow_mut();
        match names.get(name) {
            Some(Entry::Known { addresses, until }) if *until > now => return Ok(addresses.clone()),
            Some(Entry::Asked(asking)) => return Err(Some(asking.clone())),
            _ => {}
        }
        if names.len() >= NAMES_MAX {
            names.retain(|_, entry| match entry {
                Entry::Known { until, .. } => *until > now,
                Entry::Asked(_) => true,
            });
        }
        if names.len() >= NAMES_MAX {
            let soonest = names.iter().filter_map(|(name, entry)| match entry {
                Entry::Known { until, .. } => Some((*until, name.clone())),
                Entry::Asked(_) => None,
            });
            let (_, name) = soonest.min().ok_or(None)?;
            names.remove(&name);
        }
        let asking = Rc::new(Asking::default());
        names.insert(name.into(), Entry::Asked(asking.clone()));
        tokio::task::spawn_local(self.clone().ask_for(name.to_owned(), asking.clone()));
        Err(Some(asking))
    }

    async fn ask_for(self: Rc<Self>, name: String, asking: Rc<Asking>) {
        let turn = self.turn.replace(self.turn.get().wrapping_add(1));
        let asked = ask::ask(&self.servers, turn, &name, self.ipv6);
        let found = tokio::time::timeout(self.timeout, asked).await;
        let outcome = match found.unwrap_or(Err(Refusal::TIMEOUT)) {
            Ok((addresses, ttl)) => {
                let addresses: Rc<[IpAddr]> = addresses.into();
                let until = self.clock.elapsed() + ttl.min(TTL_MAX);
                let known = Entry::Known { addresses: addresses.clone(), until };
                self.names.borrow_mut().insert(name.into(), known);
                Ok(addresses)
            }
            Err(refusal) => {
                self.names.borrow_mut().remove(&*name);
                Err(refusal)
            }
        };
        *asking.outcome.borrow_mut() = Some(outcome);
        asking.done.notify_waiters();
    }
}

impl Asking {
    async fn outcome(&self) -> Result<Rc<[IpAddr]>, Refusal> {
        loop {
            let done = self.done.notified();
            if let Some(outcome) = self.outcome.borrow().clone() {
                return outcome;
            }
            done.await;
        }
    }
}

/// The addresses of a name and how long they hold, from these servers and not from memory.
pub(crate) async fn addresses(
    meant: &manifest::Resolver,
    name: &str,
) -> Result<(Vec<IpAddr>, Duration), String> {
    let asked = ask::ask(&meant.servers, 0, name, meant.ipv6);
    within(meant, name, Box::pin(asked)).await
}

/// The same of the servers of a service.
pub(crate) async fn services(
    meant: &manifest::Resolver,
    name: &str,
) -> Result<(Vec<message::Server>, Duration), String> {
    within(meant, name, ask::services(&meant.servers, 0, name)).await
}

async fn within<T>(
    meant: &manifest::Resolver,
    name: &str,
    asked: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, String> {
    let found = tokio::time::timeout(meant.timeout, asked).await;
    let found = found.unwrap_or(Err(Refusal::TIMEOUT));
    found.map_err(|refusal| format!("{name} could not be resolved ({refusal})"))
}

/// The system's answer, for programs that ask no servers of the manifest.
pub(crate) async fn by_system(name: String) -> Result<Vec<IpAddr>, String> {
    match tokio::net::lookup_host((name.as_str(), 0)).await {
        Ok(found) => Ok(found.map(|address| address.ip()).collect()),
        Err(error) => Err(format!("{name} could not be resolved: {error}")),
    }
}

#[cfg(test)]
mod tests;
