//! What Redis says (RESP2), read while it comes.

use pilotlight_abi::Value;
use pilotlight_abi::limit::LUA_SOCKET_BYTES;

/// Lists inside lists.
const DEPTH: usize = 16;
/// Values of one reply.
const VALUES_MAX: usize = 1 << 20;
/// Bytes of a line: everything but bulk strings.
const LINE_MAX: usize = 64 * 1024;

/// Why a reply can't be read; the connection is of no use any more.
pub const MALFORMED: &str = "malformed reply";
/// The same.
pub const TOO_LARGE: &str = "the reply is too large";

/// A reader of replies. As in Redis's own scripts, nothing is nil (false inside a list), and an error
/// inside a list is a table `{ err = "..." }`.
#[derive(Default)]
pub struct Reader {
    /// Lists under way: what they have, how many values they still want.
    open: Vec<(Vec<Value>, usize)>,
    values: usize,
}

/// A reply.
#[derive(Debug, PartialEq)]
pub enum Reply {
    /// What it says.
    Value(Value),
    /// The server refused.
    Refused(String),
}

impl Reader {
    /// Reads on in `bytes`; how many were used, and the reply when it is whole. Bytes that were not
    /// used are to come again, with more behind them.
    ///
    /// # Errors
    /// When it is not RESP2, or too much of it.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(usize, Option<Reply>), &'static str> {
        let mut at = 0;
        while let Some((used, item)) = item(&bytes[at..])? {
            at += used;
            self.values += 1;
            if self.values > VALUES_MAX {
                return Err(TOO_LARGE);
            }
            let reply = match item {
                Item::Value(value) => Reply::Value(value),
                Item::Refused(message) => Reply::Refused(message),
                Item::List(count) if count > VALUES_MAX => return Err(TOO_LARGE),
                Item::List(0) => Reply::Value(Value::List(Vec::new())),
                Item::List(_) if self.open.len() == DEPTH => return Err(MALFORMED),
                Item::List(count) => {
                    self.open.push((Vec::new(), count));
                    continue;
                }
            };
            if let Some(whole) = self.place(reply) {
                self.values = 0;
                return Ok((at, Some(whole)));
            }
        }
        Ok((at, None))
    }

    /// Puts a value where it belongs; the reply, when that was its last.
    fn place(&mut self, mut reply: Reply) -> Option<Reply> {
        while let Some((list, wanted)) = self.open.last_mut() {
            list.push(within(reply));
            *wanted -= 1;
            if *wanted > 0 {
                return None;
            }
            let whole = self.open.pop().map(|(list, _)| list).unwrap_or_default();
            reply = Reply::Value(Value::List(whole));
        }
        Some(reply)
    }
}

/// A reply inside a list.
pub fn within(reply: Reply) -> Value {
    match reply {
        Reply::Value(Value::Nil) => Value::Bool(false),
        Reply::Value(value) => value,
        Reply::Refused(message) => Value::Map(vec![("err".into(), Value::from(&*message))]),
    }
}

/// What a line begins.
enum Item {
    Value(Value),
    Refused(String),
    /// So many values follow.
    List(usize),
}

/// The first item and its length; `None` while it is not all there.
fn item(bytes: &[u8]) -> Result<Option<(usize, Item)>, &'static str> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    let Some(end) = memchr::memchr(b'\r', rest) else {
        return if rest.len() > LINE_MAX { Err(MALFORMED) } else { Ok(None) };
    };
    let (line, after) = (&rest[..end], &rest[end + 1..]);
    match after.first() {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(MALFORMED),
    }
    let head = 1 + end + 2;
    let number = || std::str::from_utf8(line).ok()?.parse::<i64>().ok();
    Ok(Some(match kind {
        b'+' => (head, Item::Value(Value::Bytes(line.to_vec()))),
        b'-' => (head, Item::Refused(String::from_utf8_lossy(line).into_owned())),
        b':' => (head, Item::Value(Value::Int(number().ok_or(MALFORMED)?))),
        b'$' | b'*' => match (kind, number().ok_or(MALFORMED)?) {
            (_, -1) => (head, Item::Value(Value::Nil)),
            (_, ..0) => return Err(MALFORMED),
            (b'*', count) => (head, Item::List(usize::try_from(count).map_err(|_| TOO_LARGE)?)),
            (_, length) if length as u64 > LUA_SOCKET_BYTES as u64 => return Err(TOO_LARGE),
            (_, length) => {
                let length = length as usize;
                let Some(content) = bytes.get(head..head + length + 2) else { return Ok(None) };
                if &content[length..] != b"\r\n" {
                    return Err(MALFORMED);
                }
                (head + length + 2, Item::Value(Value::Bytes(content[..length].to_vec())))
            }
        },
        _ => return Err(MALFORMED),
    }))
}

/// A command of these parts.
pub fn command<'a>(out: &mut Vec<u8>, parts: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// A command of these words.
pub fn words(words: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    command(&mut out, words.iter().map(|word| word.as_bytes()));
    out
}

/// The commands by which a connection signs in and comes to its database: each has a reply.
pub fn sign_in(user: Option<&str>, password: Option<&str>, database: u32) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    match (user, password) {
        (Some(user), Some(password)) => all.push(words(&["AUTH", user, password])),
        (None, Some(password)) => all.push(words(&["AUTH", password])),
        (_, None) => {}
    }
    if database > 0 {
        all.push(words(&["SELECT", &database.to_string()]));
    }
    all
}

#[cfg(test)]
mod tests;
