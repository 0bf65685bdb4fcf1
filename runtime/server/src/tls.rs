//! TLS on both sides: certificates by server name, mutual TLS, tickets that outlive a reload.

mod apart;
mod asked;
mod certificate;
mod client;
mod pem;
mod program;
mod resolver;
mod sessions;
mod shown;
mod signatures;
mod staged;
pub(crate) mod tickets;
mod verify;

pub(crate) use apart::{Apart, Met};
pub(crate) use client::{ClientTls, link};
pub(crate) use program::ProgramTls;
pub(crate) use staged::{Steps, accept as accept_staged};

use std::io;
use std::sync::Arc;

use pilotlight_config::Place;
use pilotlight_config::manifest;
use pilotlight_filter::TlsInfo;
use pilotlight_filter::exchange::{Certificates, Identity};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::{CommonState, ProtocolVersion, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::stream::{Plain, Stream};
use certificate::Certificate;
use resolver::Resolver;

/// What is wrong with a certificate, a key or a trust file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsProblem {
    /// Where the manifest names the file; the default place when the caller knows better.
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl TlsProblem {
    fn new(place: &Place, message: impl Into<String>) -> TlsProblem {
        TlsProblem { place: place.clone(), message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> TlsProblem {
        TlsProblem { hint: Some(hint.into()), ..self }
    }
}

/// What a listener's handshakes are made of.
struct Parts {
    provider: Arc<CryptoProvider>,
    resolver: Arc<Resolver>,
    /// Whom clients must be known to.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Who those are: a digest.
    issuers: Option<[u8; 32]>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

/// A listener's side of TLS, one for all workers.
pub(crate) struct ServerTls {
    acceptor: TlsAcceptor,
    parts: Parts,
    quic: Option<Arc<QuicServerConfig>>,
    resolver: Arc<Resolver>,
    /// Not wrong, but worth a line in the log: expired certificates.
    pub(crate) warnings: Vec<TlsProblem>,
}

impl ServerTls {
    /// Reads certificates and keys; `http1`, `http2` and `http3` say what ALPN offers.
    ///
    /// # Errors
    /// Every file that can't be read or does not fit, each with its place.
    #[cold]
    pub(crate) fn load(
        settings: &manifest::ServerTls,
        http1: bool,
        http2: bool,
        http3: bool,
    ) -> Result<ServerTls, Vec<TlsProblem>> {
        let provider = provider();
        let (resolver, warnings) = Resolver::load(&settings.certificates, &provider)?;
        let resolver = Arc::new(resolver);
        let here = settings.certificates.first().map(|pair| pair.place.clone()).unwrap_or_default();
        if settings.early_data {
            let problem = TlsProblem::new(&here, "early data is not offered by this version");
            return Err(vec![problem.hint("take `early_data` away")]);
        }
        let trust = settings.client_ca.as_ref().map(|path| pem::trust(path, &here)).transpose();
        let trust = trust.map_err(|problem| vec![problem])?;
        let problem = |message: String| vec![TlsProblem::new(&here, message)];
        let verifier = trust.as_ref().map(|(roots, _)| verifier(roots, &provider)).transpose();
        let issuers = trust.as_ref().map(|(_, digest)| *digest);
        let tickets = |quic: bool| settings.tickets.then(|| tickets::shared(issuers, quic));
        let parts = Parts {
            provider,
            resolver: resolver.clone(),
            verifier: verifier.map_err(problem)?,
            issuers,
            tickets: tickets(false).transpose().map_err(problem)?,
        };
        let build = |alpn: &[&str], tickets: Option<Arc<dyn ProducesTickets>>, quic: bool| {
            config(&parts, tickets, alpn, quic).map_err(problem)
        };
        let offered = [("h2", http2), ("http/1.1", http1)];
        let alpn: Vec<&str> = offered.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        let tcp = build(&alpn, parts.tickets.clone(), false)?;
        let quic = http3.then(|| {
            let tickets = tickets(true).transpose().map_err(problem)?;
            build(&["h3"], tickets, true)
        });
        let quic = quic.transpose()?;
        // Fails only for a provider without the suite that QUIC begins with.
        let quic = quic.and_then(|config| QuicServerConfig::try_from(config).ok()).map(Arc::new);
        let acceptor = TlsAcceptor::from(Arc::new(tcp));
        Ok(ServerTls { acceptor, parts, quic, resolver, warnings })
    }

    /// TLS as QUIC carries it; `None` when HTTP/3 is off.
    pub(crate) fn quic(&self) -> Option<Arc<QuicServerConfig>> {
        self.quic.clone()
    }

    /// What clients are shown, where no filter shows them anything else.
    pub(crate) fn shown(&self) -> Arc<dyn Certificates> {
        self.resolver.clone()
    }

    /// Whether a request for `host` may come over a connection that asked for `server_name`
    /// (RFC 9110 section 7.4): the certificate shown must be good for it too. If not: 421.
    pub(crate) fn covers(&self, server_name: Option<&str>, host: &[u8]) -> bool {
        match (server_name, std::str::from_utf8(host)) {
            (None, _) => true,
            (Some(name), Ok(host)) => {
                name.eq_ignore_ascii_case(host) || self.resolver.covers(name, host)
            }
            (Some(_), Err(_)) => false,
        }
    }
}

/// Does a connection's handshake; the caller bounds how long it may take.
///
/// # Errors
/// Those of the socket, and alerts of either side as `InvalidData`.
pub(crate) async fn accept(tls: &ServerTls, plain: Plain) -> io::Result<(Stream, TlsInfo)> {
    let stream = tls.acceptor.accept(plain).await?;
    let connection = stream.get_ref().1;
    let info = tls_info(connection, connection.server_name(), tls.shown());
    Ok((Stream::TlsServer(Box::new(stream)), info))
}

/// What filters and the log may know of a connection.
pub(crate) fn tls_info(
    connection: &CommonState,
    server_name: Option<&str>,
    shown: Arc<dyn Certificates>,
) -> TlsInfo {
    TlsInfo {
        version: version(connection),
        server_name: server_name.map(Box::from),
        alpn: connection.alpn_protocol().map(text),
        client: client(connection.peer_certificates()),
        shown: Some(shown),
        ..TlsInfo::default()
    }
}

/// The same for a QUIC connection.
pub(crate) fn quic_info(
    connection: &quinn::Connection,
    shown: Option<Arc<dyn Certificates>>,
) -> TlsInfo {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let chain = connection.peer_identity();
    let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    TlsInfo {
        version: "1.3",
        server_name: data.as_ref().and_then(|d| d.server_name.as_deref()).map(Box::from),
        alpn: data.and_then(|d| d.protocol).as_deref().map(text),
        client: client(chain.as_ref().map(|chain| chain.as_slice())),
        shown,
        ..TlsInfo::default()
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

fn version(connection: &CommonState) -> &'static str {
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "1.3",
    }
}

fn client(chain: Option<&[CertificateDer<'_>]>) -> Option<Identity> {
    let chain = chain?;
    let client = identity(chain)?;
    Some(Identity { chain: chain.iter().map(|der| Box::from(der.as_ref())).collect(), ..client })
}

/// Whom a chain is for.
fn identity(chain: &[CertificateDer<'_>]) -> Option<Identity> {
    let der = chain.first()?;
    let read = Certificate::read(der).unwrap_or_default();
    Some(Identity {
        subject: read.subject.into(),
        san: read.san.into_iter().map(String::into_boxed_str).collect(),
        fingerprint: certificate::fingerprint(der).into(),
        chain: Vec::new(),
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config(
    parts: &Parts,
    tickets: Option<Arc<dyn ProducesTickets>>,
    alpn: &[&str],
    quic: bool,
) -> Result<ServerConfig, String> {
    let versions: &[_] = match quic {
        true => &[&rustls::version::TLS13],
        false => &[&rustls::version::TLS13, &rustls::version::TLS12],
    };
    let builder = ServerConfig::builder_with_provider(parts.provider.clone())
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    let builder = match &parts.verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(parts.resolver.clone());
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    // Tickets carry the state: nothing is stored for each client, any worker can resume.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = usize::from(tickets.is_some());
    if let Some(tickets) = tickets {
        config.ticketer = tickets;
    }
    config.max_early_data_size = 0;
    Ok(config)
}

fn verifier(
    roots: &RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone())
        .build()
        .map_err(|error| format!("client_ca can't be used: {error}"))
}

#[cfg(test)]
mod tests;
