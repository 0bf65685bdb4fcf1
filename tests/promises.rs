//! promises.
