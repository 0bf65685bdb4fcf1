//! A script's values into a component's memory.
//!
//! wasmtime's traits for that are made to be derived, for types known ahead; what they consist of is
//! not in its documentation, and looked over with each of its versions. The documented way for types
//! that come with a component is `Val`, of which a `list<u8>` has one for each byte: 64 KiB each way
//! would be two lists of 2 MiB, made and taken apart. Here they are two copies.

use std::mem::MaybeUninit;
use std::slice::IterMut;

use pilotlight_abi::Value;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LowerContext,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lower};
use wasmtime::{Result, ValRaw, bail};

use super::environ::{
    ComponentTypes, MAX_FLAT_PARAMS, TypeFlags, TypeResult, TypeVariant, VariantInfo,
};
use super::shapes::{case, fields, fraction, items, text, whole, with_payload};
use super::words::{Misfit, is_called};
use crate::modules::{Argument, Given};

/// The arguments of a call.
pub(super) struct Arguments<'a>(pub(super) Given<'a>);

// SAFETY: `Lower` is a sequence of `ValRaw`, all of it written; the types that count are those
// that the component declares, which `linear_lower_to_flat` is handed with each call and follows.
unsafe impl ComponentType for Arguments<'_> {
    type Lower = [ValRaw; MAX_FLAT_PARAMS];
    // Not looked at: arguments that are too many for the stack are placed below.
    const ABI: CanonicalAbiInfo = CanonicalAbiInfo::POINTER_PAIR;

    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> Result<()> {
        Ok(())
    }
}

// SAFETY: as above.
unsafe impl ComponentNamedList for Arguments<'_> {}

// SAFETY: as above.
unsafe impl Lower for Arguments<'_> {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        let dst = dst.write([ValRaw::u64(0); MAX_FLAT_PARAMS]);
        let InterfaceType::Tuple(tuple) = ty else { bail!("its parameters are no list") };
        let types: &ComponentTypes = cx.types;
        let tuple = &types[tuple];
        let mut slots = dst.iter_mut();
        let mut place = match tuple.abi.flat_count(MAX_FLAT_PARAMS) {
            Some(_) => Place::Flat(&mut slots),
            None => {
                let at = cx.realloc(0, 0, tuple.abi.align32, tuple.abi.size32 as usize)?;
                *slots.next().ok_or_else(short)? = ValRaw::i64(at as i64);
                Place::Memory(at)
            }
        };
        for (index, ty) in tuple.types.iter().enumerate() {
            let place = place.part(types.canonical_abi(ty));
            let lowered = match self.0.get(index) {
                Argument::Bytes(bytes) => lower_bytes(cx, *ty, bytes, place),
                Argument::Number(number) => lower(cx, *ty, &Value::number(number), place, false),
                Argument::Value(value) => lower(cx, *ty, value, place, false),
            };
            lowered.map_err(|error| Misfit::within(error, format_args!("#{index}")))?;
        }
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        _: &mut LowerContext<'_, T>,
        _: InterfaceType,
        _: usize,
    ) -> Result<()> {
        bail!("arguments stand in nothing")
    }
}

/// Where a value goes: the next of the call's slots, or an address.
enum Place<'p, 's> {
    Flat(&'p mut IterMut<'s, ValRaw>),
    Memory(usize),
}

impl<'s> Place<'_, 's> {
    /// The place of the next part of a value, which has this layout.
    fn part(&mut self, abi: &CanonicalAbiInfo) -> Place<'_, 's> {
        match self {
            Place::Flat(slots) => Place::Flat(slots),
            Place::Memory(at) => Place::Memory(abi.next_field32_size(at)),
        }
    }
}

fn short() -> wasmtime::Error {
    wasmtime::Error::msg("its types are larger than they say")
}

