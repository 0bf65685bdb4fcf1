//! Certificates and keys from files, whole or not at all.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a file.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(file).and_then(|items| items.collect());
    all.map_err(|error: Error| format!("{}: {error}", file.display()))
}

/// Authorities from a file.
pub fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(file)? {
        roots.add(authority).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(roots)
}

/// The private key of a file.
pub fn private(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| format!("{}: {error}", file.display()))
}
