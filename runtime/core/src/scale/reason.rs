//! What a number of instances follows, by name.

/// Why there are so many instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// `min`.
    Min,
    /// The `schedule`.
    Schedule,
    /// There is a request, and there was no instance.
    Activate,
    /// The load of the `window`.
    Load,
    /// That of the `panic_window`.
    Panic,
    /// The load at this time on other days.
    Forecast,
    /// A request is likely to come, after such a gap.
    Gap,
    /// There was a request within the idle time.
    Recent,
    /// There was none.
    Idle,
    /// Fewer would do, but not for long enough.
    Cooldown,
    /// Fewer have been enough for the cool-down.
    Shrink,
    /// More are wanted, but enough are starting.
    Surge,
    /// More are wanted than `max`.
    Max,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 13] = [
        Reason::Min,
        Reason::Schedule,
        Reason::Activate,
        Reason::Load,
        Reason::Panic,
        Reason::Forecast,
        Reason::Gap,
        Reason::Recent,
        Reason::Idle,
        Reason::Cooldown,
        Reason::Shrink,
        Reason::Surge,
        Reason::Max,
    ];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Min => "min",
            Reason::Schedule => "schedule",
            Reason::Activate => "activate",
            Reason::Load => "load",
            Reason::Panic => "panic",
            Reason::Forecast => "forecast",
            Reason::Gap => "gap",
            Reason::Recent => "recent",
            Reason::Idle => "idle",
            Reason::Cooldown => "cooldown",
            Reason::Shrink => "shrink",
            Reason::Surge => "surge",
            Reason::Max => "max",
        }
    }
}
