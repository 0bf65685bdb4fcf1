//! From a host to the tables of paths that may know it, most specific first.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Longer names do not exist (RFC 1035 section 2.3.4), so no route has one.
const MAX: usize = 255;

/// A table of paths. The keys come from the manifest, never from clients: a fixed hash will do.
pub(super) type Table = u32;

#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<[u8]>, Table, FixedState>,
    /// By `.example.com`.
    suffixes: HashMap<Box<[u8]>, Table, FixedState>,
    /// Which lengths of suffixes there are: spares looking up each label of a long name.
    lengths: [u64; 4],
    any: Option<Table>,
    count: Table,
}

impl Hosts {
    /// The table of a host of the manifest, new or not.
    pub(super) fn table(&mut self, host: Option<&str>) -> Table {
        let fresh = self.count;
        let table = match host {
            None | Some("*") => *self.any.get_or_insert(fresh),
            Some(host) => match host.strip_prefix('*') {
                Some(suffix) if suffix.len() <= MAX => {
                    self.lengths[suffix.len() / 64] |= 1 << (suffix.len() % 64);
                    *self.suffixes.entry(lower(suffix)).or_insert(fresh)
                }
                _ => *self.exact.entry(lower(host)).or_insert(fresh),
            },
        };
        self.count = self.count.max(table + 1);
        table
    }

    /// Tries the tables that know a host until one answers.
    pub(super) fn tables<T>(
        &self,
        raw: &[u8],
        mut try_table: impl FnMut(Table) -> Option<T>,
    ) -> Option<T> {
        if !(self.exact.is_empty() && self.suffixes.is_empty()) {
            let found = with_lower(name(raw), |host| self.named(host, &mut try_table));
            if found.is_some() {
                return found;
            }
        }
        self.any.and_then(try_table)
    }

    fn named<T>(&self, host: &[u8], try_table: &mut impl FnMut(Table) -> Option<T>) -> Option<T> {
        if let Some(found) = self.exact.get(host).and_then(|table| try_table(*table)) {
            return Some(found);
        }
        if self.suffixes.is_empty() {
            return None;
        }
        // Left to right: the longest suffix first. `*` stands for at least one label.
        memchr::memchr_iter(b'.', host)
            .filter(|at| *at > 0)
            .map(|at| &host[at..])
            .filter(|suffix| self.lengths[suffix.len() / 64] & (1 << (suffix.len() % 64)) != 0)
            .filter_map(|suffix| self.suffixes.get(suffix))
            .find_map(|table| try_table(*table))
    }
}

/// A host without its port and the dot that may end it. IPv6 addresses keep their brackets.
pub fn name(raw: &[u8]) -> &[u8] {
    let end = match raw.first() {
        Some(b'[') => memchr::memchr(b']', raw).map(|at| at + 1),
        _ => memchr::memchr(b':', raw),
    };
    let host = &raw[..end.unwrap_or(raw.len())];
    host.strip_suffix(b".").unwrap_or(host)
}

/// Hands on the name in lower case: most are already.
fn with_lower<T>(host: &[u8], then: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
    if host.len() > MAX {
        return None;
    }
    if !host.iter().any(u8::is_ascii_uppercase) {
        return then(host);
    }
    let mut buffer = [0; MAX];
    let lower = &mut buffer[..host.len()];
    lower.copy_from_slice(host);
    lower.make_ascii_lowercase();
    then(lower)
}

fn lower(host: &str) -> Box<[u8]> {
    host.to_ascii_lowercase().into_bytes().into()
}
