//! PEM files: certificates, keys and issuers, with errors that say what is in the file instead.

use std::path::Path;

use pilotlight_config::Place;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::{TlsProblem, certificate};

/// A file larger than this is no certificate.
const FILE_MAX: u64 = 4 << 20;

fn read(path: &Path, place: &Place) -> Result<Vec<u8>, TlsProblem> {
    let problem = |error: std::io::Error| {
        TlsProblem::new(place, format!("can't read {}: {error}", path.display()))
    };
    if std::fs::metadata(path).map_err(problem)?.len() > FILE_MAX {
        return Err(TlsProblem::new(place, format!("{} is larger than 4 MiB", path.display())));
    }
    std::fs::read(path).map_err(problem)
}

fn describe(path: &Path, place: &Place, bytes: &[u8], wanted: &str) -> TlsProblem {
    let problem = TlsProblem::new(place, format!("no {wanted} in {}", path.display()));
    let has = |label: &str| memchr::memmem::find(bytes, label.as_bytes()).is_some();
    match () {
        () if bytes.is_empty() => problem.hint("the file is empty"),
        () if has("-----BEGIN ENCRYPTED PRIVATE KEY") => {
            problem.hint("the key is encrypted; write it without a passphrase")
        }
        () if has("PRIVATE KEY-----") => problem.hint("the file holds a private key"),
        () if has("-----BEGIN CERTIFICATE-----") => problem.hint("the file holds a certificate"),
        () if has("-----BEGIN ") => problem.hint(format!("the PEM file holds no {wanted}")),
        () => problem.hint("the file is not PEM (`-----BEGIN ...`)"),
    }
}

/// The chain in a file, leaf first.
pub(super) fn chain(
    path: &Path,
    place: &Place,
) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let bytes = read(path, place)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(chain) if chain.is_empty() => Err(describe(path, place, &bytes, "certificate")),
        Ok(chain) => Ok(chain),
        Err(error) => {
            Err(TlsProblem::new(place, format!("{} is damaged: {error}", path.display())))
        }
    }
}

/// The first private key in a file.
pub(super) fn key(path: &Path, place: &Place) -> Result<PrivateKeyDer<'static>, TlsProblem> {
    let bytes = read(path, place)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| describe(path, place, &bytes, "private key"))
}

/// The lists of revoked certificates in a file.
pub(super) fn revoked(
    path: &Path,
    place: &Place,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsProblem> {
    let bytes = read(path, place)?;
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(lists) if lists.is_empty() => Err(describe(path, place, &bytes, "revocation list")),
        Ok(lists) => Ok(lists),
        Err(error) => {
            Err(TlsProblem::new(place, format!("{} is damaged: {error}", path.display())))
        }
    }
}

/// The issuers in a file, and a digest of who they are.
pub(super) fn trust(path: &Path, place: &Place) -> Result<(RootCertStore, [u8; 32]), TlsProblem> {
    let mut roots = RootCertStore::empty();
    let chain = chain(path, place)?;
    let mut all = Vec::new();
    for issuer in chain {
        all.extend_from_slice(&issuer);
        roots.add(issuer).map_err(|error| {
            let message = format!("a certificate in {} can't be trusted: {error}", path.display());
            TlsProblem::new(place, message)
        })?;
    }
    Ok((roots, certificate::digest(&all)))
}
