//! Client certificates that a filter asked for: whoever shows none, or one that nobody knows, comes
//! in all the same, and it is said what was wrong with it.

use std::sync::{Arc, Mutex, PoisonError};

use pilotlight_filter::handshake::{CertificateChain, Trust};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::Parts;
use super::verify::{self, Flaw};

/// See the module.
#[derive(Debug)]
pub(super) struct Asked {
    algorithms: WebPkiSupportedAlgorithms,
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
            algorithms: parts.provider.signature_verification_algorithms,
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

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
