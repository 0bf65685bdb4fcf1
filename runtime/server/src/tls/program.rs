//! TLS that programs ask for over connections of their own.

mod session;

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use pilotlight_config::Place;
use pilotlight_filter::host::socket::{ClientIdentity, StartTls, TlsFailure, TlsFiles, TlsSession};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, Error, InvalidMessage, SupportedProtocolVersion,
    WantsVerifier, version,
};
use tokio_rustls::TlsConnector;

use self::session::Session;
use super::client::{native, showing};
use super::verify::{Flaw, Verifier};
use super::{TlsProblem, pem, provider};
use crate::stream::{Plain, Stream};

/// Configurations of programs' connections, made once for each different setting.
#[derive(Default)]
pub(crate) struct ProgramTls {
    made: Mutex<Vec<(Key, Arc<ClientConfig>)>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    files: TlsFiles,
    verify: bool,
    named: bool,
}

impl ProgramTls {
    /// Whether the files of a program can be used: read when its manifest is loaded.
    ///
    /// # Errors
    /// What is wrong with them. The place is the default one: the caller knows it.
    pub(crate) fn check(&self, files: &TlsFiles) -> Result<(), TlsProblem> {
        let verify = files.ca.is_some() || files.crl.is_some();
        self.config(&Key { files: files.clone(), verify, named: true }).map(drop)
    }

    fn config(&self, key: &Key) -> Result<Arc<ClientConfig>, TlsProblem> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = made.iter().find(|(known, _)| known == key) {
            return Ok(config.clone());
        }
        let config = Arc::new(build(key)?);
        made.push((key.clone(), config.clone()));
        Ok(config)
    }

    /// Does a handshake with the peer at `address`.
    pub(crate) async fn connect(
        &self,
        plain: Plain,
        address: Option<IpAddr>,
        tls: StartTls,
    ) -> Result<(Stream, TlsSession), TlsFailure> {
        // Without a name none is sent: an address stands for it.
        let named = tls.server_name.is_some();
        let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let name = tls.server_name.map_or(Ok(ServerName::IpAddress(address.into())), |name| {
            ServerName::try_from(name.trim_end_matches('.').to_owned())
        });
        let name = name.map_err(|_| failed("the server name is malformed"))?;
        let key = Key { files: tls.files, verify: tls.verify, named };
        let config = self.config(&key).map_err(|problem| failed(&problem.message))?;
        let mut config = ClientConfig::clone(&config);
        if let Some(client) = &tls.client {
            identify(&mut config, client)?;
        }
        let known = tls.session.as_ref().and_then(|session| session.downcast_ref::<Arc<Session>>());
        let session = known.cloned().unwrap_or_default();
        config.resumption = Resumption::store(session.clone());
        let connector = TlsConnector::from(Arc::new(config));
        let shown = name.to_str().into_owned();
        let stream = connector.connect(name, plain).await;
        let stream = stream.map_err(|error| failure(&error, &shown))?;
        Ok((Stream::TlsClient(Box::new(stream)), Rc::new(session)))
    }
}

/// Shows a certificate of the program's own.
fn identify(config: &mut ClientConfig, client: &ClientIdentity) -> Result<(), TlsFailure> {
    let chain = client.chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::try_from(client.key.clone()).map_err(failed)?;
    let key = provider().key_provider.load_private_key(key).map_err(|e| failed(&e.to_string()))?;
    let certified = rustls::sign::CertifiedKey::new(chain, key);
    let resolver = rustls::sign::SingleCertAndKey::from(certified);
    config.client_auth_cert_resolver = Arc::new(resolver);
    Ok(())
}

fn failed(why: &str) -> TlsFailure {
    let message = "handshake failed".to_owned();
    TlsFailure { code: 0, message, line: format!("SSL_do_handshake() failed (SSL: {why})") }
}

/// What a handshake that failed means to scripts and the log.
fn failure(error: &std::io::Error, name: &str) -> TlsFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let flaw = match inner {
        Some(Error::InvalidCertificate(CertificateError::Other(other))) => {
            other.0.downcast_ref::<Flaw>().copied()
        }
        _ => None,
    };
    let Some(Flaw { code, message }) = flaw else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                let line = "peer closed connection in SSL handshake".to_owned();
                TlsFailure { line, ..failed("") }
            }
            // OpenSSL's words for a peer that answers in plain text.
            _ if matches!(
                inner,
                Some(Error::InvalidMessage(InvalidMessage::InvalidContentType))
            ) =>
            {
                failed("wrong version number")
            }
            _ => failed(&error.to_string()),
        };
    };
    let line = match code {
        0 => format!("lua ssl certificate does not match host \"{name}\""),
        code => format!("lua ssl certificate verify error: ({code}: {message})"),
    };
    TlsFailure { code, message: message.to_owned(), line }
}

fn build(key: &Key) -> Result<ClientConfig, TlsProblem> {
    let place = Place::default();
    let problem = |message: String| TlsProblem::new(&place, message);
    let files = &key.files;
    let provider = Arc::new(with_suites(&provider(), files.ciphers.as_deref()));
    let verifier = match key.verify {
        true => strict(&provider, key, &place)?,
        false => Verifier::lax(&provider),
    };
    let builder = builder(provider, &files.protocols).map_err(|e| problem(e.to_string()))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    showing(builder, files.certificate.as_deref(), files.key.as_deref(), &place)
}

fn strict(
    provider: &Arc<CryptoProvider>,
    key: &Key,
    place: &Place,
) -> Result<Verifier, TlsProblem> {
    let problem = |message: String| TlsProblem::new(place, message);
    let (roots, own) = match &key.files.ca {
        Some(path) => (Arc::new(pem::trust(path, place)?.0), pem::chain(path, place)?),
        None => (native().map_err(problem)?, Vec::new()),
    };
    let crls: Vec<CertificateRevocationListDer<'static>> = match &key.files.crl {
        Some(path) => pem::revoked(path, place)?,
        None => Vec::new(),
    };
    let depth = key.files.depth;
    Verifier::strict(provider, roots, own, crls, depth, key.named).map_err(problem)
}

fn builder(
    provider: Arc<CryptoProvider>,
    protocols: &[String],
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    let all: [(&str, &SupportedProtocolVersion); 2] =
        [("TLSv1.3", &version::TLS13), ("TLSv1.2", &version::TLS12)];
    let may = |name: &str| protocols.is_empty() || protocols.iter().any(|known| known == name);
    let versions: Vec<_> = all.into_iter().filter(|(name, _)| may(name)).map(|(_, v)| v).collect();
    ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions)
}

/// Without the suites of TLS 1.2 that a list of names leaves out; a list without any of our names
/// (`HIGH:!aNULL`) leaves out none.
fn with_suites(provider: &CryptoProvider, ciphers: Option<&str>) -> CryptoProvider {
    let named = |suite: &rustls::SupportedCipherSuite| {
        let name = format!("{:?}", suite.suite());
        let name = name.trim_start_matches("TLS_").replace("_WITH_", "_").replace('_', "-");
        let name = name.replace("AES-256", "AES256").replace("AES-128", "AES128");
        let name = name.replace("POLY1305-SHA256", "POLY1305");
        ciphers.is_some_and(|list| list.split(':').any(|known| known == name))
    };
    let mut provider = provider.clone();
    if provider.cipher_suites.iter().any(named) {
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || named(suite));
    }
    provider
}

#[cfg(test)]
mod tests;
