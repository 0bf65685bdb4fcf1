//! Pattern functions, by FFI; `text.lua` makes `string.find` and its kin of them.

use std::os::raw::c_int;

use pilotlight_filter::abi::limit::{LUA_PATTERN_STEPS, LUA_STRING};

use super::Fast;
use crate::pattern::{Length, Matcher, STOPPED, is_plain};
use crate::watchdog::stopping;
use crate::window::{NONE, Window, given};

pub(crate) fn fast() -> [Fast; 4] {
    [
        fast!("find", find(window, text, int, text, int, int) -> int),
        fast!("match", match_(window, text, int, text, int, int) -> int),
        fast!("gmatch", gmatch(window, text, int, text, int, int) -> int),
        fast!("gsub", gsub(window, text, int, text, int, text, int, int) -> int),
    ]
}

/// Codes of their own: a match with its number of captures, or these.
const NO_MATCH: c_int = -2;
const MORE: c_int = -3;

fn report(window: &mut Window, matcher: &Matcher<'_>, from: usize, to: usize) -> c_int {
    (window.from, window.to) = (from as i32, to as i32);
    for (index, (start, length)) in matcher.captures[..matcher.level].iter().enumerate() {
        window.at[index] = *start as i32;
        window.size[index] = match length {
            Length::Position => -1,
            Length::Bytes(length) => *length as i32,
            Length::Open => -2,
        };
    }
    matcher.level as c_int
}

/// In Lua 5.1 a pattern ends at its first NUL (`%z` stands for one).
fn until_nul(pattern: &[u8]) -> &[u8] {
    &pattern[..memchr::memchr(0, pattern).unwrap_or(pattern.len())]
}

/// The first match from `start` on: the number of its captures, or a code.
unsafe fn find(
    window: *mut Window,
    subject: *const u8,
    len: c_int,
    pattern: *const u8,
    pattern_len: c_int,
    start: c_int,
) -> c_int {
    // SAFETY: the prelude passes its own window and Lua strings.
    let (window, subject, pattern) =
        unsafe { (&mut *window, given(subject, len), given(pattern, pattern_len)) };
    // A negative start asks for plain text: -1 is the first byte.
    let plain = start < 0;
    let start = if plain { -start - 1 } else { start } as usize;
    if start > subject.len() {
        return NO_MATCH;
    }
    if plain || is_plain(pattern) {
        return match memchr::memmem::find(&subject[start..], pattern) {
            Some(at) => {
                window.from = (start + at) as i32;
                window.to = (start + at + pattern.len()) as i32;
                0
            }
            None => NO_MATCH,
        };
    }
    search(window, subject, pattern, start)
}

/// As `find`, but the pattern is always one: `)` alone is an error in it.
unsafe fn match_(
    window: *mut Window,
    subject: *const u8,
    len: c_int,
    pattern: *const u8,
    pattern_len: c_int,
    start: c_int,
) -> c_int {
    // SAFETY: as in `find`.
    let (window, subject, pattern) =
        unsafe { (&mut *window, given(subject, len), given(pattern, pattern_len)) };
    search(window, subject, pattern, start.max(0) as usize)
}

fn search(window: &mut Window, subject: &[u8], pattern: &[u8], start: usize) -> c_int {
    if start > subject.len() {
        return NO_MATCH;
    }
    let mut matcher = Matcher::new(subject, until_nul(pattern), LUA_PATTERN_STEPS);
    match matcher.find(start) {
        Ok(Some((from, to))) => report(window, &matcher, from, to),
        Ok(None) => NO_MATCH,
        Err(error) => window.fail(error),
    }
}

/// As `find`, but `^` has no meaning.
unsafe fn gmatch(
    window: *mut Window,
    subject: *const u8,
    len: c_int,
    pattern: *const u8,
    pattern_len: c_int,
    start: c_int,
) -> c_int {
    // SAFETY: as in `find`.
    let (window, subject, pattern) =
        unsafe { (&mut *window, given(subject, len), given(pattern, pattern_len)) };
    let mut matcher = Matcher::new(subject, until_nul(pattern), LUA_PATTERN_STEPS);
    for at in start.max(0) as usize..=subject.len() {
        match matcher.here(at, 0) {
            Ok(Some(to)) => return report(window, &matcher, at, to),
            Ok(None) => {}
            Err(error) => return window.fail(error),
        }
    }
    NO_MATCH
}

