//! The real gateway, over real sockets, with clients and upstreams whose every byte is ours.
//!
//! `PILOTLIGHT_BIN` names a binary to test instead of the one that is built here; `PILOTLIGHT_COMPILE` how guests
//! are compiled for it ahead of time (`support/ahead.rs`). `tools/emulate` sets both.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::large_futures,
    clippy::print_stderr
)]

mod activate;
mod applications;
mod bursts;
mod cases;
mod clients;
mod commands;
mod components;
mod conformance;
mod escapes;
mod examples;
mod faults;
mod handshakes;
mod health;
mod imports;
mod kong;
mod libraries;
mod limits;
mod malformed;
mod mistakes;
mod names;
mod ngx;
mod overload;
mod pressure;
mod promises;
mod quickstart;
mod reference;
mod reload;
mod runaway;
mod sleep;
mod stubs;
mod support;
mod tcp;
mod testing;
mod tidy;
mod upgrade;
mod watching;
