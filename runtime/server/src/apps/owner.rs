//! Who listens at a port: an application that took another's must not get its requests.

mod listening;

use std::collections::BTreeSet;
use std::fs;

/// A listening socket, as `/proc/net/tcp` says it.
const LISTENING: &str = "0A";

/// Whether it is neither a process of this group nor one that its first process has started. Where that
/// can't be told, it is taken to be.
pub(super) fn is_foreign(leader: u32, port: u16) -> bool {
    let sockets = sockets(port);
    if sockets.is_empty() {
        return false;
    }
    match holds(leader, &sockets) {
        None | Some(true) => return false,
        Some(false) => {}
    }
    let family = family(leader);
    !family.into_iter().any(|pid| holds(pid, &sockets) != Some(false))
}

/// Sockets that listen at the port, by how `/proc` names them.
fn sockets(port: u16) -> BTreeSet<String> {
    match listening::inodes(port) {
        Ok(inodes) => inodes.into_iter().map(|inode| format!("socket:[{inode}]")).collect(),
        // Slow: it walks the table of all connections, whose size goes by the machine's memory.
        Err(_) => ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .flat_map(|table| in_table(table, port))
            .collect(),
    }
}

fn in_table(table: &str, port: u16) -> Vec<String> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let inode = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (_, at) = words.nth(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(at, 16).ok()? == port && words.nth(1)? == LISTENING;
        is_it.then(|| words.nth(5).map(|inode| format!("socket:[{inode}]")))?
    };
    text.lines().skip(1).filter_map(inode).collect()
}

/// `None`: it doesn't tell.
fn holds(pid: u32, sockets: &BTreeSet<String>) -> Option<bool> {
    let folder = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut links = folder.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    Some(links.any(|link| sockets.contains(&*link.to_string_lossy())))
}

/// All of the group, and all that descend from its first.
fn family(leader: u32) -> BTreeSet<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let facts = pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut words = stat.rsplit_once(") ")?.1.split(' ').skip(1);
        let mut number = || words.next()?.parse::<u32>().ok();
        Some((pid, number()?, number()?))
    });
    let all: Vec<(u32, u32, u32)> = facts.collect();
    let mut family = BTreeSet::from([leader]);
    loop {
        let known = family.len();
        for (pid, parent, group) in &all {
            if *group == leader || family.contains(parent) {
                family.insert(*pid);
            }
        }
        if family.len() == known {
            family.remove(&leader);
            return family;
        }
    }
}
