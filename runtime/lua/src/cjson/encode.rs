//! The text of a Lua value.

use std::os::raw::c_int;

use pilotlight_luajit as lua;

use super::{DEPTH_MAX, LOOK, Wrong, number};
use crate::guard::outside;
use crate::stack::{Kind, Stack};
use crate::watchdog::stopping;

/// What `cjson.empty_array` points to.
pub(crate) static EMPTY_ARRAY: u8 = 0;

/// Bytes of a text we make.
const TEXT_MAX: usize = 8 << 20;

/// How numbers that JSON does not have are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    Refused,
    Written,
    Null,
}

/// What scripts may set.
pub(crate) struct Options<'a> {
    /// Places of the metatables that make arrays: always, and of empty tables.
    pub(crate) array: c_int,
    pub(crate) empty_array: c_int,
    pub(crate) empty_as_object: bool,
    pub(crate) escape_slash: bool,
    pub(crate) skip_unsupported: bool,
    pub(crate) invalid: Invalid,
    /// Sparse arrays: whether they become objects, how sparse they may be, how long they are safe.
    pub(crate) sparse_convert: bool,
    pub(crate) sparse_ratio: f64,
    pub(crate) sparse_safe: f64,
    pub(crate) depth: usize,
    pub(crate) precision: usize,
    pub(crate) indent: &'a [u8],
}

/// A table under way, which is on the stack (of an object its last key lies above it).
struct Frame {
    is_array: bool,
    /// Arrays: the next index, the last, and whether values are got past metamethods.
    at: usize,
    len: usize,
    is_raw: bool,
    /// Where the text of its last item begins, and how many items there are before it.
    mark: usize,
    items: usize,
}

/// The text of the value on top, which stays.
///
/// # Errors
/// What can't be said in JSON; the stack is as it was, but for what was raised.
pub(crate) fn encode(stack: Stack, options: &Options<'_>) -> Result<Vec<u8>, Wrong> {
    stack.push_copy(-1);
    let mut writer =
        Writer { stack, options, out: Vec::new(), frames: Vec::new(), work: 0, has_called: false };
    writer.value()?;
    while let Some(frame) = writer.frames.last_mut() {
        if frame.is_array { writer.next_of_array()? } else { writer.next_of_object()? }
    }
    Ok(writer.out)
}

struct Writer<'a> {
    stack: Stack,
    options: &'a Options<'a>,
    out: Vec<u8>,
    frames: Vec<Frame>,
    work: u32,
    /// A metamethod has run, and may have changed what is under way.
    has_called: bool,
}

