//! The manifest: from TOML text to [`Manifest`].
//!
//! [`load`] reads the file and its includes, `raw` is what was typed (with the place of every key
//! and value), `resolve` turns that into what is meant or refuses it. Nobody else refuses a
//! manifest. All mistakes are reported at once, each with its place, in one [`Report`].
//!
//! This crate reads the files that it is told of, and nothing else. It knows no clock.

pub mod diff;
mod disk;
mod expand;
mod flags;
pub mod glob;
mod load;
pub mod manifest;
mod name;
mod place;
mod raw;
mod render;
mod report;
mod resolve;
mod schema;
pub mod typed;
pub mod units;

pub use diff::diff;
pub use disk::{Disk, Local, Pretend};
pub use flags::from_flags;
pub use load::{Loaded, admin, load, parse_open, parse_str, parse_with};
pub use manifest::*;
pub use place::Place;
pub use render::{literal, references, render};
pub use report::{Problem, Report, Severity, Spot};
pub use schema::schema;
