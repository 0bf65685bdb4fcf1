//! Values that are one of a few words.

use serde_json::{Value as Json, json};

use super::read::{Reader, Typed, Value};
use crate::name;

/// Reads one of the words.
pub fn word<T: Typed + Clone>(
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

/// The schema of one of these words.
pub fn word_schema(words: &[&str]) -> Json {
    json!({ "type": "string", "enum": words })
}

/// Values that are one of a few words: `Kind, "a noun" = ["word" => Kind::Word, ...], later [...];`
#[doc(hidden)]
#[macro_export]
macro_rules! __words {
    ($( $Kind:ty, $what:literal = [$($word:literal => $value:expr),* $(,)?], later [$($later:literal),*]; )*) => { $(
        impl $crate::typed::Typed for $Kind {
            fn expected() -> String {
                format!("{}: one of {}", $what, $crate::typed::listed([$($word),*]))
            }
            fn read(
                value: &$crate::typed::Value<'_>,
                reader: &mut $crate::typed::Reader<'_>,
            ) -> Option<Self> {
                $crate::typed::word(value, reader, &[$(($word, $value)),*], &[$($later),*])
            }
            fn schema() -> $crate::typed::Json {
                $crate::typed::word_schema(&[$($word),*])
            }
        }
    )* };
}
pub use __words as words;
