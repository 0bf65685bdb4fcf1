//! Keys (Ed25519), and how they are written: `pilotlight-ed25519 HEX NAME`.

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::plan::{Digest, hex};

const PUBLIC: &str = "pilotlight-ed25519";
const PRIVATE: &str = "pilotlight-ed25519-private";

/// Who may be believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey {
    bytes: [u8; 32],
    name: String,
    id: String,
}

/// Who signs. Its half that is secret is shown nowhere.
pub struct PrivateKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl PublicKey {
    fn new(bytes: [u8; 32], name: &str) -> PublicKey {
        let digest = Digest::of_bytes(&bytes);
        let id = digest.as_str().trim_start_matches("sha256:").chars().take(16).collect();
        PublicKey { bytes, name: name.into(), id }
    }

    /// Reads its file.
    pub fn parse(text: &str) -> Option<PublicKey> {
        let (bytes, name) = fields(text, PUBLIC)?;
        Some(PublicKey::new(bytes, name))
    }

    /// Its file.
    pub fn text(&self) -> String {
        format!("{PUBLIC} {} {}\n", hex(&self.bytes), self.name)
    }

    /// What signatures call it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.bytes).verify(message, signature).is_ok()
    }
}

impl TryFrom<String> for PublicKey {
    type Error = &'static str;
    fn try_from(text: String) -> Result<PublicKey, &'static str> {
        PublicKey::parse(&text).ok_or("this is no public key")
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        key.text().trim_end().to_owned()
    }
}

impl PrivateKey {
    /// The key of 32 bytes of chance.
    pub fn new(seed: [u8; 32], name: &str) -> Option<PrivateKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        let bytes = pair.public_key().as_ref().try_into().ok()?;
        Some(PrivateKey { seed, pair, public: PublicKey::new(bytes, name) })
    }

    /// Reads its file.
    pub fn parse(text: &str) -> Option<PrivateKey> {
        let (seed, name) = fields(text, PRIVATE)?;
        PrivateKey::new(seed, name)
    }

    /// Its file, which is a secret.
    pub fn text(&self) -> String {
        format!("{PRIVATE} {} {}\n", hex(&self.seed), self.public.name)
    }

    /// Its other half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// Whether a key may be called so.
pub fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=64).contains(&name.len()) && name.chars().all(fine)
}

fn fields<'t>(text: &'t str, kind: &str) -> Option<([u8; 32], &'t str)> {
    let mut words = text.trim_end().split(' ');
    let (Some(first), Some(digits), Some(name), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    let bytes = from_hex(digits)?.try_into().ok()?;
    (first == kind && is_name(name)).then_some((bytes, name))
}

/// Lower case only, so that bytes are written in one way.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}
