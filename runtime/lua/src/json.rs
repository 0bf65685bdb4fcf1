//! JSON, straight to and from the Lua stack. `null` is a light userdata of address 0.

use std::fmt;
use std::os::raw::c_int;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::stack::{Kind, Stack};
use crate::watchdog::stopping;

/// Arrays and objects inside each other.
const DEPTH: usize = 100;
/// The script is over its time; it will see no more than this.
const STOPPED: &str = "stopped";
/// Bytes of a text we make.
const TEXT_MAX: usize = 8 << 20;
/// Work between two looks at the clock, in bytes; a value costs as much as some of them.
const LOOK: usize = 16 * 1024;
const VALUE: usize = 32;

/// Pushes what the text means. Arrays get the metatable kept at `array`.
///
/// # Errors
/// What is wrong, with line and column.
pub(crate) fn decode(stack: Stack, text: &[u8], array: c_int) -> Result<(), String> {
    let mut from = serde_json::Deserializer::from_slice(text);
    Push { stack, array }.deserialize(&mut from).map_err(|e| e.to_string())?;
    from.end().map_err(|e| e.to_string())
}

#[derive(Clone, Copy)]
struct Push {
    stack: Stack,
    array: c_int,
}

impl<'de> DeserializeSeed<'de> for Push {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Push {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.stack.push_bool(value);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.stack.push_number(value as f64);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.stack.push_number(value as f64);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.stack.push_number(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.stack.push_bytes(value.as_bytes());
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.stack.push_light(std::ptr::null());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.stack.reserve(6) {
            return Err(A::Error::custom("nested too deeply"));
        }
        self.stack.push_table(0, 0);
        self.stack.push_kept(self.array);
        self.stack.set_metatable(-2);
        let mut index = 0;
        while list.next_element_seed(self)?.is_some() {
            if stopping() {
                return Err(A::Error::custom(STOPPED));
            }
            index += 1;
            self.stack.set_at(-2, index);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if !self.stack.reserve(6) {
            return Err(A::Error::custom("nested too deeply"));
        }
        self.stack.push_table(0, 0);
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            map.next_value_seed(self)?;
            if stopping() {
                return Err(A::Error::custom(STOPPED));
            }
            self.stack.set(-2, key.as_bytes());
        }
        Ok(())
    }
}

/// The text of the value at `index`.
///
/// # Errors
/// What can't be said in JSON.
pub(crate) fn encode(stack: Stack, index: c_int) -> Result<Vec<u8>, String> {
    encode_until(stack, index, &stopping)
}

/// The same for texts that are made when no script runs: `stop` is asked now and then.
pub(crate) fn encode_until(
    stack: Stack,
    index: c_int,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<u8>, String> {
    let mut out = Out { text: Vec::new(), stop, work: 0 };
    write(stack, stack.absolute(index), DEPTH, &mut out)?;
    Ok(out.text)
}

/// A text under way.
struct Out<'a> {
    text: Vec<u8>,
    stop: &'a dyn Fn() -> bool,
    /// Values and bytes since the last look at `stop`.
    work: usize,
}

impl Out<'_> {
    fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// Before so much work: whether it may be done.
    fn spend(&mut self, work: usize) -> Result<(), String> {
        if self.text.len() > TEXT_MAX {
            return Err("the text is too large".into());
        }
        self.work += work;
        if self.work < LOOK {
            return Ok(());
        }
        self.work = 0;
        if (self.stop)() { Err(STOPPED.into()) } else { Ok(()) }
    }
}

