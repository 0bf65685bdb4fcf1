//! Keys of QUIC that a whole process has: by them a client learns that its connection is gone (RFC 9000
//! section 10.3), whichever worker or later form it asks; and shows again where it is (section 8.1).
//! What makes the names of connections is new in each process that hands over to another, and differs
//! from socket to socket, so that one knows whose they are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn_proto::crypto::{HandshakeTokenKey, HmacKey};
use quinn_proto::{ConnectionId, ConnectionIdGenerator, HashedConnectionIdGenerator, InvalidCid};
use ring::{hkdf, hmac};

use crate::clock;
use crate::park::state::{Reader, Writer};

use super::passage;

/// Drawn when first asked for.
static SECRETS: Mutex<Option<Secrets>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Secrets {
    reset: [u8; 64],
    token: [u8; 64],
    /// This process's, and those of the last ones that handed over.
    ids: [u64; IDS],
    /// Sockets that any of them has had, of one listener.
    sockets: usize,
}

/// Processes whose connections are known.
const IDS: usize = 4;
/// No listener has more sockets.
const SOCKETS_MAX: usize = 1024;

fn secrets() -> Secrets {
    let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    *secrets.get_or_insert_with(|| {
        let (reset, token) = ([0; 64], [0; 64]);
        let mut drawn = Secrets { reset, token, ids: [fresh(); IDS], sockets: 0 };
        clock::random(&mut drawn.reset);
        clock::random(&mut drawn.token);
        drawn
    })
}

fn fresh() -> u64 {
    let mut drawn = [0; 8];
    clock::random(&mut drawn);
    u64::from_le_bytes(drawn)
}

/// Makes the tokens of resets.
pub(super) fn reset() -> Arc<dyn HmacKey> {
    Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secrets().reset))
}

/// Makes the tokens by which clients show where they are.
pub(super) fn token() -> Arc<dyn HandshakeTokenKey> {
    Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&secrets().token))
}

/// Makes the names of a socket's connections: what none of our keys has made is not even answered by a
/// reset.
pub(super) fn ids(socket: usize) -> Box<dyn ConnectionIdGenerator> {
    let mut own = secrets();
    own.sockets = own.sockets.max(socket + 1);
    *SECRETS.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
    Box::new(Ids(socket))
}

struct Ids(usize);

impl Secrets {
    fn maker(&self, process: usize, socket: usize) -> HashedConnectionIdGenerator {
        HashedConnectionIdGenerator::from_key(self.ids[process].wrapping_add(socket as u64))
    }

    /// Of which process back from here, and of which of its sockets.
    fn whose(&self, id: &ConnectionId) -> Option<(usize, usize)> {
        let all = (0..IDS).flat_map(|at| (0..self.sockets).map(move |socket| (at, socket)));
        let mut all = all.filter(|(at, socket)| self.maker(*at, *socket).validate(id).is_ok());
        all.next()
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        secrets().maker(0, self.0).generate_cid()
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        secrets().whose(id).map(drop).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Bytes of a name that we make.
pub(super) const ID_BYTES: usize = 8;

/// The socket for which a process before this one has made that name.
pub(super) fn former(id: &ConnectionId) -> Option<usize> {
    secrets().whose(id).filter(|(at, _)| *at > 0).map(|(_, socket)| socket)
}

/// Writes them down, for after sleep or for an heir.
pub(crate) fn keep(to: &mut Writer) {
    let secrets = secrets();
    to.bytes(&secrets.reset);
    to.bytes(&secrets.token);
    secrets.ids.iter().for_each(|key| to.number(*key));
    to.number(secrets.sockets as u64);
    passage::keep(to);
}

/// Takes them back, before an endpoint is opened. An heir's own connections have other names.
pub(crate) fn take_back(from: &mut Reader<'_>, is_heir: bool) -> Option<()> {
    let (reset, token) = (from.array()?, from.array()?);
    let mut kept = Secrets { reset, token, ids: [0; IDS], sockets: 0 };
    for key in &mut kept.ids {
        *key = from.number()?;
    }
    kept.sockets = usize::try_from(from.number()?).ok().filter(|count| *count <= SOCKETS_MAX)?;
    if is_heir {
        kept.ids.rotate_right(1);
        kept.ids[0] = fresh();
        passage::take_back(from)?;
    }
    *SECRETS.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    Some(())
}
