//! A Lua value of its text. Deep texts take no stack of ours: what is open is a list.

use std::os::raw::c_int;

use super::{DEPTH_MAX, LOOK, number};
use crate::stack::Stack;
use crate::watchdog::stopping;

/// What scripts may set.
pub(crate) struct Options {
    /// Where the metatable is that arrays get, if they get one.
    pub(crate) array: Option<c_int>,
    /// Numbers that JSON does not have: hexadecimal, infinite, with leading zeros or a plus.
    pub(crate) invalid_numbers: bool,
    pub(crate) comments: bool,
    pub(crate) depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// Its text is `Reader::string`.
    Text,
    Number(f64),
    Integer(f64),
    Bool(bool),
    Null,
    Colon,
    Comma,
    End,
    Wrong(&'static str),
}

impl Token {
    /// As messages call it.
    fn name(self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Text => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Integer(_) => "T_INTEGER",
            Token::Bool(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Wrong(what) => what,
        }
    }
}

/// An array or object under way, which is on the stack.
enum Open {
    /// The next index.
    Array(c_int),
    /// Its key lies above it.
    Object,
}

/// Pushes what the text means.
///
/// # Errors
/// What is wrong where. The stack holds what was under way.
pub(crate) fn decode(stack: Stack, text: &[u8], options: &Options) -> Result<(), String> {
    if text.len() >= 2 && text[..2].contains(&0) {
        return Err("JSON parser does not support UTF-16 or UTF-32".into());
    }
    let mut reader = Reader { text, options, at: 0, from: 0, string: Quoted::Plain(0, 0) };
    let mut open: Vec<Open> = Vec::new();
    let mut token = reader.next();
    let mut work = 0u32;
    loop {
        work += 1;
        if work.is_multiple_of(LOOK) && stopping() {
            return Err("stopped".into());
        }
        // A value begins with this token.
        match token {
            Token::Text => stack.push_bytes(reader.string()),
            Token::Number(number) | Token::Integer(number) => stack.push_number(number),
            Token::Bool(value) => stack.push_bool(value),
            Token::Null => stack.push_light(std::ptr::null()),
            Token::ObjectBegin => {
                reader.descend(stack, open.len() + 1)?;
                token = reader.next();
                // Room for a few keys, so that most objects need not grow.
                stack.push_table(0, if token == Token::ObjectEnd { 0 } else { 4 });
                if token != Token::ObjectEnd {
                    token = reader.key(stack, token)?;
                    open.push(Open::Object);
                    continue;
                }
            }
            Token::ArrayBegin => {
                reader.descend(stack, open.len() + 1)?;
                stack.push_table(0, 0);
                if let Some(array) = options.array {
                    stack.push_copy(array);
                    stack.set_metatable(-2);
                }
                token = reader.next();
                if token != Token::ArrayEnd {
                    open.push(Open::Array(1));
                    continue;
                }
            }
            other => return Err(reader.wrong("value", other)),
        }
        // A value has ended; those around it may end with it.
        loop {
            token = reader.next_after(stack, open.last_mut());
            match (open.last(), token) {
                (None, Token::End) => return Ok(()),
                (None, other) => return Err(reader.wrong("the end", other)),
                (Some(Open::Array(_)), Token::ArrayEnd)
                | (Some(Open::Object), Token::ObjectEnd) => {
                    open.pop();
                }
                (Some(Open::Array(_)), Token::Comma) => {
                    token = reader.next();
                    break;
                }
                (Some(Open::Object), Token::Comma) => {
                    token = reader.next();
                    token = reader.key(stack, token)?;
                    break;
                }
                (Some(Open::Array(_)), other) => {
                    return Err(reader.wrong("comma or array end", other));
                }
                (Some(Open::Object), other) => {
                    return Err(reader.wrong("comma or object end", other));
                }
            }
        }
    }
}

/// The text of the last string.
enum Quoted {
    /// As it stands there.
    Plain(usize, usize),
    /// With escapes undone.
    Made(Vec<u8>),
}

struct Reader<'a> {
    text: &'a [u8],
    options: &'a Options,
    at: usize,
    /// Where the last token begins, or what is wrong with it is.
    from: usize,
    string: Quoted,
}