fn write(stack: Stack, index: c_int, depth: usize, out: &mut Out<'_>) -> Result<(), String> {
    out.spend(VALUE)?;
    match stack.kind(index) {
        Kind::Nil => out.push(b"null"),
        Kind::Light if stack.light(index).is_null() => out.push(b"null"),
        Kind::Bool if stack.truth(index) => out.push(b"true"),
        Kind::Bool => out.push(b"false"),
        Kind::Number => write_number(stack.number(index).unwrap_or_default(), out)?,
        Kind::Str => write_text(stack.bytes(index).unwrap_or_default(), out)?,
        Kind::Table => return write_table(stack, index, depth, out),
        _ => return Err(format!("can't encode a {}", stack.kind_name(index))),
    }
    Ok(())
}

fn write_number(number: f64, out: &mut Out<'_>) -> Result<(), String> {
    if !number.is_finite() {
        return Err("can't encode a number that is not finite".into());
    }
    let whole = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    let text = if whole { format!("{}", number as i64) } else { format!("{number:?}") };
    out.push(text.as_bytes());
    Ok(())
}

/// A string, in pieces: one byte may become six.
fn write_text(text: &[u8], out: &mut Out<'_>) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|e| {
        format!("can't encode a string that is not UTF-8 (at byte {})", e.valid_up_to() + 1)
    })?;
    out.push(b"\"");
    for piece in text.as_bytes().chunks(LOOK) {
        out.spend(piece.len())?;
        let mut plain = 0;
        for (at, byte) in piece.iter().enumerate() {
            let escaped: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0x08 => b"\\b",
                0x0c => b"\\f",
                0..=0x1f => b"",
                _ => continue,
            };
            out.push(&piece[plain..at]);
            plain = at + 1;
            match escaped {
                b"" => out.push(format!("\\u{byte:04x}").as_bytes()),
                known => out.push(known),
            }
        }
        out.push(&piece[plain..]);
    }
    out.push(b"\"");
    Ok(())
}

fn write_table(stack: Stack, index: c_int, depth: usize, out: &mut Out<'_>) -> Result<(), String> {
    if depth == 0 || !stack.reserve(8) {
        return Err("a table is nested too deeply (or holds itself)".into());
    }
    let length = stack.length(index);
    let marked = stack.push_metatable(index) && {
        stack.push_kept(crate::vm::ARRAY);
        let same = stack.pointer(-1) == stack.pointer(-2);
        stack.pop(2);
        same
    };
    if length == 0 && !marked {
        return write_object(stack, index, depth, out);
    }
    let mut fields = 0usize;
    stack.push_nil();
    while stack.next(index) {
        stack.pop(1);
        fields += 1;
        if let Err(error) = out.spend(1) {
            stack.pop(1);
            return Err(error);
        }
        if stack.kind(-1) != Kind::Number {
            stack.pop(1);
            return Err("a table has both list items and named fields".into());
        }
        if fields > length {
            stack.pop(1);
            return Err("a list has holes".into());
        }
    }
    out.push(b"[");
    for at in 1..=length {
        if at > 1 {
            out.push(b",");
        }
        stack.get_at(index, at as c_int);
        let written = write(stack, stack.top(), depth - 1, out);
        stack.pop(1);
        written?;
    }
    out.push(b"]");
    Ok(())
}

fn write_object(stack: Stack, index: c_int, depth: usize, out: &mut Out<'_>) -> Result<(), String> {
    out.push(b"{");
    let mut first = true;
    stack.push_nil();
    while stack.next(index) {
        if !std::mem::take(&mut first) {
            out.push(b",");
        }
        let written = match stack.kind(-2) {
            Kind::Str => write_text(stack.bytes(-2).unwrap_or_default(), out),
            Kind::Number => {
                out.push(b"\"");
                let written = write_number(stack.number(-2).unwrap_or_default(), out);
                out.push(b"\"");
                written
            }
            _ => Err(format!("can't encode a {} as a key", stack.kind_name(-2))),
        };
        out.push(b":");
        let written = written.and_then(|()| write(stack, stack.top(), depth - 1, out));
        stack.pop(1);
        if let Err(error) = written {
            stack.pop(1);
            return Err(error);
        }
    }
    out.push(b"}");
    Ok(())
}
