//! Hashes, message authentication, ciphers, keys: what scripts' crypto stands on.
//!
//! Everything here is a function of its arguments; keys are strings to scripts, so nothing has to be
//! kept or given back. ring does what it can (SHA, RSA, ECDSA, Ed25519), small crates the older rest.

pub(crate) mod certificate;
pub(crate) mod cipher;
pub(crate) mod der;
pub(crate) mod derive;
pub(crate) mod gcm;
pub(crate) mod hash;
pub(crate) mod key;
pub(crate) mod mac;
pub(crate) mod ocsp;
pub(crate) mod pem;
pub(crate) mod sign;

#[cfg(test)]
mod tests;

/// Whether two texts are equal, in a time that depends on their length only.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}
