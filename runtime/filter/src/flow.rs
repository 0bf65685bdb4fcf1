//! A connection that carries no HTTP, as filters see it: bytes that pass, one way and the other.
//!
//! ```text
//! client ─▶ a ─▶ b ─▶ c ─▶ upstream
//! client ◀─ a ◀─ b ◀─ c ◀─ upstream
//! ```
//! Its exchange holds who the client is, what filters leave for each other, and a [`Flow`]; the messages
//! in it are empty. The upstream is connected to once all filters have let the connection through.

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// From who connected.
    Client = 0,
    /// From whom we connected to.
    Upstream = 1,
}

/// Who has ended a connection with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Closed {
    /// It is not known, or it has not ended.
    #[default]
    Unknown = 0,
    /// We have.
    Here = 1,
    /// The client has.
    There = 2,
}

/// What is known of such a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flow {
    /// A filter holds as much as it may of a direction: nothing more is to be read there. Filters set
    /// it each time they are asked.
    pub full: [bool; 2],
    /// In the log phase: who has ended it.
    pub closed: Closed,
}
