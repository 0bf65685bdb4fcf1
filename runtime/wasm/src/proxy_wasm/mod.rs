//! Filters of the proxy-wasm ABI, versions 0.1.0, 0.2.0 and 0.2.1, as they are built for Envoy, and Higress's 0.2.100.
//!
//! One instance a worker holds a root context for the plugin and a context a stream: an exchange, or a
//! connection without HTTP.

pub(crate) mod abi;
pub(crate) mod body;
pub(crate) mod calling;
pub(crate) mod calls;
pub(crate) mod context;
pub(crate) mod fields;
pub(crate) mod filter;
mod flow;
pub(crate) mod foreign;
pub(crate) mod gives;
pub(crate) mod grpc;
pub(crate) mod hub;
pub(crate) mod instance;
mod leave;
pub(crate) mod link;
pub(crate) mod mail;
pub mod maps;
pub(crate) mod memory;
pub(crate) mod metrics;
pub(crate) mod origin;
mod pause;
pub(crate) mod pool;
pub(crate) mod properties;
pub(crate) mod redis;
pub(crate) mod root;
#[cfg(test)]
mod tests;
