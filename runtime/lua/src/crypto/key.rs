//! Keys of signatures: read from PEM and DER in the forms that tools write, or made of the numbers of
//! a JWK; written as SubjectPublicKeyInfo and PKCS #8.

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::certificate;
use super::der::{self, Reader, element};
use super::pem;

/// Kinds of keys that ring can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A key, as ring takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    /// RSA: `RSAPublicKey`; curves: the point.
    pub(crate) public: Vec<u8>,
    /// RSA: `RSAPrivateKey`; curves: the number.
    pub(crate) private: Option<Vec<u8>>,
}

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const RSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x2b\x81\x04\x00\x22";
const ED25519: &[u8] = b"\x2b\x65\x70";

const NO_KEY: &str = "not a key";
const ENCRYPTED: &str = "encrypted keys are not supported";
const UNKNOWN: &str = "only RSA, P-256, P-384 and Ed25519 keys are supported";
const NO_PUBLIC: &str = "the private key lacks its public part";

/// Why a key can't be used.
pub(crate) type Wrong = &'static str;

impl Kind {
    pub(crate) const ALL: [Kind; 4] = [Kind::Rsa, Kind::P256, Kind::P384, Kind::Ed25519];

    /// As scripts see it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Rsa => "RSA",
            Kind::P256 => "P-256",
            Kind::P384 => "P-384",
            Kind::Ed25519 => "Ed25519",
        }
    }

    pub(crate) fn named(name: &[u8]) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }

    /// Bytes of a coordinate.
    const fn width(self) -> usize {
        match self {
            Kind::P384 => 48,
            _ => 32,
        }
    }

    /// AlgorithmIdentifier.
    fn identifier(self) -> Vec<u8> {
        let oid = |id: &[u8]| element(der::OID, &[id]);
        let parts = match self {
            Kind::Rsa => [oid(RSA), element(der::NULL, &[])],
            Kind::P256 => [oid(EC), oid(P256)],
            Kind::P384 => [oid(EC), oid(P384)],
            Kind::Ed25519 => [oid(ED25519), Vec::new()],
        };
        element(der::SEQUENCE, &[&parts[0], &parts[1]])
    }

    /// Which kind an AlgorithmIdentifier means.
    fn of(mut identifier: Reader<'_>) -> Result<Kind, Wrong> {
        let algorithm = identifier.take(der::OID).ok_or(NO_KEY)?.body;
        match algorithm {
            RSA | RSA_PSS => Ok(Kind::Rsa),
            ED25519 => Ok(Kind::Ed25519),
            EC => Kind::on(identifier.take(der::OID).ok_or(UNKNOWN)?.body),
            _ => Err(UNKNOWN),
        }
    }

    fn on(curve: &[u8]) -> Result<Kind, Wrong> {
        match curve {
            P256 => Ok(Kind::P256),
            P384 => Ok(Kind::P384),
            _ => Err(UNKNOWN),
        }
    }
}

impl Key {
    /// Reads a key or the key of a certificate, PEM or DER; of a PEM text its first key.
    ///
    /// # Errors
    /// What is not a key, or one that can't be used.
    pub(crate) fn read(text: &[u8]) -> Result<Key, Wrong> {
        if !pem::is_pem(text) {
            return Key::read_der(text);
        }
        for (label, der) in pem::blocks(text) {
            match label {
                // What `openssl ecparam` writes before the key.
                b"EC PARAMETERS" => {}
                b"ENCRYPTED PRIVATE KEY" => return Err(ENCRYPTED),
                _ if der.is_empty() => return Err(ENCRYPTED),
                _ => return Key::read_der(&der),
            }
        }
        Err(NO_KEY)
    }

