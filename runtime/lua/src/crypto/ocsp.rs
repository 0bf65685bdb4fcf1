//! OCSP (RFC 6960): whom to ask about a certificate, what to ask, and what an answer is worth.

use super::certificate::{Certificate, is_signed, time};
use super::der::{self, Reader, element};
use super::hash::Hash;
use super::key::Key;

/// Why there is no answer, in OpenSSL's words or OpenResty's.
pub(crate) type Wrong = String;

const SHA1: &[u8] = b"\x2b\x0e\x03\x02\x1a";
const BASIC: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x01";
const OCSP: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01";
const SIGNING: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x03\x09";
const ACCESS: &str = "1.3.6.1.5.5.7.1.1";
const PURPOSES: &str = "2.5.29.37";

const ENUMERATED: u8 = 0x0a;
/// Seconds that clocks may differ by.
const SKEW: f64 = 300.0;

/// A certificate and who has issued it.
pub(crate) struct Pair<'a> {
    leaf: Certificate<'a>,
    issuer: Certificate<'a>,
}

impl<'a> Pair<'a> {
    /// The first two certificates of a chain, DER behind each other.
    ///
    /// # Errors
    /// When they are not that.
    pub(crate) fn read(chain: &'a [u8]) -> Result<Pair<'a>, Wrong> {
        let mut rest = Reader::new(chain);
        let mut next = || {
            let der = rest.next().ok_or("d2i_X509_bio() failed")?.whole;
            let read = Certificate::read(der).ok_or("d2i_X509_bio() failed")?;
            Ok::<_, &str>((read, rest.is_empty()))
        };
        let (leaf, alone) = next()?;
        if alone {
            return Err("no issuer certificate in chain".into());
        }
        let (issuer, _) = next()?;
        if leaf.issuer_der != issuer.subject_der {
            return Err("issuer certificate not next to leaf".into());
        }
        Ok(Pair { leaf, issuer })
    }

    /// The URL of whom to ask; `None` when the certificate names nobody.
    pub(crate) fn responder(&self) -> Option<&'a [u8]> {
        let access = self.leaf.extensions.iter().find(|extension| extension.id == ACCESS)?;
        let mut list = Reader::new(access.value).sequence()?;
        while let Some(mut description) = list.sequence() {
            let method = description.take(der::OID)?.body;
            let location = description.next()?;
            // A URI.
            if method == OCSP && location.tag == 0x86 {
                return Some(location.body);
            }
        }
        None
    }

    /// The hashes of the issuer, and the certificate's number: what a certificate is called.
    fn id(&self, hash: Hash) -> Option<[Vec<u8>; 3]> {
        let number = element(der::INTEGER, &[self.leaf.serial_der]);
        let digest = |bytes: &[u8]| hash.digest(bytes).to_vec();
        Some([digest(self.issuer.subject_der), digest(self.issuer.key_bits()?), number])
    }

    /// What to ask.
    pub(crate) fn request(&self) -> Option<Vec<u8>> {
        let [name, key, number] = self.id(Hash::Sha1)?;
        let algorithm = [element(der::OID, &[SHA1]), element(der::NULL, &[])].concat();
        let id = [
            element(der::SEQUENCE, &[&algorithm]),
            element(der::OCTETS, &[&name]),
            element(der::OCTETS, &[&key]),
            number,
        ];
        let mut wrapped = id.concat();
        // CertID, Request, requestList, TBSRequest, OCSPRequest.
        for _ in 0..5 {
            wrapped = element(der::SEQUENCE, &[&wrapped]);
        }
        Some(wrapped)
    }

    /// Whether an answer says that the certificate is good.
    ///
    /// # Errors
    /// What it says instead.
    pub(crate) fn check(&self, response: &[u8], now: f64) -> Result<(), Wrong> {
        let malformed = || "d2i_OCSP_RESPONSE() failed".to_owned();
        let mut outer = Reader::new(response).sequence().ok_or_else(malformed)?;
        let status = outer.take(ENUMERATED).ok_or_else(malformed)?.body;
        if status != [0] {
            return Err(refusal(status));
        }
        let basic = basic(outer).ok_or("OCSP_response_get1_basic() failed")?;
        let mut answer = Answer::read(basic).ok_or("OCSP_response_get1_basic() failed")?;
        if !self.vouches(&answer) {
            return Err("OCSP_basic_verify() failed".into());
        }
        while let Some(single) = answer.responses.sequence() {
            let found = self.verdict(single, now).ok_or("OCSP_response_get1_basic() failed")?;
            if let Some(verdict) = found {
                return verdict;
            }
        }
        Err("certificate status not found in the OCSP response".into())
    }

