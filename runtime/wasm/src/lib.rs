//! The Wasm engine: proxy-wasm filters and modules that scripts call, on wasmtime.
//!
//! ```text
//! .wasm ─ compile (a child process) ─▶ cache ─ mapped ─▶ Program ─▶ Vm (a worker's instance)
//! ```
//! Nothing of wasmtime exists until a manifest names a module. Contexts of proxy-wasm live in one
//! [`vm::Vm`] a worker and filter; a call that may take long runs on a fiber and yields to the
//! worker each millisecond; a call past its limit traps, and its instance is never used again.

mod cache;
mod check;
mod code;
mod compile;
#[cfg(feature = "components")]
mod component;
mod config;
mod engine;
#[cfg(feature = "compile")]
mod expose;
mod fault;
mod host;
mod ledger;
mod library;
mod modules;
pub mod proxy_wasm;
#[cfg(feature = "compile")]
mod reshape;
mod source;
mod stage;
mod ticker;
mod vm;
mod wasi;
mod workshop;

pub use compile::{CompileError, CompileWith, compile};
pub use engine::WasmEngine;
