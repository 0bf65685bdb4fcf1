//! What nodes and controllers say to each other, as JSON.
//!
//! Both directions are states, not events: a node that was away for a month is told once what it should run, and
//! says once what it runs. What is lost is said again, what comes twice changes nothing, and `serial` says which of
//! two wishes is the newer one; no clock does. Keys that one side does not know are passed over: agents and
//! controllers are not all of one version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evidence::Sample;
use crate::label::{Labels, Value};
use crate::plan::Digest;
use crate::rollout::{Failure, Reported};

/// The largest message, in bytes.
pub const LARGEST: usize = 64 << 10;

/// What a node should run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// Which of two wishes is newer; a node that has followed one takes none with a lower. 0: it has no
    /// order (a file on the node).
    #[serde(default)]
    pub serial: u64,
    /// The release; without it the node stays as it is.
    #[serde(default)]
    pub release: Option<Wanted>,
    /// Values for `${fleet:NAME}`.
    #[serde(default)]
    pub vars: BTreeMap<String, Value>,
    /// Whether it may switch; else it fetches and checks, and waits.
    #[serde(default)]
    pub switch: bool,
    /// The leave to switch ends so many milliseconds after it was heard.
    #[serde(default)]
    pub lease: Option<u64>,
    /// How long a release must prove itself, in milliseconds.
    #[serde(default)]
    pub probation: Option<u64>,
    /// Whether a release that was rolled back may be tried again.
    #[serde(default)]
    pub retry: bool,
}

/// A release that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Exactly this one; without it whatever is signed under that name.
    #[serde(default)]
    pub digest: Option<Digest>,
}

/// What a node says when it asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub node: String,
    /// Differs at each start of its agent, so that a clone with the same name shows.
    pub boot: String,
    /// Rises with each report of this start.
    pub seq: u64,
    /// Its labels.
    #[serde(default)]
    pub labels: Labels,
    /// Its gateway's version.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Bytes that are free on its disk.
    #[serde(default)]
    pub free_disk: Option<u64>,
    /// The newest wish that it has followed.
    pub seen: u64,
    /// The release that it has committed.
    #[serde(default)]
    pub runs: Option<Digest>,
    /// The release on probation.
    #[serde(default)]
    pub tries: Option<Digest>,
    /// Where it is with what it should run.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Releases that it does not try again by itself.
    #[serde(default)]
    pub denied: Vec<Denied>,
    /// What an operator should look after on the node: a root that expires, a clock that is wrong.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Files that were not what was laid out, and were put back, since its agent has started.
    #[serde(default)]
    pub drift: u64,
    /// What it has served since its last report.
    #[serde(default)]
    pub sample: Option<Sample>,
}

/// Where a node is with a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Of this wish.
    pub serial: u64,
    /// Where.
    pub reported: Reported,
    /// What keeps it, or made it fail, in the node's own words.
    #[serde(default)]
    pub message: Option<String>,
}

/// A release that a node has given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// Which.
    pub release: Digest,
    /// How it failed.
    pub failure: Failure,
    /// What the node saw.
    pub message: String,
}

impl Desired {
    /// Reads it as a person has written it: there every key must be known.
    ///
    /// Errors: what is wrong, for people.
    pub fn parse_file(text: &[u8]) -> Result<Desired, String> {
        let typed: serde_json::Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        if !typed.is_object() {
            return Err("this is no object".into());
        }
        let desired = Desired::deserialize(&typed).map_err(|error| error.to_string())?;
        let known = serde_json::to_value(&desired).map_err(|error| error.to_string())?;
        for (typed, known) in [(&typed, &known), (&typed["release"], &known["release"])] {
            let (Some(typed), Some(known)) = (typed.as_object(), known.as_object()) else {
                continue;
            };
            if let Some(key) = typed.keys().find(|key| !known.contains_key(*key)) {
                let keys: Vec<_> = known.keys().map(String::as_str).collect();
                return Err(format!("unknown key {key:?}; keys here are {}", keys.join(", ")));
            }
        }
        Ok(desired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_of_misspelt_keys_and_controllers_are_not() {
        let text = br#"{ "release": { "name": "edge", "version": "1", "digset": "x" } }"#;
        let told = Desired::parse_file(text).unwrap_err();
        assert!(
            told.contains("unknown key \"digset\"; keys here are name, version, digest"),
            "{told}"
        );
        assert!(serde_json::from_slice::<Desired>(text).is_ok());
        assert!(Desired::parse_file(b"{ \"swich\": true }").is_err());
        let full = br#"{ "serial": 3, "release": { "name": "edge", "version": "1" }, "vars": { "a": 1 }, "switch": true }"#;
        let desired = Desired::parse_file(full).unwrap();
        assert_eq!((desired.serial, &desired.vars["a"]), (3, &Value::Number(1.0)));
        let again = serde_json::to_vec(&desired).unwrap();
        assert_eq!(serde_json::from_slice::<Desired>(&again).unwrap(), desired);
        for wrong in [
            &b"[]"[..],
            b"{",
            br#"{ "release": { "name": "edge" } }"#,
            br#"{ "release": { "name": "e", "version": "1", "digest": "md5:1" } }"#,
        ] {
            assert!(Desired::parse_file(wrong).is_err());
        }
    }

    #[test]
    fn a_status_is_read_by_who_knows_more_or_less() {
        let status: Status =
            serde_json::from_str(r#"{ "node": "n", "boot": "b", "seq": 1, "seen": 2, "new": [] }"#)
                .unwrap();
        assert_eq!((status.node.as_str(), status.seen, status.progress.is_none()), ("n", 2, true));
    }
}
