//! Keys of session tickets: process-wide, so that a ticket is good at every worker and outlives a
//! reload. They rotate by themselves every six hours.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::ProducesTickets;

/// Who may resume what: a ticket proves a client's certificate as of its first handshake, so
/// listeners that trust other issuers, or none, must not accept it.
type Realm = (Option<[u8; 32]>, bool);

/// Realms remembered: past that, the oldest loses its tickets.
const REALMS_MAX: usize = 64;

static KEYS: Mutex<Vec<(Realm, Arc<dyn ProducesTickets>)>> = Mutex::new(Vec::new());

/// The keys for listeners that trust `issuers` (a digest) and speak QUIC or TCP.
///
/// # Errors
/// When the kernel gives no randomness.
pub(super) fn shared(
    issuers: Option<[u8; 32]>,
    quic: bool,
) -> Result<Arc<dyn ProducesTickets>, String> {
    let realm = (issuers, quic);
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, ticketer)) = keys.iter().find(|(known, _)| *known == realm) {
        return Ok(ticketer.clone());
    }
    let ticketer = rustls::crypto::ring::Ticketer::new().map_err(|error| error.to_string())?;
    if keys.len() >= REALMS_MAX {
        keys.remove(0);
    }
    keys.push((realm, ticketer.clone()));
    Ok(ticketer)
}
