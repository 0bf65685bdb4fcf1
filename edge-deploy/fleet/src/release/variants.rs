//! What differs from node to node within one release: code for its kind of machine, and shorter ways to what it
//! does not have yet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{File, Refused, Release, is_name, is_plain};
use crate::plan::Digest;

/// The most ways to one content.
const WAYS: usize = 8;

/// A blob that another is made of: compressed, or as what differs from a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// What a node must have; nothing: it is only compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Digest>,
    /// The name of the packed blob.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
}

impl Release {
    /// As a node of this kind has it.
    ///
    /// Errors: it is not for such nodes.
    pub fn on(mut self, target: &str) -> Result<Release, String> {
        if self.targets.is_empty() {
            return Ok(self);
        }
        let mut targets = std::mem::take(&mut self.targets);
        match targets.remove(target) {
            Some(files) => {
                self.files.extend(files);
                Ok(self)
            }
            None => {
                let known: Vec<_> = targets.into_keys().collect();
                Err(format!("its code is for {}, this node is {target}", known.join(", ")))
            }
        }
    }

    /// All contents that a node may need, with sizes, and the packed ones: what is pushed.
    pub fn blobs(&self) -> BTreeMap<&Digest, u64> {
        self.sizes().collect()
    }

    fn sizes(&self) -> impl Iterator<Item = (&Digest, u64)> {
        let files = self.files.values().chain(self.targets.values().flat_map(BTreeMap::values));
        let packed = self.packed.values().flatten().map(|packed| (&packed.digest, packed.size));
        files.map(|file| (&file.digest, file.size)).chain(packed)
    }

    /// Whether a content has one length, wherever it is named.
    pub(super) fn check_sizes(&self) -> Result<(), Refused> {
        let mut known = BTreeMap::new();
        match self
            .sizes()
            .find(|(digest, size)| known.insert(*digest, *size).is_some_and(|old| old != *size))
        {
            Some((digest, _)) => Err(Refused::Content(format!("{digest} has two lengths"))),
            None => Ok(()),
        }
    }

    /// What its files consist of: the same content twice is fetched once.
    pub fn contents(&self) -> BTreeMap<&Digest, u64> {
        self.files.values().map(|file| (&file.digest, file.size)).collect()
    }

    /// What a node fetches that has nothing, by contents: of several kinds of nodes, the one that fetches most.
    pub(super) fn fetched(&self) -> Vec<(Digest, u64)> {
        let cost = |file: &File| {
            let ways = self.packed.get(&file.digest).into_iter().flatten();
            let short = ways.filter(|way| way.from.is_none()).map(|way| way.size).min();
            short.unwrap_or(file.size).min(file.size)
        };
        let sum =
            |files: &BTreeMap<String, File>| files.values().map(cost).fold(0, u64::saturating_add);
        let most = self.targets.values().max_by_key(|files| sum(files));
        let files = self.files.values().chain(most.into_iter().flat_map(BTreeMap::values));
        let unique: BTreeMap<&Digest, u64> = files.map(|file| (&file.digest, cost(file))).collect();
        unique.into_iter().map(|(digest, size)| (digest.clone(), size)).collect()
    }

    /// Whether all paths can be laid out, whatever the target.
    pub(super) fn check_paths(&self) -> Result<(), Refused> {
        let refuse = |why: String| Err(Refused::Content(why));
        if let Some(target) = self.targets.keys().find(|target| !is_name(target)) {
            return refuse(format!("{target:?} cannot be the name of a target"));
        }
        if self.packed.values().any(|ways| ways.len() > WAYS) {
            return refuse(format!("more than {WAYS} ways to one content"));
        }
        lie_apart(&self.files)?;
        for files in self.targets.values() {
            if let Some(path) = files.keys().find(|path| self.files.contains_key(*path)) {
                return refuse(format!("{path:?} is there twice"));
            }
            let mut all = self.files.clone();
            all.extend(files.clone());
            lie_apart(&all)?;
        }
        Ok(())
    }
}

/// Whether files are within a release, and none is also a folder.
fn lie_apart(files: &BTreeMap<String, File>) -> Result<(), Refused> {
    for path in files.keys() {
        if !is_plain(path) {
            return Err(Refused::Content(format!("{path:?} is not a path within a release")));
        }
        let below = format!("{path}/");
        let next = files.range(below.clone()..).next();
        if next.is_some_and(|(other, _)| other.starts_with(&below)) {
            return Err(Refused::Content(format!("{path:?} is a file and a folder")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, size: u64) -> File {
        File { digest: Digest::of_bytes(text.as_bytes()), size, program: false }
    }

    fn release() -> Release {
        let code = |text: &str| BTreeMap::from([("m.cwasm".to_owned(), file(text, 100))]);
        Release {
            name: "edge".into(),
            version: "1".into(),
            gateway: "g.toml".into(),
            files: BTreeMap::from([("g.toml".to_owned(), file("g", 10))]),
            targets: [("x86".to_owned(), code("x")), ("arm".to_owned(), code("a"))].into(),
            ..Release::default()
        }
    }

    #[test]
    fn a_node_has_the_files_of_its_kind_alone() {
        let all = release();
        assert_eq!(all.blobs().len(), 3);
        let arm = all.clone().on("arm").unwrap();
        assert_eq!(arm.files["m.cwasm"], file("a", 100));
        assert_eq!((arm.contents().len(), arm.targets.len()), (2, 0));
        let refused = all.clone().on("mips").unwrap_err();
        assert_eq!(refused, "its code is for arm, x86, this node is mips");
        let plain = Release { targets: BTreeMap::new(), ..all };
        assert!(plain.on("mips").is_ok());
    }

    #[test]
    fn a_plan_counts_what_is_fetched() {
        let mut all = release();
        let size = |release: &Release| release.fetched().iter().map(|(_, size)| size).sum::<u64>();
        assert_eq!(size(&all), 110);
        for files in all.targets.clone().values() {
            let way = |from, size| Packed { from, digest: Digest::of_bytes(b"p"), size };
            let ways = vec![way(None, 40), way(Some(Digest::of_bytes(b"before")), 4)];
            all.packed.insert(files["m.cwasm"].digest.clone(), ways);
        }
        assert_eq!(size(&all), 50);
    }

    #[test]
    fn what_would_collide_on_a_node_is_refused() {
        let unfit = |change: fn(&mut Release)| {
            let mut release = release();
            change(&mut release);
            release.check_paths().unwrap_err().to_string()
        };
        assert!(release().check_paths().is_ok());
        let twice = unfit(|r| drop(r.files.insert("m.cwasm".into(), file("m", 1))));
        assert!(twice.contains("there twice"), "{twice}");
        let below = unfit(|r| drop(r.files.insert("m.cwasm/x".into(), file("m", 1))));
        assert!(below.contains("a file and a folder"), "{below}");
        assert!(
            unfit(|r| drop(r.targets.insert("../x".into(), BTreeMap::new()))).contains("target")
        );
        let mut two = release();
        two.files.insert("again".into(), file("x", 99));
        let two = two.sign(&[]).unwrap_err().to_string();
        assert!(two.contains("has two lengths"), "{two}");
    }
}