impl Reader<'_> {
    /// A NUL ends a text, as in C.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn string(&self) -> &[u8] {
        match &self.string {
            Quoted::Plain(from, to) => &self.text[*from..*to],
            Quoted::Made(text) => text,
        }
    }

    fn wrong(&self, wanted: &str, found: Token) -> String {
        format!("Expected {wanted} but found {} at character {}", found.name(), self.from + 1)
    }

    fn descend(&self, stack: Stack, depth: usize) -> Result<(), String> {
        if depth > self.options.depth || depth > DEPTH_MAX || !stack.reserve(6) {
            let at = self.at;
            return Err(format!(
                "Found too many nested data structures ({depth}) at character {at}"
            ));
        }
        Ok(())
    }

    /// Puts the value on top where it belongs; the token after it.
    fn next_after(&mut self, stack: Stack, inside: Option<&mut Open>) -> Token {
        match inside {
            None => {}
            Some(Open::Array(index)) => {
                stack.set_at(-2, *index);
                *index += 1;
            }
            // SAFETY: the table, the key and the value are on the stack.
            Some(Open::Object) => unsafe { pilotlight_luajit::lua_rawset(stack.raw(), -3) },
        }
        self.next()
    }

    /// Pushes a key, which is `token`; the first token of its value.
    fn key(&mut self, stack: Stack, token: Token) -> Result<Token, String> {
        if token != Token::Text {
            return Err(self.wrong("object key string", token));
        }
        stack.push_bytes(self.string());
        match self.next() {
            Token::Colon => Ok(self.next()),
            other => Err(self.wrong("colon", other)),
        }
    }

    fn next(&mut self) -> Token {
        if let Err(token) = self.skip() {
            return token;
        }
        self.from = self.at;
        let token = match self.byte(self.at) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            b'"' => return self.quoted(),
            0 => return Token::End,
            _ => return self.word(),
        };
        self.at += 1;
        token
    }

    /// Spaces, and comments where they are allowed.
    fn skip(&mut self) -> Result<(), Token> {
        loop {
            while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
                self.at += 1;
            }
            let rest = self.text.get(self.at..).unwrap_or_default();
            if !self.options.comments {
                return Ok(());
            } else if rest.starts_with(b"//") {
                self.at += memchr::memchr2(b'\n', 0, rest).unwrap_or(rest.len());
            } else if let Some(rest) = rest.strip_prefix(b"/*") {
                let Some(len) = memchr::memmem::find(rest, b"*/") else {
                    self.at = self.text.len();
                    return Err(self.error("unclosed multi-line comment"));
                };
                self.at += 2 + len + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn error(&mut self, what: &'static str) -> Token {
        self.from = self.at;
        Token::Wrong(what)
    }

    /// What is longer than a byte.
    fn word(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let strange = self.options.invalid_numbers;
        for (word, token) in [
            (&b"true"[..], Token::Bool(true)),
            (b"false", Token::Bool(false)),
            (b"null", Token::Null),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        match rest[0] {
            b'-' | b'0'..=b'9' if strange || !is_strange(rest) => self.number(),
            b'-' | b'0'..=b'9' => self.error("invalid number"),
            b'+' | b'i' | b'I' | b'n' | b'N' if strange && is_strange(rest) => self.number(),
            _ => self.error("invalid token"),
        }
    }

    fn number(&mut self) -> Token {
        let rest = &self.text[self.at..];
        let Some((number, len)) = number::read(rest) else { return self.error("invalid number") };
        let sign = usize::from(matches!(rest[0], b'+' | b'-'));
        let digits = rest[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let after = rest.get(sign + digits);
        // Whole numbers end before an `X`: only a small one means hexadecimal.
        if digits > 0 && !matches!(after, Some(b'.' | b'e' | b'E' | b'x')) {
            self.at += sign + digits;
            return Token::Integer(if after == Some(&b'X') { 0.0 } else { number });
        }
        self.at += len;
        Token::Number(number)
    }

    fn quoted(&mut self) -> Token {
        self.at += 1;
        let from = self.at;
        let mut made: Option<Vec<u8>> = None;
        let mut plain = from;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.at += memchr::memchr3(b'"', b'\\', 0, rest).unwrap_or(rest.len());
            let piece = plain..self.at;
            match self.byte(self.at) {
                b'"' => {
                    self.string = match made {
                        None => Quoted::Plain(from, self.at),
                        Some(mut text) => {
                            text.extend_from_slice(&self.text[piece]);
                            Quoted::Made(text)
                        }
                    };
                    self.at += 1;
                    return Token::Text;
                }
                b'\\' => {
                    let text = made.get_or_insert_default();
                    text.extend_from_slice(&self.text[piece]);
                    let escaped = self.text.get(self.at..).unwrap_or_default();
                    match unescape(escaped, text) {
                        Ok(len) => self.at += len,
                        Err(what) => return self.error(what),
                    }
                    plain = self.at;
                }
                _ => return self.error("unexpected end of string"),
            }
        }
    }
}

/// Whether a number is one that only `strtod` takes.
fn is_strange(text: &[u8]) -> bool {
    let text = match text {
        [b'+', ..] => return true,
        [b'-', rest @ ..] => rest,
        all => all,
    };
    let begins = |word: &[u8]| text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(word));
    match text {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        _ => begins(b"inf") || begins(b"nan"),
    }
}

/// Appends what an escape means; its length.
fn unescape(text: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let byte = match text.get(1) {
        Some(b'"' | b'\\' | b'/') => text[1],
        Some(b'b') => 0x08,
        Some(b't') => b'\t',
        Some(b'n') => b'\n',
        Some(b'f') => 0x0c,
        Some(b'r') => b'\r',
        Some(b'u') => return unicode(text, out).ok_or("invalid unicode escape code"),
        _ => return Err("invalid escape code"),
    };
    out.push(byte);
    Ok(2)
}

/// A unit of UTF-16 in hexadecimal, or two of them that make a pair.
fn unicode(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |code, digit| Some(code << 4 | (*digit as char).to_digit(16)?))
    };
    let first = unit(0)?;
    let (code, len) = match first {
        0xd800..=0xdbff => {
            let second = unit(6).filter(|second| matches!(second, 0xdc00..=0xdfff))?;
            (0x10000 + ((first & 0x3ff) << 10 | (second & 0x3ff)), 12)
        }
        _ => (first, 6),
    };
    let letter = char::from_u32(code)?;
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    Some(len)
}
