//! What a controller must not forget, and where it is kept.
//!
//! A store knows nothing of what it keeps: rows by their names, journals and an audit log that only grow. A rollout
//! is its beginning and its journal; its state is what comes of them. A snapshot takes the place of a journal's first
//! part: it is what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use pilotlight_fleet::evidence::Sample;
use pilotlight_fleet::label::Value;
use pilotlight_fleet::manifest::Fleet;
use pilotlight_fleet::message::{Denied, Progress, Wanted};
use pilotlight_fleet::plan::{Digest, Node, Plan};
use pilotlight_fleet::release::Release;
use pilotlight_fleet::rollout::{Event, Now, Reported, Rollout};
use serde::{Deserialize, Serialize};

mod postgres;
mod secure;
mod sql;
mod sqlite;

pub use postgres::Postgres;
pub use sqlite::Sqlite;

/// What comes of opening a store.
pub enum Opened {
    /// It is ours.
    Ours(Box<dyn Store>),
    /// Another controller has it: where that one is reached, if it says.
    Theirs(Option<String>),
}

/// Where it is kept. One controller has it at a time.
pub trait Store: Send {
    /// All but snapshots, journals and the audit log.
    fn load(&mut self) -> Result<Saved, Error>;

    /// A rollout's snapshot, if there is one.
    fn snapshot(&mut self, rollout: u64) -> Result<Option<Snapshot>, Error>;

    /// A rollout's journal, in its order: what is behind its snapshot.
    fn journal(&mut self, rollout: u64) -> Result<Vec<Entry>, Error>;

    /// So many lines of the audit log at most, those behind `after` first.
    fn audit(&mut self, after: u64, most: usize) -> Result<Vec<Audit>, Error>;

    /// Writes all of this, or nothing. What was written lasts.
    ///
    /// Errors: also where an entry or a line is there already: then somebody else writes to this store.
    fn commit(&mut self, writes: &[Write]) -> Result<(), Error>;

    /// Looks whether it is still ours.
    fn beat(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Why a store does not do it.
#[derive(Debug)]
pub struct Error(pub String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store: {}", self.0)
    }
}

impl std::error::Error for Error {}

/// What was kept.
#[derive(Debug, Default)]
pub struct Saved {
    /// Milliseconds that controllers have run on this store.
    pub steady: u64,
    /// The last line of the audit log.
    pub audit: Option<Audit>,
    /// Nodes.
    pub nodes: Vec<Record>,
    /// Releases that were planned with.
    pub releases: Vec<(Digest, Release)>,
    /// Rollouts, in their order.
    pub rollouts: Vec<Begun>,
    /// Who may do what.
    pub tokens: Vec<Token>,
}

/// What is to be kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A node, new or changed.
    Node(Box<Record>),
    /// A release.
    Release(Digest, Box<Release>),
    /// A rollout begins.
    Rollout(Box<Begun>),
    /// Something happened to it.
    Entry(Entry),
    /// What has come of it up to here, in place of an older snapshot.
    Snapshot(Box<Snapshot>),
    /// A rollout's journal up to this line is in its snapshot.
    Trim(u64, u64),
    /// A rollout is not asked about any more: it stays, and is not loaded.
    Forget(u64),
    /// A token, new or changed.
    Token(Token),
    /// A token ends.
    Revoke(String),
    /// A line of the audit log.
    Audit(Audit),
    /// How long controllers have run.
    Steady(u64),
}

/// A node as the controller knows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// As plans know it.
    pub node: Node,
    /// What it should run.
    pub wish: Wish,
    /// What it has committed.
    pub good: Option<Placed>,
    /// What it goes back to.
    pub before: Option<Placed>,
    /// The rollout that it is in, the newest.
    pub rollout: Option<u64>,
    /// The last starts of its agent, the newest first.
    pub boots: Vec<String>,
    /// The last report of this start.
    pub seq: u64,
    /// Two agents report under its name.
    pub doubled: bool,
    /// When it was heard of, in seconds since 1970: for people.
    pub seen: i64,
    /// What it tries.
    pub tries: Option<Digest>,
    /// Where it is with a wish.
    pub progress: Option<Progress>,
    /// What it has given up.
    pub denied: Vec<Denied>,
    /// What should be looked after on it.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Files that it has put back as they were laid out, since its agent has started.
    #[serde(default)]
    pub mended: u64,
}

