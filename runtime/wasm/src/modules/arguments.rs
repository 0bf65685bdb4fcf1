//! What a module's function is called with.

use bytes::Bytes;
use pilotlight_abi::Value;

/// What a function is called with.
pub(super) enum Arguments<'a> {
    /// A string in front or none, then numbers.
    Plain(Option<&'a [u8]>, &'a [f64]),
    /// A piece of a body in front or none, then any values.
    Own(Option<Bytes>, Vec<Value>),
}

impl Arguments<'_> {
    pub(super) fn given(&self) -> Given<'_> {
        match self {
            Arguments::Plain(bytes, numbers) => {
                Given { bytes: *bytes, values: Values::Numbers(numbers) }
            }
            Arguments::Own(bytes, values) => {
                Given { bytes: bytes.as_deref(), values: Values::Any(values) }
            }
        }
    }

    pub(super) fn into_owned(self) -> Arguments<'static> {
        match self {
            Arguments::Plain(bytes, numbers) => Arguments::Own(
                bytes.map(Bytes::copy_from_slice),
                numbers.iter().map(|number| Value::number(*number)).collect(),
            ),
            Arguments::Own(bytes, values) => Arguments::Own(bytes, values),
        }
    }
}

/// The same, for as long as the call lasts.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    bytes: Option<&'a [u8]>,
    values: Values<'a>,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    Numbers(&'a [f64]),
    Any(&'a [Value]),
}

/// One of them.
#[derive(Clone, Copy)]
pub(crate) enum Argument<'a> {
    Bytes(&'a [u8]),
    Number(f64),
    Value(&'a Value),
}

impl<'a> Given<'a> {
    pub(crate) fn len(self) -> usize {
        let values = match self.values {
            Values::Numbers(numbers) => numbers.len(),
            Values::Any(values) => values.len(),
        };
        values + usize::from(self.bytes.is_some())
    }

    /// The argument at `index`: nil where there is none.
    #[inline(always)] // in registers: it goes through memory otherwise, where this crate is small
    pub(crate) fn get(self, index: usize) -> Argument<'a> {
        let index = match (self.bytes, index) {
            (Some(bytes), 0) => return Argument::Bytes(bytes),
            (Some(_), index) => index - 1,
            (None, index) => index,
        };
        match self.values {
            Values::Numbers(numbers) => match numbers.get(index) {
                Some(number) => Argument::Number(*number),
                None => Argument::Value(&Value::Nil),
            },
            Values::Any(values) => match values.get(index) {
                Some(Value::Bytes(bytes)) => Argument::Bytes(bytes),
                Some(value) => Argument::Value(value),
                None => Argument::Value(&Value::Nil),
            },
        }
    }
}

impl Argument<'_> {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Argument::Bytes(_) => "string",
            Argument::Number(_) => "number",
            Argument::Value(value) => value.kind(),
        }
    }
}
