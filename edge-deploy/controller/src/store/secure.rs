//! TLS to a PostgreSQL, by what its URL says, with the words of PostgreSQL's own programs:
//!
//! | `sslmode` | |
//! |---|---|
//! | `disable` | clear text |
//! | `prefer` | TLS if the server has it (the default) |
//! | `require` | TLS, with whomever; with `sslrootcert` as `verify-ca` |
//! | `verify-ca` | TLS with a server whose certificate is of a known authority |
//! | `verify-full` | that, and it is the certificate of this host |
//!
//! `sslrootcert` is a file of authorities (the system's without it), `sslcert` and `sslkey` are who we are.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pilotlight_core::query::pairs;
use postgres::Socket;
use postgres::config::{Config, SslMode};
use postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use crate::pem;

/// What is looked at in a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Nothing,
    Authority,
    Name,
}

/// What a URL says of TLS.
#[derive(Debug)]
pub(super) struct Secure {
    look: Look,
    roots: Option<PathBuf>,
    own: Option<(PathBuf, PathBuf)>,
}

/// What the client knows of a URL, and what it does not.
pub(super) fn parse(url: &str, folder: &Path) -> Result<(Config, Secure), String> {
    let (mut mode, mut roots, mut certificate, mut key) = (None, None, None, None);
    let (before, query) = match url.split_once('?') {
        Some((before, query)) if url.contains("://") => (before, query),
        _ => (url, ""),
    };
    let mut rest = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let Some((name, value)) = pairs(part.as_bytes()).next() else { continue };
        let value = String::from_utf8_lossy(&value).into_owned();
        let file = |value: String| Some(folder.join(value));
        match &*name {
            b"sslmode" => mode = Some(value),
            b"sslrootcert" => roots = (value != "system").then_some(value).and_then(file),
            b"sslcert" => certificate = file(value),
            b"sslkey" => key = file(value),
            _ => rest.push(part),
        }
    }
    let plain = match rest.is_empty() {
        true => before.to_owned(),
        false => format!("{before}?{}", rest.join("&")),
    };
    let mut config: Config = plain.parse().map_err(|error| format!("this URL: {error}"))?;
    let (mode, look) = match mode.as_deref() {
        None => (config.get_ssl_mode(), Look::Nothing),
        Some("disable") => (SslMode::Disable, Look::Nothing),
        Some("prefer" | "allow") => (SslMode::Prefer, Look::Nothing),
        Some("require") if roots.is_none() => (SslMode::Require, Look::Nothing),
        Some("require" | "verify-ca") => (SslMode::Require, Look::Authority),
        Some("verify-full") => (SslMode::Require, Look::Name),
        Some(other) => {
            return Err(format!(
                "sslmode={other} is none\nhint: disable, prefer, require, verify-ca or verify-full"
            ));
        }
    };
    config.ssl_mode(mode);
    let own = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err("sslcert and sslkey come together".into()),
    };
    Ok((config, Secure { look, roots, own }))
}

/// Makes connections secret.
#[derive(Clone)]
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    pub(super) fn new(secure: &Secure) -> Result<Tls, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let known = match secure.look {
            Look::Nothing => None,
            _ => {
                let builder = WebPkiServerVerifier::builder_with_provider(
                    Arc::new(
                        secure.roots.as_deref().map_or_else(|| Ok(system()), pem::authorities)?,
                    ),
                    Arc::clone(&provider),
                );
                Some(builder.build().map_err(|error| format!("sslrootcert: {error}"))?)
            }
        };
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Verifier { known, name: secure.look == Look::Name, algorithms };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match &secure.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let config = builder
                    .with_client_auth_cert(pem::certificates(certificate)?, pem::private(key)?);
                config.map_err(|error| format!("{}: {error}", certificate.display()))?
            }
        };
        Ok(Tls(Arc::new(config)))
    }
}

/// What this machine trusts; what rustls does not read of it is passed over.
fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Looks at as much of a certificate as it is told to. That the server has its key is always looked at.
#[derive(Debug)]
struct Verifier {
    known: Option<Arc<WebPkiServerVerifier>>,
    name: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        // The name is what is looked at last.
        match known.verify_server_cert(end, chain, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        end: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, end, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        end: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, end, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Stream;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Connect> {
        // A socket of this machine has no name, and no TLS.
        let name = ServerName::try_from(domain.to_owned()).ok();
        Ok(Connect(TlsConnector::from(Arc::clone(&self.0)), name))
    }
}

/// One connection's.
pub(super) struct Connect(TlsConnector, Option<ServerName<'static>>);

impl TlsConnect<Socket> for Connect {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let name = self.1.ok_or_else(|| io::Error::other("this host has no name"))?;
            Ok(Stream(self.0.connect(name, socket).await?))
        })
    }
}

/// A connection that is secret.
pub(super) struct Stream(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_what_is_looked_at() {
        let here = Path::new("/etc/fleet");
        let of = |url: &str| parse(url, here).unwrap();
        let (config, secure) = of("postgres://fleet@db:5433/f?application_name=a");
        assert_eq!((config.get_ssl_mode(), secure.look), (SslMode::Prefer, Look::Nothing));
        assert_eq!(config.get_application_name(), Some("a"));
        for (query, mode, look) in [
            ("sslmode=disable", SslMode::Disable, Look::Nothing),
            ("sslmode=require", SslMode::Require, Look::Nothing),
            ("sslmode=require&sslrootcert=ca.pem", SslMode::Require, Look::Authority),
            ("sslmode=verify-ca", SslMode::Require, Look::Authority),
            ("sslmode=verify-full&sslrootcert=system", SslMode::Require, Look::Name),
        ] {
            let (config, secure) = of(&format!("postgres://fleet:p%40s@db/f?{query}"));
            assert_eq!((config.get_ssl_mode(), secure.look), (mode, look), "{query}");
            assert_eq!(config.get_password(), Some(&b"p@s"[..]));
        }
        let (_, secure) = of("postgresql://db/f?sslrootcert=ca%2Epem&sslcert=a.pem&sslkey=%2Fk");
        assert_eq!(secure.roots.as_deref(), Some(Path::new("/etc/fleet/ca.pem")));
        assert_eq!(secure.own, Some((here.join("a.pem"), PathBuf::from("/k"))));
        for wrong in ["sslmode=verify", "sslcert=a.pem", "color=red"] {
            assert!(parse(&format!("postgres://db/f?{wrong}"), here).is_err(), "{wrong}");
        }
    }
}
