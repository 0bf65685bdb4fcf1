//! Lua 5.1 patterns, with a budget: LuaJIT's own matcher can't be interrupted.

use crate::watchdog::stopping;
use crate::window::CAPTURES;

const ESCAPE: u8 = b'%';
/// Recursion of the matcher, as in LuaJIT.
const DEPTH: usize = 200;

/// A capture's length, or what stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// `()`.
    Position,
    /// Not closed yet.
    Open,
    /// Bytes.
    Bytes(usize),
}

/// A match: where it ends, and its captures.
#[derive(Debug, Clone)]
pub(crate) struct Matcher<'a> {
    subject: &'a [u8],
    pattern: &'a [u8],
    /// How many captures.
    pub(crate) level: usize,
    /// Their beginnings and lengths.
    pub(crate) captures: [(usize, Length); CAPTURES],
    depth: usize,
    /// Steps left.
    pub(crate) steps: u64,
}

/// Why there is no answer.
pub(crate) type Malformed = &'static str;
type Found = Result<Option<usize>, Malformed>;

/// Steps between two looks at the watchdog.
const LOOK: u64 = 1 << 13;
/// Bytes that one step may compare.
const STRIDE: usize = 16;
/// The script is over its time; it will see no more than this.
pub(crate) const STOPPED: Malformed = "stopped";
const TOO_COMPLEX: Malformed = "pattern too complex";

