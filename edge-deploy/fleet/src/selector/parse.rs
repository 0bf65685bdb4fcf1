//! From text to a selector.
//!
//! ```text
//! any   = all { "or" all }
//! all   = not { "and" not }
//! not   = "not" not | "(" any ")" | name [ order value | [ "not" ] "in" "[" [ value { "," value } ] "]" ]
//! value = "text" | 'text' | number | true | false
//! ```

use std::ops::Range;

use super::{ORDERS, Order, Selector};
use crate::label::Value;

/// The longest expression, in bytes, and how deep it may nest.
const LONGEST: usize = 4096;
const DEEPEST: usize = 32;

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misread {
    /// The bytes that are wrong.
    pub at: Range<usize>,
    /// What is wrong with them.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Value(Value),
    Order(Order),
    Sign(char),
    End,
}

pub(super) fn parse(text: &str) -> Result<Selector, Misread> {
    if text.len() > LONGEST {
        return Err(wrong(0..text.len(), format!("longer than {LONGEST} bytes"), None));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let selector = parser.any()?;
    match parser.peek() {
        Token::End => Ok(selector),
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

fn wrong(at: Range<usize>, message: impl Into<String>, hint: Option<&str>) -> Misread {
    Misread { at, message: message.into(), hint: hint.map(Into::into) }
}

struct Parser {
    tokens: Vec<(Token, Range<usize>)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Selector, Misread> {
        let mut parts = vec![self.all()?];
        while self.takes_word("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Selector::Any))
    }

    fn all(&mut self) -> Result<Selector, Misread> {
        let mut parts = vec![self.not()?];
        while self.takes_word("and") {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Selector::All))
    }

    fn not(&mut self) -> Result<Selector, Misread> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(wrong(self.place(), format!("nested deeper than {DEEPEST}"), None));
        }
        let read = if self.takes_word("not") {
            self.not().map(|inner| Selector::Not(Box::new(inner)))
        } else if self.takes_sign('(') {
            let inner = self.any()?;
            self.needs_sign(')')?;
            Ok(inner)
        } else {
            self.condition()
        };
        self.depth -= 1;
        read
    }

    fn condition(&mut self) -> Result<Selector, Misread> {
        let Token::Name(name) = self.peek().clone() else {
            return Err(self.unexpected("the name of a label"));
        };
        if matches!(name.as_str(), "and" | "or" | "in" | "not") {
            return Err(self.unexpected("the name of a label"));
        }
        self.at += 1;
        if let Token::Order(order) = *self.peek() {
            self.at += 1;
            let place = self.place();
            let value = self.value()?;
            let equality = matches!(order, Order::Equal | Order::Unequal);
            if !equality && !matches!(value, Value::Number(_)) {
                let message = "only numbers are larger or smaller than others";
                return Err(wrong(place, message, Some("use `==`, `!=` or `in`")));
            }
            return Ok(Selector::Compare(name, order, value));
        }
        let negated = self.is_word("not") && self.is_word_after("in");
        self.at += usize::from(negated);
        if !self.takes_word("in") {
            return Ok(Selector::Flag(name));
        }
        let list = Selector::In(name, self.list()?);
        Ok(if negated { Selector::Not(Box::new(list)) } else { list })
    }

    fn list(&mut self) -> Result<Vec<Value>, Misread> {
        let mut values = Vec::new();
        self.needs_sign('[')?;
        while !self.takes_sign(']') {
            values.push(self.value()?);
            if !self.takes_sign(',') {
                self.needs_sign(']')?;
                break;
            }
        }
        Ok(values)
    }

    fn value(&mut self) -> Result<Value, Misread> {
        let value = match self.peek() {
            Token::Value(value) => value.clone(),
            Token::Name(name) if name == "true" => Value::Flag(true),
            Token::Name(name) if name == "false" => Value::Flag(false),
            Token::Name(name) => {
                let hint = format!("a text stands in quotes: \"{name}\"");
                return Err(Misread { hint: Some(hint), ..self.unexpected("a value") });
            }
            _ => return Err(self.unexpected("a value")),
        };
        self.at += 1;
        Ok(value)
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn place(&self) -> Range<usize> {
        let last = self.tokens.last().map_or(0..0, |(_, place)| place.clone());
        self.tokens.get(self.at).map_or(last, |(_, place)| place.clone())
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Name(name) if name == word)
    }

    fn is_word_after(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at + 1), Some((Token::Name(name), _)) if name == word)
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        self.at += usize::from(is);
        is
    }

    fn takes_sign(&mut self, sign: char) -> bool {
        let is = *self.peek() == Token::Sign(sign);
        self.at += usize::from(is);
        is
    }

    fn needs_sign(&mut self, sign: char) -> Result<(), Misread> {
        if self.takes_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn unexpected(&self, expected: &str) -> Misread {
        let found = match self.peek() {
            Token::Name(name) => format!("`{name}`"),
            Token::Value(value) => value.to_string(),
            Token::Order(_) => "a comparison".into(),
            Token::Sign(sign) => format!("`{sign}`"),
            Token::End => "the end".into(),
        };
        wrong(self.place(), format!("expected {expected}, found {found}"), None)
    }
}

fn one_or(mut parts: Vec<Selector>, many: fn(Vec<Selector>) -> Selector) -> Selector {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

fn tokens(text: &str) -> Result<Vec<(Token, Range<usize>)>, Misread> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = match c {
            _ if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '(' | ')' | '[' | ']' | ',' => (Token::Sign(c), 1),
            '"' | '\'' => quoted(rest, c)
                .ok_or_else(|| wrong(at..text.len(), "a text without its closing quote", None))?,
            '0'..='9' | '-' => {
                number(rest).map_err(|length| wrong(at..at + length, "this is no number", None))?
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                (Token::Name(rest[..length].into()), length)
            }
            _ => match ORDERS.iter().find(|(sign, _)| rest.starts_with(sign)) {
                Some((sign, order)) => (Token::Order(*order), sign.len()),
                None => return Err(stray(c, rest, at)),
            },
        };
        tokens.push((token, at..at + length));
        at += length;
    }
    tokens.push((Token::End, text.len()..text.len()));
    Ok(tokens)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// A character that begins nothing.
fn stray(c: char, rest: &str, at: usize) -> Misread {
    let hint = match c {
        '=' => Some("equality is `==`"),
        '!' => Some("negation is `not`"),
        '&' => Some("conjunction is `and`"),
        '|' => Some("disjunction is `or`"),
        _ => None,
    };
    let length = rest.chars().take_while(|other| *other == c).map(char::len_utf8).sum::<usize>();
    wrong(at..at + length, format!("unexpected `{}`", &rest[..length]), hint)
}

/// A text in quotes and its length; `\` takes the next character as it is.
fn quoted(rest: &str, quote: char) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => text.push(chars.next()?.1),
            _ if c == quote => return Some((Token::Value(Value::Text(text)), at + 1)),
            _ => text.push(c),
        }
    }
    None
}

/// A number and its length, or the length of what is none.
fn number(rest: &str) -> Result<(Token, usize), usize> {
    let part = |c: char| is_name(c) || c == '+';
    let length = rest.find(|c| !part(c)).unwrap_or(rest.len());
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
    let number = rest[..length].parse::<f64>().ok();
    let number = number.filter(|n| n.is_finite() && rest[..length].bytes().all(plain));
    number.map(|number| (Token::Value(Value::Number(number)), length)).ok_or(length)
}
