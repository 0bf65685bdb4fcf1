//! What nodes and controllers say to each other, as JSON.
//!
//! Both directions are states, not events: a node that was away for a month is told once what it should run, and
//! says once what it runs. What is lost is said again, what comes twice changes nothing, and `serial` says which of
//! two wishes is the newer one; no clock does.

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
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
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
    /// What it has served since its last report.
    #[serde(default)]
    pub sample: Option<Sample>,
}

/// Where a node is with a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// Which.
    pub release: Digest,
    /// How it failed.
    pub failure: Failure,
    /// What the node saw.
    pub message: String,
}
