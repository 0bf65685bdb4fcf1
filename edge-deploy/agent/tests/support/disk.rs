//! A disk that forgets what was not synced, and loses its power at the n-th operation.
//!
//! It is worse than those that one can buy: what was not synced survives or does not, each name and each
//! file by itself, files also in part or as zeros; of a rename that was not synced both names may be gone.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use pilotlight_agent::Files;

/// Chance from a seed (SplitMix64).
#[derive(Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Entry {
    File(usize),
    Folder(usize),
}

#[derive(Clone, Default)]
struct Content {
    now: Vec<u8>,
    safe: Vec<u8>,
    program: bool,
}

#[derive(Clone, Default)]
struct Folder {
    now: BTreeMap<String, Entry>,
    safe: BTreeMap<String, Entry>,
}

#[derive(Clone)]
pub(crate) struct Disk {
    contents: Vec<Content>,
    folders: Vec<Folder>,
    /// Operations so far.
    pub(crate) count: u64,
    /// The power fails in this one.
    pub(crate) cut: Option<u64>,
    /// In what it failed.
    pub(crate) died: Option<String>,
    pub(crate) free: u64,
}

impl Disk {
    pub(crate) fn new() -> Disk {
        let folders = vec![Folder::default()];
        Disk { contents: Vec::new(), folders, count: 0, cut: None, died: None, free: 1 << 30 }
    }

    pub(crate) fn is_dark(&self) -> bool {
        self.died.is_some()
    }

    /// The power is back: what was not synced is there by chance.
    pub(crate) fn reboot(&mut self, chance: &mut Chance) {
        (self.died, self.cut) = (None, None);
        for content in &mut self.contents {
            if content.now != content.safe {
                let some = usize::try_from(chance.below(content.now.len() as u64 + 1)).unwrap();
                match chance.below(4) {
                    0 => content.now = content.safe.clone(),
                    1 => content.now.truncate(some),
                    2 => content.now[some..].fill(0),
                    _ => {}
                }
                content.safe = content.now.clone();
            }
        }
        for folder in &mut self.folders {
            let names: Vec<_> = folder.now.keys().chain(folder.safe.keys()).cloned().collect();
            for name in names {
                if folder.now.get(&name) != folder.safe.get(&name) && chance.below(2) == 0 {
                    match folder.safe.get(&name) {
                        Some(entry) => folder.now.insert(name, *entry),
                        None => folder.now.remove(&name),
                    };
                }
            }
            folder.safe = folder.now.clone();
        }
    }

    /// Counts an operation. True if the power fails in it.
    fn op(&mut self, what: &str, path: &str) -> io::Result<bool> {
        if self.is_dark() {
            return Err(io::Error::other("the power is off"));
        }
        self.count += 1;
        if self.cut == Some(self.count) {
            let kind = path.split('/').next().unwrap_or_default();
            let part = if path.ends_with(".part") { ".part" } else { "" };
            self.died = Some(format!("{what} {kind}{part}"));
            return Ok(true);
        }
        Ok(false)
    }

    fn dark<T>() -> io::Result<T> {
        Err(io::Error::other("the power failed"))
    }

