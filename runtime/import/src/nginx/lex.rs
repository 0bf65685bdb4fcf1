//! Just enough of Lua's syntax to find where a block of it ends.

/// Where the brace is that closes a block whose code begins here. Braces within strings, long
/// brackets and comments do not count.
pub(super) fn lua_end(code: &str) -> Option<usize> {
    let bytes = code.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at = match byte {
            b'{' => {
                depth += 1;
                at + 1
            }
            b'}' if depth == 0 => return Some(at),
            b'}' => {
                depth -= 1;
                at + 1
            }
            b'"' | b'\'' => string(bytes, at)?,
            b'[' => match long(bytes, at) {
                Some(level) => long_end(bytes, at + level + 2, level)?,
                None => at + 1,
            },
            b'-' if bytes.get(at + 1) == Some(&b'-') => comment(bytes, at + 2)?,
            _ => at + 1,
        };
    }
    None
}

/// Behind the quote that closes a string.
fn string(bytes: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            byte if *byte == bytes[open] => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// How many `=` a long bracket has that opens here.
fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let level = bytes[at + 1..].iter().take_while(|b| **b == b'=').count();
    (bytes.get(at + 1 + level) == Some(&b'[')).then_some(level)
}

/// Behind the long bracket of this level that closes.
fn long_end(bytes: &[u8], from: usize, level: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += bytes.get(at..)?.iter().position(|b| *b == b']')? + 1;
        let equals = bytes[at..].iter().take_while(|b| **b == b'=').count();
        if equals == level && bytes.get(at + level) == Some(&b']') {
            return Some(at + level + 1);
        }
    }
}

/// Behind a comment whose dashes end here.
fn comment(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) == Some(&b'[')
        && let Some(level) = long(bytes, at)
    {
        return long_end(bytes, at + level + 2, level);
    }
    let line = bytes[at..].iter().position(|b| *b == b'\n');
    Some(line.map_or(bytes.len(), |line| at + line))
}
