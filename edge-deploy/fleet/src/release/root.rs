//! Roots: who may sign releases, and who may say so.
//!
//! A node is given one root and follows the chain from there: root N+1 counts when enough of root N's own keys
//! have signed it, and enough of its own. So a key is replaced without a visit to any node, and a key that was stolen
//! replaces nobody while there are others. No root is followed backwards, and none is skipped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::{PrivateKey, Refused, Trust};

/// The largest root, in bytes: looked at before anything else.
pub const LARGEST: usize = 64 << 10;
/// The most keys for one purpose.
const KEYS: usize = 16;
/// So many roots are followed at once.
pub const LONGEST: usize = 1024;

pub(super) const HEAD: &str = "pilotlight-root 1\n";

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Counts from 1.
    pub version: u64,
    /// From then on, in seconds after 1970, there should have been another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// Who signs roots.
    pub root: Trust,
    /// Who signs releases.
    pub release: Trust,
}

impl Root {
    /// The signed form.
    ///
    /// Errors: it cannot be used.
    pub fn sign(&self, keys: &[PrivateKey], time: i64) -> Result<Vec<u8>, Refused> {
        self.check()?;
        let payload = serde_json::to_vec(self).map_err(|e| Refused::Content(e.to_string()))?;
        let mut envelope = Envelope::new(HEAD, &payload);
        envelope.sign(keys, time);
        envelope.sealed()
    }

    /// The root that a chain begins with: it was brought by hand, and is still signed by its own keys. With a time that
    /// is past.
    pub fn first(bytes: &[u8]) -> Result<(Root, i64), Refused> {
        let (root, envelope) = open(bytes)?;
        let time = envelope.signed_by(&root.root)?;
        Ok((root, time))
    }

    /// The root that comes after this one.
    ///
    /// Errors: it is another one, or too few have signed it, of these keys or of its own.
    pub fn next(&self, bytes: &[u8]) -> Result<(Root, i64), Refused> {
        if bytes.len() > LARGEST {
            return Err(Refused::TooLarge(LARGEST));
        }
        // Before anything of it is read.
        Envelope::open(HEAD, bytes)?.signed_by(&self.root)?;
        let (root, time) = Root::first(bytes)?;
        match root.version == self.version.saturating_add(1) {
            true => Ok((root, time)),
            false => Err(Refused::Content(format!(
                "this is root {}, and after {} comes {}",
                root.version,
                self.version,
                self.version.saturating_add(1)
            ))),
        }
    }

    /// Whether there should be another one by now.
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn check(&self) -> Result<(), Refused> {
        if self.version == 0 {
            return Err(Refused::Content("roots count from 1".into()));
        }
        for (trust, what) in [(&self.root, "roots"), (&self.release, "releases")] {
            let ids: BTreeSet<&str> = trust.keys.iter().map(|key| key.id()).collect();
            let (keys, threshold) = (trust.keys.len(), trust.threshold);
            if ids.len() != keys || keys > KEYS || !(1..=keys).contains(&threshold) {
                return Err(Refused::Content(format!(
                    "{threshold} of {} keys for {what} cannot be: from 1 to all, at most {KEYS} keys",
                    ids.len()
                )));
            }
        }
        Ok(())
    }
}

fn open(bytes: &[u8]) -> Result<(Root, Envelope<'_>), Refused> {
    if bytes.len() > LARGEST {
        return Err(Refused::TooLarge(LARGEST));
    }
    let envelope = Envelope::open(HEAD, bytes)?;
    let root: Root = serde_json::from_slice(envelope.payload)
        .map_err(|error| Refused::Content(format!("its content cannot be read: {error}")))?;
    root.check()?;
    Ok((root, envelope))
}

