//! Kong's plugin development kit: every name of `names.toml` is called by a plugin, in a gateway that
//! serves, and does what the table says.

mod names;
mod plugins;

pub use names::{Is, all};
