//! What scripts and shared dictionaries hand to each other.

/// A value to be kept.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Scalar<'a> {
    Bool(bool),
    Number(f64),
    Text(&'a [u8]),
}

/// A value that was found. Its text is in a buffer of whoever asked.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Kept {
    Bool(bool),
    Number(f64),
    Text,
    List,
}

/// An entry that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Its value.
    pub kept: Kept,
    /// What its writer put beside the value.
    pub flags: i32,
    /// It has expired, and stands there all the same.
    pub stale: bool,
}

/// Which entries a put may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Any.
    #[default]
    Set,
    /// Those that are not there.
    Add,
    /// Those that are there.
    Replace,
}

/// How a value is put.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Put {
    /// Which entries it may write.
    pub mode: Mode,
    /// It fails rather than evict what has not expired.
    pub safe: bool,
    /// Seconds to live; 0: for ever.
    pub ttl: f64,
    /// Kept beside the value.
    pub flags: i32,
}

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum End {
    Left,
    Right,
}
