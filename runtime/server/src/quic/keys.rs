//! Keys of QUIC that a whole process has: by them a client learns that its connection is gone (RFC 9000
//! section 10.3), whichever worker or later form it asks; and shows again where it is (section 8.1).

use std::sync::{Arc, Mutex, PoisonError};

use quinn_proto::crypto::{HandshakeTokenKey, HmacKey};
use quinn_proto::{ConnectionIdGenerator, HashedConnectionIdGenerator};
use ring::{hkdf, hmac};

use crate::clock;
use crate::park::state::{Reader, Writer};

/// Drawn when first asked for.
static SECRETS: Mutex<Option<Secrets>> = Mutex::new(None);

#[derive(Clone, Copy)]
struct Secrets {
    reset: [u8; 64],
    token: [u8; 64],
    ids: u64,
}

fn secrets() -> Secrets {
    let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    *secrets.get_or_insert_with(|| {
        let mut drawn = Secrets { reset: [0; 64], token: [0; 64], ids: 0 };
        clock::random(&mut drawn.reset);
        clock::random(&mut drawn.token);
        let mut ids = [0; 8];
        clock::random(&mut ids);
        drawn.ids = u64::from_le_bytes(ids);
        drawn
    })
}

/// Makes the tokens of resets.
pub(super) fn reset() -> Arc<dyn HmacKey> {
    Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &secrets().reset))
}

/// Makes the tokens by which clients show where they are.
pub(super) fn token() -> Arc<dyn HandshakeTokenKey> {
    Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&secrets().token))
}

/// Makes the names of connections: one that this key has not made is not even answered by a reset.
pub(super) fn ids() -> Box<dyn ConnectionIdGenerator> {
    Box::new(HashedConnectionIdGenerator::from_key(secrets().ids))
}

/// Writes them down, for after sleep.
pub(crate) fn keep(to: &mut Writer) {
    let secrets = secrets();
    to.bytes(&secrets.reset);
    to.bytes(&secrets.token);
    to.number(secrets.ids);
}

/// Takes them back, before an endpoint is opened.
pub(crate) fn take_back(from: &mut Reader<'_>) -> Option<()> {
    let kept = Secrets { reset: from.array()?, token: from.array()?, ids: from.number()? };
    *SECRETS.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    Some(())
}