/// What a node should run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// Rises with each one.
    pub serial: u64,
    /// The release; without it the node stays as it is.
    pub placed: Option<Placed>,
    /// Whether it may switch...
    pub switch: bool,
    /// ...and until when, in the controller's time.
    pub until: Option<u64>,
    /// How long it must prove itself, in milliseconds.
    pub probation: u64,
    /// Whether it may be tried again.
    pub retry: bool,
}

/// A release with a node's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// Which.
    pub release: Wanted,
    /// The values, as they were when it was offered.
    pub vars: BTreeMap<String, Value>,
}

impl Placed {
    /// Whether it is this release.
    pub fn is(&self, digest: &Digest) -> bool {
        self.release.digest.as_ref() == Some(digest)
    }
}

/// How a rollout began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// Its number.
    pub id: u64,
    /// Its plan.
    pub plan: Plan,
    /// The fleet's values and holds at that time.
    pub fleet: Fleet,
    /// Who began it.
    pub by: String,
    /// When.
    pub now: Now,
}

/// A line of a rollout's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Which rollout.
    pub rollout: u64,
    /// Rises by one.
    pub seq: u64,
    /// When.
    pub now: Now,
    /// What.
    pub what: Happened,
}

/// A rollout as the first part of its journal has left it. A key that is new here needs a default: there are snapshots
/// without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which rollout.
    pub rollout: u64,
    /// The last line that it knows.
    pub seq: u64,
    /// The latest time of these lines.
    pub at: u64,
    /// The rollout.
    pub machine: Rollout,
    /// What each of its nodes has said last.
    pub said: BTreeMap<usize, Reported>,
    /// What people are told of it.
    pub notes: VecDeque<(i64, String)>,
}

/// What happened, as [`Event`] with nothing borrowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "as in Event")]
pub enum Happened {
    Tick,
    Seen { node: usize },
    Report { node: usize, reported: Reported },
    Sample { node: usize, sample: Sample },
    Join { node: Box<Node> },
    Hold { node: usize, held: bool },
    Approve { by: String },
    Pause { by: String, reason: String },
    Resume { by: String },
    Revert { by: String, reason: String },
}

impl Happened {
    /// The event.
    pub fn event<'a>(&'a self, fleet: &'a Fleet) -> Event<'a> {
        match self {
            Happened::Tick => Event::Tick,
            Happened::Seen { node } => Event::Seen { node: *node },
            Happened::Report { node, reported } => {
                Event::Report { node: *node, reported: *reported }
            }
            Happened::Sample { node, sample } => Event::Sample { node: *node, sample },
            Happened::Join { node } => Event::Join { fleet, node },
            Happened::Hold { node, held } => Event::Hold { node: *node, held: *held },
            Happened::Approve { by } => Event::Approve { by },
            Happened::Pause { by, reason } => Event::Pause { by, reason },
            Happened::Resume { by } => Event::Resume { by },
            Happened::Revert { by, reason } => Event::Revert { by, reason },
        }
    }
}

/// Who may do what. The token itself is known to whoever was given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Whose.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Of the token.
    pub hash: Digest,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// One node: its name is behind `node:`.
    Node,
    /// Any new node.
    Enrol,
    /// To look.
    Viewer,
    /// To approve waves.
    Approver,
    /// To roll out.
    Operator,
    /// To give and take tokens.
    Admin,
}

/// A line of the audit log, which holds the digest of the one before: none can be changed unseen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// Rises by one.
    pub seq: u64,
    /// Seconds since 1970.
    pub at: i64,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
    /// Of the line before.
    pub before: Option<Digest>,
}

impl Audit {
    /// What the next line holds.
    pub fn digest(&self) -> Digest {
        let (seq, at) = (self.seq.to_be_bytes(), self.at.to_be_bytes());
        let texts = [&self.who, &self.what].map(|text| text.as_bytes());
        let before = self.before.as_ref().map_or("", Digest::as_str);
        Digest::of(&[&seq, &at, texts[0], texts[1], before.as_bytes()])
    }
}
