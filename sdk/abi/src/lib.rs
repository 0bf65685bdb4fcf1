//! The contract between the gateway and what runs in it: phases, values, limits.
//!
//! Floor 0: depends on nothing. Both engines, the SDKs and the reference pages are written
//! against these tables.

pub mod limit;
pub mod phase;
pub mod shared;
pub mod value;

pub use limit::{LIMITS, Limit, Unit};
pub use phase::{Phase, Phases};
pub use value::Value;
