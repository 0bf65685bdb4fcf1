//! A process with its group: started, watched and ended without a signal handler.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::ptr;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::cgroup::Cgroup;

/// The first descriptor that is passed on, as service managers have it.
const FIRST: RawFd = 3;
/// What is ours, and would mislead an application.
const OWN: [&str; 9] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "FDSTORE",
    "MAINPID",
    crate::park::VARIABLE,
];
/// How often to look for the end where the kernel has no descriptors of processes (before 5.3).
const LOOK: Duration = Duration::from_millis(50);

/// What is started.
pub(super) struct Spec<'a> {
    /// The program and its arguments; never empty.
    pub(super) argv: &'a [String],
    pub(super) env: &'a [(String, String)],
    pub(super) dir: &'a Path,
    /// A socket that it is to have as descriptor 3.
    pub(super) passed: Option<&'a OwnedFd>,
    pub(super) cgroup: Option<&'a Cgroup>,
}

/// A process and all that it has started. Dropping it kills them.
pub(super) struct Process {
    child: Child,
    handle: Option<AsyncFd<OwnedFd>>,
    /// It has been waited for.
    gone: bool,
}

impl Process {
    /// Starts it as the first of a group of its own. It ends when this thread does.
    ///
    /// # Errors
    /// As the system says: no such program above all.
    pub(super) fn start(spec: &Spec<'_>) -> io::Result<Process> {
        // Never the number that it gets there, which could be that of a pipe of the standard library's.
        let passed = spec.passed.map(|fd| duplicate(fd.as_raw_fd())).transpose()?;
        let joins = spec.cgroup.map(Cgroup::door).transpose()?;
        let mut image = Image::new(spec)?;
        let ours = std::process::id() as libc::pid_t;
        let mut command = Command::new(&spec.argv[0]);
        command.current_dir(spec.dir).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: between fork and exec only system calls are made, on memory that is there already.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong);
                if libc::getppid() != ours {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                if let Some(door) = &joins {
                    checked(libc::write(door.as_raw_fd(), c"0".as_ptr().cast(), 1) as libc::c_int)?;
                }
                // Whatever has come over an exec of ours is not theirs.
                const CLOEXEC: libc::c_ulong = 1 << 2;
                libc::syscall(
                    libc::SYS_close_range,
                    FIRST as libc::c_ulong,
                    u32::MAX as libc::c_ulong,
                    CLOEXEC,
                );
                match &passed {
                    Some(fd) if fd.as_raw_fd() == FIRST => {
                        checked(libc::fcntl(FIRST, libc::F_SETFD, 0))?;
                    }
                    Some(fd) => checked(libc::dup2(fd.as_raw_fd(), FIRST))?,
                    None => {}
                }
                Err(image.run())
            });
        }
        let child = command.spawn()?;
        let handle = handle(child.id() as libc::pid_t);
        Ok(Process { child, handle, gone: false })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it writes, each once.
    pub(super) fn output(&mut self) -> [Option<OwnedFd>; 2] {
        [self.child.stdout.take().map(Into::into), self.child.stderr.take().map(Into::into)]
    }

    /// Resolves when its first process has ended, which then still has its number.
    pub(super) async fn ended(&self) {
        if let Some(handle) = &self.handle {
            // It stays readable.
            drop(handle.readable().await);
            return;
        }
        while !has_ended(self.child.id()) {
            sleep(LOOK).await;
        }
    }

    /// Sends a signal to all of the group.
    pub(super) fn signal(&self, signal: libc::c_int) {
        if !self.gone {
            // SAFETY: no memory is involved; the number is that of our child, which was not waited for.
            unsafe { libc::kill(-(self.child.id() as libc::pid_t), signal) };
        }
    }

    /// Ends what is left of the group; the first process has ended, or does now.
    pub(super) fn reap(&mut self) -> Option<ExitStatus> {
        self.signal(libc::SIGKILL);
        let status = self.child.wait().ok();
        self.gone = true;
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.gone {
            let _ = self.reap();
        }
    }
}

/// The program as the kernel takes it: made before the fork, after which nothing may be allocated.
struct Image {
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    _texts: Vec<CString>,
    /// `LISTEN_PID`, with room for the number that only the process knows. Or empty.
    last: Vec<u8>,
}

const LISTEN_PID: &[u8] = b"LISTEN_PID=";
/// Digits of a process's number.
const DIGITS: usize = 10;

// SAFETY: the pointers lead to what it owns, which nobody else has.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    fn new(spec: &Spec<'_>) -> io::Result<Image> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
        let pair = |name: &OsStr, value: &OsStr| {
            let mut pair = name.to_os_string();
            pair.push("=");
            pair.push(value);
            pair.into_vec()
        };
        let mut texts = Vec::new();
        for word in spec.argv {
            texts.push(text(word.as_bytes())?);
        }
        let words = texts.len();
        let said = |name: &OsStr| spec.env.iter().any(|(own, _)| name == OsStr::new(own));
        let is_own = |name: &OsStr| OWN.iter().any(|own| name == OsStr::new(own));
        for (name, value) in inherited().filter(|(name, _)| !said(name) && !is_own(name)) {
            texts.push(text(&pair(&name, &value))?);
        }
        for (name, value) in spec.env {
            texts.push(text(&pair(OsStr::new(name), OsStr::new(value)))?);
        }
        let mut last = Vec::new();
        if spec.passed.is_some() {
            texts.push(text(b"LISTEN_FDS=1")?);
            last.extend_from_slice(LISTEN_PID);
            last.resize(LISTEN_PID.len() + DIGITS + 1, 0);
        }
        let mut all: Vec<*const libc::c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        let mut env = all.split_off(words);
        all.push(ptr::null());
        if !last.is_empty() {
            env.push(last.as_ptr().cast());
        }
        env.push(ptr::null());
        Ok(Image { argv: all, env, _texts: texts, last })
    }

    /// Becomes the program; returns when that can't be.
    fn run(&mut self) -> io::Error {
        if !self.last.is_empty() {
            let mut number = std::process::id();
            let mut digits = [0; DIGITS];
            let mut first = DIGITS;
            while number > 0 {
                first -= 1;
                digits[first] = b'0' + (number % 10) as u8;
                number /= 10;
            }
            let digits = &digits[first..];
            self.last[LISTEN_PID.len()..LISTEN_PID.len() + digits.len()].copy_from_slice(digits);
        }
        // SAFETY: both lists end with null, and what they point to lives.
        unsafe { libc::execvpe(self.argv[0], self.argv.as_ptr(), self.env.as_ptr()) };
        io::Error::last_os_error()
    }
}

fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Another descriptor, from the first that is passed on upwards.
fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open; the new one is nobody's yet.
    unsafe {
        let new = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, FIRST);
        checked(new)?;
        Ok(OwnedFd::from_raw_fd(new))
    }
}

/// A descriptor that becomes readable when the process ends.
fn handle(pid: libc::pid_t) -> Option<AsyncFd<OwnedFd>> {
    // SAFETY: no memory is involved; the new descriptor is nobody's yet.
    let fd = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return None;
        }
        OwnedFd::from_raw_fd(fd as RawFd)
    };
    // SAFETY: the descriptor is the handle's own, and open as long as that is.
    unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE).ok() }
}

/// Looks without taking its number away.
fn has_ended(pid: u32) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is written by the call, and zeros are one.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid, &raw mut info, options) < 0 || info.si_pid() != 0
    }
}
