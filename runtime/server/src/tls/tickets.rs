//! Keys of session tickets: process-wide, so that a ticket is good at every worker, outlives a reload,
//! and sleep. They rotate every six hours; a ticket is good for as long as its key is one of two.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::server::ProducesTickets;

use crate::clock;
use crate::park::state::{Reader, Writer};

/// Who may resume what: a ticket proves a client's certificate as of its first handshake, so
/// listeners that trust other issuers, or none, must not accept it.
type Realm = (Option<[u8; 32]>, bool);

/// Realms remembered: past that, the oldest loses its tickets.
const REALMS_MAX: usize = 64;
/// How long a key makes tickets.
const TURN: Duration = Duration::from_secs(6 * 60 * 60);
/// Bytes of a key's name, which tickets begin with.
const NAME: usize = 16;
/// The longest ticket that is looked at: one with a client's chain.
const TICKET_MAX: usize = 64 * 1024;

static REALMS: Mutex<Vec<(Realm, Arc<Ticketer>)>> = Mutex::new(Vec::new());

/// Makes tickets of one realm.
struct Ticketer(RwLock<Keys>);

/// Two at a time: one that makes tickets, and the one before.
struct Keys {
    current: Key,
    last: Option<Key>,
}

struct Key {
    name: [u8; NAME],
    secret: [u8; 32],
    /// Wall clock.
    born: Duration,
    cipher: LessSafeKey,
}

impl Key {
    fn new() -> Option<Key> {
        let (mut name, mut secret) = ([0; NAME], [0; 32]);
        let drawn = clock::random(&mut name) && clock::random(&mut secret);
        drawn.then(|| Key::of(name, secret, clock::wall())).flatten()
    }

    fn of(name: [u8; NAME], secret: [u8; 32], born: Duration) -> Option<Key> {
        let cipher = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &secret).ok()?);
        Some(Key { name, secret, born, cipher })
    }

    /// Its age; one that seems to be from the future is as old as they get.
    fn age(&self) -> Duration {
        clock::wall().checked_sub(self.born).unwrap_or(Duration::MAX)
    }

    fn write(&self, to: &mut Writer) {
        to.bytes(&self.name);
        to.bytes(&self.secret);
        to.number(self.born.as_secs());
    }

    fn read(from: &mut Reader<'_>) -> Option<Key> {
        let (name, secret) = (from.array()?, from.array()?);
        Key::of(name, secret, Duration::from_secs(from.number()?))
    }
}

impl Ticketer {
    /// Looks whether it is time for a new key.
    fn turn(&self) {
        let old = self.0.read().unwrap_or_else(PoisonError::into_inner).current.age() > TURN;
        if !old {
            return;
        }
        let Some(new) = Key::new() else { return };
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.current.age() > TURN {
            let last = std::mem::replace(&mut keys.current, new);
            keys.last = Some(last).filter(|last| last.age() <= 2 * TURN);
        }
    }
}

impl std::fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticketer")
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        2 * TURN.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.turn();
        let mut nonce = [0; NONCE_LEN];
        if !clock::random(&mut nonce) {
            return None;
        }
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let key = &keys.current;
        let mut sealed = plain.to_vec();
        let (number, name) = (Nonce::assume_unique_for_key(nonce), Aad::from(key.name));
        key.cipher.seal_in_place_append_tag(number, name, &mut sealed).ok()?;
        Some([&key.name[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.turn();
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut both = [Some(&keys.current), keys.last.as_ref()].into_iter().flatten();
        // Names are no secret: tickets show them.
        let key = both.find(|key| key.name == *name)?;
        let mut plain = sealed.to_vec();
        let number = Nonce::assume_unique_for_key(*nonce);
        let length = key.cipher.open_in_place(number, Aad::from(*name), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

/// The keys for listeners that trust `issuers` (a digest) and speak QUIC or TCP.
///
/// # Errors
/// When the kernel gives no randomness.
pub(super) fn shared(
    issuers: Option<[u8; 32]>,
    quic: bool,
) -> Result<Arc<dyn ProducesTickets>, String> {
    let realm = (issuers, quic);
    let mut realms = REALMS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, ticketer)) = realms.iter().find(|(known, _)| *known == realm) {
        return Ok(ticketer.clone());
    }
    let none = || "the kernel gives no random numbers".to_owned();
    let keys = Keys { current: Key::new().ok_or_else(none)?, last: None };
    if realms.len() >= REALMS_MAX {
        realms.remove(0);
    }
    let ticketer = Arc::new(Ticketer(RwLock::new(keys)));
    realms.push((realm, ticketer.clone()));
    Ok(ticketer)
}

/// Writes the keys down, for after sleep.
pub(crate) fn keep(to: &mut Writer) {
    for ((issuers, quic), ticketer) in REALMS.lock().unwrap_or_else(PoisonError::into_inner).iter()
    {
        let keys = ticketer.0.read().unwrap_or_else(PoisonError::into_inner);
        to.bytes(issuers.as_ref().map_or(&[], |issuers| &issuers[..]));
        to.number(u64::from(*quic));
        to.number(1 + u64::from(keys.last.is_some()));
        keys.current.write(to);
        keys.last.iter().for_each(|last| last.write(to));
    }
}

/// Takes them back: listeners that have the same realms go on with them.
pub(crate) fn take_back(from: &mut Reader<'_>) -> Option<()> {
    loop {
        let Some(issuers) = from.bytes() else { return Some(()) };
        let issuers = issuers.try_into().ok();
        let quic = from.number()? == 1;
        let (count, current) = (from.number()?, Key::read(from)?);
        let last = if count == 2 { Some(Key::read(from)?) } else { None };
        let realms = REALMS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, ticketer)) = realms.iter().find(|(known, _)| *known == (issuers, quic)) {
            *ticketer.0.write().unwrap_or_else(PoisonError::into_inner) = Keys { current, last };
        }
    }
}

#[cfg(test)]
mod tests;
