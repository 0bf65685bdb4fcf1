//! Whom a node believes: keys that were given to it, or a root and all that follow from it.
//!
//! Roots are kept as files of their own, which are never changed: what is there is verified anew at each start, link by
//! link. The pointer knows how far the chain was followed, so that a disk or a mirror that lost a part does not
//! bring back keys that were taken away.

use std::io;

use pilotlight_fleet::plan::Digest;
use pilotlight_fleet::release::{Root, Trust, root};
use serde::{Deserialize, Serialize};

use crate::Files;

const ROOTS: &str = "roots";
/// So long before a root expires it is said.
const SOON: i64 = 30 * 24 * 3600;

/// What a node was given.
#[derive(Debug, Clone)]
pub enum Anchor {
    /// Keys that sign releases; there is no way to others.
    Keys(Trust),
    /// A root in its signed form.
    Root(Vec<u8>),
}

/// How far a chain of roots was followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// What it begins with.
    pub first: Digest,
    /// To which version.
    pub version: u64,
}

/// What follows from an anchor.
#[derive(Debug, Clone)]
pub(crate) struct Believed {
    trust: Trust,
    chain: Option<Chain>,
    /// The latest time that its roots say is past.
    pub(crate) time: i64,
}

#[derive(Debug, Clone)]
struct Chain {
    first: Digest,
    last: Root,
}

impl Believed {
    /// An anchor, and as much of its chain as is on this disk.
    ///
    /// Errors: the anchor cannot be used.
    pub(crate) fn load(anchor: &Anchor, files: &dyn Files) -> Result<Believed, String> {
        let bytes = match anchor {
            Anchor::Keys(trust) => {
                return Ok(Believed { trust: trust.clone(), chain: None, time: 0 });
            }
            Anchor::Root(bytes) => bytes,
        };
        let (root, time) = Root::first(bytes).map_err(|refused| format!("the root: {refused}"))?;
        let first = Digest::of_bytes(bytes);
        let chain = Some(Chain { first, last: root.clone() });
        let mut believed = Believed { trust: root.release, chain, time };
        for _ in 0..root::LONGEST {
            let Some(version) = believed.next_version() else { break };
            let Ok(bytes) = files.read(&path(version), root::LARGEST as u64) else { break };
            // A file that was damaged is fetched anew.
            if believed.take(&bytes).is_err() {
                break;
            }
        }
        Ok(believed)
    }

    /// Who may sign releases.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The version of the root that would come next.
    pub(crate) fn next_version(&self) -> Option<u64> {
        self.chain.as_ref().and_then(|chain| chain.last.version.checked_add(1))
    }

    /// How far it goes.
    pub(crate) fn followed(&self) -> Option<Followed> {
        let chain = self.chain.as_ref()?;
        Some(Followed { first: chain.first.clone(), version: chain.last.version })
    }

    /// Goes on with the next root.
    ///
    /// Errors: it is none.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(chain) = &mut self.chain else { return Err("there is no chain".into()) };
        let (root, time) = chain.last.next(bytes).map_err(|refused| refused.to_string())?;
        self.time = self.time.max(time);
        self.trust = root.release.clone();
        chain.last = root;
        Ok(())
    }

    /// What should be said about its age, at this time.
    pub(crate) fn warning(&self, now: i64) -> Option<String> {
        let root = &self.chain.as_ref()?.last;
        let left = root.expires?.saturating_sub(now);
        let version = root.version;
        match left {
            ..=0 => Some(format!(
                "root {version} expired {} days ago: what runs goes on; is a newer one withheld?",
                left.unsigned_abs() / 86_400
            )),
            1..SOON => Some(format!("root {version} expires in {} days", left / 86_400)),
            _ => None,
        }
    }
}

/// Keeps a root so that it lasts.
pub(crate) fn keep(files: &mut dyn Files, version: u64, bytes: &[u8]) -> io::Result<()> {
    files.folder(ROOTS)?;
    let (path, part) = (path(version), format!("{}.part", path(version)));
    files.write(&part, bytes)?;
    files.sync(&part)?;
    files.rename(&part, &path)?;
    files.sync_folder(ROOTS)?;
    files.sync_folder("")
}

fn path(version: u64) -> String {
    format!("{ROOTS}/{version}")
}