    /// The forms tell themselves apart by what stands first.
    fn read_der(text: &[u8]) -> Result<Key, Wrong> {
        let mut outer = Reader::new(text).sequence().ok_or(NO_KEY)?;
        let mut inner = outer;
        if let Some(version) = inner.number() {
            if let Some(identifier) = inner.sequence() {
                return Key::read_pkcs8(Kind::of(identifier)?, inner);
            }
            return match version {
                // Of two numbers the first is RSA's modulus.
                [] if inner.number().is_some() => Key::read_rsa(text),
                [1] if inner.take(der::OCTETS).is_some() => Key::read_sec1(None, outer),
                _ => Key::read_rsa_public(text),
            };
        }
        let mut first = inner.sequence().ok_or(NO_KEY)?;
        match first.take(der::OID) {
            Some(_) => Key::read_spki(outer),
            None => Key::read_spki(certificate::key(&mut outer).ok_or(NO_KEY)?),
        }
    }

    /// SubjectPublicKeyInfo, opened.
    pub(crate) fn read_spki(mut info: Reader<'_>) -> Result<Key, Wrong> {
        let kind = Kind::of(info.sequence().ok_or(NO_KEY)?)?;
        let public = info.bits().ok_or(NO_KEY)?;
        match kind {
            Kind::Rsa => Key::read_rsa_public(public),
            _ => Key::new(kind, public, None),
        }
    }

    /// PKCS #8 behind its version and algorithm.
    fn read_pkcs8(kind: Kind, mut rest: Reader<'_>) -> Result<Key, Wrong> {
        let private = rest.take(der::OCTETS).ok_or(NO_KEY)?.body;
        match kind {
            Kind::Rsa => Key::read_rsa(private),
            Kind::Ed25519 => {
                let seed = Reader::new(private).take(der::OCTETS).ok_or(NO_KEY)?;
                Key::of_seed(seed.body)
            }
            _ => Key::read_sec1(Some(kind), Reader::new(private).sequence().ok_or(NO_KEY)?),
        }
    }

    /// RFC 5915, opened. The curve is in it, or known from outside.
    fn read_sec1(kind: Option<Kind>, mut key: Reader<'_>) -> Result<Key, Wrong> {
        key.number().ok_or(NO_KEY)?;
        let private = key.take(der::OCTETS).ok_or(NO_KEY)?.body;
        let curve = key.take(0xa0).and_then(|e| e.open().take(der::OID));
        let kind = match (kind, curve) {
            (Some(kind), _) => kind,
            (None, curve) => Kind::on(curve.ok_or(UNKNOWN)?.body)?,
        };
        let public = key.take(0xa1).and_then(|e| e.open().bits()).ok_or(NO_PUBLIC)?;
        Key::new(kind, public, Some(private))
    }

    fn read_rsa_public(text: &[u8]) -> Result<Key, Wrong> {
        let mut numbers = Reader::new(text).sequence().ok_or(NO_KEY)?;
        let (n, e) = numbers.number().zip(numbers.number()).ok_or(NO_KEY)?;
        if !numbers.is_empty() || n.len() < 64 {
            return Err(NO_KEY);
        }
        Ok(Key { kind: Kind::Rsa, public: rsa_public(n, e), private: None })
    }

    fn read_rsa(text: &[u8]) -> Result<Key, Wrong> {
        let mut numbers = Reader::new(text).sequence().ok_or(NO_KEY)?;
        numbers.number().ok_or(NO_KEY)?;
        let (n, e) = numbers.number().zip(numbers.number()).ok_or(NO_KEY)?;
        Ok(Key { kind: Kind::Rsa, public: rsa_public(n, e), private: Some(text.to_vec()) })
    }

    /// A key on a curve; the private number may have lost leading zeros.
    fn new(kind: Kind, public: &[u8], private: Option<&[u8]>) -> Result<Key, Wrong> {
        let width = kind.width();
        let is_right = match kind {
            Kind::Ed25519 => public.len() == width,
            _ => public.len() == 1 + 2 * width && public[0] == 4,
        };
        let private = private.map(|number| pad(number, width).ok_or(NO_KEY)).transpose()?;
        if is_right { Ok(Key { kind, public: public.to_vec(), private }) } else { Err(NO_KEY) }
    }

