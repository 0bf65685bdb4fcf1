//! One JSON object a line, written straight into its bytes.

use pilotlight_abi::Value;

/// A line under way.
pub(super) struct Line {
    out: Vec<u8>,
}

/// The most bytes of one text in a line.
const TEXT_MAX: usize = 8 * 1024;
/// How deep a filter's tables are followed.
const DEPTH_MAX: usize = 8;

impl Line {
    pub(super) fn new() -> Line {
        let mut out = Vec::with_capacity(384);
        out.push(b'{');
        Line { out }
    }

    pub(super) fn text(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        string(&mut self.out, text);
    }

    pub(super) fn integer(&mut self, key: &str, number: u64) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// With microseconds.
    pub(super) fn number(&mut self, key: &str, number: f64) {
        self.key(key);
        self.out.extend_from_slice(format!("{number:.6}").as_bytes());
    }

    /// What scripts add. A name that the line has already gets a `_`: none stands there twice, and
    /// the gateway's own figures stay what they are.
    pub(super) fn values(&mut self, given: &[(Box<str>, Value)]) {
        let own = self.out.len();
        for (key, value) in given {
            let said = format!("\"{key}\":");
            // A quote within a text is escaped: this finds keys only.
            match self.out[..own].windows(said.len()).any(|w| w == said.as_bytes()) {
                true => self.key(&format!("_{key}")),
                false => self.key(key),
            }
            any(&mut self.out, value, 0);
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"}\n");
        self.out
    }

    fn key(&mut self, key: &str) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        string(&mut self.out, key.as_bytes());
        self.out.push(b':');
    }
}

fn any(out: &mut Vec<u8>, value: &Value, depth: usize) {
    match value {
        _ if depth > DEPTH_MAX => out.extend_from_slice(b"null"),
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Value::Uint(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes())
        }
        Value::Float(number) if number.is_finite() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Float(_) => out.extend_from_slice(b"null"),
        Value::Bytes(bytes) => string(out, bytes),
        Value::List(items) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                any(out, item, depth + 1);
            }
            out.push(b']');
        }
        Value::Map(items) => {
            out.push(b'{');
            for (place, (key, item)) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                string(out, key.as_bytes());
                out.push(b':');
                any(out, item, depth + 1);
            }
            out.push(b'}');
        }
    }
}

/// RFC 8259 section 7; bytes that are no UTF-8 become U+FFFD.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let cut = &text[..text.len().min(TEXT_MAX)];
    for chunk in cut.utf8_chunks() {
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' => out.extend_from_slice(b"\\\""),
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                byte => out.push(byte),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}