impl Writer<'_> {
    /// The value on top: written, or a frame for it begun. It is popped unless it is a table.
    fn value(&mut self) -> Result<(), Wrong> {
        self.work += 1;
        if self.work.is_multiple_of(LOOK) && stopping() || self.out.len() > TEXT_MAX {
            return Err("the text is too large".into());
        }
        let stack = self.stack;
        match stack.kind(-1) {
            Kind::Str => self.text(stack.bytes(-1).unwrap_or_default()),
            Kind::Number => self.number(stack.number(-1).unwrap_or_default())?,
            Kind::Bool if stack.truth(-1) => self.out.extend_from_slice(b"true"),
            Kind::Bool => self.out.extend_from_slice(b"false"),
            Kind::Nil => self.out.extend_from_slice(b"null"),
            Kind::Table => return self.begin(),
            Kind::Light if stack.light(-1).is_null() => self.out.extend_from_slice(b"null"),
            Kind::Light if stack.light(-1).cast_const().cast() == &raw const EMPTY_ARRAY => {
                self.out.extend_from_slice(b"[]");
            }
            _ if self.options.skip_unsupported => self.skip(),
            _ => return Err(self.unsupported("type not supported")),
        }
        stack.pop(1);
        Ok(())
    }

    fn unsupported(&self, why: &str) -> Wrong {
        format!("Cannot serialise {}: {why}", self.stack.kind_name(-1)).into()
    }

    /// Takes back what was written for the item under way.
    fn skip(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            self.out.truncate(frame.mark);
            frame.items -= 1;
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.out.push(b'"');
        let mut plain = 0;
        for (at, byte) in text.iter().enumerate() {
            let short = match byte {
                b'"' => b'"',
                b'\\' => b'\\',
                b'/' if self.options.escape_slash => b'/',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x08 => b'b',
                0x0c => b'f',
                0..=0x1f | 0x7f => 0,
                _ => continue,
            };
            self.out.extend_from_slice(&text[plain..at]);
            plain = at + 1;
            match short {
                0 => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                letter => self.out.extend_from_slice(&[b'\\', letter]),
            }
        }
        self.out.extend_from_slice(&text[plain..]);
        self.out.push(b'"');
    }

    fn number(&mut self, number: f64) -> Result<(), Wrong> {
        if number.is_finite() {
            number::write(&mut self.out, number, self.options.precision);
            return Ok(());
        }
        let text: &[u8] = match self.options.invalid {
            Invalid::Refused => {
                return Err("Cannot serialise number: must not be NaN or Infinity".into());
            }
            Invalid::Null => b"null",
            Invalid::Written if number.is_nan() => b"NaN",
            Invalid::Written if number < 0.0 => b"-Infinity",
            Invalid::Written => b"Infinity",
        };
        self.out.extend_from_slice(text);
        Ok(())
    }

    /// A frame for the table on top.
    fn begin(&mut self) -> Result<(), Wrong> {
        let (stack, depth) = (self.stack, self.frames.len() + 1);
        if depth > self.options.depth || depth > DEPTH_MAX || !stack.reserve(8) {
            return Err(format!("Cannot serialise, excessive nesting ({depth})").into());
        }
        let (len, is_raw) = self.shape()?;
        let is_array = len.is_some();
        self.out.push(if is_array { b'[' } else { b'{' });
        if !is_array {
            stack.push_nil();
        }
        let mark = self.out.len();
        let len = len.unwrap_or(0);
        self.frames.push(Frame { is_array, at: 1, len, is_raw, mark, items: 0 });
        Ok(())
    }

    /// The length of the table on top if it is an array, and whether its values are got raw.
    fn shape(&mut self) -> Result<(Option<usize>, bool), Wrong> {
        let stack = self.stack;
        let table = stack.top();
        if !stack.push_metatable(table) {
            let len = self.array_length()?;
            return Ok((self.as_array(len), true));
        }
        let is = |place: c_int| stack.pointer(-1) == stack.pointer(place);
        if is(self.options.array) {
            stack.pop(1);
            return Ok((Some(stack.length(table)), true));
        }
        let is_empty_array = is(self.options.empty_array);
        stack.get(-1, "__len");
        if stack.kind(-1) != Kind::Nil {
            stack.push_copy(table);
            self.has_called = true;
            call(stack, 1, 1)?;
            let len = stack.number(-1).unwrap_or_default();
            stack.set_top(table);
            return Ok((Some(len.clamp(0.0, f64::from(i32::MAX)) as usize), false));
        }
        stack.set_top(table);
        let len = self.array_length()?;
        match self.as_array(len) {
            None if is_empty_array => Ok((Some(stack.length(table)), true)),
            len => Ok((len, false)),
        }
    }

    fn as_array(&self, len: Option<usize>) -> Option<usize> {
        len.filter(|len| *len > 0 || !self.options.empty_as_object)
    }

    /// The highest index of the table on top, if it has no other keys.
    fn array_length(&mut self) -> Result<Option<usize>, Wrong> {
        let (stack, mut max, mut items) = (self.stack, 0.0, 0.0);
        let table = stack.top();
        stack.push_nil();
        while stack.next(table) {
            stack.pop(1);
            match stack.number(-1) {
                Some(key) if key >= 1.0 && key.fract() == 0.0 => {
                    max = key.max(max);
                    items += 1.0;
                }
                _ => {
                    stack.pop(1);
                    return Ok(None);
                }
            }
            self.work += 1;
            if self.work.is_multiple_of(LOOK) && stopping() {
                stack.pop(1);
                return Ok(None);
            }
        }
        let (ratio, safe) = (self.options.sparse_ratio, self.options.sparse_safe);
        if ratio > 0.0 && max > items * ratio && max > safe {
            if !self.options.sparse_convert {
                return Err(self.unsupported("excessively sparse array"));
            }
            return Ok(None);
        }
        Ok(Some(max as usize))
    }

    /// The comma before an item of the innermost frame, and its place on a line of its own.
    fn item(&mut self) {
        let depth = self.frames.len();
        if let Some(frame) = self.frames.last_mut() {
            frame.mark = self.out.len();
            if frame.items > 0 {
                self.out.push(b',');
            }
            frame.items += 1;
        }
        self.line(depth);
    }

    fn line(&mut self, depth: usize) {
        if !self.options.indent.is_empty() {
            self.out.push(b'\n');
            (0..depth).for_each(|_| self.out.extend_from_slice(self.options.indent));
        }
    }

    fn end(&mut self, bracket: u8) {
        // A line of its own when there was an item, even if it was skipped.
        if self.frames.pop().is_some_and(|frame| frame.at > 1) {
            self.line(self.frames.len());
        }
        self.out.push(bracket);
        self.stack.pop(1);
    }

    fn next_of_array(&mut self) -> Result<(), Wrong> {
        let stack = self.stack;
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if frame.at > frame.len {
            self.end(b']');
            return Ok(());
        }
        let (index, is_raw) = (frame.at as c_int, frame.is_raw);
        frame.at += 1;
        self.item();
        stack.get_at(-1, index);
        if !is_raw && stack.kind(-1) == Kind::Nil {
            stack.pop(1);
            self.has_called = true;
            get_with_metamethods(stack, index)?;
        }
        self.value()
    }

    fn next_of_object(&mut self) -> Result<(), Wrong> {
        let stack = self.stack;
        let is_there = if self.has_called { next_of_changed(stack, -2)? } else { stack.next(-2) };
        if !is_there {
            self.end(b'}');
            return Ok(());
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.at += 1;
        }
        self.item();
        match stack.kind(-2) {
            Kind::Str => self.text(stack.bytes(-2).unwrap_or_default()),
            Kind::Number => {
                self.out.push(b'"');
                self.number(stack.number(-2).unwrap_or_default())?;
                self.out.push(b'"');
            }
            _ => {
                stack.pop(1);
                return Err(self.unsupported("table key must be a number or string"));
            }
        }
        self.out.extend_from_slice(if self.options.indent.is_empty() { b":" } else { b": " });
        self.value()
    }
}

