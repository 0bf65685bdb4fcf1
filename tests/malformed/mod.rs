//! malformed.
