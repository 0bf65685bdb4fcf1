//! X.509 certificates (RFC 5280), read only: what is in them, not whether they are to be trusted.

use super::der::{self, Element, Reader};
use super::hash::Hash;
use super::key::{Key, Wrong};
use super::pem;
use super::sign::{self, Scheme};
use crate::calendar;

/// A certificate.
pub(crate) struct Certificate<'a> {
    pub(crate) version: u8,
    pub(crate) serial: &'a [u8],
    /// The same with its leading zeros.
    pub(crate) serial_der: &'a [u8],
    pub(crate) issuer: Vec<Attribute<'a>>,
    pub(crate) subject: Vec<Attribute<'a>>,
    /// The names as they stand there.
    pub(crate) issuer_der: &'a [u8],
    pub(crate) subject_der: &'a [u8],
    /// Seconds since 1970.
    pub(crate) not_before: f64,
    pub(crate) not_after: f64,
    /// SubjectPublicKeyInfo, opened, and all of it.
    pub(crate) key: Reader<'a>,
    pub(crate) key_info: &'a [u8],
    pub(crate) extensions: Vec<Extension<'a>>,
    /// The signature: its algorithm, its bytes, and what it is of.
    pub(crate) algorithm: &'a [u8],
    signature: &'a [u8],
    signed: &'a [u8],
}

/// A part of a name: the object identifier in dots, and its value.
pub(crate) struct Attribute<'a> {
    pub(crate) id: String,
    pub(crate) value: &'a [u8],
}

pub(crate) struct Extension<'a> {
    pub(crate) id: String,
    pub(crate) is_critical: bool,
    pub(crate) value: &'a [u8],
}

/// The DER of a certificate's text: the first in a PEM text.
pub(crate) fn der(text: &[u8]) -> Option<Vec<u8>> {
    if !pem::is_pem(text) {
        return Some(text.to_vec());
    }
    let labels: [&[u8]; 3] = [b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"];
    pem::blocks(text).find(|(label, _)| labels.contains(label)).map(|(_, der)| der)
}

/// The key of a certificate that was opened.
pub(super) fn key<'a>(outer: &mut Reader<'a>) -> Option<Reader<'a>> {
    Some(read_opened(outer)?.key)
}

impl<'a> Certificate<'a> {
    /// Reads the DER of a certificate.
    pub(crate) fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        read_opened(&mut Reader::new(der).sequence()?)
    }

    /// Whether the key has signed it.
    ///
    /// # Errors
    /// When it is signed in a way that is not known.
    pub(crate) fn is_signed_by(&self, key: &Key) -> Result<bool, Wrong> {
        is_signed(self.algorithm, key, self.signed, self.signature)
    }

    /// The bits of its key, as hashes of keys are made of.
    pub(crate) fn key_bits(&self) -> Option<&'a [u8]> {
        let mut key = self.key;
        key.sequence()?;
        key.bits()
    }

    /// The name of its kind of signature, as OpenSSL has it, and of the digest in it.
    pub(crate) fn signature(&self) -> Option<(&'static str, Hash)> {
        let known = SIGNATURES.iter().find(|(id, ..)| *id == self.algorithm)?;
        Some((known.3, known.2))
    }
}

/// Whether the key has signed something, in the way that an algorithm's identifier says.
///
/// # Errors
/// When that is not known.
pub(crate) fn is_signed(
    algorithm: &[u8],
    key: &Key,
    signed: &[u8],
    signature: &[u8],
) -> Result<bool, Wrong> {
    let known = SIGNATURES.iter().find(|(id, ..)| *id == algorithm);
    let (_, scheme, hash, _) = known.ok_or("an unknown kind of signature")?;
    sign::verify(*scheme, Some(*hash), key, signed, signature)
}

const SIGNATURES: &[(&[u8], Scheme, Hash, &str)] = &[
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", Scheme::Legacy, Hash::Sha1, "RSA-SHA1"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", Scheme::Legacy, Hash::Sha256, "RSA-SHA256"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", Scheme::Legacy, Hash::Sha384, "RSA-SHA384"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", Scheme::Legacy, Hash::Sha512, "RSA-SHA512"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", Scheme::Plain, Hash::Sha256, "ecdsa-with-SHA256"),
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", Scheme::Plain, Hash::Sha384, "ecdsa-with-SHA384"),
    (b"\x2b\x65\x70", Scheme::Plain, Hash::Sha512, "ED25519"),
];

