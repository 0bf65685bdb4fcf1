//! What a component gives, as values of scripts.

use std::slice::Iter;

use pilotlight_abi::{Value, limit};
use pilotlight_filter::host::Outcome;
use wasmtime::component::__internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift};
use wasmtime::{Result, ValRaw, bail};

use super::environ::{ComponentTypes, VariantInfo};
use super::words::in_lua;

/// What a call gives: a value, or a result's error.
pub(super) struct Answer(pub(super) Outcome);

// SAFETY: `Lower` is one `ValRaw`: a function gives one, or none, or an address where it gives more;
// the types that count are those that the component declares, which are followed below.
unsafe impl ComponentType for Answer {
    type Lower = [ValRaw; 1];
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::SCALAR8;

    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: as above.
unsafe impl ComponentNamedList for Answer {}

// SAFETY: as above.
unsafe impl Lift for Answer {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> Result<Answer> {
        let InterfaceType::Tuple(tuple) = ty else { bail!("its results are no list") };
        let types: &ComponentTypes = cx.types;
        let tuple = &types[tuple];
        let Some(ty) = tuple.types.first() else { return Ok(Answer(Ok(Value::Nil))) };
        let mut slots = src.iter();
        let from = match tuple.abi.flat_count(1) {
            Some(_) => From::Flat(&mut slots),
            None => {
                let at = src[0].get_u32() as usize;
                From::Memory(within(cx, at, 1, tuple.abi.size32, tuple.abi.align32)?)
            }
        };
        let mut room = Room { values: limit::CALL_VALUES, bytes: limit::CALL_BYTES };
        answer(cx, *ty, from, &mut room).map(Answer)
    }

    fn linear_lift_from_memory(
        _: &mut LiftContext<'_>,
        _: InterfaceType,
        _: &[u8],
    ) -> Result<Answer> {
        bail!("an answer stands in nothing")
    }
}

/// Where a value comes from: the next of the call's slots, or memory from where it begins.
enum From<'p, 's, 'm> {
    Flat(&'p mut Iter<'s, ValRaw>),
    Memory(&'m [u8]),
}

impl<'s, 'm> From<'_, 's, 'm> {
    /// Where the next part of a value comes from, which has this layout; `at` is behind the last.
    fn part(&mut self, abi: &CanonicalAbiInfo, at: &mut u32) -> Result<From<'_, 's, 'm>> {
        Ok(match self {
            From::Flat(slots) => From::Flat(slots),
            From::Memory(bytes) => {
                let start = abi.next_field32(at) as usize;
                From::Memory(bytes.get(start..).ok_or_else(short)?)
            }
        })
    }
}

/// What may still be made: a module may point to the same bytes a thousand times.
struct Room {
    values: usize,
    bytes: usize,
}

impl Room {
    fn value(&mut self) -> Result<()> {
        let left = self.values.checked_sub(1);
        self.values = left.ok_or_else(|| wasmtime::Error::msg("its result has too many values"))?;
        Ok(())
    }

    fn bytes(&mut self, len: usize) -> Result<()> {
        let left = self.bytes.checked_sub(len);
        self.bytes = left.ok_or_else(|| wasmtime::Error::msg("its result is too large"))?;
        Ok(())
    }
}

fn short() -> wasmtime::Error {
    wasmtime::Error::msg("its result lies outside of its memory")
}

/// The memory of `count` items of a size.
fn within<'m>(
    cx: &LiftContext<'m>,
    at: usize,
    count: usize,
    size: u32,
    align: u32,
) -> Result<&'m [u8]> {
    if !at.is_multiple_of(align as usize) {
        bail!("its result is not aligned");
    }
    let bytes = count.checked_mul(size as usize).ok_or_else(short)?;
    cx.memory().get(at..).and_then(|rest| rest.get(..bytes)).ok_or_else(short)
}

/// A function's result: a `result` is a value, or nil and its error.
fn answer(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    mut from: From<'_, '_, '_>,
    room: &mut Room,
) -> Result<Outcome> {
    let InterfaceType::Result(result) = ty else {
        return lift(cx, ty, from, room, false).map(Ok);
    };
    let types: &ComponentTypes = cx.types;
    let result = &types[result];
    let index = discriminant(&mut from, &result.info)?;
    let ty = if index == 0 { result.ok } else { result.err };
    let value = payload(cx, (&result.abi, &result.info), ty, from, room, false)?;
    match index {
        0 => Ok(Ok(value.unwrap_or(Value::Bool(true)))),
        1 => Ok(Err(value.filter(|value| *value != Value::Nil).unwrap_or_else(|| "failed".into()))),
        _ => bail!("its result is of no known case"),
    }
}

