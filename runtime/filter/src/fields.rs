//! Header fields as views over one buffer.
//!
//! ```text
//! arena  G E T   / a   H T T P / 1 . 1 ␍␊ H o s t :   x ␍␊ ... ␍␊ | x-user alice
//! list              ↑ name ───┘    ↑ value                        ↑ appended by a filter
//! ```
//!
//! For HTTP/1 the arena *is* the read buffer: parsing records spans and copies nothing. What
//! filters write is appended behind it. HTTP/2 and HTTP/3 fill the arena field by field.

use crate::name::Name;

/// A range of a head's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Bytes.
    pub len: u32,
}

impl Span {
    const fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// The empty range.
    pub const EMPTY: Span = Span { start: 0, len: 0 };

    /// The bytes of this span in `arena`; empty when it does not lie within.
    #[inline]
    pub fn of(self, arena: &[u8]) -> &[u8] {
        arena.get(self.start as usize..self.start as usize + self.len as usize).unwrap_or(&[])
    }
}

#[derive(Debug, Clone, Copy)]
struct Field {
    name: Span,
    value: Span,
    id: Name,
    /// It stands in the arena as the line `name: value CRLF`.
    whole: bool,
}

/// Why a name or value was refused (RFC 9110 section 5.1 and 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadField {
    /// Not a token.
    #[error("a header name must be a token (letters, digits and !#$%&'*+-.^_`|~)")]
    Name,
    /// Holds a control byte, or begins or ends with a space.
    #[error("a header value must hold no control bytes such as CR, LF or NUL")]
    Value,
    /// Frames the message, so only the gateway writes it.
    #[error("the gateway frames messages itself: this header can't be written")]
    Framing,
    /// The head would grow past what any peer accepts.
    #[error("too many or too large headers")]
    TooLarge,
}

/// The most bytes one head may come to, written fields included.
pub const ARENA_MAX: usize = 1 << 20;
/// The most fields one head may come to, written fields included.
pub const FIELDS_MAX: usize = 1024;

/// A list of header fields, in order, repeated names kept apart.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    arena: Vec<u8>,
    list: Vec<Field>,
    /// What ends at this hop, for those who want to see what was sent.
    hidden: Vec<Field>,
}