fn read_opened<'a>(outer: &mut Reader<'a>) -> Option<Certificate<'a>> {
    let signed = outer.take(der::SEQUENCE)?;
    let algorithm = outer.sequence()?.take(der::OID)?.body;
    let signature = outer.bits()?;
    let mut body = signed.open();
    let version = match body.take(0xa0) {
        Some(version) => *version.open().number()?.first().unwrap_or(&0),
        None => 0,
    };
    let serial = body.take(der::INTEGER)?.body;
    body.sequence()?;
    let issuer_der = body.take(der::SEQUENCE)?;
    let issuer = name(issuer_der.open())?;
    let mut validity = body.sequence()?;
    let (not_before, not_after) = time(validity.next()?).zip(time(validity.next()?))?;
    let subject_der = body.take(der::SEQUENCE)?;
    let subject = name(subject_der.open())?;
    let info = body.take(der::SEQUENCE)?;
    // Unique identifiers of version 2 stand before them.
    let mut extensions = Vec::new();
    while let Some(element) = body.next() {
        if element.tag == 0xa3 {
            extensions = read_extensions(element.open().sequence()?)?;
        }
    }
    Some(Certificate {
        version: version + 1,
        serial: der::trim(serial),
        serial_der: serial,
        issuer,
        subject,
        issuer_der: issuer_der.whole,
        subject_der: subject_der.whole,
        not_before,
        not_after,
        key: info.open(),
        key_info: info.whole,
        extensions,
        algorithm,
        signature,
        signed: signed.whole,
    })
}

fn read_extensions(mut list: Reader<'_>) -> Option<Vec<Extension<'_>>> {
    let mut extensions = Vec::new();
    while let Some(mut extension) = list.sequence() {
        let id = dotted(extension.take(der::OID)?.body);
        let is_critical = extension.take(0x01).is_some_and(|flag| flag.body != [0]);
        let value = extension.take(der::OCTETS)?.body;
        extensions.push(Extension { id, is_critical, value });
    }
    Some(extensions)
}

/// A name's attributes, in order.
fn name(mut parts: Reader<'_>) -> Option<Vec<Attribute<'_>>> {
    let mut attributes = Vec::new();
    while let Some(part) = parts.take(der::SET) {
        let mut pairs = part.open();
        while let Some(mut pair) = pairs.sequence() {
            let id = dotted(pair.take(der::OID)?.body);
            attributes.push(Attribute { id, value: pair.next()?.body });
        }
    }
    Some(attributes)
}

/// UTCTime or GeneralizedTime, in seconds.
pub(super) fn time(element: Element<'_>) -> Option<f64> {
    let text = element.body.strip_suffix(b"Z")?;
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |at: usize, len: usize| -> Option<i64> {
        Some(text.get(at..at + len)?.iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0')))
    };
    let (year, at) = match element.tag {
        // Two digits mean 1950 to 2049.
        0x17 => (number(0, 2).map(|year| if year < 50 { 2000 + year } else { 1900 + year })?, 2),
        0x18 => (number(0, 4)?, 4),
        _ => return None,
    };
    let clock = (number(at + 4, 2)?, number(at + 6, 2)?, number(at + 8, 2)?);
    calendar::seconds((year, number(at, 2)?, number(at + 2, 2)?), clock)
}

/// The names of a SubjectAltName: which kind, and the value as text.
pub(crate) fn alternative_names(value: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut names = Vec::new();
    let Some(mut list) = Reader::new(value).sequence() else { return names };
    while let Some(name) = list.next() {
        let address = |bytes: &[u8]| -> Option<std::net::IpAddr> {
            let four = <[u8; 4]>::try_from(bytes).map(Into::into);
            four.or_else(|_| <[u8; 16]>::try_from(bytes).map(Into::into)).ok()
        };
        match name.tag {
            0x81 => names.push(("email", name.body.to_vec())),
            0x82 => names.push(("DNS", name.body.to_vec())),
            0x86 => names.push(("URI", name.body.to_vec())),
            0x87 => names.extend(address(name.body).map(|ip| ("IP", ip.to_string().into_bytes()))),
            _ => {}
        }
    }
    names
}

/// An object identifier in dots.
fn dotted(body: &[u8]) -> String {
    let mut out = String::new();
    let mut number: u64 = 0;
    for byte in body {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if out.is_empty() {
            // The first two share a number.
            let first = (number / 40).min(2);
            out = format!("{first}.{}", number - first * 40);
        } else {
            out.push_str(&format!(".{number}"));
        }
        number = 0;
    }
    out
}
