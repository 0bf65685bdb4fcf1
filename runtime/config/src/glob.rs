//! Patterns of file names for `include`: `*` and `?` in any part of a path.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;

/// The most files that one pattern may bring in.
const MOST: usize = 1000;

/// Whether the text is a pattern at all.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Files that match, sorted. Names that begin with a dot match only a dot.
pub fn expand(disk: &dyn Disk, folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let rooted = pattern.starts_with('/');
    let mut found = vec![if rooted { PathBuf::from("/") } else { folder.to_path_buf() }];
    let mut parts = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let mut next = Vec::new();
        for base in &found {
            if !is_pattern(part) {
                next.push(base.join(part));
                continue;
            }
            let mut names = match disk.list(base) {
                Ok(names) => names,
                // Another branch of the pattern may hold matches; a missing folder holds none.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => continue,
                Err(error) => return Err(error),
            };
            names.retain(|name| matches(part, name));
            names.sort_unstable();
            next.extend(names.iter().map(|name| base.join(name)));
            if next.len() > MOST {
                return Err(io::Error::other("it matches more than 1000 files"));
            }
        }
        if last {
            next.retain(|path| disk.file(path).is_ok());
        }
        found = next;
    }
    found.sort_unstable();
    Ok(found)
}

/// One part of a path against its pattern: linear with one point to go back to.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests;
