//! The signed form of whatever is signed.
//!
//! ```text
//! pilotlight-release 1
//! signed 5f0c9a... 1795740000 8b1d4e...   a line a key: its id, when it signed, the signature
//!
//! {"name":"shop-edge","version":"1.42.0","files":{"pilotlight.toml":{...}}}
//! ```
//! What is signed are the bytes behind the empty line, as they are: nothing is written anew before it is
//! verified, and nothing is read before it is verified.

use std::collections::BTreeMap;

use crate::plan::hex;

use super::{LARGEST, PrivateKey, Refused, Trust, key, root};

/// The most signatures.
const SIGNATURES: usize = 16;

/// Signed bytes, taken apart; nobody has said yet that they are to be believed.
pub(super) struct Envelope<'a> {
    head: &'static str,
    signatures: Vec<Signature>,
    pub(super) payload: &'a [u8],
}

struct Signature {
    key: String,
    /// Seconds after 1970, as the signer's machine had it.
    time: i64,
    bytes: Vec<u8>,
}

impl<'a> Envelope<'a> {
    /// Content that nobody has signed yet.
    pub(super) fn new(head: &'static str, payload: &'a [u8]) -> Envelope<'a> {
        Envelope { head, signatures: Vec::new(), payload }
    }

    /// Takes bytes apart that begin with this head.
    pub(super) fn open(head: &'static str, bytes: &'a [u8]) -> Result<Envelope<'a>, Refused> {
        let mut rest =
            bytes.strip_prefix(head.as_bytes()).ok_or(Refused::Form("it does not begin as one"))?;
        let mut signatures = Vec::new();
        loop {
            let end = rest.iter().take(1024).position(|byte| *byte == b'\n');
            let end = end.ok_or(Refused::Form("a line without its end"))?;
            let (line, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or(&[]);
            if line.is_empty() {
                return Ok(Envelope { head, signatures, payload: rest });
            }
            let signature = std::str::from_utf8(line).ok().and_then(Signature::parse);
            signatures.push(signature.ok_or(Refused::Form("a signature"))?);
            if signatures.len() > SIGNATURES {
                return Err(Refused::Form("too many signatures"));
            }
        }
    }

    /// Adds signatures; who has signed before signs anew.
    pub(super) fn sign(&mut self, keys: &[PrivateKey], time: i64) {
        for key in keys {
            let id = key.public().id().to_owned();
            self.signatures.retain(|signature| signature.key != id);
            let bytes = key.sign(&self.message(time));
            self.signatures.push(Signature { key: id, time, bytes });
        }
    }

    /// As it is written, if it can be read again.
    pub(super) fn sealed(&self) -> Result<Vec<u8>, Refused> {
        let most = if self.head == root::HEAD { root::LARGEST } else { LARGEST };
        let bytes = self.bytes();
        match (self.signatures.len() > SIGNATURES, bytes.len() > most) {
            (true, _) => Err(Refused::Form("too many signatures")),
            (_, true) => Err(Refused::TooLarge(most)),
            _ => Ok(bytes),
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut text = String::from(self.head);
        for Signature { key, time, bytes } in &self.signatures {
            text.push_str(&format!("signed {key} {time} {}\n", hex(bytes)));
        }
        text.push('\n');
        let mut bytes = text.into_bytes();
        bytes.extend(self.payload);
        bytes
    }

    /// Whether enough of the trusted keys say so; and a time that enough of them say is past.
    pub(super) fn signed_by(&self, trust: &Trust) -> Result<i64, Refused> {
        // Of each key once: nobody reaches a threshold by signing twice.
        let mut times = BTreeMap::new();
        for Signature { key: id, time, bytes } in &self.signatures {
            let mut known = trust.keys.iter().filter(|key| key.id() == id);
            if known.any(|key| key.verify(&self.message(*time), bytes)) {
                times.insert(id, *time);
            }
        }
        let needed = trust.threshold.max(1);
        let mut times: Vec<i64> = times.into_values().collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        match times.get(needed - 1) {
            Some(time) => Ok(*time),
            None => Err(Refused::Unsigned(times.len(), needed)),
        }
    }

    /// Who says that they have signed.
    pub(super) fn signers(&self) -> impl Iterator<Item = (&str, i64)> {
        self.signatures.iter().map(|signature| (signature.key.as_str(), signature.time))
    }

    /// What is signed: it says what it is, so that no signature means two things.
    fn message(&self, time: i64) -> Vec<u8> {
        let length = self.payload.len() as u64;
        [self.head.as_bytes(), &time.to_be_bytes(), &length.to_be_bytes(), self.payload].concat()
    }
}

impl Signature {
    fn parse(line: &str) -> Option<Signature> {
        let (id, rest) = line.strip_prefix("signed ")?.split_once(' ')?;
        let (time, bytes) = rest.split_once(' ')?;
        // A number is written in one way.
        let time = time.parse::<i64>().ok().filter(|parsed| parsed.to_string() == time)?;
        Some(Signature { key: id.to_owned(), time, bytes: key::from_hex(bytes)? })
    }
}
