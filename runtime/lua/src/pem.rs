//! Certificates and private keys as text (RFC 7468), as far as a handshake needs them.

pub(crate) use pilotlight_filter::handshake::{CertificateChain as Chain, PrivateKey as Key};

use crate::base64;
use crate::crypto::der::{Reader, SEQUENCE};

/// The certificates of a text, in order.
///
/// # Errors
/// In OpenSSL's words when there is none.
pub(crate) fn chain(text: &[u8]) -> Result<Chain, &'static str> {
    const FAILED: &str = "PEM_read_bio_X509_AUX() failed";
    let chain: Vec<_> = blocks(text)
        .filter(|(label, _)| ["CERTIFICATE", "X509 CERTIFICATE"].contains(label))
        .map(|(_, der)| der.ok_or(FAILED))
        .collect::<Result<_, _>>()?;
    if chain.is_empty() { Err(FAILED) } else { Ok(Chain(chain)) }
}

/// Certificates behind each other.
///
/// # Errors
/// In OpenSSL's words when they are none.
pub(crate) fn chain_of_der(bytes: &[u8]) -> Result<Chain, &'static str> {
    let (mut rest, mut chain) = (Reader::new(bytes), Vec::new());
    while !rest.is_empty() {
        let one = rest.take(SEQUENCE).ok_or("d2i_X509_bio() failed")?;
        chain.push(one.whole.to_vec());
    }
    if chain.is_empty() { Err("d2i_X509_bio() failed") } else { Ok(Chain(chain)) }
}

/// The first private key of a text.
///
/// # Errors
/// In OpenSSL's words when there is none.
pub(crate) fn key(text: &[u8]) -> Result<Key, &'static str> {
    const LABELS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    let found = blocks(text).find(|(label, _)| LABELS.contains(label));
    let der = found.and_then(|(_, der)| der);
    der.map(Key::new).ok_or("PEM_read_bio_PrivateKey() failed")
}

/// The blocks of a text: label and bytes, `None` where those are damaged.
fn blocks(text: &[u8]) -> impl Iterator<Item = (&str, Option<Vec<u8>>)> {
    let mut rest = std::str::from_utf8(text).unwrap_or_default();
    std::iter::from_fn(move || {
        let (label, after) = rest.split_once("-----BEGIN ")?.1.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        rest = after;
        let plain: String = body.split_ascii_whitespace().collect();
        Some((label, base64::decode(plain.as_bytes(), base64::Reader::Strict, &|| false)))
    })
}

#[cfg(test)]
mod tests;
