//! Certificates of filters, as handshakes show them.

use std::sync::Arc;

use pilotlight_filter::exchange::{Certificates, Identity};
use pilotlight_filter::handshake::{CertificateChain, Credentials, PrivateKey};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};

use super::certificate::Outline;
use super::resolver::Resolver;
use super::{Parts, identity};

/// What a client of a filter's sees: the filter's certificates before the manifest's.
#[derive(Debug)]
pub(super) struct Shown {
    keys: Vec<Arc<CertifiedKey>>,
    /// The listener's, unless the filter wants none of them.
    others: Option<Arc<Resolver>>,
    staple: Option<Vec<u8>>,
}

impl Shown {
    /// `None`: filters have changed nothing.
    pub(super) fn of(credentials: &Credentials, parts: &Parts) -> Option<Shown> {
        let Credentials { cleared, chains, staple, .. } = credentials;
        if !cleared && chains.is_empty() && staple.is_none() {
            return None;
        }
        let others = (!cleared).then(|| parts.resolver.clone());
        let keys = certified(credentials, &parts.provider);
        let keys = keys.into_iter().map(|key| Arc::new(stapled(key, staple.as_ref()))).collect();
        Some(Shown { keys, others, staple: staple.clone() })
    }
}

fn stapled(mut key: CertifiedKey, staple: Option<&Vec<u8>>) -> CertifiedKey {
    key.ocsp = staple.cloned();
    key
}

/// The certificates that have a key, the newest first.
pub(super) fn certified(credentials: &Credentials, provider: &CryptoProvider) -> Vec<CertifiedKey> {
    let one = |chain: &CertificateChain| {
        let public = Outline::read(chain.0.first()?)?.public_key;
        let mut keys = credentials.keys.iter().rev();
        let key = keys.find_map(|key| {
            let key = signing(key, provider)?;
            key.public_key().is_some_and(|known| *known == *public).then_some(key)
        })?;
        let chain = chain.0.iter().map(|der| CertificateDer::from(der.clone())).collect();
        Some(CertifiedKey::new(chain, key))
    };
    credentials.chains.iter().rev().filter_map(|chain| one(chain)).collect()
}

/// A key, ready to sign; `None` when it can't.
fn signing(key: &PrivateKey, provider: &CryptoProvider) -> Option<Arc<dyn SigningKey>> {
    type Ready = Option<Arc<dyn SigningKey>>;
    let ready = key.ready.get_or_init(|| {
        let der = PrivateKeyDer::try_from(key.der.clone()).ok();
        let ready: Ready = der.and_then(|der| provider.key_provider.load_private_key(der).ok());
        Box::new(ready)
    });
    ready.downcast_ref::<Ready>().cloned().flatten()
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        if let Some(key) = self.keys.iter().find(usable) {
            return Some(key.clone());
        }
        let key = self.others.as_ref().and_then(|others| others.resolve(hello))?;
        match &self.staple {
            Some(_) => Some(Arc::new(stapled(CertifiedKey::clone(&key), self.staple.as_ref()))),
            None => Some(key),
        }
    }
}

impl Certificates for Shown {
    #[cold]
    fn identity(&self, server_name: Option<&str>) -> Option<Identity> {
        match self.keys.first() {
            Some(key) => identity(&key.cert),
            None => self.others.as_ref()?.identity(server_name),
        }
    }
}
