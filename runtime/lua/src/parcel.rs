//! Values on their way from one VM to another, on another thread.

use std::os::raw::c_int;

use crate::stack::{Kind, Stack};

/// Tables inside tables, as nginx bounds them.
const DEPTH: usize = 100;
/// Values of one parcel.
const ITEMS: usize = 1_000_000;

/// A value that belongs to no VM.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Item {
    Nil,
    Null,
    Bool(bool),
    Number(f64),
    Bytes(Box<[u8]>),
    Table(Vec<(Item, Item)>),
}

/// What lies on a stack from one place on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parcel(Vec<Item>);

/// What may still be packed.
struct Room {
    items: usize,
    bytes: usize,
}

impl Parcel {
    /// Packs what lies from `from` on, in as many bytes as the other VM has.
    ///
    /// # Errors
    /// What can't be taken along, in nginx's words.
    pub(crate) fn pack(stack: Stack, from: c_int, bytes: usize) -> Result<Parcel, &'static str> {
        let mut room = Room { items: ITEMS, bytes };
        (from..=stack.top())
            .map(|at| item(stack, at, 0, &mut room))
            .collect::<Result<_, _>>()
            .map(Parcel)
    }

    /// One text.
    pub(crate) fn refusal(message: &str) -> Parcel {
        Parcel(vec![Item::Bool(false), Item::Bytes(message.as_bytes().into())])
    }

    /// Puts it on a stack; how many values it is.
    pub(crate) fn unpack(&self, stack: Stack) -> c_int {
        if !stack.reserve(self.0.len() as c_int) {
            return 0;
        }
        self.0.iter().for_each(|item| push(stack, item));
        self.0.len() as c_int
    }

    /// Bytes of its texts.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(size).sum()
    }
}

fn size(item: &Item) -> usize {
    const EACH: usize = 40;
    match item {
        Item::Bytes(bytes) => EACH + bytes.len(),
        Item::Table(pairs) => pairs.iter().map(|(key, value)| size(key) + size(value)).sum(),
        _ => EACH,
    }
}

fn item(stack: Stack, at: c_int, depth: usize, room: &mut Room) -> Result<Item, &'static str> {
    room.items = room.items.checked_sub(1).ok_or("too many values")?;
    Ok(match stack.kind(at) {
        Kind::Nil => Item::Nil,
        Kind::Bool => Item::Bool(stack.truth(at)),
        Kind::Number => Item::Number(stack.number(at).unwrap_or_default()),
        Kind::Str => {
            let bytes = stack.bytes(at).unwrap_or_default();
            room.bytes = room.bytes.checked_sub(bytes.len()).ok_or("too large")?;
            Item::Bytes(bytes.into())
        }
        Kind::Light if stack.light(at).is_null() => Item::Null,
        Kind::Table => return table(stack, at, depth, room),
        Kind::Function => return Err("unsupported Lua type: LUA_TFUNCTION"),
        _ if stack.kind_name(at) == "thread" => return Err("unsupported Lua type: LUA_TTHREAD"),
        _ if stack.kind_name(at) == "userdata" => {
            return Err("unsupported Lua type: LUA_TUSERDATA");
        }
        _ => return Err("unsupported Lua type"),
    })
}

fn table(stack: Stack, at: c_int, depth: usize, room: &mut Room) -> Result<Item, &'static str> {
    if depth == DEPTH {
        return Err("suspicious circular references, table depth exceed max depth: 100");
    }
    if !stack.reserve(8) {
        return Err("no memory");
    }
    let table = stack.absolute(at);
    let mut pairs = Vec::new();
    stack.push_nil();
    while stack.next(table) {
        let top = stack.top();
        let pair = item(stack, top - 1, depth + 1, room)
            .and_then(|key| Ok((key, item(stack, top, depth + 1, room)?)));
        match pair {
            Ok(pair) => pairs.push(pair),
            Err(error) => {
                stack.pop(2);
                return Err(error);
            }
        }
        stack.pop(1);
    }
    Ok(Item::Table(pairs))
}

fn push(stack: Stack, item: &Item) {
    if !stack.reserve(4) {
        return stack.push_nil();
    }
    match item {
        Item::Nil => stack.push_nil(),
        Item::Null => stack.push_light(std::ptr::null()),
        Item::Bool(value) => stack.push_bool(*value),
        Item::Number(value) => stack.push_number(*value),
        Item::Bytes(bytes) => stack.push_bytes(bytes),
        Item::Table(pairs) => {
            stack.push_table(0, pairs.len() as c_int);
            for (key, value) in pairs {
                push(stack, key);
                push(stack, value);
                stack.set_raw(-3);
            }
        }
    }
}