impl<'a> Matcher<'a> {
    pub(crate) fn new(subject: &'a [u8], pattern: &'a [u8], steps: u64) -> Matcher<'a> {
        let captures = [(0, Length::Open); CAPTURES];
        Matcher { subject, pattern, level: 0, captures, depth: 0, steps }
    }

    /// Looks for a match from `start` on; its beginning and end.
    pub(crate) fn find(&mut self, start: usize) -> Result<Option<(usize, usize)>, Malformed> {
        let anchored = self.pattern.first() == Some(&b'^');
        let mut at = start;
        loop {
            self.level = 0;
            if let Some(end) = self.run(at, usize::from(anchored))? {
                return Ok(Some((at, end)));
            }
            at += 1;
            if anchored || at > self.subject.len() {
                return Ok(None);
            }
        }
    }

    /// Matches at `at` alone, without an anchor's meaning.
    pub(crate) fn here(&mut self, at: usize, pattern: usize) -> Found {
        self.level = 0;
        self.run(at, pattern)
    }

    fn step(&mut self) -> Result<(), Malformed> {
        self.spend(1)
    }

    /// Takes steps away; now and then it looks whether the script has run for too long.
    fn spend(&mut self, steps: u64) -> Result<(), Malformed> {
        let before = self.steps;
        self.steps = before.checked_sub(steps).ok_or("pattern match takes too many steps")?;
        if before / LOOK != self.steps / LOOK && stopping() {
            return Err(STOPPED);
        }
        Ok(())
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.pattern.get(at).copied()
    }

    fn run(&mut self, s: usize, p: usize) -> Found {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(TOO_COMPLEX);
        }
        let found = self.walk(s, p);
        self.depth -= 1;
        found
    }

    fn walk(&mut self, mut s: usize, mut p: usize) -> Found {
        loop {
            self.step()?;
            let Some(first) = self.byte(p) else { return Ok(Some(s)) };
            match (first, self.byte(p + 1)) {
                (b'(', Some(b')')) => return self.open(s, p + 2, Length::Position),
                (b'(', _) => return self.open(s, p + 1, Length::Open),
                (b')', _) => return self.close(s, p + 1),
                (ESCAPE, Some(b'b')) => match self.balance(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                (ESCAPE, Some(b'f')) => {
                    p += 2;
                    if self.byte(p) != Some(b'[') {
                        return Err("missing '[' after '%f' in pattern");
                    }
                    let end = self.class_end(p)?;
                    self.spend(((end - p) / STRIDE) as u64)?;
                    let before = if s == 0 { 0 } else { self.subject[s - 1] };
                    let after = self.subject.get(s).copied().unwrap_or(0);
                    if self.in_set(before, p, end - 1) || !self.in_set(after, p, end - 1) {
                        return Ok(None);
                    }
                    p = end;
                }
                (ESCAPE, Some(digit)) if digit.is_ascii_digit() => {
                    match self.back_reference(s, digit)? {
                        Some(end) => (s, p) = (end, p + 2),
                        None => return Ok(None),
                    }
                }
                (b'$', None) => return Ok((s == self.subject.len()).then_some(s)),
                _ => {
                    let end = self.class_end(p)?;
                    self.spend(((end - p) / STRIDE) as u64)?;
                    let here = s < self.subject.len() && self.single(self.subject[s], p, end);
                    match self.byte(end) {
                        Some(b'?') => {
                            if here && let Some(found) = self.run(s + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            p = end + 1;
                        }
                        Some(b'*') => return self.longest(s, p, end),
                        Some(b'+') => {
                            return if here { self.longest(s + 1, p, end) } else { Ok(None) };
                        }
                        Some(b'-') => return self.shortest(s, p, end),
                        _ if here => (s, p) = (s + 1, end),
                        _ => return Ok(None),
                    }
                }
            }
        }
    }

    fn longest(&mut self, s: usize, p: usize, end: usize) -> Found {
        let mut count = 0;
        let price = 1 + ((end - p) / STRIDE) as u64;
        while s + count < self.subject.len() && self.single(self.subject[s + count], p, end) {
            self.spend(price)?;
            count += 1;
        }
        loop {
            if let Some(found) = self.run(s + count, end + 1)? {
                return Ok(Some(found));
            }
            if count == 0 {
                return Ok(None);
            }
            count -= 1;
        }
    }

    fn shortest(&mut self, mut s: usize, p: usize, end: usize) -> Found {
        let price = ((end - p) / STRIDE) as u64;
        loop {
            self.spend(price)?;
            if let Some(found) = self.run(s, end + 1)? {
                return Ok(Some(found));
            }
            if s >= self.subject.len() || !self.single(self.subject[s], p, end) {
                return Ok(None);
            }
            s += 1;
        }
    }

    fn open(&mut self, s: usize, p: usize, length: Length) -> Found {
        if self.level >= CAPTURES {
            return Err("too many captures");
        }
        self.captures[self.level] = (s, length);
        self.level += 1;
        let found = self.run(s, p)?;
        if found.is_none() {
            self.level -= 1;
        }
        Ok(found)
    }

    fn close(&mut self, s: usize, p: usize) -> Found {
        let open = (0..self.level).rev().find(|i| self.captures[*i].1 == Length::Open);
        let index = open.ok_or("invalid pattern capture")?;
        self.captures[index].1 = Length::Bytes(s - self.captures[index].0);
        let found = self.run(s, p)?;
        if found.is_none() {
            self.captures[index].1 = Length::Open;
        }
        Ok(found)
    }

    fn balance(&mut self, s: usize, p: usize) -> Found {
        let (Some(open), Some(close)) = (self.byte(p), self.byte(p + 1)) else {
            return Err("missing arguments to '%b' in pattern");
        };
        if self.subject.get(s) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1;
        for at in s + 1..self.subject.len() {
            self.step()?;
            let byte = self.subject[at];
            if byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + 1));
                }
            } else if byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    fn back_reference(&mut self, s: usize, digit: u8) -> Found {
        let index = usize::from(digit).wrapping_sub(usize::from(b'1'));
        let Some((start, length)) = self.captures[..self.level].get(index).copied() else {
            return Err("invalid capture index");
        };
        let length = match length {
            Length::Bytes(length) => length,
            Length::Open => return Err("invalid capture index"),
            // Stock Lua takes the marker for a huge length here: nothing matches.
            Length::Position => return Ok(None),
        };
        self.spend((length / STRIDE) as u64)?;
        let (text, rest) = (&self.subject[start..start + length], &self.subject[s..]);
        Ok(rest.starts_with(text).then_some(s + length))
    }

    /// Where the class that begins at `p` ends.
    fn class_end(&self, p: usize) -> Result<usize, Malformed> {
        let Some(first) = self.byte(p) else { return Err("malformed pattern") };
        let mut p = p + 1;
        if first == ESCAPE {
            return match self.byte(p) {
                Some(_) => Ok(p + 1),
                None => Err("malformed pattern (ends with '%')"),
            };
        }
        if first != b'[' {
            return Ok(p);
        }
        if self.byte(p) == Some(b'^') {
            p += 1;
        }
        loop {
            const ENDLESS: Malformed = "malformed pattern (missing ']')";
            let byte = self.byte(p).ok_or(ENDLESS)?;
            p += 1;
            if byte == ESCAPE {
                self.byte(p).ok_or(ENDLESS)?;
                p += 1;
            }
            if self.byte(p) == Some(b']') {
                return Ok(p + 1);
            }
        }
    }

    fn single(&self, byte: u8, p: usize, end: usize) -> bool {
        match self.pattern[p] {
            b'.' => true,
            ESCAPE => in_class(byte, self.pattern[p + 1]),
            b'[' => self.in_set(byte, p, end - 1),
            literal => literal == byte,
        }
    }

    /// Whether a byte is in the set `[...]` from `p` to `last`, the place of its `]`.
    fn in_set(&self, byte: u8, mut p: usize, last: usize) -> bool {
        let negated = self.byte(p + 1) == Some(b'^');
        if negated {
            p += 1;
        }
        p += 1;
        while p < last {
            let this = self.pattern[p];
            if this == ESCAPE {
                p += 1;
                if in_class(byte, self.pattern[p]) {
                    return !negated;
                }
            } else if self.byte(p + 1) == Some(b'-') && p + 2 < last {
                if (this..=self.pattern[p + 2]).contains(&byte) {
                    return !negated;
                }
                p += 2;
            } else if this == byte {
                return !negated;
            }
            p += 1;
        }
        negated
    }
}

/// `%a` and its kin, in the C locale; any other letter stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}

/// Whether a pattern holds bytes with a meaning.
pub(crate) fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|b| b"^$*+?.([%-".contains(b))
}
