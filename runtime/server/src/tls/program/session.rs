//! What servers gave to go on with: a session that scripts keep and hand on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// Tickets that a session keeps: each is good for one connection.
const TICKETS: usize = 8;

/// A session; each thing in it is good for the name that was asked for.
#[derive(Default)]
pub(super) struct Session(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    group: Option<(ServerName<'static>, NamedGroup)>,
    tls12: Option<(ServerName<'static>, Tls12ClientSessionValue)>,
    tls13: VecDeque<(ServerName<'static>, Tls13ClientSessionValue)>,
}

impl Session {
    fn with<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl ClientSessionStore for Session {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.with(|kept| kept.group = Some((name, group)));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(|kept| kept.group.as_ref().filter(|(known, _)| known == name).map(|k| k.1))
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.with(|kept| kept.tls12 = Some((name, value)));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(|kept| {
            kept.tls12.as_ref().filter(|(known, _)| known == name).map(|k| k.1.clone())
        })
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.with(|kept| kept.tls12.take_if(|(known, _)| known == name));
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.with(|kept| {
            if kept.tls13.len() == TICKETS {
                kept.tls13.pop_front();
            }
            kept.tls13.push_back((name, value));
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(|kept| {
            let at = kept.tls13.iter().rposition(|(known, _)| known == name)?;
            kept.tls13.remove(at).map(|ticket| ticket.1)
        })
    }
}
