//! Applications that the gateway starts and stops, and how many instances of them.

use std::path::PathBuf;
use std::time::Duration;

use super::Cron;

/// An application that sleeps.
#[derive(Debug, Clone, PartialEq)]
pub struct Activate {
    /// What is started.
    pub launch: Launch,
    /// Where an instance listens.
    pub listens: Listens,
    /// When it takes requests.
    pub ready: Ready,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
    /// Requests that wait for an instance, at most.
    pub queue: usize,
    /// What an instance may use.
    pub limits: InstanceLimits,
    /// How many there are.
    pub scale: Scale,
}

/// What is started as an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// A process.
    Command {
        /// The program and its arguments; never empty. A program with a `/` in its name is absolute.
        argv: Vec<String>,
        /// Environment variables beside the gateway's own.
        env: Vec<(String, String)>,
        /// Where it runs.
        dir: PathBuf,
    },
    /// A unit of systemd.
    Unit(String),
    /// A container that is there already, by its name.
    Container(String),
    /// A container that is made for the instance.
    Image {
        /// The image.
        image: String,
        /// The port on which the application listens in it.
        port: u16,
        /// Further arguments of `RUNTIME run`.
        args: Vec<String>,
        /// The program that runs containers, with arguments of its own; never empty.
        runtime: Vec<String>,
    },
}

impl Launch {
    /// What stands in its texts for the port on which an instance has to listen.
    pub const PORT: &str = "{port}";

    /// What stands in its texts for the path of an instance's Unix socket.
    pub const SOCKET: &str = "{socket}";
}

/// Where an instance listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listens {
    /// On a port of 127.0.0.1 that the gateway picks: [`Launch::PORT`].
    Port,
    /// On a Unix socket whose path the gateway picks: [`Launch::SOCKET`].
    Socket,
    /// On a socket that the gateway opens and passes on.
    Passed,
    /// At the upstream's one endpoint: then there is one instance at most.
    Endpoint,
}

/// When an instance takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// When it takes connections.
    Connect,
    /// When it says so to the socket that `NOTIFY_SOCKET` names.
    Notify,
    /// When it answers a GET of this path with a status below 400.
    Path(String),
}

/// What an instance may use; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct InstanceLimits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// The share of the gateway's CPUs.
    pub cpu: Option<f64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// How many instances of an application there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// The fewest.
    pub min: u32,
    /// The most; at least 1 and at least `min`.
    pub max: u32,
    /// Requests that one instance takes at a time; at least 1.
    pub concurrency: u32,
    /// How much of its `concurrency` an instance is meant to be busy with; more than 0, at most 1.
    pub target: f64,
    /// The time over which load is averaged.
    pub window: Duration,
    /// The same for a rise that cannot wait; not longer than `window`.
    pub panic_window: Duration,
    /// Instances are stopped only when so much fewer would do.
    pub tolerance: f64,
    /// How long no more than now have been needed before instances are stopped.
    pub cooldown: Duration,
    /// Without a request for so long, the last instances are stopped.
    pub idle: Duration,
    /// Instances that may be starting at a time; `None`: as many as are ready, and at least 4.
    pub surge: Option<u32>,
    /// The share of the instances that one step may stop; more than 0.
    pub shrink: f64,
    /// More instances at certain times.
    pub schedule: Vec<Schedule>,
    /// Whether what the last days and the gaps between requests foretell counts.
    pub predict: bool,
}

/// A time from which on there are more instances.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// When.
    pub cron: Cron,
    /// The fewest from then on; at most the `max` of its [`Scale`].
    pub min: u32,
    /// How long it holds.
    pub hold: Duration,
    /// Whose time its clock shows.
    pub zone: Zone,
}

/// Whose time a clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// That of the machine.
    Local,
    /// Seconds east of Greenwich.
    Fixed(i32),
}
