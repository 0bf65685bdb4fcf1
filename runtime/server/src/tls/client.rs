//! TLS that we ask for: towards upstreams.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pilotlight_config::Place;
use pilotlight_config::manifest::{UpstreamProtocol, UpstreamTls};
use pilotlight_filter::exchange::{Certificates, Identity, Link};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WantsClientCert, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, Error, RootCertStore};
use tokio_rustls::TlsConnector;

use super::verify::Verifier;
use super::{TlsProblem, identity, pem, provider};
use crate::stream::{Plain, Stream};
use crate::upstream::UpstreamError;

/// The system's issuers: read once, and only when some upstream needs them.
static NATIVE: OnceLock<Arc<RootCertStore>> = OnceLock::new();
/// Sessions kept for resumption by each configuration.
const SESSIONS: usize = 64;

/// Configurations of upstreams, made once for each different setting.
#[derive(Default)]
pub(crate) struct ClientTls {
    made: Mutex<Vec<(Key, Made)>>,
}

/// A configuration, and whom it trusts.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) config: Arc<ClientConfig>,
    /// The issuers, and the certificates of their file; none where any certificate will do.
    pub(super) trust: Option<(Arc<RootCertStore>, Vec<CertificateDer<'static>>)>,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    verify: bool,
    alpn: &'static [&'static [u8]],
}

impl ClientTls {
    /// The configuration for an upstream; called when a manifest is loaded.
    ///
    /// # Errors
    /// Files that can't be read or used. The place is the default one: the caller knows it.
    pub(crate) fn config(
        &self,
        tls: &UpstreamTls,
        protocol: UpstreamProtocol,
    ) -> Result<Arc<ClientConfig>, TlsProblem> {
        self.made(tls, protocol).map(|made| made.config)
    }

    pub(super) fn made(
        &self,
        tls: &UpstreamTls,
        protocol: UpstreamProtocol,
    ) -> Result<Made, TlsProblem> {
        let alpn: &[&[u8]] = match protocol {
            UpstreamProtocol::Auto => &[b"h2", b"http/1.1"],
            UpstreamProtocol::Http1 => &[b"http/1.1"],
            UpstreamProtocol::Http2 => &[b"h2"],
            UpstreamProtocol::Tcp => &[],
        };
        let key = Key {
            ca: tls.ca.clone(),
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            verify: tls.verify,
            alpn,
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = made.iter().find(|(known, _)| *known == key) {
            return Ok(known.clone());
        }
        let new = build(&key)?;
        made.push((key, new.clone()));
        Ok(new)
    }

    /// Does the handshake; gives the protocol that was agreed on. The caller bounds the time.
    pub(crate) async fn connect(
        config: Arc<ClientConfig>,
        server_name: &str,
        plain: Plain,
    ) -> Result<(Stream, Option<Vec<u8>>), UpstreamError> {
        let name = ServerName::try_from(server_name.to_owned()).map_err(|_| UpstreamError::Tls)?;
        let stream = TlsConnector::from(config).connect(name, plain).await.map_err(meaning)?;
        let alpn = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        Ok((Stream::TlsClient(Box::new(stream)), alpn))
    }
}

/// The certificates that the other end of a connection has shown.
pub(super) fn shown(stream: &Stream) -> Vec<Vec<u8>> {
    let Stream::TlsClient(stream) = stream else { return Vec::new() };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    chain.iter().map(|der| der.to_vec()).collect()
}

/// The number of the version that is spoken.
pub(super) fn version(stream: &Stream) -> Option<u16> {
    let Stream::TlsClient(stream) = stream else { return None };
    stream.get_ref().1.protocol_version().map(u16::from)
}

/// What filters may know of a connection to an endpoint.
#[cold]
pub(crate) fn link(stream: &Stream) -> Rc<Link> {
    let tls = match stream {
        Stream::TlsClient(stream) => Some(stream.get_ref()),
        _ => None,
    };
    let socket = match (stream, tls) {
        (Stream::Tcp(socket), _) | (_, Some((Plain::Tcp(socket), _))) => Some(socket),
        _ => None,
    };
    let leaf = tls.and_then(|(_, connection)| connection.peer_certificates()?.first());
    Rc::new(Link {
        local: socket.and_then(|socket| socket.local_addr().ok()),
        tls: tls.map(|(_, connection)| super::version(connection)),
        shown: leaf.map(|leaf| -> Box<dyn Certificates> { Box::new(Leaf(leaf.clone())) }),
    })
}

#[derive(Debug)]
struct Leaf(CertificateDer<'static>);

impl Certificates for Leaf {
    #[cold]
    fn identity(&self, _: Option<&str>) -> Option<Identity> {
        identity(std::slice::from_ref(&self.0))
    }
}

fn meaning(error: std::io::Error) -> UpstreamError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented) => {
            UpstreamError::Certificate
        }
        Some(_) => UpstreamError::Tls,
        None => UpstreamError::Closed { fresh: true },
    }
}

fn build(key: &Key) -> Result<Made, TlsProblem> {
    let place = Place::default();
    let problem = |message: String| TlsProblem::new(&place, message);
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(error.to_string()))?;
    let trust = match (key.verify, &key.ca) {
        (true, Some(path)) => {
            Some((Arc::new(pem::trust(path, &place)?.0), pem::chain(path, &place)?))
        }
        (true, None) => Some((native().map_err(problem)?, Vec::new())),
        (false, _) => None,
    };
    let verifier: Arc<dyn ServerCertVerifier> = match &trust {
        Some((roots, _)) => WebPkiServerVerifier::builder_with_provider(roots.clone(), provider)
            .build()
            .map_err(|error| problem(format!("the issuers can't be used: {error}")))?,
        // Who the server is does not matter, that it holds its key still does.
        None => Arc::new(Verifier::lax(&provider)),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = showing(builder, key.certificate.as_deref(), key.key.as_deref(), &place)?;
    config.alpn_protocols = key.alpn.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Made { config: Arc::new(config), trust })
}

/// With the certificate and the key of these files to show, or none.
pub(super) fn showing(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: Option<&Path>,
    key: Option<&Path>,
    place: &Place,
) -> Result<ClientConfig, TlsProblem> {
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return Ok(builder.with_no_client_auth()),
        _ => return Err(TlsProblem::new(place, "`certificate` and `key` belong together")),
    };
    let (chain, private) = (pem::chain(certificate, place)?, pem::key(key, place)?);
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        let text = format!("{} and its key can't be used: {error}", certificate.display());
        TlsProblem::new(place, text)
    })
}

pub(super) fn native() -> Result<Arc<RootCertStore>, String> {
    let roots = NATIVE.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // Stores hold odd certificates: what can't be parsed is left out.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err("this system has no trusted issuers; name some by `ca`".into());
    }
    Ok(roots.clone())
}
