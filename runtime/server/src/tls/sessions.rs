//! TLS sessions that filters keep: one handshake's look into what they have.

use std::sync::{Mutex, PoisonError};

use pilotlight_filter::handshake::Session;
use rustls::server::StoresServerSessions;

/// The session that was found for a client, and the one that its handshake makes.
///
/// A session proves a client's certificate as of its first handshake, so what one listener has made
/// means nothing to another that trusts other issuers: values begin with a mark of who those are.
pub(super) struct Sessions {
    mark: [u8; MARK],
    found: Mutex<Option<Session>>,
    made: Mutex<Option<(Vec<u8>, Vec<u8>)>>,
}

const MARK: usize = 8;

impl Sessions {
    /// `issuers`: a digest of those that the listener trusts.
    pub(super) fn new(issuers: Option<[u8; 32]>, found: Session) -> Sessions {
        let mut mark = [0; MARK];
        if let Some(issuers) = issuers {
            mark.copy_from_slice(&issuers[..MARK]);
        }
        Sessions { mark, found: Mutex::new(Some(found)), made: Mutex::default() }
    }

    /// The session that clients may come back with: number and value.
    pub(super) fn made(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn find(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let value = found.as_mut().filter(|found| found.id == key)?.value.take()?;
        value.strip_prefix(&self.mark).map(<[u8]>::to_vec)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let value = [&self.mark[..], &value].concat();
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some((key, value));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.find(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.find(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}
