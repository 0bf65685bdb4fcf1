//! How a filter fails.

/// What kind of failure, for metrics and for `on_error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The filter's own error: `error()` in a script, an abort in a module.
    Error,
    /// Over its CPU time.
    Cpu,
    /// Over its memory.
    Memory,
    /// A trap other than the above.
    Trap,
    /// Over an output limit.
    Output,
    /// There is no room for it: no memory for an instance, or too many are in use.
    Busy,
    /// It waited for something that failed for good, such as the client.
    Gone,
    /// Our own bug.
    Internal,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [FaultKind; 8] = [
        FaultKind::Error,
        FaultKind::Cpu,
        FaultKind::Memory,
        FaultKind::Trap,
        FaultKind::Output,
        FaultKind::Busy,
        FaultKind::Gone,
        FaultKind::Internal,
    ];

    /// The `kind` label of `pilotlight_filter_errors_total`.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::Error => "error",
            FaultKind::Cpu => "cpu",
            FaultKind::Memory => "memory",
            FaultKind::Trap => "trap",
            FaultKind::Output => "output",
            FaultKind::Busy => "busy",
            FaultKind::Gone => "gone",
            FaultKind::Internal => "internal",
        }
    }
}

/// A filter's failure. The message is for the log, never for the client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// Names file and line where there is one.
    pub message: String,
    /// The script's or module's stack, a line each.
    pub trace: Option<String>,
    /// What a client is shown instead of problem details, as HTML.
    pub page: Option<Box<str>>,
}

impl Fault {
    /// A failure without a stack.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Fault {
        Fault { kind, message: message.into(), trace: None, page: None }
    }
}
