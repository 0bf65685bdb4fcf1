//! Regular expressions of scripts, by PCRE2: `ngx.re` and `gateway.re`.
//!
//! ```text
//! pattern, flags ─▶ cache ─▶ code ─▶ matcher ─▶ groups ─▶ Lua, by FFI
//! ```
//! A VM has its own. A hostile pattern costs its script's time and no one else's: the watchdog
//! leaves a match that has run too long (see `leave`), and a match's memory has a limit.

mod cache;
mod code;
mod flags;
mod matcher;
mod memory;
mod template;

use std::os::raw::c_int;

use pilotlight_filter::abi::limit::BODY_COLLECT;

use crate::watchdog::stopping;

use cache::Cache;
use code::Mistake;
use flags::{CHECKED, ONCE};
use matcher::Matcher;

/// What the manifest says of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Steps of one match.
    pub(crate) steps: u32,
    /// Patterns that are kept.
    pub(crate) patterns: usize,
    /// Bytes of one match.
    pub(crate) memory: u64,
}

/// The regular expressions of a VM.
pub(crate) struct Regexes {
    cache: Cache,
    matcher: Matcher,
    /// The pattern of the last match.
    last: usize,
    /// Whether patterns were compiled to be kept.
    kept: bool,
}

/// A match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// One more than the number of the last group that has matched.
    pub(crate) matched: c_int,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Where the next search begins: behind it, and never where this one began.
    pub(crate) next: usize,
    /// Groups of the pattern, and how many of them have names.
    pub(crate) groups: u32,
    pub(crate) names: u32,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The pattern is wrong: what, and where.
    Pattern(Vec<u8>),
    /// PCRE2's error of the match.
    Match(c_int),
    /// The replacement is wrong.
    Template(Vec<u8>),
    /// The text would be too large, or its script is being stopped.
    TooLarge,
}

impl Regexes {
    pub(crate) fn new(limits: &Limits, seed: u64) -> Regexes {
        let cache = Cache::new(limits.patterns, seed);
        Regexes { cache, matcher: Matcher::new(limits), last: 0, kept: false }
    }

    /// Compiles a pattern, if it is not yet.
    pub(crate) fn compile(&mut self, pattern: &[u8], flags: u32) -> Result<(), Failure> {
        self.last = self.cache.find(pattern, flags)?;
        self.kept |= flags & ONCE != 0;
        Ok(())
    }

    /// The first match at or behind `from`.
    pub(crate) fn find(
        &mut self,
        pattern: &[u8],
        flags: u32,
        subject: &[u8],
        from: usize,
    ) -> Result<Option<Found>, Failure> {
        self.compile(pattern, flags)?;
        self.next(flags, subject, from)
    }

    /// The same of the pattern at hand.
    fn next(&mut self, flags: u32, subject: &[u8], at: usize) -> Result<Option<Found>, Failure> {
        let Some(code) = self.cache.code(self.last) else { return Ok(None) };
        let matched = self.matcher.run(code, flags, subject, at);
        if matched <= 0 {
            return if matched == 0 { Ok(None) } else { Err(Failure::Match(matched)) };
        }
        let (from, to) = (self.matcher.groups[0] as usize, self.matcher.groups[1] as usize);
        let next = if from < to { to } else { after(subject, to.max(at), code.utf) };
        let groups = self.matcher.groups.len() as u32 / 2 - 1;
        Ok(Some(Found { matched, from, to, next, groups, names: code.names() }))
    }

    /// Begins and ends of the last match's groups; -1 where one has not matched.
    pub(crate) fn groups(&self) -> &[i32] {
        &self.matcher.groups
    }

    /// The name at `index` in the last pattern, and its group.
    pub(crate) fn name(&self, index: u32) -> Option<(&[u8], u32)> {
        self.cache.code(self.last)?.name(index)
    }

    /// Replaces one match, or all. How many it were; the text is in `out` if there were any.
    pub(crate) fn replace(
        &mut self,
        pattern: &[u8],
        flags: u32,
        subject: &[u8],
        with: &[u8],
        once: bool,
        out: &mut Vec<u8>,
    ) -> Result<usize, Failure> {
        self.compile(pattern, flags)?;
        let place = self.last;
        let template = self.cache.take_template(place, with).map_err(Failure::Template)?;
        let room = subject.len().max(BODY_COLLECT as usize);
        let (mut count, mut copied, mut at, mut flags) = (0, 0, 0, flags);
        out.clear();
        while at <= subject.len()
            && let Some(found) = self.next(flags, subject, at)?
        {
            count += 1;
            out.extend_from_slice(subject.get(copied..found.from).unwrap_or_default());
            let groups = &self.matcher.groups;
            template.expand(|group| slice(subject, groups, group), out);
            if out.len() > room || stopping() {
                return Err(Failure::TooLarge);
            }
            (copied, at) = (found.to, found.next);
            flags |= CHECKED;
            if once {
                break;
            }
        }
        self.cache.keep_template(place, template);
        if count > 0 {
            out.extend_from_slice(&subject[copied..]);
        }
        Ok(count)
    }

    /// How far the stack of machine code may grow.
    ///
    /// # Errors
    /// What is against it.
    pub(crate) fn set_stack(&mut self, most: usize) -> Result<(), &'static str> {
        if self.kept {
            return Err(
                "changing jit stack size is not allowed when some regexs have already been compiled and cached",
            );
        }
        if self.matcher.set_stack(most) { Ok(()) } else { Err("pcre jit stack allocation failed") }
    }
}

/// What a group has matched.
fn slice<'a>(subject: &'a [u8], groups: &[i32], group: usize) -> &'a [u8] {
    let place = group.saturating_mul(2);
    let (Some(from), Some(to)) = (groups.get(place), groups.get(place.saturating_add(1))) else {
        return &[];
    };
    match (usize::try_from(*from), usize::try_from(*to)) {
        (Ok(from), Ok(to)) => subject.get(from..to).unwrap_or_default(),
        _ => &[],
    }
}

/// Behind the character at `at`, which is a byte if the subject is not UTF-8.
fn after(subject: &[u8], at: usize, utf: bool) -> usize {
    let mut next = at + 1;
    if utf {
        while subject.get(next).is_some_and(|byte| byte & 0xc0 == 0x80) {
            next += 1;
        }
    }
    next
}

impl From<Mistake> for Failure {
    fn from(mistake: Mistake) -> Failure {
        match mistake {
            Mistake::Pattern(message) => Failure::Pattern(message),
            Mistake::GivenUp => Failure::Match(pcre2_sys::PCRE2_ERROR_NOMEMORY),
        }
    }
}

#[cfg(test)]
mod tests;
