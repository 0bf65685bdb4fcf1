//! runaway.