    fn find(&self, path: &str) -> Option<Entry> {
        let mut at = Entry::Folder(0);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let Entry::Folder(folder) = at else { return None };
            at = *self.folders[folder].now.get(name)?;
        }
        Some(at)
    }

    fn parent<'p>(&self, path: &'p str) -> io::Result<(usize, &'p str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.find(parent) {
            Some(Entry::Folder(folder)) => Ok((folder, name)),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn file(&self, path: &str) -> io::Result<usize> {
        match self.find(path) {
            Some(Entry::File(file)) => Ok(file),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn file_or_new(&mut self, path: &str) -> io::Result<usize> {
        if let Ok(file) = self.file(path) {
            return Ok(file);
        }
        let (folder, name) = self.parent(path)?;
        self.contents.push(Content::default());
        let file = self.contents.len() - 1;
        self.folders[folder].now.insert(name.to_owned(), Entry::File(file));
        Ok(file)
    }

    pub(crate) fn is_program(&self, path: &str) -> bool {
        self.file(path).is_ok_and(|file| self.contents[file].program)
    }

    /// Changes a byte of a file, behind the agent's back.
    pub(crate) fn spoil(&mut self, path: &str) {
        let file = self.file(path).unwrap();
        let content = &mut self.contents[file];
        content.now.push(b'x');
        content.safe = content.now.clone();
    }
}

impl Files for Disk {
    fn read(&self, path: &str, most: u64) -> io::Result<Vec<u8>> {
        let content = &self.contents[self.file(path)?].now;
        match content.len() as u64 > most {
            true => Err(ErrorKind::InvalidData.into()),
            false => Ok(content.clone()),
        }
    }

    fn each(&self, path: &str, take: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.contents[self.file(path)?].now.chunks(64).for_each(take);
        Ok(())
    }

    fn length(&self, path: &str) -> io::Result<u64> {
        Ok(self.contents[self.file(path)?].now.len() as u64)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        match self.find(path) {
            Some(Entry::Folder(folder)) => Ok(self.folders[folder].now.keys().cloned().collect()),
            _ => Ok(Vec::new()),
        }
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let dies = self.op("write", path)?;
        let file = self.file_or_new(path)?;
        let half = if dies { bytes.len() / 2 } else { bytes.len() };
        self.contents[file].now = bytes[..half].to_vec();
        if dies { Disk::dark() } else { Ok(()) }
    }

    fn append(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let dies = self.op("append", path)?;
        if self.free < bytes.len() as u64 {
            return Err(ErrorKind::StorageFull.into());
        }
        self.free -= bytes.len() as u64;
        let file = self.file_or_new(path)?;
        let half = if dies { bytes.len() / 2 } else { bytes.len() };
        self.contents[file].now.extend_from_slice(&bytes[..half]);
        if dies { Disk::dark() } else { Ok(()) }
    }

    fn link(&mut self, from: &str, to: &str) -> io::Result<()> {
        if self.op("link", to)? {
            return Disk::dark();
        }
        let file = self.file(from)?;
        let (folder, name) = self.parent(to)?;
        self.folders[folder].now.insert(name.to_owned(), Entry::File(file));
        Ok(())
    }

    fn program(&mut self, path: &str) -> io::Result<()> {
        if self.op("program", path)? {
            return Disk::dark();
        }
        let file = self.file(path)?;
        self.contents[file].program = true;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        if self.op("rename", to)? {
            return Disk::dark();
        }
        let ((folder, old), (_, new)) = (self.parent(from)?, self.parent(to)?);
        let names = &mut self.folders[folder].now;
        let entry = names.remove(old).ok_or(ErrorKind::NotFound)?;
        names.insert(new.to_owned(), entry);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> io::Result<()> {
        let Some(entry) = self.find(path) else { return Ok(()) };
        // A folder goes file by file, and the power may fail in between.
        if let Entry::Folder(folder) = entry {
            let names: Vec<_> = self.folders[folder].now.keys().cloned().collect();
            for name in names {
                self.remove(&format!("{path}/{name}"))?;
            }
        }
        if self.op("remove", path)? {
            return Disk::dark();
        }
        let (folder, name) = self.parent(path)?;
        self.folders[folder].now.remove(name);
        Ok(())
    }

    fn folder(&mut self, path: &str) -> io::Result<()> {
        let mut at = String::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if !at.is_empty() {
                at.push('/');
            }
            at.push_str(name);
            if self.find(&at).is_some() {
                continue;
            }
            if self.op("folder", &at)? {
                return Disk::dark();
            }
            let (folder, name) = self.parent(&at)?;
            self.folders.push(Folder::default());
            let new = self.folders.len() - 1;
            self.folders[folder].now.insert(name.to_owned(), Entry::Folder(new));
        }
        Ok(())
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        if self.op("sync", path)? {
            return Disk::dark();
        }
        let file = self.file(path)?;
        self.contents[file].safe = self.contents[file].now.clone();
        Ok(())
    }

    fn sync_folder(&mut self, path: &str) -> io::Result<()> {
        if self.op("sync_folder", path)? {
            return Disk::dark();
        }
        if let Some(Entry::Folder(folder)) = self.find(path) {
            self.folders[folder].safe = self.folders[folder].now.clone();
        }
        Ok(())
    }

    fn free(&self) -> io::Result<u64> {
        Ok(self.free)
    }

    fn lock(&self) -> io::Result<Box<dyn Any>> {
        Ok(Box::new(()))
    }
}
