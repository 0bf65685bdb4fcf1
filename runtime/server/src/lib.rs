//! The I/O shell: sockets, protocols, upstreams, and the loop that drives every exchange.
//!
//! [`Gateway::load`] takes a manifest and the engines, and finds every mistake, as [`Gateway::wake`] does
//! for one that may have been asleep; [`Gateway::run`] opens the sockets and serves until a signal ends it.

mod admin;
mod admission;
mod answer;
mod apps;
mod aside;
mod clock;
mod codec;
mod control;
mod date;
mod drive;
mod files;
mod flow;
mod forward;
#[doc(hidden)]
pub mod fuzz;
mod gateway;
mod generation;
mod health;
mod idle;
mod ledger;
mod listener;
mod load;
mod log;
mod metrics;
mod notify;
mod pace;
mod pages;
pub mod park;
mod pressure;
pub mod proxy_protocol;
mod quic;
mod relay;
mod services;
mod shipped;
mod stream;
mod threads;
mod timer;
mod tls;
mod upstream;
mod worker;

pub use admin::client::{AdminError, ask};
pub use gateway::{Ended, Gateway, RunError, Source};
pub use load::plan_of;