fn scalar<V: Lift + ComponentType<Lower = ValRaw>>(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    from: From<'_, '_, '_>,
) -> Result<V> {
    match from {
        From::Flat(slots) => V::linear_lift_from_flat(cx, ty, slots.next().ok_or_else(short)?),
        From::Memory(bytes) => {
            let bytes = bytes.get(..V::SIZE32).ok_or_else(short)?;
            V::linear_lift_from_memory(cx, ty, bytes)
        }
    }
}

/// An address and a length.
fn pair(cx: &mut LiftContext<'_>, mut from: From<'_, '_, '_>) -> Result<(ValRaw, ValRaw)> {
    let mut at = 0;
    let mut word = || -> Result<ValRaw> {
        let part = from.part(&CanonicalAbiInfo::SCALAR4, &mut at)?;
        scalar::<u32>(cx, InterfaceType::U32, part).map(ValRaw::u32)
    };
    Ok((word()?, word()?))
}

/// Reads a value. `cased` is as with `lower`.
fn lift(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    mut from: From<'_, '_, '_>,
    room: &mut Room,
    cased: bool,
) -> Result<Value> {
    room.value()?;
    let types: &ComponentTypes = cx.types;
    Ok(match ty {
        InterfaceType::Bool => Value::Bool(scalar(cx, ty, from)?),
        InterfaceType::S8 => Value::Int(scalar::<i8>(cx, ty, from)?.into()),
        InterfaceType::U8 => Value::Int(scalar::<u8>(cx, ty, from)?.into()),
        InterfaceType::S16 => Value::Int(scalar::<i16>(cx, ty, from)?.into()),
        InterfaceType::U16 => Value::Int(scalar::<u16>(cx, ty, from)?.into()),
        InterfaceType::S32 => Value::Int(scalar::<i32>(cx, ty, from)?.into()),
        InterfaceType::U32 => Value::Int(scalar::<u32>(cx, ty, from)?.into()),
        InterfaceType::S64 => Value::Int(scalar(cx, ty, from)?),
        InterfaceType::U64 => {
            let whole: u64 = scalar(cx, ty, from)?;
            i64::try_from(whole).map_or(Value::Uint(whole), Value::Int)
        }
        InterfaceType::Float32 => Value::Float(scalar::<f32>(cx, ty, from)?.into()),
        InterfaceType::Float64 => Value::Float(scalar(cx, ty, from)?),
        InterfaceType::Char => {
            let one: char = scalar(cx, ty, from)?;
            Value::Bytes(one.to_string().into_bytes())
        }
        InterfaceType::String => {
            let (at, len) = pair(cx, from)?;
            room.bytes(len.get_u32() as usize)?;
            Value::Bytes(String::linear_lift_from_flat(cx, ty, &[at, len])?.into_bytes())
        }
        InterfaceType::List(list) => {
            let (at, len) = pair(cx, from)?;
            let (at, len) = (at.get_u32() as usize, len.get_u32() as usize);
            let element = types[list].element;
            let abi = types.canonical_abi(&element);
            let items = within(cx, at, len, abi.size32, abi.align32)?;
            if element == InterfaceType::U8 {
                room.bytes(len)?;
                return Ok(Value::Bytes(items.to_vec()));
            }
            let mut values = Vec::with_capacity(len.min(room.values));
            for item in items.chunks(abi.size32 as usize) {
                values.push(lift(cx, element, From::Memory(item), room, false)?);
            }
            Value::List(values)
        }
        InterfaceType::Record(record) => {
            let fields = &types[record].fields;
            let (mut at, mut map) = (0, Vec::with_capacity(fields.len()));
            for field in fields {
                let part = from.part(types.canonical_abi(&field.ty), &mut at)?;
                map.push((in_lua(&field.name), lift(cx, field.ty, part, room, false)?));
            }
            Value::Map(map)
        }
        InterfaceType::Tuple(tuple) => {
            let items = &types[tuple].types;
            let (mut at, mut list) = (0, Vec::with_capacity(items.len()));
            for ty in items {
                let part = from.part(types.canonical_abi(ty), &mut at)?;
                list.push(lift(cx, *ty, part, room, false)?);
            }
            Value::List(list)
        }
        InterfaceType::Variant(variant) => {
            let variant = &types[variant];
            let index = discriminant(&mut from, &variant.info)?;
            let (name, ty) = variant.cases.get_index(index).ok_or_else(unknown)?;
            let held = payload(cx, (&variant.abi, &variant.info), *ty, from, room, false)?;
            case(&in_lua(name), held)
        }
        InterfaceType::Result(result) => {
            let result = &types[result];
            let (name, ty) = match discriminant(&mut from, &result.info)? {
                0 => ("ok", result.ok),
                1 => ("err", result.err),
                _ => return Err(unknown()),
            };
            case(name, payload(cx, (&result.abi, &result.info), ty, from, room, false)?)
        }
        InterfaceType::Enum(cases) => {
            let cases = &types[cases];
            let index = discriminant(&mut from, &cases.info)?;
            case(&in_lua(cases.names.iter().nth(index).ok_or_else(unknown)?), None)
        }
        InterfaceType::Option(option) => {
            let option = &types[option];
            let some = match discriminant(&mut from, &option.info)? {
                0 => false,
                1 => true,
                _ => return Err(unknown()),
            };
            let ty = some.then_some(option.ty);
            let held = payload(cx, (&option.abi, &option.info), ty, from, room, !cased)?;
            match cased {
                true => case(if some { "some" } else { "none" }, held),
                false => held.unwrap_or(Value::Nil),
            }
        }
        InterfaceType::Flags(flags) => {
            let names = &types[flags].names;
            let mut bit = 0;
            let mut set = Vec::new();
            let mut take = |word: u32, width: usize| {
                for name in names.iter().skip(bit).take(width).enumerate() {
                    if word & 1 << name.0 != 0 {
                        set.push((in_lua(name.1), Value::Bool(true)));
                    }
                }
                bit += width;
            };
            match from {
                From::Flat(slots) => {
                    for _ in 0..names.len().div_ceil(32) {
                        take(slots.next().ok_or_else(short)?.get_u32(), 32);
                    }
                }
                From::Memory(bytes) => {
                    let len = match names.len() {
                        0..=8 => 1,
                        9..=16 => 2,
                        more => more.div_ceil(32) * 4,
                    };
                    let bytes = bytes.get(..len).ok_or_else(short)?;
                    bytes.iter().for_each(|byte| take(u32::from(*byte), 8));
                }
            }
            Value::Map(set)
        }
        // Functions with such types are not called: see `call`.
        _ => bail!("its result is of a type that scripts can't hold"),
    })
}

