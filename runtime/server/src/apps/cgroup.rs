//! What an instance may use: a cgroup (version 2) of its own, below the gateway's.
//!
//! A group with limits for groups below it has no processes of its own. So the gateway moves to a group beside
//! those of its applications, where it is alone in its own: in a unit with `Delegate=yes`, or a container.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use pilotlight_config::manifest::InstanceLimits;

/// Where the gateway itself is then.
const GATEWAY: &str = "pilotlight-gateway";
/// Microseconds of a turn of the CPU controller.
const PERIOD: f64 = 100_000.0;

/// A cgroup of an instance; removed when dropped.
pub(super) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes one with these limits.
    ///
    /// # Errors
    /// Where the system does not let it: why, for the log.
    pub(super) fn new(limits: &InstanceLimits, name: &str) -> Result<Cgroup, String> {
        let below = own().ok_or("there is no cgroup2 file system")?;
        let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let cpus = std::thread::available_parallelism().map_or(1.0, |cpus| cpus.get() as f64);
        let whole = |number: Option<u64>| number.map(|number| number.to_string());
        let cpu = limits.cpu.map(|share| (share * cpus * PERIOD).max(1000.0).round());
        let wanted = [
            ("memory", "memory.max", whole(limits.memory)),
            ("memory", "memory.oom.group", limits.memory.map(|_| "1".into())),
            ("cpu", "cpu.max", cpu.map(|quota| format!("{quota} {PERIOD}"))),
            ("pids", "pids.max", whole(limits.processes)),
        ];
        for (controller, _, _) in wanted.iter().filter(|(.., value)| value.is_some()) {
            enable(&below, controller)
                .map_err(|error| format!("controller {controller}: {error}"))?;
        }
        let path = below.join(name);
        fs::create_dir_all(&path).map_err(said("no group"))?;
        let cgroup = Cgroup { path };
        for (_, file, value) in &wanted {
            if let Some(value) = value {
                let written = write(&cgroup.path.join(file), value);
                written.map_err(|error| format!("{file}: {error}"))?;
            }
        }
        Ok(cgroup)
    }

    /// Where a process writes 0 to get in.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn door(&self) -> io::Result<OwnedFd> {
        let door = OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))?;
        Ok(door.into())
    }

    /// Kills all that is in it, whatever group of processes that is of.
    pub(super) fn kill(&self) {
        drop(write(&self.path.join("cgroup.kill"), "1"));
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.path));
    }
}

/// The group that those of instances are in: the gateway's own, or the one that it was in.
fn own() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let whole = Path::new(mount).join(path);
    Some(match whole.ends_with(GATEWAY) {
        true => whole.parent()?.to_owned(),
        false => whole,
    })
}

/// Lets groups below have limits of that kind.
fn enable(group: &Path, controller: &str) -> io::Result<()> {
    let control = group.join("cgroup.subtree_control");
    if fs::read_to_string(&control)?.split_whitespace().any(|on| on == controller) {
        return Ok(());
    }
    let on = format!("+{controller}");
    match write(&control, &on) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            step_aside(group)?;
            write(&control, &on)
        }
        other => other,
    }
}

/// Moves the gateway into a group beside, if it is alone where it is.
fn step_aside(group: &Path) -> io::Result<()> {
    let ours = std::process::id().to_string();
    let inside = fs::read_to_string(group.join("cgroup.procs"))?;
    if inside.lines().any(|pid| pid != ours) {
        return Err(io::Error::other("other processes are in the gateway's group"));
    }
    let beside = group.join(GATEWAY);
    fs::create_dir_all(&beside)?;
    write(&beside.join("cgroup.procs"), "0")
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(text.as_bytes())
}
