//! Signatures, made and checked by ring.

use ring::signature::{
    self as by_ring, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::der::{self, Reader, element};
use super::hash::Hash;
use super::key::{Key, Kind, Wrong, pad};

/// How RSA fills up a digest. Curves know one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// PKCS #1 version 1.5.
    Plain,
    /// The same, also with 1024 bits or SHA-1, as old libraries expect it.
    Legacy,
    /// PSS, its salt as long as the digest.
    Pss,
}

/// An algorithm of JOSE.
struct Method {
    name: &'static str,
    kind: Kind,
    scheme: Scheme,
    hash: Option<Hash>,
}

const fn method(name: &'static str, kind: Kind, scheme: Scheme, hash: Option<Hash>) -> Method {
    Method { name, kind, scheme, hash }
}

/// The asymmetric ones of RFC 7518 and RFC 8037. (P-521 and Ed448 ring does not have.)
const METHODS: &[Method] = &[
    method("RS256", Kind::Rsa, Scheme::Plain, Some(Hash::Sha256)),
    method("RS384", Kind::Rsa, Scheme::Plain, Some(Hash::Sha384)),
    method("RS512", Kind::Rsa, Scheme::Plain, Some(Hash::Sha512)),
    method("PS256", Kind::Rsa, Scheme::Pss, Some(Hash::Sha256)),
    method("PS384", Kind::Rsa, Scheme::Pss, Some(Hash::Sha384)),
    method("PS512", Kind::Rsa, Scheme::Pss, Some(Hash::Sha512)),
    method("ES256", Kind::P256, Scheme::Plain, Some(Hash::Sha256)),
    method("ES384", Kind::P384, Scheme::Plain, Some(Hash::Sha384)),
    method("EdDSA", Kind::Ed25519, Scheme::Plain, None),
];

const UNSUPPORTED: &str = "this digest is not supported with this kind of key";
const NO_PRIVATE: &str = "a private key is needed";
const BAD_PRIVATE: &str = "the private key can't be used";

fn verifier(
    kind: Kind,
    scheme: Scheme,
    hash: Option<Hash>,
) -> Option<&'static dyn VerificationAlgorithm> {
    use Scheme::{Legacy, Plain, Pss};
    Some(match (kind, scheme, hash) {
        (Kind::Rsa, Plain, Some(Hash::Sha256)) => &by_ring::RSA_PKCS1_2048_8192_SHA256,
        (Kind::Rsa, Plain | Legacy, Some(Hash::Sha384)) => &by_ring::RSA_PKCS1_2048_8192_SHA384,
        (Kind::Rsa, Plain, Some(Hash::Sha512)) => &by_ring::RSA_PKCS1_2048_8192_SHA512,
        (Kind::Rsa, Legacy, Some(Hash::Sha1)) => {
            &by_ring::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        (Kind::Rsa, Legacy, Some(Hash::Sha256)) => {
            &by_ring::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        }
        (Kind::Rsa, Legacy, Some(Hash::Sha512)) => {
            &by_ring::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        }
        (Kind::Rsa, Pss, Some(Hash::Sha256)) => &by_ring::RSA_PSS_2048_8192_SHA256,
        (Kind::Rsa, Pss, Some(Hash::Sha384)) => &by_ring::RSA_PSS_2048_8192_SHA384,
        (Kind::Rsa, Pss, Some(Hash::Sha512)) => &by_ring::RSA_PSS_2048_8192_SHA512,
        (Kind::P256, _, Some(Hash::Sha256)) => &by_ring::ECDSA_P256_SHA256_ASN1,
        (Kind::P256, _, Some(Hash::Sha384)) => &by_ring::ECDSA_P256_SHA384_ASN1,
        (Kind::P384, _, Some(Hash::Sha256)) => &by_ring::ECDSA_P384_SHA256_ASN1,
        (Kind::P384, _, Some(Hash::Sha384)) => &by_ring::ECDSA_P384_SHA384_ASN1,
        (Kind::Ed25519, _, _) => &by_ring::ED25519,
        _ => return None,
    })
}