/// The root that these bytes are, whoever has signed it: for the operator's own machine, never for a node.
pub fn unverified(bytes: &[u8]) -> Result<Root, Refused> {
    open(bytes).map(|(root, _)| root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::new([seed; 32], &format!("key-{seed}")).unwrap()
    }

    fn keys(seeds: &[u8]) -> Vec<PrivateKey> {
        seeds.iter().map(|seed| key(*seed)).collect()
    }

    fn trust(seeds: &[u8], threshold: usize) -> Trust {
        Trust { keys: keys(seeds).iter().map(|key| key.public().clone()).collect(), threshold }
    }

    fn root(version: u64, roots: &[u8], releases: &[u8]) -> Root {
        let root = trust(roots, 2.min(roots.len()));
        Root { version, expires: Some(1000), root, release: trust(releases, 1) }
    }

    #[test]
    fn a_root_counts_when_old_and_new_have_signed_it() {
        let one = root(1, &[1, 2, 3], &[9]);
        let signed = one.sign(&keys(&[1, 2]), 5).unwrap();
        let (read, time) = Root::first(&signed).unwrap();
        assert_eq!((&read, time), (&one, 5));
        assert_eq!(Root::first(&one.sign(&keys(&[1]), 5).unwrap()), Err(Refused::Unsigned(1, 2)));
        // Key 1 was lost: 4 comes in its place, and the release key is another one.
        let two = root(2, &[2, 3, 4], &[8]);
        assert!(one.next(&two.sign(&keys(&[2, 3]), 7).unwrap()).is_ok());
        assert!(one.next(&two.sign(&keys(&[1, 2, 4]), 7).unwrap()).is_ok());
        for few in [&[2][..], &[1, 2], &[4, 2], &[9], &[8, 9]] {
            let refused = one.next(&two.sign(&keys(few), 7).unwrap());
            assert!(matches!(refused, Err(Refused::Unsigned(_, 2))), "{few:?} {refused:?}");
        }
        // A thief with one root key and the release key replaces nobody.
        let theirs = root(2, &[1, 66, 67], &[66]);
        assert!(one.next(&theirs.sign(&keys(&[1, 66, 67, 9]), 7).unwrap()).is_err());
    }

    #[test]
    fn no_root_is_replayed_skipped_or_followed_backwards() {
        let chain: Vec<Root> = (1..=3).map(|version| root(version, &[1, 2], &[9])).collect();
        let signed = |root: &Root| root.sign(&keys(&[1, 2]), 0).unwrap();
        assert!(chain[0].next(&signed(&chain[1])).is_ok());
        for (from, to) in [(0, 0), (0, 2), (1, 0), (1, 1), (2, 1)] {
            let refused = chain[from].next(&signed(&chain[to])).unwrap_err().to_string();
            assert!(refused.contains("comes"), "{refused}");
        }
        let mut other = signed(&chain[1]);
        for at in 0..other.len() {
            other[at] ^= 1;
            assert!(chain[0].next(&other).is_err(), "{at}");
            other[at] ^= 1;
        }
        other.resize(LARGEST + 1, b' ');
        assert_eq!(chain[0].next(&other), Err(Refused::TooLarge(LARGEST)));
        assert!(chain[0].is_expired(1000) && !chain[0].is_expired(999));
    }

    #[test]
    fn what_nobody_could_sign_again_is_no_root() {
        let unfit = |change: fn(&mut Root)| {
            let mut root = root(1, &[1, 2], &[9]);
            change(&mut root);
            root.sign(&keys(&[1, 2]), 0).is_err()
        };
        assert!(unfit(|root| root.version = 0));
        assert!(unfit(|root| root.root.threshold = 3));
        assert!(unfit(|root| root.release.threshold = 0));
        assert!(unfit(|root| root.release.keys.clear()));
        assert!(unfit(|root| root.root.keys.push(root.root.keys[0].clone())));
    }

    #[test]
    fn a_time_counts_when_enough_have_said_it() {
        // A stolen key that says a far day does not move anybody's clock.
        let one = root(1, &[1, 2], &[9]);
        let payload = serde_json::to_vec(&one).unwrap();
        let mut envelope = Envelope::new(HEAD, &payload);
        envelope.sign(&[key(1)], 4_000_000_000);
        envelope.sign(&[key(2)], 7);
        assert_eq!(Root::first(&envelope.bytes()).unwrap().1, 7);
        // Nor is a signature worth anything at another time.
        let text = String::from_utf8(envelope.bytes()).unwrap().replace(" 7 ", " 8 ");
        assert_eq!(Root::first(text.as_bytes()), Err(Refused::Unsigned(1, 2)));
    }
}
