//! Fields as whole tables.
//!
//! Whoever sends many requests sends much the same fields with each, so the last table made in a VM is
//! kept, and one with the same names begins as a copy of it.

use std::borrow::Cow;
use std::os::raw::c_int;

use pilotlight_filter::{Exchange, Fields, Name};
use pilotlight_luajit::lua_State;

use super::Slow;
use super::request::most;
use crate::stack::Stack;
use crate::value::nothing;
use crate::vm::{FIELDS, TABLE, window_of};

/// Names up to this long are made lower case in place.
const SHORT: usize = 64;
/// Fields and bytes of a table that is kept.
const KEPT: usize = 32;
const KEPT_BYTES: usize = 4096;
/// How many others must come, one behind the other, for one of them to be kept instead.
const PATIENCE: u32 = 8;

pub(crate) fn slow() -> [Slow; 1] {
    [Slow("head_table", head_table)]
}

/// Name and value as they came.
type Entry<'a> = (Name, &'a [u8], &'a [u8]);

/// What the table at [`TABLE`] of the registry was made of.
#[derive(Default)]
pub(crate) struct Model {
    raw: bool,
    /// All names and values, one behind the other, and where each pair's end.
    text: Vec<u8>,
    pairs: Vec<(Name, u32, u32)>,
    misses: u32,
}

impl Model {
    /// Whether a table of so many other fields and bytes takes the place of the one that is kept.
    fn gives_way(&mut self, fields: usize, bytes: usize) -> bool {
        self.misses += 1;
        (self.pairs.is_empty() || self.misses >= PATIENCE)
            && (1..=KEPT).contains(&fields)
            && bytes <= KEPT_BYTES
    }

    fn begin(&mut self, raw: bool) {
        (self.raw, self.misses) = (raw, 0);
        self.text.clear();
        self.pairs.clear();
    }

    fn add(&mut self, (id, name, value): Entry<'_>) {
        self.text.extend_from_slice(name);
        let name_end = self.text.len() as u32;
        self.text.extend_from_slice(value);
        self.pairs.push((id, name_end, self.text.len() as u32));
    }
}

/// Compares fields with the model's, one after the other.
struct Likeness<'a> {
    model: &'a Model,
    raw: bool,
    same: bool,
    /// The next field, and where its text begins.
    place: usize,
    from: usize,
    /// Places where values differ, by bits.
    differing: u32,
    /// Bytes of all.
    bytes: usize,
}

impl<'a> Likeness<'a> {
    fn new(model: &'a Model, raw: bool) -> Likeness<'a> {
        let same = model.raw == raw && !model.pairs.is_empty();
        Likeness { model, raw, same, place: 0, from: 0, differing: 0, bytes: 0 }
    }

    #[inline]
    fn add(&mut self, (id, name, value): Entry<'_>) {
        let place = self.place;
        self.place += 1;
        self.bytes += name.len() + value.len();
        let known = self.model.pairs.get(place).filter(|_| self.same);
        let Some((known, name_end, end)) = known.map(|p| (p.0, p.1 as usize, p.2 as usize)) else {
            self.same = false;
            return;
        };
        let text = &self.model.text;
        // Those that are known by a number are spelled in one way, unless they stay as they came.
        let same_name = || text[self.from..name_end] == *name;
        self.same = known == id && (id != Name::Other && !self.raw || same_name());
        self.differing |= u32::from(text[name_end..end] != *value) << place;
        self.from = end;
    }

    /// Where values differ, if the names are the same.
    fn differing(&self) -> Option<u32> {
        (self.same && self.place == self.model.pairs.len()).then_some(self.differing)
    }
}

/// A field that stands in no list, since the gateway writes it, or hides it from other hops.
type Own<'a> = (Name, &'static [u8], Cow<'a, [u8]>);

fn own_fields(exchange: &Exchange, of_request: bool, told: bool) -> [Option<Own<'_>>; 3] {
    let untold = |fields: Option<&Fields>| {
        fields.is_none_or(|fields| fields.known(Name::ContentLength).is_none())
    };
    let length_field = |length: u64| -> Own<'_> {
        (Name::ContentLength, b"content-length", length.to_string().into_bytes().into())
    };
    if of_request {
        let head = &exchange.request.head;
        let host: &[u8] = if head.sent().is_empty() { b"host" } else { b"Host" };
        // A body that a script has set has a length that no client told.
        let length = exchange.request.body.length().filter(|length| *length > 0);
        return [
            (told && !head.authority().is_empty())
                .then(|| (Name::Host, host, head.authority().into())),
            length.filter(|_| untold(Some(&head.fields))).map(length_field),
            None,
        ];
    }
    let length = exchange.response.origin.and_then(|_| exchange.response.body.length());
    let chunked = told && length.is_none() && exchange.request.head.version.text() == "1.1";
    [
        length.filter(|_| untold(exchange.response_fields())).map(length_field),
        Some((Name::Connection, b"connection", connection(exchange).into())),
        chunked.then(|| {
            let value: &[u8] = b"chunked";
            (Name::TransferEncoding, &b"transfer-encoding"[..], value.into())
        }),
    ]
}