/// Writes a number, a truth value or a character.
fn scalar<T, V: Lower<Lower = ValRaw>>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: V,
    place: Place<'_, '_>,
) -> Result<()> {
    match place {
        Place::Flat(slots) => {
            let mut flat = MaybeUninit::uninit();
            value.linear_lower_to_flat(cx, ty, &mut flat)?;
            // SAFETY: it was just written.
            *slots.next().ok_or_else(short)? = unsafe { flat.assume_init() };
            Ok(())
        }
        Place::Memory(at) => value.linear_lower_to_memory(cx, ty, at),
    }
}

/// Copies bytes into memory that the component gives, and writes where they are.
fn bytes<T>(cx: &mut LowerContext<'_, T>, bytes: &[u8], place: Place<'_, '_>) -> Result<()> {
    let at = cx.realloc(0, 0, 1, bytes.len())?;
    cx.as_slice_mut()[at..][..bytes.len()].copy_from_slice(bytes);
    pair(cx, at, bytes.len(), place)
}

/// Writes a string, in the component's encoding, and where it is.
fn string<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &str,
    place: Place<'_, '_>,
) -> Result<()> {
    match place {
        Place::Flat(slots) => {
            let mut flat = MaybeUninit::uninit();
            value.linear_lower_to_flat(cx, ty, &mut flat)?;
            // SAFETY: it was just written.
            for slot in unsafe { flat.assume_init() } {
                *slots.next().ok_or_else(short)? = slot;
            }
            Ok(())
        }
        Place::Memory(at) => value.linear_lower_to_memory(cx, ty, at),
    }
}

/// Writes a string that nobody has copied.
fn lower_bytes<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    given: &[u8],
    place: Place<'_, '_>,
) -> Result<()> {
    match ty {
        InterfaceType::List(list) if cx.types[list].element == InterfaceType::U8 => {
            bytes(cx, given, place)
        }
        InterfaceType::String if let Ok(text) = std::str::from_utf8(given) => {
            string(cx, ty, text, place)
        }
        // What is more than bytes is looked at as other values are.
        _ => lower(cx, ty, &Value::Bytes(given.to_vec()), place, false),
    }
}

