//! Whether a program's peer is whom it should be, told in OpenSSL's words: scripts look for them.
//!
//! Certificates are checked as webpki does it, and where OpenSSL takes more, more is taken: a server's
//! own certificate among the trusted ones, and a name that stands in the subject only.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, OtherError, RootCertStore};

use super::certificate::{Certificate, Outline};
use super::signatures::{Signatures, by_signatures};

/// What is wrong with a certificate: OpenSSL's number and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Flaw {
    pub(super) code: u32,
    pub(super) message: &'static str,
}

impl Flaw {
    const fn new(code: u32, message: &'static str) -> Flaw {
        Flaw { code, message }
    }
}

pub(super) const UNSPECIFIED: Flaw = Flaw::new(1, "unspecified certificate verification error");
const NO_CRL: Flaw = Flaw::new(3, "unable to get certificate CRL");
const SIGNATURE: Flaw = Flaw::new(7, "certificate signature failure");
const NOT_YET: Flaw = Flaw::new(9, "certificate is not yet valid");
const EXPIRED: Flaw = Flaw::new(10, "certificate has expired");
const CRL_EXPIRED: Flaw = Flaw::new(12, "CRL has expired");
const SELF_SIGNED: Flaw = Flaw::new(18, "self-signed certificate");
const SELF_SIGNED_ISSUER: Flaw = Flaw::new(19, "self-signed certificate in certificate chain");
const NO_ISSUER: Flaw = Flaw::new(20, "unable to get local issuer certificate");
const UNKNOWN_FIRST: Flaw = Flaw::new(21, "unable to verify the first certificate");
pub(super) const TOO_LONG: Flaw = Flaw::new(22, "certificate chain too long");
const REVOKED: Flaw = Flaw::new(23, "certificate revoked");
const PURPOSE: Flaw = Flaw::new(26, "unsuitable certificate purpose");
/// Not a number of OpenSSL's: nginx says it itself.
const OTHER_NAME: Flaw = Flaw::new(0, "certificate host mismatch");

/// Who is trusted.
#[derive(Debug)]
struct Trust {
    chains: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
    /// The certificates of a file: a server may show one of them itself.
    own: Vec<CertificateDer<'static>>,
    depth: Option<u32>,
}

/// Checks servers.
#[derive(Debug)]
pub(super) struct Verifier {
    signatures: Signatures,
    /// `None`: anybody will do who holds the key of the certificate shown.
    trust: Option<Trust>,
    /// Whether the certificate must be for the name that is asked for.
    named: bool,
}

impl Verifier {
    /// Takes any certificate.
    pub(super) fn lax(provider: &CryptoProvider) -> Verifier {
        Verifier { signatures: Signatures::of(provider), trust: None, named: false }
    }

    /// Takes what `roots` vouch for, or one of `own`.
    ///
    /// # Errors
    /// When those can't be used.
    pub(super) fn strict(
        provider: &Arc<CryptoProvider>,
        roots: Arc<RootCertStore>,
        own: Vec<CertificateDer<'static>>,
        crls: Vec<CertificateRevocationListDer<'static>>,
        depth: Option<u32>,
        named: bool,
    ) -> Result<Verifier, String> {
        // With a list of what is revoked, whoever is trusted must not be on it: webpki sees to that.
        let own = if crls.is_empty() { own } else { Vec::new() };
        let chains = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
            .with_crls(crls)
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| format!("the issuers can't be used: {error}"))?;
        let trust = Some(Trust { chains, roots, own, depth });
        Ok(Verifier { signatures: Signatures::of(provider), trust, named })
    }
}

impl Trust {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        named: bool,
        now: UnixTime,
    ) -> Result<(), Flaw> {
        if self.own.iter().any(|own| own == leaf) {
            let outline = Outline::read(leaf).ok_or(UNSPECIFIED)?;
            let now = now.as_secs();
            return match () {
                () if now < outline.not_before => Err(NOT_YET),
                () if now > outline.not_after => Err(EXPIRED),
                () if named && !is_for(leaf, name) => Err(OTHER_NAME),
                () => Ok(()),
            };
        }
        if self.depth.is_some_and(|depth| self.between(leaf, others) > depth) {
            return Err(TOO_LONG);
        }
        match self.chains.verify_server_cert(leaf, others, name, &[], now) {
            Ok(_) => Ok(()),
            // The chain is good: names are looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => match !named || is_for(leaf, name) {
                true => Ok(()),
                false => Err(OTHER_NAME),
            },
            Err(Error::InvalidCertificate(error)) => Err(flaw(&error, leaf, others)),
            Err(_) => Err(UNSPECIFIED),
        }
    }

    /// Certificates between a server's and the first that is trusted, as far as they are shown.
    fn between(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> u32 {
        let all: Vec<_> = others.iter().filter_map(|der| Outline::read(der)).collect();
        let Some(mut here) = Outline::read(leaf) else { return 0 };
        let mut count = 0;
        // Each stands there once; a circle ends with the last.
        for _ in &all {
            if self.roots.roots.iter().any(|root| root.subject.as_ref() == here.issuer) {
                break;
            }
            match all.iter().find(|other| other.subject == here.issuer) {
                Some(next) if next.issuer != next.subject => here = *next,
                _ => break,
            }
            count += 1;
        }
        count
    }
}

/// Whether a certificate names a server. The subject counts where it has no other names.
fn is_for(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let Some(read) = Certificate::read(leaf) else { return false };
    match name {
        ServerName::DnsName(name) => {
            let own = read.common_name.filter(|_| read.san.is_empty());
            let mut names = read.dns.iter().chain(&own);
            names.any(|pattern| matches(pattern, name.as_ref()))
        }
        ServerName::IpAddress(address) => {
            let address = std::net::IpAddr::from(*address).to_string();
            read.san.contains(&address)
        }
        _ => false,
    }
}

/// Whether a name, which may begin with `*.`, covers another.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => name
            .split_once('.')
            .is_some_and(|(first, parent)| !first.is_empty() && parent.eq_ignore_ascii_case(rest)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

pub(super) fn flaw(
    error: &CertificateError,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Flaw {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => EXPIRED,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => NOT_YET,
        CertificateError::Revoked => REVOKED,
        CertificateError::UnknownRevocationStatus => NO_CRL,
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => CRL_EXPIRED,
        CertificateError::BadSignature => SIGNATURE,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            PURPOSE
        }
        _ => unknown(leaf, others),
    }
}

/// How OpenSSL calls it that nobody who is trusted vouches for a chain.
pub(super) fn unknown(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Flaw {
    let vouches_for_itself = |der: &CertificateDer<'_>| {
        Outline::read(der).is_some_and(|outline| outline.issuer == outline.subject)
    };
    match others.last() {
        None if vouches_for_itself(leaf) => SELF_SIGNED,
        None => UNKNOWN_FIRST,
        Some(last) if vouches_for_itself(last) => SELF_SIGNED_ISSUER,
        Some(_) => NO_ISSUER,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let checked = match &self.trust {
            Some(trust) => trust.check(leaf, others, name, self.named, now),
            None => Ok(()),
        };
        checked.map(|()| ServerCertVerified::assertion()).map_err(|flaw| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(flaw))))
        })
    }

    by_signatures!();
}

#[cfg(test)]
mod tests;
