//! nginx's syntax: directives, blocks, quotes, comments, and the blocks of Lua in between.

use std::rc::Rc;

use super::lex::lua_end;
use crate::note::Refused;

/// Blocks within blocks.
const DEEPEST: usize = 64;

/// Where a directive stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) file: Rc<str>,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// `name args;` or `name args { ... }`.
#[derive(Debug, Clone)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) spot: Spot,
    /// What stands in its braces; the code of a Lua block does not.
    pub(super) block: Option<Vec<Directive>>,
    /// The code of a `*_by_lua_block`.
    pub(super) lua: Option<String>,
}

impl Directive {
    /// The argument, or nothing.
    pub(super) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    pub(super) fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Takes a file apart.
///
/// Errors: the first place that is not nginx's syntax.
pub(super) fn parse(text: &str, file: &str) -> Result<Vec<Directive>, Refused> {
    let mut parser = Parser { text, at: 0, line: 1, start: 0, file: file.into() };
    parser.block(0)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    /// Where the line begins.
    start: usize,
    file: Rc<str>,
}

enum Token {
    Word(String),
    Semicolon,
    Open,
    Close,
    End,
}

impl Parser<'_> {
    fn spot(&self) -> Spot {
        let before = self.text.get(self.start..self.at).unwrap_or_default();
        Spot { file: self.file.clone(), line: self.line, column: before.chars().count() + 1 }
    }

    fn refuse<T>(&self, spot: Spot, message: impl Into<String>) -> Result<T, Refused> {
        let Spot { file, line, column } = spot;
        Err(Refused { file: file.to_string(), line, column, message: message.into() })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes on by so many bytes, counting lines.
    fn skip(&mut self, bytes: usize) {
        for byte in self.text.bytes().skip(self.at).take(bytes) {
            self.at += 1;
            if byte == b'\n' {
                self.line += 1;
                self.start = self.at;
            }
        }
    }

    /// The directives up to a closing brace, or to the end of the file.
    fn block(&mut self, depth: usize) -> Result<Vec<Directive>, Refused> {
        let mut all = Vec::new();
        loop {
            self.blank();
            let spot = self.spot();
            match self.token()? {
                Token::Close if depth > 0 => return Ok(all),
                Token::End if depth == 0 => return Ok(all),
                Token::End => return self.refuse(spot, "a block without its `}`"),
                Token::Close => return self.refuse(spot, "a `}` that closes nothing"),
                Token::Semicolon => return self.refuse(spot, "a `;` behind nothing"),
                Token::Open => return self.refuse(spot, "a block without a name"),
                Token::Word(name) => all.push(self.directive(name, spot, depth)?),
            }
        }
    }

    fn directive(&mut self, name: String, spot: Spot, depth: usize) -> Result<Directive, Refused> {
        let mut directive = Directive { name, args: Vec::new(), spot, block: None, lua: None };
        loop {
            self.blank();
            let here = self.spot();
            match self.token()? {
                Token::Word(arg) => directive.args.push(arg),
                Token::Semicolon => return Ok(directive),
                Token::Open if directive.name.ends_with("_by_lua_block") => {
                    directive.lua = Some(self.lua(here)?);
                    return Ok(directive);
                }
                Token::Open if depth >= DEEPEST => {
                    return self.refuse(here, "blocks are too deep");
                }
                Token::Open => {
                    directive.block = Some(self.block(depth + 1)?);
                    return Ok(directive);
                }
                Token::Close | Token::End => {
                    let message = format!("\"{}\" without its `;`", directive.name);
                    return self.refuse(directive.spot, message);
                }
            }
        }
    }

    /// The code up to the brace that closes the block.
    fn lua(&mut self, open: Spot) -> Result<String, Refused> {
        let rest = &self.text[self.at..];
        let Some(end) = lua_end(rest) else {
            return self.refuse(open, "a block of Lua without its `}`");
        };
        let code = rest[..end].to_owned();
        self.skip(end + 1);
        Ok(code)
    }

    /// Skips blanks and comments.
    fn blank(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.skip(1),
                b'#' => {
                    let rest = &self.text.as_bytes()[self.at..];
                    let line = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                    self.skip(line);
                }
                // A byte order mark.
                0xEF if self.at == 0 && self.text.starts_with('\u{feff}') => {
                    self.at = 3;
                    self.start = 3;
                }
                _ => return,
            }
        }
    }

    /// The next token; blanks before it are gone.
    fn token(&mut self) -> Result<Token, Refused> {
        let token = match self.peek() {
            None => return Ok(Token::End),
            Some(b';') => Token::Semicolon,
            Some(b'{') => Token::Open,
            Some(b'}') => Token::Close,
            Some(quote @ (b'"' | b'\'')) => return self.quoted(quote).map(Token::Word),
            Some(_) => return Ok(Token::Word(self.bare())),
        };
        self.skip(1);
        Ok(token)
    }

    fn quoted(&mut self, quote: u8) -> Result<String, Refused> {
        let open = self.spot();
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        loop {
            match bytes.get(end) {
                None => return self.refuse(open, "a text without its closing quote"),
                Some(b'\\') => end += 2,
                Some(byte) if *byte == quote => break,
                Some(_) => end += 1,
            }
        }
        let text = unescaped(&self.text[self.at + 1..end]);
        self.skip(end + 1 - self.at);
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' | b')') => Ok(text),
            Some(_) => self.refuse(self.spot(), "a blank is missing behind the quote"),
        }
    }

    /// Up to a blank, a `;` or a `{` that belongs to no variable.
    fn bare(&mut self) -> String {
        let bytes = self.text.as_bytes();
        let mut end = self.at;
        while let Some(byte) = bytes.get(end) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' => break,
                b'{' if end == self.at || bytes[end - 1] != b'$' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        // What a backslash stands before may be longer than a byte, or not there.
        end = end.min(bytes.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        let text = unescaped(&self.text[self.at..end]);
        self.skip(end - self.at);
        text
    }
}

/// The escapes that nginx takes out; others stay as they are, since expressions have their own.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(quoted @ ('"' | '\'' | '\\')) => out.push(quoted),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests;
