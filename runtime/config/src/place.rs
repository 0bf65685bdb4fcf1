//! Where something stands in a manifest.

use std::path::PathBuf;
use std::sync::Arc;

/// A file and the byte range of a key or value in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    pub file: Arc<PathBuf>,
    pub start: usize,
    pub end: usize,
}