/// Writes a value. `cased`: an option here stands in an option, whose nil it can't have, too: it is
/// a variant of `none` and `some`.
fn lower<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Value,
    place: Place<'_, '_>,
    cased: bool,
) -> Result<()> {
    let types: &ComponentTypes = cx.types;
    let misfit = || Misfit::of(types, ty, value);
    macro_rules! whole {
        ($number:ty) => {{
            let whole = whole(value).and_then(|whole| <$number>::try_from(whole).ok());
            scalar(cx, ty, whole.ok_or_else(misfit)?, place)
        }};
    }
    match ty {
        InterfaceType::Bool => match value {
            Value::Bool(truth) => scalar(cx, ty, *truth, place),
            _ => Err(misfit()),
        },
        InterfaceType::S8 => whole!(i8),
        InterfaceType::U8 => whole!(u8),
        InterfaceType::S16 => whole!(i16),
        InterfaceType::U16 => whole!(u16),
        InterfaceType::S32 => whole!(i32),
        InterfaceType::U32 => whole!(u32),
        InterfaceType::S64 => whole!(i64),
        InterfaceType::U64 => whole!(u64),
        InterfaceType::Float32 => scalar(cx, ty, fraction(value).ok_or_else(misfit)? as f32, place),
        InterfaceType::Float64 => scalar(cx, ty, fraction(value).ok_or_else(misfit)?, place),
        InterfaceType::Char => {
            let mut chars = text(value).ok_or_else(misfit)?.chars();
            match (chars.next(), chars.next()) {
                (Some(one), None) => scalar(cx, ty, one, place),
                _ => Err(misfit()),
            }
        }
        InterfaceType::String => string(cx, ty, text(value).ok_or_else(misfit)?, place),
        InterfaceType::List(list) => match (types[list].element, value) {
            (InterfaceType::U8, Value::Bytes(list)) => bytes(cx, list, place),
            (element, _) => {
                let items = items(value).ok_or_else(misfit)?;
                let (at, count) = (list_of(cx, element, items)?, items.len());
                pair(cx, at, count, place)
            }
        },
        InterfaceType::Record(record) => {
            let fields = fields(value).ok_or_else(misfit)?;
            let known = &types[record].fields;
            if let Some((name, _)) = fields
                .iter()
                .find(|(name, _)| !known.iter().any(|field| is_called(&field.name, name)))
            {
                return Err(Misfit::within(misfit(), format_args!(".{name}")));
            }
            let each = known.iter().map(|field| {
                let found = fields.iter().find(|(name, _)| is_called(&field.name, name));
                (field.ty, found.map_or(&Value::Nil, |(_, value)| value))
            });
            let name = |index: usize| format!(".{}", known[index].name);
            parts(cx, each, place, name)
        }
        InterfaceType::Tuple(tuple) => {
            let (items, known) = (items(value).ok_or_else(misfit)?, &types[tuple].types);
            if items.len() > known.len() {
                return Err(misfit());
            }
            let item = |index: usize| items.get(index).unwrap_or(&Value::Nil);
            let each = known.iter().enumerate().map(|(index, ty)| (*ty, item(index)));
            parts(cx, each, place, |index| format!("[{}]", index + 1))
        }
        InterfaceType::Variant(ty) => {
            let TypeVariant { cases, abi, info } = &types[ty];
            let (name, payload) = case(value).ok_or_else(misfit)?;
            let found = cases.iter().enumerate().find(|(_, (known, _))| is_called(known, name));
            let (index, (_, ty)) = found.ok_or_else(misfit)?;
            let payload = with_payload(*ty, payload).ok_or_else(misfit)?;
            variant(cx, (abi, info), index, payload, place, false)
        }
        InterfaceType::Result(result) => {
            let TypeResult { ok, err, abi, info } = &types[result];
            let (name, payload) = case(value).ok_or_else(misfit)?;
            let (index, ty) = match name {
                "ok" => (0, ok),
                "err" => (1, err),
                _ => return Err(misfit()),
            };
            let payload = with_payload(*ty, payload).ok_or_else(misfit)?;
            variant(cx, (abi, info), index, payload, place, false)
        }
        InterfaceType::Enum(cases) => {
            let cases = &types[cases];
            let name = text(value).ok_or_else(misfit)?;
            let index = cases.names.iter().position(|known| is_called(known, name));
            let index = index.ok_or_else(misfit)?;
            variant(cx, (&cases.abi, &cases.info), index, None, place, false)
        }
        InterfaceType::Option(option) => {
            let option = &types[option];
            let payload = match (cased, value) {
                (false, Value::Nil) => None,
                (false, value) => Some((option.ty, value)),
                (true, value) => match case(value).ok_or_else(misfit)? {
                    ("none", None) => None,
                    ("some", inner) => with_payload(Some(option.ty), inner).ok_or_else(misfit)?,
                    _ => return Err(misfit()),
                },
            };
            let index = usize::from(payload.is_some());
            variant(cx, (&option.abi, &option.info), index, payload, place, !cased)
        }
        InterfaceType::Flags(ty) => {
            let flags = &types[ty];
            let words = bits(flags, fields(value).ok_or_else(misfit)?);
            set(cx, flags.names.len(), &words.ok_or_else(misfit)?, place)
        }
        // Functions with such types are not called: see `call`.
        _ => Err(misfit()),
    }
}

/// Writes a record's or tuple's parts.
fn parts<'v, T>(
    cx: &mut LowerContext<'_, T>,
    parts: impl Iterator<Item = (InterfaceType, &'v Value)>,
    mut place: Place<'_, '_>,
    name: impl Fn(usize) -> String,
) -> Result<()> {
    for (index, (ty, value)) in parts.enumerate() {
        let place = place.part(cx.types.canonical_abi(&ty));
        lower(cx, ty, value, place, false)
            .map_err(|error| Misfit::within(error, format_args!("{}", name(index))))?;
    }
    Ok(())
}