/// Replaces by a string. Goes on from `window.to` (source offset) and `window.from` (matches so
/// far); after a million steps it answers `MORE`, so that a deadline gets its turn. The result is
/// shown in parts by the caller's own buffer: each answer shows what it has made.
#[allow(clippy::too_many_arguments)]
unsafe fn gsub(
    window: *mut Window,
    subject: *const u8,
    len: c_int,
    pattern: *const u8,
    pattern_len: c_int,
    with: *const u8,
    with_len: c_int,
    max: c_int,
) -> c_int {
    // SAFETY: as in `find`.
    let (window, subject, pattern, with) = unsafe {
        (&mut *window, given(subject, len), given(pattern, pattern_len), given(with, with_len))
    };
    let pattern = until_nul(pattern);
    let anchored = pattern.first() == Some(&b'^');
    let (mut at, mut count) = (window.to as usize, window.from);
    let mut out = std::mem::take(&mut window.host.held);
    out.clear();
    let mut spent = 0;
    let mut code = NONE;
    while count < max {
        let mut matcher = Matcher::new(subject, pattern, LUA_PATTERN_STEPS);
        let found = match matcher.here(at, usize::from(anchored)) {
            Ok(found) => found,
            Err(error) => return window.fail(error),
        };
        spent += LUA_PATTERN_STEPS - matcher.steps + 1;
        if stopping() {
            return window.fail(STOPPED);
        }
        if let Some(end) = found {
            count += 1;
            if let Err(error) = expand(&mut out, &matcher, subject, with, at, end) {
                return window.fail(error);
            }
        }
        match found {
            Some(end) if end > at => at = end,
            _ if at < subject.len() => {
                out.push(subject[at]);
                at += 1;
            }
            _ => break,
        }
        if anchored {
            break;
        }
        if out.len() > room(subject) {
            return window.fail(TOO_LARGE);
        }
        if spent > LUA_PATTERN_STEPS {
            code = MORE;
            break;
        }
    }
    if code == NONE {
        out.extend_from_slice(&subject[at.min(subject.len())..]);
    }
    (window.to, window.from) = (at as i32, count);
    window.show_held(out);
    code
}

const TOO_LARGE: &str = "result too large";

/// Bytes that a replaced text may have.
fn room(subject: &[u8]) -> usize {
    subject.len().max(LUA_STRING as usize)
}

/// Appends the replacement, its `%0` to `%9` filled in.
fn expand(
    out: &mut Vec<u8>,
    matcher: &Matcher<'_>,
    subject: &[u8],
    with: &[u8],
    from: usize,
    to: usize,
) -> Result<(), &'static str> {
    let mut rest = with.iter();
    while let Some(byte) = rest.next() {
        // A short replacement may name a long match many times.
        if out.len() > room(subject) {
            return Err(TOO_LARGE);
        }
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        // Lua strings end with a NUL that is not part of them; the stock function copies it.
        let index = match rest.next().copied().unwrap_or(0) {
            b'0' => {
                out.extend_from_slice(&subject[from..to]);
                continue;
            }
            digit @ b'1'..=b'9' => usize::from(digit - b'1'),
            other => {
                out.push(other);
                continue;
            }
        };
        if index == 0 && matcher.level == 0 {
            out.extend_from_slice(&subject[from..to]);
            continue;
        }
        match matcher.captures[..matcher.level].get(index) {
            None => return Err("invalid capture index"),
            Some((_, Length::Open)) => return Err("unfinished capture"),
            Some((start, Length::Position)) => {
                out.extend_from_slice((start + 1).to_string().as_bytes());
            }
            Some((start, Length::Bytes(length))) => {
                out.extend_from_slice(&subject[*start..start + length]);
            }
        }
    }
    Ok(())
}