/// Calls the function below its `arguments`.
fn call(stack: Stack, arguments: c_int, results: c_int) -> Result<(), Wrong> {
    // SAFETY: a function (or something else, which is an error) and its arguments are on the stack.
    let call = || unsafe { lua::lua_pcall(stack.raw(), arguments, results, 0) };
    match outside(stack, call) {
        lua::LUA_OK => Ok(()),
        _ => Err(Wrong::Raised),
    }
}

/// `stack.next` for a table that a metamethod may have changed meanwhile, which is an error: pops a
/// key, pushes the next key and value, if there are.
fn next_of_changed(stack: Stack, table: c_int) -> Result<bool, Wrong> {
    unsafe extern "C-unwind" fn next(state: *mut lua::lua_State) -> c_int {
        // SAFETY: called with a table and a key.
        unsafe { if lua::lua_next(state, 1) != 0 { 2 } else { 0 } }
    }
    let (table, key) = (stack.absolute(table), stack.top());
    stack.push_function(next);
    stack.push_copy(table);
    stack.push_copy(key);
    call(stack, 2, 2)?;
    // SAFETY: the key that was given lies below the results.
    unsafe { lua::lua_remove(stack.raw(), key) };
    let is_there = stack.kind(-2) != Kind::Nil;
    if !is_there {
        stack.pop(2);
    }
    Ok(is_there)
}

/// Pushes `table[index]` of the table on top, as a script would get it.
fn get_with_metamethods(stack: Stack, index: c_int) -> Result<(), Wrong> {
    unsafe extern "C-unwind" fn get(state: *mut lua::lua_State) -> c_int {
        // SAFETY: called with a table and a key.
        unsafe { lua::lua_gettable_(state, 1) };
        1
    }
    stack.push_function(get);
    stack.push_copy(-2);
    stack.push_number(f64::from(index));
    call(stack, 2, 1)
}