fn unknown() -> wasmtime::Error {
    wasmtime::Error::msg("its result is of no known case")
}

fn discriminant(from: &mut From<'_, '_, '_>, info: &VariantInfo) -> Result<usize> {
    Ok(match from {
        From::Flat(slots) => slots.next().ok_or_else(short)?.get_u32() as usize,
        From::Memory(bytes) => {
            let size = info.size.byte_size() as usize;
            let mut word = [0; 4];
            word[..size].copy_from_slice(bytes.get(..size).ok_or_else(short)?);
            u32::from_le_bytes(word) as usize
        }
    })
}

/// What a case holds, if it is one that holds something.
fn payload(
    cx: &mut LiftContext<'_>,
    (abi, info): (&CanonicalAbiInfo, &VariantInfo),
    ty: Option<InterfaceType>,
    from: From<'_, '_, '_>,
    room: &mut Room,
    cased: bool,
) -> Result<Option<Value>> {
    match from {
        From::Flat(slots) => {
            let left = slots.len();
            let held = match ty {
                Some(ty) => Some(lift(cx, ty, From::Flat(slots), room, cased)?),
                None => None,
            };
            // Other cases may have more.
            let width = abi.flat_count(usize::MAX).ok_or_else(short)? - 1;
            for _ in left - slots.len()..width {
                slots.next();
            }
            Ok(held)
        }
        From::Memory(bytes) => {
            let Some(ty) = ty else { return Ok(None) };
            let bytes = bytes.get(info.payload_offset32 as usize..).ok_or_else(short)?;
            lift(cx, ty, From::Memory(bytes), room, cased).map(Some)
        }
    }
}

/// A case: its name, or a table of one key where it holds something.
fn case(name: &str, held: Option<Value>) -> Value {
    match held.filter(|held| *held != Value::Nil) {
        Some(held) => Value::Map(vec![(name.to_owned(), held)]),
        None => name.into(),
    }
}