/// Writes a list's items into memory that the component gives; gives its address.
fn list_of<T>(
    cx: &mut LowerContext<'_, T>,
    element: InterfaceType,
    items: &[Value],
) -> Result<usize> {
    let abi = cx.types.canonical_abi(&element);
    let size = abi.size32 as usize;
    let bytes = items.len().checked_mul(size).ok_or_else(short)?;
    let start = cx.realloc(0, 0, abi.align32, bytes)?;
    for (index, item) in items.iter().enumerate() {
        lower(cx, element, item, Place::Memory(start + index * size), false)
            .map_err(|error| Misfit::within(error, format_args!("[{}]", index + 1)))?;
    }
    Ok(start)
}

fn pair<T>(
    cx: &mut LowerContext<'_, T>,
    at: usize,
    count: usize,
    mut place: Place<'_, '_>,
) -> Result<()> {
    for word in [at, count] {
        let place = place.part(&CanonicalAbiInfo::SCALAR4);
        scalar(cx, InterfaceType::U32, u32::try_from(word)?, place)?;
    }
    Ok(())
}

/// Writes which case it is, and what the case holds.
fn variant<T>(
    cx: &mut LowerContext<'_, T>,
    (abi, info): (&CanonicalAbiInfo, &VariantInfo),
    index: usize,
    payload: Option<(InterfaceType, &Value)>,
    place: Place<'_, '_>,
    cased: bool,
) -> Result<()> {
    let index = u32::try_from(index)?;
    match place {
        Place::Flat(slots) => {
            *slots.next().ok_or_else(short)? = ValRaw::u32(index);
            let left = slots.len();
            if let Some((ty, value)) = payload {
                lower(cx, ty, value, Place::Flat(slots), cased)?;
            }
            // Other cases may have more: their slots are zero already.
            let width = abi.flat_count(usize::MAX).ok_or_else(short)? - 1;
            let used = left - slots.len();
            for _ in used..width {
                slots.next();
            }
            Ok(())
        }
        Place::Memory(at) => {
            let bytes = index.to_le_bytes();
            let size = info.size.byte_size() as usize;
            cx.as_slice_mut()[at..][..size].copy_from_slice(&bytes[..size]);
            match payload {
                Some((ty, value)) => {
                    let place = Place::Memory(at + info.payload_offset32 as usize);
                    lower(cx, ty, value, place, cased)
                }
                None => Ok(()),
            }
        }
    }
}

/// Writes flags: 8, 16 or any number of 32 bits.
fn set<T>(
    cx: &mut LowerContext<'_, T>,
    count: usize,
    words: &[u32],
    place: Place<'_, '_>,
) -> Result<()> {
    match place {
        Place::Flat(slots) => {
            for word in words {
                *slots.next().ok_or_else(short)? = ValRaw::u32(*word);
            }
        }
        Place::Memory(mut at) => {
            let size = match count {
                0..=8 => 1,
                9..=16 => 2,
                _ => 4,
            };
            for word in words {
                let bytes = word.to_le_bytes();
                cx.as_slice_mut()[at..][..size].copy_from_slice(&bytes[..size]);
                at += size;
            }
        }
    }
    Ok(())
}

fn bits(flags: &TypeFlags, given: &[(String, Value)]) -> Option<Vec<u32>> {
    let mut words = vec![0; flags.names.len().div_ceil(32)];
    for (name, value) in given {
        let bit = flags.names.iter().position(|known| is_called(known, name))?;
        match value {
            Value::Bool(true) => words[bit / 32] |= 1 << (bit % 32),
            Value::Bool(false) | Value::Nil => {}
            _ => return None,
        }
    }
    Some(words)
}
