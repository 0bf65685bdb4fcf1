//! For authors of Wasm guests of Pilotlight.
//!
//! - [`filter`]: filters, on the `proxy-wasm` crate; they run in other hosts of that ABI, too.
//! - [`module`]: functions that scripts call, `gateway.wasm("NAME").function(...)`.
//! - [`testing`]: filters driven by `cargo test`, natively and without a gateway.

#[cfg(feature = "filter")]
pub mod filter;
#[cfg(feature = "module")]
pub mod module;
#[cfg(all(feature = "filter", not(target_arch = "wasm32")))]
pub mod testing;

#[cfg(feature = "module")]
pub use pilotlight_sdk_macros::function;
#[cfg(feature = "filter")]
pub use proxy_wasm;
