//! The process that is to take over, as the one sees it that still serves.
//!
//! ```text
//!   elder   ── fork, execve ─▶ loads ── says so ─▶ accepts no more, writes its state down ──▶ takes it
//!     ▲                                                                                         │
//!     └──────────────── goes, as soon as what is open has ended ◀── says so ── serves ◀─────────┘
//! ```
//! Until the heir serves, whatever happens to it leaves the elder as it was.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Sleep, sleep, timeout};

use super::bed::{Bed, Program, memory_file, pointers};
use super::plan::{ARGUMENTS_MAX, Plan};
use super::{HEIR, woken};

/// How long it may take to load: modules may have to be compiled first.
const LOADS: Duration = Duration::from_secs(120);
/// How long it may take from there to serving; clients wait meanwhile.
const STARTS: Duration = Duration::from_secs(5);
/// How often, and how many times, it is looked whether it has ended that says nothing more.
const TICK: Duration = Duration::from_millis(5);
const ENDS: usize = 200;
/// What is said to and fro: it only matters that something is.
pub(super) const SAID: u8 = b'.';

/// A process that was started to take over; ended when it is dropped before it has.
pub(crate) struct Heir {
    pid: libc::pid_t,
    channel: UnixStream,
    /// Where it will look for what outlives this process.
    state: File,
    /// Where it leaves the system's word for why it could not start.
    plan: Plan,
    limit: Pin<Box<Sleep>>,
}

impl Bed {
    /// Starts the program as it is on the disk now, with these sockets.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn bear(mut self, program: &Program) -> io::Result<Heir> {
        if program.arguments.len() > ARGUMENTS_MAX {
            return Err(io::ErrorKind::ArgumentListTooLong.into());
        }
        let (ours, theirs) = Blocking::pair()?;
        ours.set_nonblocking(true)?;
        let channel = UnixStream::from_std(ours)?;
        let state = memory_file(c"pilotlight-state", &[])?;
        self.elder = Some(OwnedFd::from(theirs));
        self.state = Some(state.try_clone()?);
        let (_file, plan) = self.plan(program)?;
        let environment = program.environment(HEIR, &plan);
        let list = pointers(&environment);
        // What comes for the child before it can hear waits for it.
        woken::block_signals(true);
        // SAFETY: the child does system calls alone, on what was made before.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            plan.run(list.as_ptr());
            let why = io::Error::last_os_error().raw_os_error();
            plan.head().by.set(why.unwrap_or(-1));
            // SAFETY: nothing of the parent's is touched.
            unsafe { libc::_exit(1) }
        }
        let failed = io::Error::last_os_error();
        woken::block_signals(false);
        if pid < 0 {
            return Err(failed);
        }
        let limit = Box::pin(sleep(LOADS));
        Ok(Heir { pid, channel, state: state.into(), plan, limit })
    }
}

impl Heir {
    /// Its process.
    pub(crate) fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Resolves when it has loaded.
    ///
    /// # Errors
    /// Why it never will.
    pub(crate) async fn loaded(&mut self) -> Result<(), String> {
        let said = tokio::select! {
            said = self.channel.read_u8() => said,
            () = &mut self.limit => return Err(format!("it has not loaded within {LOADS:?}")),
        };
        match said {
            Ok(_) => Ok(()),
            Err(_) => Err(self.ended().await),
        }
    }

    /// Hands it what outlives this process, and waits until it serves.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) async fn take_over(&mut self, state: &[u8]) -> Result<(), String> {
        self.state.write_all(state).map_err(|error| error.to_string())?;
        let serves = async {
            self.channel.write_u8(SAID).await?;
            self.channel.read_u8().await
        };
        match timeout(STARTS, serves).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(self.ended().await),
            Err(_) => Err(format!("it does not serve {STARTS:?} after it has loaded")),
        }
    }

    /// It is on its own from now on. The channel closes with this process: so it hears that we have left.
    pub(crate) async fn release(mut self) {
        drop(self.channel.write_u8(SAID).await);
        self.pid = 0;
        drop(self.channel.as_fd().try_clone_to_owned().map(IntoRawFd::into_raw_fd));
    }

    /// It says nothing more: how it ended.
    async fn ended(&mut self) -> String {
        for _ in 0..ENDS {
            if let Some(status) = self.waited(libc::WNOHANG) {
                return match self.plan.head().by.get() {
                    -1 => format!("its process ended: {status}"),
                    why => format!("it can't be executed: {}", io::Error::from_raw_os_error(why)),
                };
            }
            sleep(TICK).await;
        }
        "it closed its channel".to_owned()
    }

    fn waited(&mut self, how: libc::c_int) -> Option<ExitStatus> {
        let mut status = 0;
        // SAFETY: a child of ours that was not waited for, whose number is therefore still its own.
        let done = unsafe { libc::waitpid(self.pid, &raw mut status, how) } == self.pid;
        done.then(|| {
            self.pid = 0;
            ExitStatus::from_raw(status)
        })
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        if self.pid > 0 {
            // SAFETY: as it was not waited for, the number is its own.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            self.waited(0);
        }
    }
}
