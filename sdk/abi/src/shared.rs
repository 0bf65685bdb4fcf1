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

/// A dictionary shared by all workers. Times are seconds.
///
/// A full dictionary evicts what was used longest ago; a value that can't fit is refused. A text
/// that is found goes to a buffer of the caller's.
pub trait Shared: Send + Sync {
    /// The entry, unless it is not there or has expired.
    fn get(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found>;

    /// The same, but an expired one will do as long as it stands there.
    fn get_stale(&self, key: &[u8], text: &mut Vec<u8>) -> Option<Found>;

    /// Puts a value; says whether it had to evict an entry that had not expired.
    ///
    /// # Errors
    /// "exists" and "not found" by the mode, "no memory".
    fn put(&self, key: &[u8], value: Scalar<'_>, put: Put) -> Result<bool, &'static str>;

    /// Adds to a number; starts from `init` (with `ttl`) when it is not there. The sum, and
    /// whether it had to evict an entry that had not expired.
    ///
    /// # Errors
    /// "not found", "not a number", "no memory".
    fn incr(
        &self,
        key: &[u8],
        by: f64,
        init: Option<f64>,
        ttl: f64,
    ) -> Result<(f64, bool), &'static str>;

    /// Takes it away.
    fn delete(&self, key: &[u8]);

    /// Lets an entry live so many seconds longer, if it lives no more than `most` then; one that is not
    /// there begins. How long it lives, or as an error how long it would have without: nothing changes.
    /// What finds no room lives as if it had.
    ///
    /// # Errors
    /// It would live too long.
    fn prolong(&self, key: &[u8], by: f64, most: f64) -> Result<f64, f64>;

    /// Sets a new time to live (0: for ever); false when it is not there. An expired entry that
    /// stands there may come back to life.
    fn expire(&self, key: &[u8], ttl: f64, revive: bool) -> bool;

    /// Seconds left: infinite for ever, not above 0 for an expired entry that stands there, `None`
    /// when it does not.
    fn ttl(&self, key: &[u8]) -> Option<f64>;

    /// Puts a value at an end of a list; its new length.
    ///
    /// # Errors
    /// "value not a list", "no memory".
    fn push(&self, key: &[u8], value: Scalar<'_>, end: End) -> Result<usize, &'static str>;

    /// Takes a value from an end of a list.
    ///
    /// # Errors
    /// "value not a list".
    fn pop(&self, key: &[u8], end: End, text: &mut Vec<u8>) -> Result<Option<Kept>, &'static str>;

    /// How long a list is; 0 when it is not there.
    ///
    /// # Errors
    /// "value not a list".
    fn len(&self, key: &[u8]) -> Result<usize, &'static str>;

    /// At most `max` keys (0: all).
    fn keys(&self, max: usize) -> Vec<Vec<u8>>;

    /// Takes all away.
    fn flush(&self);

    /// From now on all have expired.
    fn expire_all(&self);

    /// Takes away at most `max` expired entries (0: all); how many it were.
    fn flush_expired(&self, max: usize) -> usize;

    /// Bytes that it may use.
    fn capacity(&self) -> u64;

    /// Bytes that it uses.
    fn used(&self) -> u64;
}
