//! JSON as lua-cjson reads and writes it: bytes as they are, its numbers, its messages.
//!
//! (`json` is `gateway.json`: strict, and its messages have lines and columns.)

pub(crate) mod decode;
pub(crate) mod encode;
mod number;

/// How many arrays and objects may be inside each other, whatever a script asks for: they take
/// slots of the stack, and lua-cjson runs out of them here.
const DEPTH_MAX: usize = 2600;

/// Values between two looks at whether the script is over its time.
const LOOK: u32 = 512;

/// What went wrong.
pub(crate) enum Wrong {
    /// With this message.
    Text(String),
    /// A metamethod raised what is on top of the stack.
    Raised,
}

impl<T: Into<String>> From<T> for Wrong {
    fn from(text: T) -> Wrong {
        Wrong::Text(text.into())
    }
}
