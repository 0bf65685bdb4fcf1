//! `sign` and `verify_signature`: RSA (PKCS #1 version 1.5) and ECDSA with the keys and digests that ring has.

use ring::rand::SystemRandom;
use ring::signature::{self as by_ring, EcdsaKeyPair, RsaKeyPair, UnparsedPublicKey};

use super::message::{put, text};
use crate::proxy_wasm::abi::Status;

#[derive(Clone, Copy)]
enum Kind {
    Rsa,
    P256,
    P384,
}

const UNSUPPORTED: &str = "this digest is not supported with this kind of key";
const BAD_KEY: &str = "the key can't be used";

/// `VerifySignatureArguments` to `VerifySignatureResult`.
pub(super) fn verify(message: &[u8]) -> Result<Vec<u8>, Status> {
    let der = key(message, 2, 5)?;
    let (kind, public) = public(&der).ok_or(Status::BadArgument)?;
    let field = |number| text(message, number).unwrap_or_default();
    let algorithm: Option<&dyn by_ring::VerificationAlgorithm> = match (kind, &*digest(message)) {
        (Kind::Rsa, b"sha1") => Some(&by_ring::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
        (Kind::Rsa, b"sha256") => Some(&by_ring::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
        (Kind::Rsa, b"sha384") => Some(&by_ring::RSA_PKCS1_2048_8192_SHA384),
        (Kind::Rsa, b"sha512") => Some(&by_ring::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
        (Kind::P256, b"sha256") => Some(&by_ring::ECDSA_P256_SHA256_ASN1),
        (Kind::P256, b"sha384") => Some(&by_ring::ECDSA_P256_SHA384_ASN1),
        (Kind::P384, b"sha256") => Some(&by_ring::ECDSA_P384_SHA256_ASN1),
        (Kind::P384, b"sha384") => Some(&by_ring::ECDSA_P384_SHA384_ASN1),
        _ => None,
    };
    let verified = algorithm.ok_or(UNSUPPORTED).and_then(|algorithm| {
        let key = UnparsedPublicKey::new(algorithm, public);
        key.verify(field(4), field(3)).map_err(|_| "the signature is not of this text and key")
    });
    Ok(answer(verified.map(|()| Vec::new()), 2))
}

/// `SignArguments` to `SignResult`.
pub(super) fn sign(message: &[u8]) -> Result<Vec<u8>, Status> {
    let der = key(message, 2, 4)?;
    let kind = private(&der).ok_or(Status::BadArgument)?;
    let (digest, plain) = (digest(message), text(message, 3).unwrap_or_default());
    // ring takes randomness of its own kind only: the kernel's.
    let random = SystemRandom::new();
    let signed = match kind {
        Kind::Rsa => by_rsa(&der, &digest, plain, &random),
        Kind::P256 | Kind::P384 => by_curve(kind, &der, &digest, plain, &random),
    };
    Ok(answer(signed, 3))
}

type Signed = Result<Vec<u8>, &'static str>;

fn by_rsa(der: &[u8], digest: &[u8], plain: &[u8], random: &SystemRandom) -> Signed {
    let padding: &dyn by_ring::RsaEncoding = match digest {
        b"sha256" => &by_ring::RSA_PKCS1_SHA256,
        b"sha384" => &by_ring::RSA_PKCS1_SHA384,
        b"sha512" => &by_ring::RSA_PKCS1_SHA512,
        _ => return Err(UNSUPPORTED),
    };
    let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| BAD_KEY)?;
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(padding, random, plain, &mut signature).map_err(|_| BAD_KEY)?;
    Ok(signature)
}

fn by_curve(kind: Kind, der: &[u8], digest: &[u8], plain: &[u8], random: &SystemRandom) -> Signed {
    let algorithm = match (kind, digest) {
        (Kind::P256, b"sha256") => &by_ring::ECDSA_P256_SHA256_ASN1_SIGNING,
        (Kind::P384, b"sha384") => &by_ring::ECDSA_P384_SHA384_ASN1_SIGNING,
        _ => return Err(UNSUPPORTED),
    };
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der, random).map_err(|_| BAD_KEY)?;
    Ok(pair.sign(random, plain).map_err(|_| BAD_KEY)?.as_ref().to_vec())
}

/// Both results begin with whether it went well; a signature is in 2, what went wrong in `error`.
fn answer(result: Signed, error: u8) -> Vec<u8> {
    let mut message = Vec::new();
    match result {
        Ok(signature) => {
            message.extend([1 << 3, 1]);
            if !signature.is_empty() {
                put(&mut message, 2, &signature);
            }
        }
        Err(why) => put(&mut message, error, why.as_bytes()),
    }
    message
}

fn digest(message: &[u8]) -> Vec<u8> {
    text(message, 1).unwrap_or_default().to_ascii_lowercase()
}

/// The key, in DER: it is given so, or as PEM.
fn key(message: &[u8], der: u64, pem: u64) -> Result<Vec<u8>, Status> {
    let given = |field| text(message, field).filter(|text| !text.is_empty());
    match (given(der), given(pem)) {
        (Some(der), None) => Ok(der.to_vec()),
        (None, Some(pem)) => unarmoured(pem).ok_or(Status::BadArgument),
        _ => Err(Status::BadArgument),
    }
}

/// The first block of a PEM text.
fn unarmoured(pem: &[u8]) -> Option<Vec<u8>> {
    let pem = std::str::from_utf8(pem).ok()?;
    let (_, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let (body, _) = rest.split_once("-----END ")?;
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in body.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(six), held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

const INTEGER: u8 = 2;
const BITS: u8 = 3;
const OBJECT: u8 = 6;
const SEQUENCE: u8 = 0x30;

/// SubjectPublicKeyInfo: its kind, and the key as ring wants it.
fn public(mut der: &[u8]) -> Option<(Kind, &[u8])> {
    let mut info = element(&mut der, SEQUENCE)?;
    let kind = kind(element(&mut info, SEQUENCE)?)?;
    Some((kind, element(&mut info, BITS)?.strip_prefix(&[0])?))
}

/// PKCS #8: its kind.
fn private(mut der: &[u8]) -> Option<Kind> {
    let mut info = element(&mut der, SEQUENCE)?;
    element(&mut info, INTEGER)?;
    kind(element(&mut info, SEQUENCE)?)
}

/// AlgorithmIdentifier.
fn kind(mut identifier: &[u8]) -> Option<Kind> {
    match element(&mut identifier, OBJECT)? {
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" => Some(Kind::Rsa),
        b"\x2a\x86\x48\xce\x3d\x02\x01" => match element(&mut identifier, OBJECT)? {
            b"\x2a\x86\x48\xce\x3d\x03\x01\x07" => Some(Kind::P256),
            b"\x2b\x81\x04\x00\x22" => Some(Kind::P384),
            _ => None,
        },
        _ => None,
    }
}

/// What is in the next element of DER, which is of this kind.
fn element<'a>(der: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&first, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (inner, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some(inner)
}

#[cfg(test)]
mod tests;
