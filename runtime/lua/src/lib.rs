//! The LuaJIT engine.
//!
//! ```text
//! engine ─ load ─▶ library ─ open ─▶ realm ─ start ─▶ filter ─ poll ─▶ vm ─ resume ─▶ the script
//!                                      │                               │  ▲
//!                                     VMs                     arena, watchdog, window
//! ```
//! Scripts reach the host through `prelude/*.lua`: hot calls by FFI (`calls`), waits by a yield
//! that the filter answers (`wait`). The sandbox is `prelude/sandbox.lua`.

mod arena;
mod base64;
mod calendar;
mod calls;
mod cjson;
mod counts;
mod crypto;
mod engine;
mod escape;
mod export;
mod filter;
mod finish;
mod flate;
pub mod fuzz;
mod guard;
mod handle;
mod json;
mod kept;
mod known;
mod leave;
mod output;
mod parcel;
mod pattern;
mod pem;
mod plain;
mod prelude;
mod program;
mod realm;
mod regex;
mod reply;
mod run;
mod scratch;
mod socket;
mod spare;
mod stack;
mod stage;
mod tasks;
mod token;
mod value;
mod visit;
mod vm;
mod wait;
mod watchdog;
mod window;
mod wreck;

pub use engine::LuaEngine;
