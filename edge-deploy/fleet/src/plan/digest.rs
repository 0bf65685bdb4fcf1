//! SHA-256, as everything is named.

use std::fmt;

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::Plan;

/// `sha256:` and 64 digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(String);

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Digest, &'static str> {
        let hex = |text: &str| {
            text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match text.strip_prefix("sha256:").is_some_and(hex) {
            true => Ok(Digest(text)),
            false => Err("not a digest: sha256: and 64 digits"),
        }
    }
}

impl Digest {
    /// Of these parts, each with its length, so that they cannot be cut in another way.
    pub fn of(parts: &[&[u8]]) -> Digest {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Digest::finished(context)
    }

    /// Of some content, as registries name it.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Digest::finished(context)
    }

    fn finished(context: Context) -> Digest {
        Digest(format!("sha256:{}", hex(context.finish().as_ref())))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its digits alone, which are a file's name.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or_default()
    }
}

/// Two digits a byte, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The digest of some content that comes in parts.
#[derive(Clone)]
pub struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Hasher {
        Hasher(Context::new(&SHA256))
    }
}

impl Hasher {
    /// Takes the next part.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all parts.
    pub fn finish(self) -> Digest {
        Digest::finished(self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The digest of a plan: what is rolled out, how, to whom, in what order.
pub(super) fn of(plan: &Plan) -> Digest {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(b"pilotlight plan 1");
    part(plan.content.digest.as_str().as_bytes());
    // Fields are written in the order in which they are declared.
    part(&serde_json::to_vec(&plan.rollout).unwrap_or_default());
    for wave in &plan.waves {
        part(format!("{wave:?}").as_bytes());
    }
    for turn in &plan.nodes {
        part(turn.id.as_bytes());
        part(&[turn.group.to_be_bytes(), turn.zone.to_be_bytes()].concat());
    }
    for group in &plan.groups {
        part(group.name.as_bytes());
    }
    for zone in &plan.zones {
        part(zone.as_bytes());
    }
    Digest::finished(context)
}
