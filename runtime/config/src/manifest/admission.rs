//! How much is let in at a time, and who first.

/// Bounds of what is learnt about how many requests at a time are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Requests at a time, at least; at least 1.
    pub min: u32,
    /// At most, and no less than that.
    pub max: u32,
    /// Before anything is known; between the two.
    pub start: u32,
    /// Requests that wait, at most.
    pub queue: usize,
}

/// How important a request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Let in before all others, and a little past the limit: probes, sign-ins.
    Critical,
    /// What is not said to be something else.
    #[default]
    Normal,
    /// May be refused while there is some room left.
    Low,
    /// Only while there is much room: prefetching, reports.
    Background,
}

impl Priority {
    /// All, the most important first.
    pub const ALL: [Priority; 4] =
        [Priority::Critical, Priority::Normal, Priority::Low, Priority::Background];

    /// Its name in manifests, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Priority::Critical => "critical",
            Priority::Normal => "normal",
            Priority::Low => "low",
            Priority::Background => "background",
        }
    }
}
