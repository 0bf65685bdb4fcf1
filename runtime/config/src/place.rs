//! Where something stands in a manifest.

use std::path::PathBuf;
use std::sync::Arc;

/// A file and the byte range of a key or value in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The file, absolute.
    pub file: Arc<PathBuf>,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}
