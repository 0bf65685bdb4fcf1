//! Decisions: which route, which endpoint, whether again, whether at all.
//!
//! Nothing here reads a clock, draws a random number or touches a socket: times and seeds are
//! arguments, so every decision can be repeated in a test.

pub mod admission;
pub mod allowance;
pub mod balance;
pub mod breaker;
pub mod cidr;
pub mod crew;
pub mod deadlines;
pub mod health;
pub mod outlier;
pub mod path;
pub mod pressure;
pub mod query;
pub mod retry;
pub mod rotation;
pub mod router;
pub mod scale;
pub mod shared;
pub mod split;
pub mod template;
