//! Shared dictionaries, with the clock that they need.

use std::sync::Arc;

use pilotlight_core::shared::{Dict, Timed};
use pilotlight_filter::host::Shared;

use crate::clock::{self, Clock};

/// A dictionary of the manifest. It outlives generations that keep its name and size.
pub(crate) fn dictionary(bytes: u64, clock: Clock) -> Arc<dyn Shared> {
    // Seeded: clients that choose keys must not be able to make them collide.
    let mut seed = [0; 8];
    clock::random(&mut seed);
    let dict = Dict::with_seed(bytes, u64::from_ne_bytes(seed));
    Arc::new(Timed::new(dict, move || clock.elapsed().as_secs_f64()))
}
