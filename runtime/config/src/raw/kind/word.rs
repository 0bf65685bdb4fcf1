//! Values that are one of a few words.

use serde_json::{Value as Json, json};

use crate::name;
use crate::raw::read::{Reader, Value};

/// A protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Http3,
    Tcp,
}

/// Reads one of the words; `expected` is what the message says when it is something else.
pub(super) fn read<T: super::Typed + Clone>(
    value: &Value<'_>,
    reader: &mut Reader<'_>,
    words: &[(&'static str, T)],
    later: &[&str],
) -> Option<T> {
    let text = reader.text::<T>(value)?;
    if let Some((_, word)) = words.iter().find(|(word, _)| *word == text) {
        return Some(word.clone());
    }
    let place = reader.place(value.span());
    if later.contains(&text.as_str()) {
        reader.later(place, &text);
        return None;
    }
    let hint = name::closest(&text, words.iter().map(|(word, _)| *word))
        .map(|close| format!("did you mean \"{close}\"?"));
    reader.refuse(value, format!("{text:?} is not {}", T::expected()), hint);
    None
}

pub(super) fn schema(words: &[&str]) -> Json {
    json!({ "type": "string", "enum": words })
}

macro_rules! words {
    ($( $Kind:ty, $what:literal = [$($word:literal => $value:expr),* $(,)?], later [$($later:literal),*]; )*) => { $(
        impl Typed for $Kind {
            fn expected() -> String {
                format!("{}: one of {}", $what, crate::name::list([$($word),*]))
            }
            fn read(value: &Value<'_>, reader: &mut Reader<'_>) -> Option<Self> {
                word::read(value, reader, &[$(($word, $value)),*], &[$($later),*])
            }
            fn schema() -> Json {
                word::schema(&[$($word),*])
            }
        }
    )* };
}
pub(super) use words;