    /// Whether an answer is signed by the issuer, or by whom it has signed for that.
    fn vouches(&self, answer: &Answer<'_>) -> bool {
        let signed_by = |signer: &Certificate<'_>| {
            Key::read_spki(signer.key).is_ok_and(|key| {
                is_signed(answer.algorithm, &key, answer.signed, answer.signature) == Ok(true)
            })
        };
        if signed_by(&self.issuer) {
            return true;
        }
        let Ok(issuer) = Key::read_spki(self.issuer.key) else { return false };
        let mut delegates = answer.certificates.iter().filter(|delegate| {
            delegate.issuer_der == self.issuer.subject_der
                && may_sign(delegate)
                && delegate.is_signed_by(&issuer) == Ok(true)
        });
        delegates.any(signed_by)
    }

    /// What one of an answer's parts says of this certificate. `None`: it is malformed; nothing in
    /// it: it is about another.
    fn verdict(&self, mut single: Reader<'_>, now: f64) -> Option<Option<Result<(), Wrong>>> {
        let mut id = single.sequence()?;
        let algorithm = id.sequence()?.take(der::OID)?.body;
        let hash = match algorithm {
            SHA1 => Hash::Sha1,
            b"\x60\x86\x48\x01\x65\x03\x04\x02\x01" => Hash::Sha256,
            _ => return Some(None),
        };
        let named =
            [id.take(der::OCTETS)?.body, id.take(der::OCTETS)?.body, id.take(der::INTEGER)?.whole];
        if self.id(hash)?.iter().zip(named).any(|(ours, theirs)| *ours != theirs) {
            return Some(None);
        }
        let status = single.next()?.tag;
        let this_update = time(single.next()?)?;
        let next_update = match single.take(0xa0) {
            Some(next) => Some(time(next.open().next()?)?),
            None => None,
        };
        let word = match status & 0x1f {
            0 => "good",
            1 => "revoked",
            _ => "unknown",
        };
        Some(Some(match () {
            () if word != "good" => {
                Err(format!("certificate status \"{word}\" in the OCSP response"))
            }
            () if this_update > now + SKEW || next_update.is_some_and(|at| at < now - SKEW) => {
                Err("OCSP_check_validity() failed".into())
            }
            () => Ok(()),
        }))
    }
}

fn refusal(status: &[u8]) -> Wrong {
    const WORDS: [(u8, &str); 5] = [
        (1, "malformedrequest"),
        (2, "internalerror"),
        (3, "trylater"),
        (5, "sigrequired"),
        (6, "unauthorized"),
    ];
    let status = status.first().copied().unwrap_or_default();
    let known = WORDS.iter().find(|(number, _)| *number == status);
    let word = known.map_or("(UNKNOWN)", |(_, word)| word);
    format!("OCSP response not successful ({status}: {word})")
}

/// The basic response in a response, behind its status.
fn basic(mut outer: Reader<'_>) -> Option<Reader<'_>> {
    let mut bytes = outer.take(0xa0)?.open().sequence()?;
    let kind = bytes.take(der::OID)?.body;
    let body = bytes.take(der::OCTETS)?.body;
    if kind == BASIC { Reader::new(body).sequence() } else { None }
}

/// A basic response.
struct Answer<'a> {
    responses: Reader<'a>,
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    certificates: Vec<Certificate<'a>>,
}

impl<'a> Answer<'a> {
    fn read(mut body: Reader<'a>) -> Option<Answer<'a>> {
        let data = body.take(der::SEQUENCE)?;
        let algorithm = body.sequence()?.take(der::OID)?.body;
        let signature = body.bits()?;
        let mut certificates = Vec::new();
        if let Some(list) = body.take(0xa0) {
            let mut list = list.open().sequence()?;
            while let Some(one) = list.next() {
                certificates.push(Certificate::read(one.whole)?);
            }
        }
        let mut inner = data.open();
        inner.take(0xa0);
        // Who has answered, and when.
        inner.next()?;
        inner.next()?;
        let responses = inner.sequence()?;
        Some(Answer { responses, signed: data.whole, algorithm, signature, certificates })
    }
}

/// Whether a certificate was made to sign answers.
fn may_sign(certificate: &Certificate<'_>) -> bool {
    let purposes = certificate.extensions.iter().find(|extension| extension.id == PURPOSES);
    let list = purposes.and_then(|purposes| Reader::new(purposes.value).sequence());
    let Some(mut list) = list else { return false };
    std::iter::from_fn(|| list.take(der::OID)).any(|purpose| purpose.body == SIGNING)
}

#[cfg(test)]
mod tests;
