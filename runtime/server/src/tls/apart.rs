//! A handshake with an endpoint that filters take part in: for one exchange, apart from those that
//! others share.

use std::sync::{Arc, Mutex, PoisonError};

use pilotlight_config::manifest::{UpstreamProtocol, UpstreamTls};
use pilotlight_filter::handshake::Handshake;
use rustls::client::Resumption;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore, SignatureScheme};

use super::client::{self, ClientTls, native};
use super::signatures::{Signatures, by_signatures};
use super::verify::{self, Flaw, Verifier};
use super::{TlsProblem, asked, provider, shown};
use crate::stream::{Plain, Stream};
use crate::upstream::UpstreamError;

/// How the handshake is going to be done.
pub(crate) struct Apart {
    config: Arc<ClientConfig>,
    verdict: Arc<Recording>,
    /// Whether the certificate matters.
    pub(crate) verify: bool,
}

/// What an endpoint has shown.
pub(crate) struct Met {
    pub(crate) stream: Stream,
    pub(crate) http2: bool,
    pub(crate) chain: Vec<Vec<u8>>,
    pub(crate) version: Option<u16>,
    /// OpenSSL's number of what is wrong with it; 0: nothing.
    pub(crate) flaw: u32,
    /// It is for another name.
    pub(crate) misnamed: bool,
}

impl Apart {
    /// As an upstream has it, and then filters.
    ///
    /// # Errors
    /// When there is nobody to trust, or nothing to show.
    pub(crate) fn new(
        all: &ClientTls,
        tls: &UpstreamTls,
        protocol: UpstreamProtocol,
        handshake: &Handshake,
    ) -> Result<Apart, TlsProblem> {
        let problem = |message: String| TlsProblem::new(&Default::default(), message);
        let made = all.made(tls, protocol)?;
        let provider = provider();
        let trust = handshake.trust.clone().unwrap_or_default();
        let verify = trust.verify.unwrap_or(tls.verify);
        let (roots, own) = match (asked::roots([&trust.issuers]), made.trust) {
            (roots, _) if !roots.is_empty() => {
                let own = trust.issuers.iter().flat_map(|chain| &chain.0);
                (Arc::new(roots), own.map(|der| CertificateDer::from(der.clone())).collect())
            }
            (_, Some(trust)) => trust,
            (_, None) if verify => (native().map_err(problem)?, Vec::new()),
            (_, None) => (Arc::new(RootCertStore::empty()), Vec::new()),
        };
        let inner = match roots.is_empty() {
            true => None,
            false => {
                let strict = Verifier::strict(&provider, roots, own, Vec::new(), trust.depth, true);
                Some(strict.map_err(problem)?)
            }
        };
        let signatures = Signatures::of(&provider);
        let verdict = Arc::new(Recording { signatures, inner, found: Mutex::default() });
        let mut config = ClientConfig::clone(&made.config);
        config.dangerous().set_certificate_verifier(verdict.clone());
        // Who comes back proves nothing anew.
        config.resumption = Resumption::disabled();
        if let Some(key) = shown::certified(&handshake.credentials, &provider).into_iter().next() {
            config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
        } else if handshake.credentials.cleared {
            config.client_auth_cert_resolver = Arc::new(Nothing);
        }
        Ok(Apart { config: Arc::new(config), verdict, verify })
    }

    /// Does the handshake; the caller bounds the time.
    pub(crate) async fn connect(
        &self,
        server_name: &str,
        plain: Plain,
    ) -> Result<Met, UpstreamError> {
        let connected = ClientTls::connect(self.config.clone(), server_name, plain).await;
        let (stream, alpn) = connected?;
        let flaw = self.verdict.flaw();
        // Numbers are OpenSSL's; it has none for this.
        let misnamed = flaw.is_some_and(|flaw| flaw.code == 0);
        Ok(Met {
            http2: alpn.as_deref() == Some(b"h2"),
            chain: client::shown(&stream),
            version: client::version(&stream),
            flaw: flaw.map_or(0, |flaw| flaw.code),
            misnamed,
            stream,
        })
    }
}

/// Shows no certificate.
#[derive(Debug)]
struct Nothing;

impl rustls::client::ResolvesClientCert for Nothing {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Lets all pass, and remembers what was wrong.
#[derive(Debug)]
struct Recording {
    signatures: Signatures,
    /// `None`: nobody is trusted.
    inner: Option<Verifier>,
    found: Mutex<Option<Flaw>>,
}

impl Recording {
    fn flaw(&self) -> Option<Flaw> {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerCertVerifier for Recording {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        staple: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let flaw = match &self.inner {
            None => Some(verify::unknown(leaf, others)),
            Some(inner) => match inner.verify_server_cert(leaf, others, name, staple, now) {
                Ok(_) => None,
                Err(Error::InvalidCertificate(CertificateError::Other(other))) => {
                    other.0.downcast_ref::<Flaw>().copied().or(Some(verify::UNSPECIFIED))
                }
                Err(_) => Some(verify::UNSPECIFIED),
            },
        };
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = flaw;
        Ok(ServerCertVerified::assertion())
    }

    by_signatures!();
}
