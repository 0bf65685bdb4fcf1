//! Flags of patterns, as `prelude/regex.lua` makes them of letters.

use pcre2_sys as pcre2;

/// Row by row: a bit, and what it means to PCRE2. They say how a pattern is compiled.
const OPTIONS: [(u32, u32); 8] = [
    (1, pcre2::PCRE2_ANCHORED),
    (1 << 1, pcre2::PCRE2_CASELESS),
    (1 << 2, pcre2::PCRE2_DOTALL),
    (1 << 3, pcre2::PCRE2_MULTILINE),
    (1 << 4, pcre2::PCRE2_UTF),
    (1 << 5, pcre2::PCRE2_EXTENDED),
    (1 << 6, pcre2::PCRE2_DUPNAMES),
    (1 << 7, JAVASCRIPT),
];

/// What was PCRE_JAVASCRIPT_COMPAT.
const JAVASCRIPT: u32 =
    pcre2::PCRE2_ALT_BSUX | pcre2::PCRE2_ALLOW_EMPTY_CLASS | pcre2::PCRE2_MATCH_UNSET_BACKREF;

/// The bits of [`OPTIONS`]: patterns that differ in them are compiled apart.
pub(super) const COMPILED: u32 = (1 << 8) - 1;

/// The longest match, by the other algorithm.
pub(super) const DFA: u32 = 1 << 8;
/// To machine code, at once.
pub(super) const MACHINE: u32 = 1 << 9;
/// OpenResty keeps only those; here it is a note that somebody counts on it.
pub(super) const ONCE: u32 = 1 << 10;
/// The prelude's own: the subject is known to be UTF-8 from where the match begins.
pub(super) const CHECKED: u32 = 1 << 11;

/// PCRE2's options of a pattern.
pub(super) fn options(flags: u32) -> u32 {
    OPTIONS.iter().filter(|(bit, _)| flags & bit != 0).fold(0, |all, (_, option)| all | option)
}