impl Fields {
    /// The first value of `name`, in any case.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        match Name::of(name) {
            Name::Other => self
                .list
                .iter()
                .find(|f| f.name.len as usize == name.len() && self.names(f, name))
                .map(|f| f.value.of(&self.arena)),
            id => self.known(id),
        }
    }

    /// The first value of a known name.
    #[inline]
    pub fn known(&self, id: Name) -> Option<&[u8]> {
        self.list.iter().find(|f| f.id == id).map(|f| f.value.of(&self.arena))
    }

    /// Every value of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.list.iter().filter(move |f| self.names(f, name)).map(|f| f.value.of(&self.arena))
    }

    /// Every value of a known name, in order.
    pub fn all_known(&self, id: Name) -> impl Iterator<Item = &[u8]> + '_ {
        self.list.iter().filter(move |f| f.id == id).map(|f| f.value.of(&self.arena))
    }

    /// The pairs of all `Cookie` fields, as they came.
    pub fn cookies(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        self.all_known(Name::Cookie).flat_map(|field| field.split(|b| *b == b';')).filter_map(
            |pair| {
                let pair = pair.trim_ascii();
                let at = memchr::memchr(b'=', pair)?;
                Some((&pair[..at], &pair[at + 1..]))
            },
        )
    }

    /// The value of a cookie (RFC 6265 section 4.2.1), without its quotes.
    #[cold]
    pub fn cookie(&self, name: &[u8]) -> Option<&[u8]> {
        let (_, value) = self.cookies().find(|(known, _)| *known == name)?;
        Some(value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value))
    }

    /// Names as they came, ids and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Name, &[u8], &[u8])> + '_ {
        self.list.iter().map(|f| (f.id, f.name.of(&self.arena), f.value.of(&self.arena)))
    }

    /// The field at `index`: name and value.
    pub fn at(&self, index: usize) -> Option<(&[u8], &[u8])> {
        self.list.get(index).map(|f| (f.name.of(&self.arena), f.value.of(&self.arena)))
    }

    /// How many fields.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of the arena in use, dead ones included.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Replaces all values of `name` by one; the place of the first is kept.
    ///
    /// # Errors
    /// A name or value that would split the message, a framing name, or a head grown too large.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        let id = check(name, value)?;
        self.room(name.len() + value.len())?;
        self.forget_hidden(name);
        let same = |f: &Field| f.id == id && (id != Name::Other || self.names(f, name));
        let Some(place) = self.list.iter().position(same) else {
            return self.put(id, name, value);
        };
        let repeated = self.list[place + 1..].iter().any(same);
        let value = self.write(value);
        (self.list[place].value, self.list[place].whole) = (value, false);
        if repeated {
            let mut index = 0;
            let (arena, list) = (&self.arena, &mut self.list);
            list.retain(|f| {
                index += 1;
                index - 1 <= place || !f.name.of(arena).eq_ignore_ascii_case(name)
            });
        }
        Ok(())
    }

    /// Adds a field behind the others.
    ///
    /// # Errors
    /// As [`Fields::set`].
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        let id = check(name, value)?;
        self.put(id, name, value)
    }

    /// Adds a field of the gateway's own, framing ones included. The caller vouches for the bytes.
    pub fn push(&mut self, id: Name, value: &[u8]) {
        self.write_line(id, id.text().as_bytes(), [value]);
    }

    /// The same, of several parts.
    pub fn push_parts<const N: usize>(&mut self, id: Name, value: [&[u8]; N]) {
        self.write_line(id, id.text().as_bytes(), value);
    }

    /// Adds a field whose value lies in the arena already.
    pub fn push_span(&mut self, id: Name, value: Span) {
        let name = self.write(id.text().as_bytes());
        self.list.push(Field { name, value, id, whole: false });
    }

    /// Adds a field whose bytes a codec has checked already.
    pub fn push_checked(&mut self, name: &[u8], value: &[u8]) {
        self.write_line(Name::of(name), name, [value]);
    }

    /// Replaces a known field's values by one that the gateway vouches for.
    pub fn replace(&mut self, id: Name, value: &[u8]) {
        self.remove_known(id);
        self.push(id, value);
    }

    /// Drops all fields called `name`; says whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.forget_hidden(name);
        let before = self.list.len();
        let (arena, list) = (&self.arena, &mut self.list);
        list.retain(|f| !f.name.of(arena).eq_ignore_ascii_case(name));
        before != self.list.len()
    }

    /// Drops all fields of a known name.
    pub fn remove_known(&mut self, id: Name) {
        if self.list.iter().any(|f| f.id == id) {
            self.list.retain(|f| f.id != id);
        }
    }

    /// Keeps the fields for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(Name, &[u8], &[u8]) -> bool) {
        let (arena, list) = (&self.arena, &mut self.list);
        list.retain(|f| keep(f.id, f.name.of(arena), f.value.of(arena)));
    }

    /// Takes away the fields for which `ends` holds: only [`Fields::hidden`] shows them.
    pub fn hide(&mut self, mut ends: impl FnMut(Name, &[u8]) -> bool) {
        let (arena, list, hidden) = (&self.arena, &mut self.list, &mut self.hidden);
        list.retain(|f| {
            let ends = ends(f.id, f.name.of(arena));
            if ends {
                hidden.push(*f);
            }
            !ends
        });
    }

    /// Names and values of what was hidden and has not been written or removed since.
    pub fn hidden(&self) -> impl Iterator<Item = (&[u8], &[u8])> + '_ {
        let all = self.hidden.iter();
        all.map(|f| (f.name.of(&self.arena), f.value.of(&self.arena)))
            .filter(|(name, _)| self.get(name).is_none())
    }

    fn forget_hidden(&mut self, name: &[u8]) {
        let (arena, hidden) = (&self.arena, &mut self.hidden);
        hidden.retain(|f| !f.name.of(arena).eq_ignore_ascii_case(name));
    }

    /// Forgets all fields, keeps the memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.list.clear();
        self.hidden.clear();
    }

    /// The bytes that all spans point into.
    #[inline]
    pub fn arena(&self) -> &[u8] {
        &self.arena
    }

    /// Codecs: takes a read buffer as the arena without copying, gives the old arena back.
    pub fn adopt(&mut self, buffer: Vec<u8>) -> Vec<u8> {
        self.list.clear();
        self.hidden.clear();
        std::mem::replace(&mut self.arena, buffer)
    }

    /// Codecs: records a field that lies in the adopted arena; `whole`: as `name: value CRLF`.
    #[inline]
    pub fn record(&mut self, id: Name, name: Span, value: Span, whole: bool) {
        self.list.push(Field { name, value, id, whole });
    }

    /// Codecs and heads: appends bytes to the arena.
    pub fn write(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(bytes);
        Span { start, len: bytes.len() as u32 }
    }

    fn names(&self, field: &Field, name: &[u8]) -> bool {
        field.name.of(&self.arena).eq_ignore_ascii_case(name)
    }

    fn put(&mut self, id: Name, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        self.room(name.len() + value.len())?;
        self.write_line(id, name, [value]);
        Ok(())
    }

    /// Appends a field as the line that it is on the wire: see [`Fields::block`].
    fn write_line<const N: usize>(&mut self, id: Name, name: &[u8], value: [&[u8]; N]) {
        let length: usize = value.iter().map(|part| part.len()).sum();
        self.arena.reserve(name.len() + length + 4);
        let name = self.write(name);
        self.arena.extend_from_slice(b": ");
        let start = self.arena.len() as u32;
        for part in value {
            self.arena.extend_from_slice(part);
        }
        self.arena.extend_from_slice(b"\r\n");
        let value = Span { start, len: length as u32 };
        self.list.push(Field { name, value, id, whole: true });
    }

    /// The field lines for which `keep` holds, as they go on the wire (RFC 9112 section 5). Lines
    /// that stand in the arena as they came are copied in runs, not one by one.
    pub fn block(&self, out: &mut Vec<u8>, mut keep: impl FnMut(Name) -> bool) {
        let mut run = 0..0;
        for field in self.list.iter().filter(|field| keep(field.id)) {
            let (start, end) = (field.name.start as usize, field.value.end() + 2);
            if field.whole && run.end == start {
                run.end = end;
                continue;
            }
            out.extend_from_slice(&self.arena[run]);
            run = 0..0;
            if field.whole {
                run = start..end;
            } else {
                out.extend_from_slice(field.name.of(&self.arena));
                out.extend_from_slice(b": ");
                out.extend_from_slice(field.value.of(&self.arena));
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(&self.arena[run]);
    }

    fn room(&self, more: usize) -> Result<(), BadField> {
        self.fits(more)?;
        if self.list.len() < FIELDS_MAX { Ok(()) } else { Err(BadField::TooLarge) }
    }

    /// Whether so many bytes may still be written: what is replaced stays in the arena.
    pub(crate) fn fits(&self, more: usize) -> Result<(), BadField> {
        let fits = self.arena.len() + more <= ARENA_MAX;
        if fits { Ok(()) } else { Err(BadField::TooLarge) }
    }
}

/// The one gate for names and values that filters write.
fn check(name: &[u8], value: &[u8]) -> Result<Name, BadField> {
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Err(BadField::Name);
    }
    if !is_value(value) {
        return Err(BadField::Value);
    }
    match Name::of(name) {
        id if id.is_framing() => Err(BadField::Framing),
        id => Ok(id),
    }
}

