//! JSON in pieces, masked on its way. It keeps no tree and no whole string: what it holds back
//! between two pieces is at most the part of an address that may stand before an `@`.

use std::rc::Rc;

/// Bytes of a field's name that are looked at.
const NAME_MAX: usize = 128;
/// Bytes that an address has before its `@`, and after it.
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 255;

/// What is masked.
pub struct Rules {
    /// As they are meant, in any case of ASCII's letters.
    fields: Vec<String>,
    emails: bool,
    /// What stands for a value: a JSON string with its quotes.
    mask: String,
}

impl Rules {
    /// Values of these fields, and addresses in other strings.
    pub fn new(fields: Vec<String>, emails: bool, mask: &str) -> Rules {
        Rules { fields, emails, mask: serde_json::Value::from(mask).to_string() }
    }

    fn masks(&self, name: &[u8]) -> bool {
        if name.contains(&b'\\') {
            return self.names(unescaped(name).as_bytes());
        }
        self.names(name)
    }

    fn names(&self, name: &[u8]) -> bool {
        self.fields.iter().any(|field| field.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The mask within a string.
    fn inner(&self) -> &[u8] {
        self.mask[1..self.mask.len() - 1].as_bytes()
    }
}

/// A document on its way.
pub struct Redactor {
    rules: Rc<Rules>,
    at: At,
    /// What has been made; a part of it may still change.
    out: Vec<u8>,
    /// Where the last piece's output ended: it has been taken.
    taken: usize,
    /// The first bytes of the string that was read last: a name, if a colon follows.
    name: Vec<u8>,
    /// Where an address may begin at the earliest: behind an escape, or the string's quote.
    barrier: usize,
    /// What has come of an escape, behind its backslash.
    escape: Vec<u8>,
}

/// Where in the document.
enum At {
    /// Between tokens; `true` right behind a string.
    Between(bool),
    Text,
    Escape,
    /// Behind an `@`: where the address began in `out`, and how long its domain is so far.
    Domain(usize, usize),
    /// Before the value of a masked field.
    Masked,
    /// Within a masked number or word.
    MaskedWord,
    /// Within a masked value: how deep, whether in a string, whether behind a backslash.
    MaskedIn(usize, bool, bool),
}

impl Redactor {
    /// At the document's beginning.
    pub fn new(rules: &Rc<Rules>) -> Redactor {
        Redactor {
            rules: Rc::clone(rules),
            at: At::Between(false),
            out: Vec::new(),
            taken: 0,
            name: Vec::with_capacity(NAME_MAX),
            barrier: 0,
            escape: Vec::new(),
        }
    }

    /// Takes the next piece and gives what can go on.
    pub fn push(&mut self, mut piece: &[u8], last: bool) -> &[u8] {
        let held = self.out.len() - self.taken;
        self.out.copy_within(self.taken.., 0);
        self.out.truncate(held);
        self.barrier = self.barrier.saturating_sub(self.taken);
        if let At::Domain(start, _) = &mut self.at {
            *start -= self.taken;
        }
        self.out.reserve(piece.len() + 64);
        while !piece.is_empty() {
            let read = self.step(piece);
            piece = &piece[read..];
        }
        if last && let At::Domain(start, _) = self.at {
            self.address(start);
        }
        self.taken = if last { self.out.len() } else { self.out.len() - self.unsure() };
        &self.out[..self.taken]
    }

    /// Bytes at the end of `out` that what comes next may change.
    fn unsure(&self) -> usize {
        match self.at {
            At::Domain(start, _) => self.out.len() - start,
            At::Text | At::Escape if self.rules.emails => self.local(),
            _ => 0,
        }
    }

    /// How many bytes before the end of `out` may belong to an address.
    fn local(&self) -> usize {
        let text = &self.out[self.barrier..];
        let text = &text[text.len().saturating_sub(LOCAL_MAX)..];
        text.iter().rev().take_while(|byte| is_local(**byte)).count()
    }

    /// Reads some of the piece: how much.
    fn step(&mut self, piece: &[u8]) -> usize {
        let byte = piece[0];
        match self.at {
            At::Between(behind_text) => self.between(piece, behind_text),
            At::Text => self.text(piece),
            At::Escape => {
                self.escape.push(byte);
                if self.escape[0] != b'u' || self.escape.len() == 5 {
                    self.escaped();
                }
                1
            }
            At::Domain(start, length) => {
                if is_domain(byte) && length < DOMAIN_MAX {
                    self.out.push(byte);
                    self.at = At::Domain(start, length + 1);
                    return 1;
                }
                self.address(start);
                self.at = At::Text;
                0
            }
            At::Masked => {
                if byte.is_ascii_whitespace() {
                    self.out.push(byte);
                    return 1;
                }
                self.out.extend_from_slice(self.rules.mask.as_bytes());
                self.at = match byte {
                    b'"' => At::MaskedIn(0, true, false),
                    b'{' | b'[' => At::MaskedIn(1, false, false),
                    _ => At::MaskedWord,
                };
                1
            }
            At::MaskedWord => {
                let ends = |byte: &u8| b",]} \t\r\n".contains(byte);
                let end = piece.iter().position(ends).unwrap_or(piece.len());
                if end < piece.len() {
                    self.at = At::Between(false);
                }
                end
            }
            At::MaskedIn(depth, in_text, escaped) => {
                self.at = match (in_text, byte) {
                    (true, _) if escaped => At::MaskedIn(depth, true, false),
                    (true, b'\\') => At::MaskedIn(depth, true, true),
                    (true, b'"') if depth == 0 => At::Between(false),
                    (true, b'"') => At::MaskedIn(depth, false, false),
                    (false, b'"') => At::MaskedIn(depth, true, false),
                    (false, b'{' | b'[') => At::MaskedIn(depth + 1, false, false),
                    (false, b'}' | b']') if depth == 1 => At::Between(false),
                    (false, b'}' | b']') => At::MaskedIn(depth - 1, false, false),
                    _ => At::MaskedIn(depth, in_text, false),
                };
                1
            }
        }
    }

    fn between(&mut self, piece: &[u8], behind_text: bool) -> usize {
        if behind_text {
            let spaces = piece.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.out.extend_from_slice(&piece[..spaces]);
            let Some(next) = piece.get(spaces) else { return spaces };
            self.at = At::Between(false);
            if *next == b':' && self.rules.masks(&self.name) {
                self.out.push(b':');
                self.at = At::Masked;
                return spaces + 1;
            }
            return spaces;
        }
        let quote = memchr::memchr(b'"', piece);
        let end = quote.map_or(piece.len(), |quote| quote + 1);
        self.out.extend_from_slice(&piece[..end]);
        if quote.is_some() {
            self.name.clear();
            self.barrier = self.out.len();
            self.at = At::Text;
        }
        end
    }

    fn text(&mut self, piece: &[u8]) -> usize {
        let found = match self.rules.emails {
            true => memchr::memchr3(b'"', b'\\', b'@', piece),
            false => memchr::memchr2(b'"', b'\\', piece),
        };
        let end = found.unwrap_or(piece.len());
        self.out.extend_from_slice(&piece[..end]);
        self.named(&piece[..end]);
        let Some(byte) = piece.get(end) else { return end };
        match byte {
            b'"' => self.at = At::Between(true),
            b'\\' => {
                self.escape.clear();
                // What stands before it is as it will be, but for an escaped `@`.
                self.at = At::Escape;
                return end + 1;
            }
            _ => {
                self.named(b"@");
                self.at = At::Domain(self.out.len() - self.local(), 0);
            }
        }
        self.out.push(*byte);
        end + 1
    }

    fn named(&mut self, text: &[u8]) {
        let room = NAME_MAX - self.name.len();
        self.name.extend_from_slice(&text[..text.len().min(room)]);
    }

    /// An escape is whole.
    fn escaped(&mut self) {
        let escape = std::mem::take(&mut self.escape);
        let is_at = self.rules.emails && escape == b"u0040";
        let start = self.out.len() - if is_at { self.local() } else { 0 };
        self.out.push(b'\\');
        self.out.extend_from_slice(&escape);
        self.named(b"\\");
        self.named(&escape);
        self.escape = escape;
        self.barrier = self.out.len();
        self.at = if is_at { At::Domain(start, 0) } else { At::Text };
    }

    /// A domain has ended: masks the address that began at `start`, if it is one.
    fn address(&mut self, start: usize) {
        let text = &self.out[start..];
        let sign = text.iter().position(|byte| *byte == b'@').map(|at| (at, at + 1));
        let escaped = text.windows(6).position(|part| part == br"\u0040").map(|at| (at, at + 6));
        let Some((local, domain)) = sign.or(escaped) else { return };
        let domain = text[domain..].strip_suffix(b".").unwrap_or(&text[domain..]);
        let has_dot = domain.iter().skip(1).any(|byte| *byte == b'.');
        if local > 0 && has_dot {
            let dot = self.out.ends_with(b".");
            self.out.truncate(start);
            self.out.extend_from_slice(self.rules.inner());
            // The end of a sentence.
            if dot {
                self.out.push(b'.');
            }
        }
        self.barrier = self.out.len();
    }
}

/// What may stand before the `@` of an address.
fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".-".contains(&byte)
}

/// A name as it is meant: `\u0061` is an `a`.
fn unescaped(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|_| text.into_owned())
}