/// Whether a signature is right; ECDSA's is DER.
///
/// # Errors
/// A digest that is not supported with this kind of key.
pub(crate) fn verify(
    scheme: Scheme,
    hash: Option<Hash>,
    key: &Key,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Wrong> {
    let algorithm = verifier(key.kind, scheme, hash).ok_or(UNSUPPORTED)?;
    Ok(UnparsedPublicKey::new(algorithm, &key.public).verify(message, signature).is_ok())
}

/// A signature; ECDSA's is DER.
///
/// # Errors
/// A key that is not private or not sound, a digest that is not supported with it.
pub(crate) fn sign(
    scheme: Scheme,
    hash: Option<Hash>,
    key: &Key,
    message: &[u8],
) -> Result<Vec<u8>, Wrong> {
    let private = key.private.as_deref().ok_or(NO_PRIVATE)?;
    // ring takes randomness of its own kind only: the kernel's.
    let random = ring::rand::SystemRandom::new();
    match key.kind {
        Kind::Rsa => {
            let padding: &dyn by_ring::RsaEncoding = match (scheme, hash) {
                (Scheme::Pss, Some(Hash::Sha256)) => &by_ring::RSA_PSS_SHA256,
                (Scheme::Pss, Some(Hash::Sha384)) => &by_ring::RSA_PSS_SHA384,
                (Scheme::Pss, Some(Hash::Sha512)) => &by_ring::RSA_PSS_SHA512,
                (_, Some(Hash::Sha256)) => &by_ring::RSA_PKCS1_SHA256,
                (_, Some(Hash::Sha384)) => &by_ring::RSA_PKCS1_SHA384,
                (_, Some(Hash::Sha512)) => &by_ring::RSA_PKCS1_SHA512,
                _ => return Err(UNSUPPORTED),
            };
            let pair = RsaKeyPair::from_der(private).map_err(|_| BAD_PRIVATE)?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(padding, &random, message, &mut signature).map_err(|_| BAD_PRIVATE)?;
            Ok(signature)
        }
        Kind::P256 | Kind::P384 => {
            let algorithm = match (key.kind, hash) {
                (Kind::P256, Some(Hash::Sha256)) => &by_ring::ECDSA_P256_SHA256_ASN1_SIGNING,
                (Kind::P384, Some(Hash::Sha384)) => &by_ring::ECDSA_P384_SHA384_ASN1_SIGNING,
                _ => return Err(UNSUPPORTED),
            };
            let (public, random) = (&key.public, &random);
            let pair =
                EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, random);
            let signature = pair.map_err(|_| BAD_PRIVATE)?.sign(random, message);
            signature.map(|signature| signature.as_ref().to_vec()).map_err(|_| BAD_PRIVATE)
        }
        Kind::Ed25519 => {
            let pair = Ed25519KeyPair::from_seed_and_public_key(private, &key.public);
            Ok(pair.map_err(|_| BAD_PRIVATE)?.sign(message).as_ref().to_vec())
        }
    }
}

/// The method of a name, if the key is of its kind.
fn method_for<'a>(name: &[u8], key: Option<&'a Key>) -> Result<(&'static Method, &'a Key), Wrong> {
    let method = METHODS.iter().find(|method| method.name.as_bytes() == name);
    let method = method.ok_or("an unknown algorithm")?;
    let key = key.filter(|key| method.kind == key.kind);
    Ok((method, key.ok_or("the key is of another kind than the algorithm")?))
}

/// Whether a JWS has this signature.
///
/// # Errors
/// An unknown algorithm, or a key that is not for it.
pub(crate) fn jws_verify(
    name: &[u8],
    key: Option<&Key>,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Wrong> {
    let (method, key) = method_for(name, key)?;
    let der = match width(key.kind) {
        Some(_) => to_der(key.kind, signature),
        None => Some(signature.to_vec()),
    };
    der.map_or(Ok(false), |der| verify(method.scheme, method.hash, key, message, &der))
}

/// The signature of a JWS.
///
/// # Errors
/// An unknown algorithm, or a key that can't sign with it.
pub(crate) fn jws_sign(name: &[u8], key: Option<&Key>, message: &[u8]) -> Result<Vec<u8>, Wrong> {
    let (method, key) = method_for(name, key)?;
    let signature = sign(method.scheme, method.hash, key, message)?;
    match width(key.kind) {
        Some(_) => to_raw(key.kind, &signature).ok_or(BAD_PRIVATE),
        None => Ok(signature),
    }
}

/// ECDSA's two numbers side by side, as JOSE has them, as DER.
pub(crate) fn to_der(kind: Kind, raw: &[u8]) -> Option<Vec<u8>> {
    let width = width(kind)?;
    let (r, s) = raw.split_at_checked(width).filter(|(_, s)| s.len() == width)?;
    Some(element(der::SEQUENCE, &[&der::integer(r), &der::integer(s)]))
}

/// The way back.
pub(crate) fn to_raw(kind: Kind, signature: &[u8]) -> Option<Vec<u8>> {
    let width = width(kind)?;
    let mut numbers = Reader::new(signature).sequence()?;
    let (r, s) = numbers.number().zip(numbers.number())?;
    Some([pad(r, width)?, pad(s, width)?].concat())
}

fn width(kind: Kind) -> Option<usize> {
    match kind {
        Kind::P256 => Some(32),
        Kind::P384 => Some(48),
        _ => None,
    }
}