    fn of_seed(seed: &[u8]) -> Result<Key, Wrong> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NO_KEY)?;
        Key::new(Kind::Ed25519, pair.public_key().as_ref(), Some(seed))
    }

    /// Of the numbers of a JWK (RFC 7518 section 6, RFC 8037), those that are there: RSA's `n`, `e`,
    /// `d`, `p`, `q`, `dp`, `dq`, `qi`; a curve's `x`, `y`, `d`.
    ///
    /// # Errors
    /// When some are missing or of the wrong length.
    pub(crate) fn of_numbers(kind: Kind, numbers: &[Option<&[u8]>]) -> Result<Key, Wrong> {
        let number = |at: usize| numbers.get(at).copied().flatten();
        match kind {
            Kind::Rsa => {
                let (n, e) = number(0).zip(number(1)).ok_or("\"n\" and \"e\" are needed")?;
                if der::trim(n).len() < 64 || der::trim(e).is_empty() {
                    return Err(NO_KEY);
                }
                let all: Option<Vec<&[u8]>> = (0..8).map(number).collect();
                let private = all.map(|all| {
                    let parts: Vec<Vec<u8>> =
                        std::iter::once(&[][..]).chain(all).map(der::integer).collect();
                    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                    element(der::SEQUENCE, &parts)
                });
                if number(2).is_some() && private.is_none() {
                    return Err("a private RSA key needs all of its numbers");
                }
                Ok(Key { kind, public: rsa_public(n, e), private })
            }
            Kind::Ed25519 => match (number(0), number(2)) {
                (_, Some(seed)) => Key::of_seed(seed),
                (Some(public), None) => Key::new(kind, public, None),
                (None, None) => Err("\"x\" or \"d\" is needed"),
            },
            Kind::P256 | Kind::P384 => {
                let (x, y) = number(0).zip(number(1)).ok_or("\"x\" and \"y\" are needed")?;
                let (x, y) = pad(x, kind.width()).zip(pad(y, kind.width())).ok_or(NO_KEY)?;
                Key::new(kind, &[&[4], &x[..], &y[..]].concat(), number(2))
            }
        }
    }

    /// The numbers that it consists of, as in `of_numbers`.
    pub(crate) fn numbers(&self) -> Vec<Vec<u8>> {
        match self.kind {
            Kind::Rsa => {
                let text = self.private.as_deref().unwrap_or(&self.public);
                let mut numbers = Reader::new(text).sequence();
                let next = || Some(numbers.as_mut()?.number()?.to_vec());
                std::iter::from_fn(next).skip(usize::from(self.private.is_some())).collect()
            }
            Kind::Ed25519 => vec![self.public.clone(), Vec::new()],
            _ => self.public[1..].chunks(self.kind.width()).map(<[u8]>::to_vec).collect(),
        }
    }

    /// SubjectPublicKeyInfo (RFC 5280).
    pub(crate) fn spki(&self) -> Vec<u8> {
        element(der::SEQUENCE, &[&self.kind.identifier(), &der::bits(&self.public)])
    }

    /// PKCS #8 (RFC 5958), for what is private.
    pub(crate) fn pkcs8(&self) -> Option<Vec<u8>> {
        let private = self.private.as_deref()?;
        let inner = match self.kind {
            Kind::Rsa => private.to_vec(),
            Kind::Ed25519 => element(der::OCTETS, &[private]),
            Kind::P256 | Kind::P384 => {
                let octets = element(der::OCTETS, &[private]);
                let public = element(0xa1, &[&der::bits(&self.public)]);
                element(der::SEQUENCE, &[&der::integer(&[1]), &octets, &public])
            }
        };
        let octets = element(der::OCTETS, &[&inner]);
        let version = der::integer(&[]);
        Some(element(der::SEQUENCE, &[&version, &self.kind.identifier(), &octets]))
    }
}

fn rsa_public(n: &[u8], e: &[u8]) -> Vec<u8> {
    element(der::SEQUENCE, &[&der::integer(n), &der::integer(e)])
}

/// A number of `width` bytes; `None` when it is larger.
pub(crate) fn pad(number: &[u8], width: usize) -> Option<Vec<u8>> {
    let number = der::trim(number);
    let zeros = width.checked_sub(number.len())?;
    Some([&vec![0; zeros][..], number].concat())
}
