//! `activate` and `scale` of `[upstreams]` as typed.

use std::time::Duration;

use super::{At, Named, Share, Size, TextOr, Whole};
use crate::typed;

typed::tables! {
    /// An application that the gateway starts and stops.
    struct Activate {
        /// A program and its arguments: `["./server", "--port", "{port}"]`. In arguments and `env`,
        /// "{port}" is the port on 127.0.0.1, or "{socket}" the path of the Unix socket, where this
        /// instance has to listen. With neither it listens at the upstream's one endpoint.
        command: Vec<At<String>>,
        /// Environment variables of the command, beside the gateway's own.
        env: Named<String>,
        /// The folder in which the command runs. Default: the manifest's.
        dir: String,
        /// Whether the command gets its socket as from a service manager: it listens already, and is
        /// descriptor 3 (`LISTEN_FDS`). Default false.
        socket: bool,
        /// A unit of systemd, which listens at the upstream's one endpoint; or a template, one unit for
        /// each instance: "app@{port}".
        unit: String,
        /// A container: the name of one that is there and listens at the upstream's one endpoint, or
        /// an image to run.
        container: TextOr<Container>,
        /// When an instance takes requests: "connect" (default) when it takes connections, "notify" when it
        /// says `READY=1` to `NOTIFY_SOCKET`, or when it answers this path with a status below 400: "/health".
        ready: String,
        /// How long a start may take; requests wait no longer for one. Default "30s".
        start_timeout: Duration,
        /// Without a request for so long, the last instances are stopped. Default "5m".
        idle: Duration,
        /// From SIGTERM to SIGKILL. Default "10s".
        stop_timeout: Duration,
        /// Requests that wait for an instance; those past it are answered with 503. Default 1000.
        queue: Whole,
        /// What an instance may use, where the gateway has the rights to say so (cgroups).
        limits: ActivateLimits,
    }

    /// A container that is made for each instance.
    struct Container needs [image, port] {
        /// The image.
        image: String,
        /// The port on which the application listens in it.
        port: Whole,
        /// Further arguments of `RUNTIME run`.
        args: Vec<At<String>>,
        /// The command that runs containers, "docker" or a program with its arguments. Default "podman".
        runtime: String,
    }

    /// What an instance may use.
    struct ActivateLimits {
        /// Its memory. Default: no limit.
        memory: Size,
        /// The share of the gateway's CPUs. Default: no limit.
        cpu: Share,
        /// Processes and threads. Default: no limit.
        processes: Whole,
    }

    /// How many instances of an application there are.
    struct Scale {
        /// The fewest; with 0 it sleeps. Default 0.
        min: Whole,
        /// The most. Default 1.
        max: Whole,
        /// Requests that one instance takes at a time; more than that wait. Default 10.
        concurrency: Whole,
        /// How much of its `concurrency` an instance is meant to be busy with. Default "70%".
        target: Share,
        /// The time over which load is averaged. Default "60s".
        window: Duration,
        /// The same for a rise that cannot wait: taken when it asks for twice the instances there are.
        /// Default "6s".
        panic_window: Duration,
        /// Instances are stopped only when so much fewer would do. Default "10%".
        tolerance: Share,
        /// How long no more than now have been needed before instances are stopped. Default "2m".
        cooldown: Duration,
        /// Instances that may be starting at a time. Default: as many as are ready, and at least 4.
        surge: Whole,
        /// The share of the instances that one step may stop. Default "50%".
        shrink: Share,
        /// More instances at certain times.
        schedule: Vec<At<Schedule>>,
        /// Whether instances are started ahead of what the last days foretell, and kept where the next
        /// request is likely to come soon. Default false.
        predict: bool,
    }

    /// A time from which on there are more instances.
    struct Schedule needs [cron, min] {
        /// Minute, hour, day of the month, month and day of the week: "0 8 * * 1-5", "*/15 9-17 * * mon-fri".
        /// The instances are ready by then.
        cron: String,
        /// The fewest from then on.
        min: Whole,
        /// How long it holds. Default "1h".
        r#for: Duration,
        /// Whose time the clock shows: "local" (default), "UTC", or an offset such as "+01:00".
        zone: String,
    }
}
