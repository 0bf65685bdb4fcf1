//! The tables of HPACK (RFC 7541 section 2.3): the static one, and what a peer adds to it.

use std::collections::VecDeque;

/// Appendix A; index 1 comes first.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The largest that the dynamic table may become: the protocol's own default.
pub(super) const SIZE_MAX: usize = 4096;
/// What an entry counts beside its bytes (section 4.1).
const ENTRY: usize = 32;
/// Bytes without an entry that are kept, lest all others move for each entry that goes.
const DEAD_MAX: usize = 1024;

/// The dynamic table: entries lie one behind the other in one buffer, the oldest first.
#[derive(Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// Bytes at the front that no entry has any more.
    dead: usize,
    entries: VecDeque<Entry>,
    size: usize,
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    name: u16,
    value: u16,
    start: u32,
}

impl Entry {
    fn size(self) -> usize {
        usize::from(self.name) + usize::from(self.value) + ENTRY
    }
}

impl Default for Table {
    fn default() -> Table {
        let (bytes, entries) = (Vec::new(), VecDeque::new());
        Table { bytes, dead: 0, entries, size: 0, most: SIZE_MAX }
    }
}

impl Table {
    /// The name and value at an index of both tables (section 2.3.3).
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        if let Some((name, value)) = STATIC.get(index.checked_sub(1)?) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let newest = self.entries.len().checked_sub(index - STATIC.len())?;
        let entry = self.entries.get(newest)?;
        let start = entry.start as usize;
        let middle = start + usize::from(entry.name);
        Some((&self.bytes[start..middle], &self.bytes[middle..middle + usize::from(entry.value)]))
    }

    /// Section 4.4: an entry that is larger than the table empties it.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let size = name.len() + value.len() + ENTRY;
        if size > self.most {
            return self.evict(0);
        }
        self.evict(self.most - size);
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let (name, value) = (name.len() as u16, value.len() as u16);
        self.entries.push_back(Entry { name, value, start });
        self.size += size;
    }

    /// Section 6.3. False: larger than we allow.
    pub(super) fn resize(&mut self, most: usize) -> bool {
        if most > SIZE_MAX {
            return false;
        }
        self.most = most;
        self.evict(most);
        true
    }

    /// Drops the oldest entries until the others come to `most` at most.
    fn evict(&mut self, most: usize) {
        while self.size > most {
            let Some(entry) = self.entries.pop_front() else { break };
            self.size -= entry.size();
            self.dead = entry.start as usize + usize::from(entry.name) + usize::from(entry.value);
        }
        if self.dead > DEAD_MAX || self.entries.is_empty() {
            self.bytes.drain(..self.dead.min(self.bytes.len()));
            for entry in &mut self.entries {
                entry.start -= self.dead as u32;
            }
            self.dead = 0;
        }
    }
}
