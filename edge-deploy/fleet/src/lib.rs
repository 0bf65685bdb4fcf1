//! Decisions about a fleet: who gets which release, when, and what stops it.
//!
//! [`manifest`] is what an operator writes, [`plan`] who gets it in which wave, [`rollout`] what
//! happens then: a machine that takes events and gives commands. [`release`] is what may run at all: signed
//! by keys that no controller has. A controller drives it by what its
//! nodes report, [`simulate`] by a fleet that it makes up. Nothing here opens a socket or a file, reads a
//! clock or draws a random number.

pub mod evidence;
pub mod label;
pub mod manifest;
pub mod message;
pub mod plan;
pub mod quantity;
pub mod release;
pub mod rollout;
pub mod selector;
pub mod simulate;
pub mod version;
pub mod window;
