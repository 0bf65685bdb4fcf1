//! Regular expressions, by FFI; `prelude/regex.lua` makes `ngx.re` and `gateway.re` of them.

use std::os::raw::c_int;

use pilotlight_filter::host::Services;

use super::Fast;
use crate::regex::{Failure, Found, Limits, Regexes};
use crate::window::{FAILED, Host, NONE, Window, World, given};

pub(crate) fn fast() -> [Fast; 5] {
    [
        fast!("re_find", find(window, text, int, int, text, int, int) -> int),
        fast!("re_compile", compile(window, text, int, int) -> int),
        fast!("re_replace", replace(window, text, int, int, text, int, text, int, int) -> int),
        fast!("re_name", name(window, int) -> int),
        fast!("re_stack", stack(window, int) -> int),
    ]
}

/// Codes beside `FAILED`, which is for patterns: PCRE2's error is in `num`, what is wrong with the
/// replacement in `ptr` and `len`.
const MATCH: c_int = -2;
const TEMPLATE: c_int = -3;
const TOO_LARGE: c_int = -4;

/// The VM's regular expressions, made when first used.
#[inline]
fn regexes(window: &mut Window) -> &mut Regexes {
    let Host { regexes, world, services, memory, .. } = &mut window.host;
    regexes.get_or_insert_with(|| begin(world, &**services, *memory))
}

#[cold]
#[inline(never)]
fn begin(world: &World, services: &dyn Services, memory: u64) -> Box<Regexes> {
    let spec = &world.script.regex;
    let limits = Limits { steps: spec.match_limit, patterns: spec.cache, memory };
    let mut seed = [0; 8];
    services.random(&mut seed);
    Box::new(Regexes::new(&limits, u64::from_ne_bytes(seed)))
}

fn report(window: &mut Window, failure: Failure) -> c_int {
    match failure {
        Failure::Pattern(message) => {
            window.show_held(message);
            FAILED
        }
        Failure::Match(error) => {
            window.num = f64::from(error);
            MATCH
        }
        Failure::Template(message) => {
            window.show_held(message);
            TEMPLATE
        }
        Failure::TooLarge => TOO_LARGE,
    }
}

/// The first match at or behind `start`: `from` and `to`, in `groups` those of all groups, where
/// to go on in `len`, in `len2` how many groups there are, in `num` how many names. One more than
/// the last group that has matched; 0 when there is none.
unsafe fn find(
    window: *mut Window,
    pattern: *const u8,
    pattern_len: c_int,
    flags: c_int,
    subject: *const u8,
    len: c_int,
    start: c_int,
) -> c_int {
    // SAFETY: the prelude passes its own window and Lua strings.
    let (window, subject, pattern) =
        unsafe { (&mut *window, given(subject, len), given(pattern, pattern_len)) };
    // One past the end is PCRE2's to refuse.
    let start = usize::try_from(start).unwrap_or(0);
    let regexes = regexes(window);
    match regexes.find(pattern, flags as u32, subject, start) {
        Ok(None) => NONE,
        Ok(Some(Found { matched, from, to, next, groups, names })) => {
            window.groups = regexes.groups().as_ptr();
            (window.from, window.to, window.len) = (from as i32, to as i32, next as i32);
            (window.len2, window.num) = (groups as i32, f64::from(names));
            matched
        }
        Err(failure) => report(window, failure),
    }
}

/// Only whether the pattern is one.
unsafe fn compile(
    window: *mut Window,
    pattern: *const u8,
    pattern_len: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: as in `find`.
    let (window, pattern) = unsafe { (&mut *window, given(pattern, pattern_len)) };
    match regexes(window).compile(pattern, flags as u32) {
        Ok(()) => NONE,
        Err(failure) => report(window, failure),
    }
}

/// Replaces one match or all: how many it were; if any, the text is shown.
#[allow(clippy::too_many_arguments)]
unsafe fn replace(
    window: *mut Window,
    pattern: *const u8,
    pattern_len: c_int,
    flags: c_int,
    subject: *const u8,
    len: c_int,
    with: *const u8,
    with_len: c_int,
    once: c_int,
) -> c_int {
    // SAFETY: as in `find`.
    let (window, pattern, subject, with) = unsafe {
        let window = &mut *window;
        (window, given(pattern, pattern_len), given(subject, len), given(with, with_len))
    };
    let mut out = std::mem::take(&mut window.host.held);
    let done = regexes(window).replace(pattern, flags as u32, subject, with, once != 0, &mut out);
    match done {
        Ok(count) => {
            window.show_held(out);
            count as c_int
        }
        Err(failure) => report(window, failure),
    }
}

/// The name at `index` in the pattern of the last match: its group, and the name is shown.
unsafe fn name(window: *mut Window, index: c_int) -> c_int {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    let found = regexes(window).name(index as u32);
    match found.map(|(name, group)| (&raw const *name, group)) {
        Some((name, group)) => {
            window.show(name);
            group as c_int
        }
        None => NONE,
    }
}

/// How far the stack of machine code may grow.
unsafe fn stack(window: *mut Window, size: c_int) -> c_int {
    // SAFETY: the prelude passes its own window.
    let window = unsafe { &mut *window };
    match regexes(window).set_stack(usize::try_from(size).unwrap_or(0)) {
        Ok(()) => NONE,
        Err(message) => window.fail(message),
    }
}