/// What a response says of its connection.
fn connection(exchange: &Exchange) -> &'static [u8] {
    let head = &exchange.request.head;
    let says = |word: &[u8]| {
        let mut fields =
            head.fields.hidden().filter(|(n, _)| n.eq_ignore_ascii_case(b"connection"));
        fields.any(|(_, value)| {
            value.split(|b| *b == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(word))
        })
    };
    match head.version.text() {
        _ if exchange.response.head.status == 101 => b"upgrade",
        "1.0" if !says(b"keep-alive") => b"close",
        "1.1" if says(b"close") => b"close",
        _ => b"keep-alive",
    }
}

/// A table of fields that is being made, on top of the stack.
struct Table {
    stack: Stack,
    /// Names as they came, not in lower case.
    raw: bool,
}

impl Table {
    /// Gives `put` a field's name as the table has it.
    fn key<T>(&self, id: Name, name: &[u8], put: impl FnOnce(&[u8]) -> T) -> T {
        match id {
            _ if self.raw => put(name),
            Name::Other if name.len() <= SHORT => {
                let mut room = [0; SHORT];
                let room = &mut room[..name.len()];
                room.copy_from_slice(name);
                room.make_ascii_lowercase();
                put(room)
            }
            Name::Other => put(&name.to_ascii_lowercase()),
            known => put(known.text().as_bytes()),
        }
    }

    /// Gives a name its value, one more where it has some; whether it had none.
    fn put(&self, (id, name, value): Entry<'_>) -> bool {
        self.key(id, name, |key| {
            let is_new = self.stack.put_text(key, value);
            if !is_new {
                self.stack.push_bytes(value);
                self.stack.append(key);
            }
            is_new
        })
    }

    /// Gives a name of the model's its own value.
    fn replace(&self, (id, name, value): Entry<'_>) {
        self.key(id, name, |key| self.stack.push_bytes(key));
        self.stack.push_bytes(value);
        self.stack.set_raw(-3);
    }
}

/// All fields that a table of them has, in order.
fn each<'a>(
    fields: Option<&'a Fields>,
    own: &'a [Option<Own<'a>>],
    of_request: bool,
    mut take: impl FnMut(Entry<'a>),
) {
    let mut own = own.iter().flatten().map(|(id, name, value)| (*id, *name, &value[..]));
    if of_request {
        own.by_ref().for_each(&mut take);
        // What ends at this hop is the client's word all the same.
        let hidden = fields.into_iter().flat_map(Fields::hidden);
        hidden.for_each(|(name, value)| take((Name::of(name), name, value)));
    }
    for entry in fields.into_iter().flat_map(Fields::iter) {
        take(entry);
    }
    own.for_each(take);
}

/// Of what there is to be a table, as bits: the response's fields, not the request's; names as they came;
/// of the request's the host with them, of the response's that it is chunked.
const OF_RESPONSE: u32 = 1;
const RAW: u32 = 2;
const TOLD: u32 = 4;

/// `head_table(what, max)`: all fields by name, in lower case unless they are to be as they came; a
/// repeated name has a list. Then "truncated" and how many there are when that is more than `max` (100;
/// 0: no limit).
unsafe extern "C-unwind" fn head_table(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let (what, max) = (stack.number(1).unwrap_or_default() as u32, most(stack, 2));
    let (of_request, raw) = (what & OF_RESPONSE == 0, what & RAW != 0);
    let mut model = window.host.model.take().unwrap_or_default();
    let Some(exchange) = window.exchange() else { return nothing(stack) };
    let own = own_fields(exchange, of_request, what & TOLD != 0);
    let fields = match of_request {
        true => Some(&exchange.request.head.fields),
        false => exchange.response_fields(),
    };
    let mut likeness = Likeness::new(&model, raw);
    each(fields, &own, of_request, |entry| likeness.add(entry));
    let (count, bytes) = (likeness.place, likeness.bytes);
    let table = Table { stack, raw };
    if count <= max
        && let Some(differing) = likeness.differing()
    {
        stack.push_copy_of(TABLE);
        model.misses = 0;
        if differing != 0 {
            let mut place = 0;
            each(fields, &own, of_request, |entry| {
                if differing & 1 << place != 0 {
                    table.replace(entry);
                }
                place += 1;
            });
        }
    } else {
        stack.push_table(0, count.min(max) as c_int);
        if !raw {
            stack.push_kept(FIELDS);
            stack.set_metatable(-2);
        }
        let (mut left, mut all_new) = (max, true);
        each(fields, &own, of_request, |entry| {
            if left > 0 {
                all_new &= table.put(entry);
                left -= 1;
            }
        });
        if all_new && count <= max && model.gives_way(count, bytes) {
            stack.keep_at(TABLE);
            stack.push_copy_of(TABLE);
            model.begin(raw);
            each(fields, &own, of_request, |entry| model.add(entry));
        }
    }
    window.host.model = Some(model);
    if count > max {
        stack.push_bytes(b"truncated");
        stack.push_number(count as f64);
        return 3;
    }
    1
}
