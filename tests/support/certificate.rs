//! One authority for all tests of a process, and certificates that it signed.

use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A certificate with its key, as PEM.
pub struct Certificate {
    pub pem: String,
    pub key: String,
}

/// Names that a test's gateway answers to.
pub const NAMES: &[&str] =
    &["a.test", "b.test", "c.test", "localhost", "example.com", "*.example.com"];

fn authority() -> &'static CertifiedIssuer<'static, KeyPair> {
    static AUTHORITY: OnceLock<CertifiedIssuer<'static, KeyPair>> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Pilotlight test authority");
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    })
}

/// The authority's certificate, for clients that are not written in Rust.
pub fn authority_pem() -> String {
    authority().pem()
}

impl Certificate {
    /// For these names, or URIs.
    pub fn new(names: &[&str]) -> Certificate {
        let names = names.iter().map(|name| (*name).to_owned());
        let (uris, names): (Vec<_>, Vec<_>) = names.partition(|name| name.contains("://"));
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        let uris = uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let signed = params.signed_by(&key, authority()).unwrap();
        Certificate { pem: signed.pem(), key: key.serialize_pem() }
    }

    /// The one that most tests use.
    pub fn common() -> &'static Certificate {
        static COMMON: OnceLock<Certificate> = OnceLock::new();
        COMMON.get_or_init(|| Certificate::new(NAMES))
    }
}

/// The authority, for clients that are.
pub fn roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority().pem().as_bytes()).unwrap()).unwrap();
    roots
}

/// A client that trusts the authority and offers these protocols.
pub fn client(alpn: &[&[u8]]) -> rustls::ClientConfig {
    let roots = roots();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    config
}
