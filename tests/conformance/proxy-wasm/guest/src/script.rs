//! The configuration's language.

/// A line of a block.
#[derive(Clone)]
pub enum Line {
    Call { name: String, quiet: bool, times: u32, arguments: Vec<Token> },
    Return(u32),
    Arguments,
    Say(String),
    Trap,
    Loop,
    Grow(u32),
    Recurse,
}

/// An argument.
#[derive(Clone)]
pub enum Token {
    Number(i64),
    Text(Vec<u8>),
    /// A header map.
    Map(Vec<(Vec<u8>, Vec<u8>)>),
    /// `$NAME`: something that was given before.
    Name(String),
}

struct Block {
    event: String,
    /// Which time it comes; 0: each.
    nth: u32,
    end: Option<bool>,
    lines: Vec<Line>,
}

/// What to do, by event.
#[derive(Default)]
pub struct Script {
    blocks: Vec<Block>,
}

impl Script {
    pub fn parse(text: &str) -> Script {
        let mut script = Script::default();
        for line in text.lines() {
            let mut tokens = tokens(line).into_iter();
            let Some(Token::Name(word)) = tokens.next() else { continue };
            if word == "on" {
                let (mut block, mut words) =
                    (Block { event: String::new(), nth: 0, end: None, lines: Vec::new() }, tokens);
                if let Some(Token::Name(event)) = words.next() {
                    block.event = event;
                }
                match words.next() {
                    Some(Token::Number(nth)) => block.nth = nth as u32,
                    Some(Token::Name(word)) => block.end = Some(word == "end"),
                    _ => {}
                }
                script.blocks.push(block);
                continue;
            }
            let Some(block) = script.blocks.last_mut() else { continue };
            block.lines.push(read(word, tokens.collect()));
        }
        script
    }

    /// The lines for an event.
    pub fn lines(&self, event: &str, nth: u32, end: Option<bool>) -> Vec<Line> {
        let due = |block: &&Block| {
            block.event == event
                && (block.nth == 0 || block.nth == nth)
                && (block.end.is_none() || block.end == end)
        };
        self.blocks.iter().filter(due).flat_map(|block| block.lines.clone()).collect()
    }
}

fn read(word: String, mut arguments: Vec<Token>) -> Line {
    let number = match arguments.first() {
        Some(Token::Number(number)) => *number as u32,
        _ => 0,
    };
    match (word.as_str(), arguments.first()) {
        ("return", _) => Line::Return(number),
        ("arguments", _) => Line::Arguments,
        ("trap", _) => Line::Trap,
        ("loop", _) => Line::Loop,
        ("recurse", _) => Line::Recurse,
        ("grow", _) => Line::Grow(number),
        ("say", Some(Token::Text(text))) => Line::Say(String::from_utf8_lossy(text).into_owned()),
        ("quiet", Some(Token::Name(name))) => {
            let name = name.clone();
            arguments.remove(0);
            Line::Call { name, quiet: true, times: 1, arguments }
        }
        ("times", _) => match arguments.get(1) {
            Some(Token::Name(name)) => {
                let name = name.clone();
                arguments.drain(..2);
                Line::Call { name, quiet: true, times: number, arguments }
            }
            _ => Line::Say("times N CALL".into()),
        },
        _ => Line::Call { name: word, quiet: false, times: 1, arguments },
    }
}

fn tokens(line: &str) -> Vec<Token> {
    let bytes = line.as_bytes();
    let (mut at, mut tokens, mut map) = (0, Vec::new(), None::<Vec<Vec<u8>>>);
    while at < bytes.len() {
        match bytes[at] {
            b' ' | b'\t' => at += 1,
            b'#' => break,
            b'[' => {
                map = Some(Vec::new());
                at += 1;
            }
            b']' => {
                let mut parts = map.take().unwrap_or_default().into_iter();
                let mut pairs = Vec::new();
                while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
                    pairs.push((key, value));
                }
                tokens.push(Token::Map(pairs));
                at += 1;
            }
            b'"' => {
                let (text, next) = quoted(bytes, at + 1);
                at = next;
                match &mut map {
                    Some(map) => map.push(text),
                    None => tokens.push(Token::Text(text)),
                }
            }
            _ => {
                let end = (at..bytes.len()).find(|i| b" \t]".contains(&bytes[*i]));
                let word = &line[at..end.unwrap_or(bytes.len())];
                at += word.len();
                tokens.push(match word.parse() {
                    Ok(number) => Token::Number(number),
                    Err(_) => Token::Name(word.to_owned()),
                });
            }
        }
    }
    tokens
}

/// Text up to the closing quote, and where it goes on. `\n`, `\0`, `\"`, `\\`, `\xNN`.
fn quoted(bytes: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut text = Vec::new();
    while at < bytes.len() && bytes[at] != b'"' {
        if bytes[at] != b'\\' {
            text.push(bytes[at]);
            at += 1;
            continue;
        }
        let (byte, length) = match bytes.get(at + 1) {
            Some(b'n') => (b'\n', 2),
            Some(b'0') => (0, 2),
            Some(b'x') => {
                let digits = std::str::from_utf8(&bytes[at + 2..at + 4]).unwrap_or("0");
                (u8::from_str_radix(digits, 16).unwrap_or(0), 4)
            }
            Some(other) => (*other, 2),
            None => (b'\\', 1),
        };
        text.push(byte);
        at += length;
    }
    (text, at + 1)
}
