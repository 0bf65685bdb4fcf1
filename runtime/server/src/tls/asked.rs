//! Client certificates that a filter asked for: whoever shows none, or one that nobody knows, comes
//! in all the same, and it is said what was wrong with it.

use std::sync::{Arc, Mutex, PoisonError};

use pilotlight_filter::handshake::{CertificateChain, Trust};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DistinguishedName, Error, RootCertStore};

use super::Parts;
use super::signatures::{Signatures, by_signatures};
use super::verify::{self, Flaw};

/// See the module.
#[derive(Debug)]
pub(super) struct Asked {
    signatures: Signatures,
    /// Issuers that the client is told of.
    named: Vec<DistinguishedName>,
    chains: Option<Arc<dyn ClientCertVerifier>>,
    depth: Option<u32>,
    found: Mutex<Option<Flaw>>,
}

impl Asked {
    pub(super) fn new(trust: &Trust, parts: &Parts) -> Asked {
        let roots = roots([&trust.named, &trust.issuers]);
        let mut named = RootCertStore::empty();
        add(&mut named, trust.named.as_deref());
        let chains = match roots.is_empty() {
            false => {
                let provider = parts.provider.clone();
                WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().ok()
            }
            // The listener's own.
            true => parts.verifier.clone(),
        };
        Asked {
            signatures: Signatures::of(&parts.provider),
            named: named.subjects(),
            chains,
            depth: trust.depth,
            found: Mutex::default(),
        }
    }

    /// What is wrong with what was shown.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<Flaw> {
        let Some(chains) = &self.chains else { return Some(verify::unknown(leaf, others)) };
        if self.depth.is_some_and(|depth| others.len() > depth as usize + 1) {
            return Some(verify::TOO_LONG);
        }
        match chains.verify_client_cert(leaf, others, now) {
            Ok(_) => None,
            Err(Error::InvalidCertificate(error)) => Some(verify::flaw(&error, leaf, others)),
            Err(_) => Some(verify::UNSPECIFIED),
        }
    }
}

/// All of these as issuers; what can't be one is left out.
pub(super) fn roots<'a>(
    all: impl IntoIterator<Item = &'a Option<std::rc::Rc<CertificateChain>>>,
) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    all.into_iter().for_each(|chain| add(&mut roots, chain.as_deref()));
    roots
}

fn add(roots: &mut RootCertStore, chain: Option<&CertificateChain>) {
    let chain = chain.iter().flat_map(|chain| &chain.0);
    roots.add_parsable_certificates(chain.map(|der| CertificateDer::from(der.clone())));
}

impl ClientCertVerifier for Asked {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.named
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let flaw = self.check(leaf, others, now);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = flaw;
        Ok(ClientCertVerified::assertion())
    }

    by_signatures!();
}