/// RFC 9110 section 5.6.2: a byte of a token.
#[inline]
pub const fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut b = 0;
        while b < 256 {
            let c = b as u8;
            table[b] = c.is_ascii_alphanumeric()
                || matches!(
                    c,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            b += 1;
        }
        table
    };
    TOKEN[byte as usize]
}

/// RFC 9110 section 5.5: visible bytes, spaces and tabs within, nothing that could end a line.
#[inline]
pub fn is_value(value: &[u8]) -> bool {
    let edge = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
    let (words, rest) = value.as_chunks::<8>();
    let split = |word: &[u8; 8]| {
        controls(u64::from_le_bytes(*word)) != 0 && word.iter().any(|b| is_control(*b))
    };
    !edge(value.first())
        && !edge(value.last())
        && !words.iter().any(split)
        // The last word, of which the one before has a part, is cheaper than its bytes.
        && match value.last_chunk() {
            Some(last) => rest.is_empty() || !split(last),
            None => !rest.iter().any(|b| is_control(*b)),
        }
}

/// A byte that no value holds: those below 0x20 but the tab, and 0x7f.
#[inline]
pub const fn is_control(byte: u8) -> bool {
    byte < 0x20 && byte != b'\t' || byte == 0x7f
}

/// Lanes of a word that are control bytes, tabs among them, by their high bits: those above the
/// first may lie.
#[inline]
pub const fn controls(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let apart = word ^ (ONES * 0x7f);
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    (low | apart.wrapping_sub(ONES) & !apart) & (ONES * 0x80)
}

#[cfg(test)]
mod tests;
