//! The gateway after sleep: what it finds of the one that fell asleep.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use socket2::Socket;

use super::heir::SAID;
use super::plan::{self, Kind, Plan};
use super::{HEIR, PARKED, WOKEN, guard};
use crate::{clock, notify};

/// How long an heir waits for who hands over to it.
const ELDER: Duration = Duration::from_secs(60);

/// Why it woke.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Connection = 0,
    Datagram = 1,
    Admin = 2,
    Signal = 3,
    Fault = 4,
    Schedule = 5,
}

/// As the log has it.
const REASONS: [&str; 6] = ["connection", "datagram", "admin", "signal", "fault", "schedule"];

/// The reason of this name.
pub(crate) fn reason(name: &str) -> Option<&'static str> {
    REASONS.into_iter().find(|reason| *reason == name)
}

/// What a gateway that was woken found: its sockets, and how it came to wake. Until it has settled,
/// a crash leads back to sleep.
pub struct Woken {
    plan: &'static Plan,
    /// By the plan's places.
    sockets: RefCell<Vec<Option<OwnedFd>>>,
    /// Who hands over, if this one was not asleep but is an heir.
    elder: Option<UnixStream>,
    /// The plan's own.
    _file: OwnedFd,
}

/// A connection that was accepted before it woke.
pub(crate) struct Carried {
    pub(crate) kind: Kind,
    /// Its listener.
    pub(crate) key: String,
    pub(crate) worker: usize,
    pub(crate) socket: Socket,
}

impl Woken {
    /// Takes over what the parked form held, if this process was woken, or another one hands over.
    /// Called once, before there are threads.
    ///
    /// # Errors
    /// When another process hands over, of a version that can't be understood.
    pub fn take() -> Result<Option<Woken>, &'static str> {
        if let Some(fd) = plan::asked(HEIR) {
            let plan = Plan::open(fd).ok_or("the process that hands over is of another version")?;
            notify::inherit();
            return Ok(Some(Woken::of(plan)));
        }
        Ok(plan::asked(WOKEN).and_then(Plan::open).map(Woken::of))
    }

    pub(super) fn of(plan: Plan) -> Woken {
        let plan: &'static Plan = Box::leak(Box::new(plan));
        let head = plan.head();
        // SAFETY: descriptors that this process held while it was parked; they are nobody else's.
        let own = |fd: i32| unsafe { OwnedFd::from_raw_fd(fd) };
        let places = plan.places().iter();
        let sockets = places.map(|place| close_on_exec(place.fd).then(|| own(place.fd))).collect();
        close_on_exec(head.carried.get());
        close_on_exec(head.state.get());
        close_on_exec(plan.fd);
        let elder = Some(head.elder.replace(-1)).filter(|fd| close_on_exec(*fd));
        let elder = elder.map(|fd| UnixStream::from(own(fd)));
        if elder.is_none() {
            guard::arm(plan);
        }
        Woken { sockets: RefCell::new(sockets), elder, _file: own(plan.fd), plan }
    }

    /// Whether another process hands over to this one.
    pub(crate) fn is_heir(&self) -> bool {
        self.elder.is_some()
    }

    /// Says that it has come as far as it can, and waits until it may go on: when it has loaded, and
    /// when it serves.
    ///
    /// # Errors
    /// When there is nobody any more who would hand over.
    pub(crate) fn report(&self) -> io::Result<()> {
        let Some(mut elder) = self.elder.as_ref() else { return Ok(()) };
        elder.set_read_timeout(Some(ELDER))?;
        elder.write_all(&[SAID])?;
        elder.read_exact(&mut [0])
    }

    /// A worker's socket of a listener, another handle of it.
    pub(crate) fn socket(&self, key: &str, kind: Kind, worker: usize) -> Option<Socket> {
        let at = self.places(key, kind).find(|(_, of)| *of == worker)?.0;
        let sockets = self.sockets.borrow();
        Some(Socket::from(sockets.get(at)?.as_ref()?.try_clone().ok()?))
    }

    /// The sockets of workers that there are no more: what waits in them is still to be served.
    pub(crate) fn left_over(&self, key: &str, kind: Kind, workers: usize) -> Vec<Socket> {
        let mut sockets = self.sockets.borrow_mut();
        let at = self.places(key, kind).filter(|(_, of)| *of >= workers);
        at.filter_map(|(at, _)| Some(Socket::from(sockets.get_mut(at)?.take()?))).collect()
    }

    /// How many sockets of a kind a listener has.
    pub(crate) fn count(&self, key: &str, kind: Kind) -> usize {
        self.places(key, kind).count()
    }

    fn places(&self, key: &str, kind: Kind) -> impl Iterator<Item = (usize, usize)> {
        let plan = self.plan;
        let all = plan.places().iter().enumerate();
        let of = all.filter(move |(_, place)| {
            place.kind == kind as u8 && plan.bytes(place.key) == key.as_bytes()
        });
        of.map(|(at, place)| (at, usize::from(place.worker)))
    }

    /// The connection that woke it, which is to be served first.
    pub(crate) fn carried(&self) -> Option<Carried> {
        let head = self.plan.head();
        let fd = Some(head.carried.replace(-1)).filter(|fd| *fd >= 0)?;
        // SAFETY: accepted by the parked form for us alone.
        let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let place = self.plan.places().get(usize::try_from(head.by.get()).ok()?)?;
        Some(Carried {
            kind: Kind::of(place.kind)?,
            key: String::from_utf8_lossy(self.plan.bytes(place.key)).into_owned(),
            worker: usize::from(place.worker),
            socket,
        })
    }

    /// What outlived sleep.
    pub(crate) fn state(&self) -> Option<OwnedFd> {
        let fd = Some(self.plan.head().state.get()).filter(|fd| *fd >= 0)?;
        // SAFETY: open as long as the plan says so.
        unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned().ok()
    }

    /// Why it woke, after how many tries in vain.
    pub(crate) fn why(&self) -> (&'static str, u32) {
        let head = self.plan.head();
        let reason = REASONS.get(head.reason.get() as usize).copied().unwrap_or("unknown");
        (reason, head.failures.get())
    }

    /// How long it slept, and how long ago it began to wake.
    pub(crate) fn times(&self) -> (Duration, Duration) {
        let head = self.plan.head();
        let (slept, woken) = (head.slept.get(), head.woken.get());
        let since = |from: u64, to: u64| Duration::from_nanos(to.saturating_sub(from));
        (since(slept, woken), since(woken, clock::monotonic()))
    }

    /// Ends when the process that hands over has left.
    pub(crate) fn elder(&self) -> Option<UnixStream> {
        self.elder.as_ref()?.try_clone().ok()
    }

    /// It serves, and has for a while: there is no way back any more.
    pub(crate) fn settle(self) {
        guard::disarm();
        let state = self.plan.head().state.replace(-1);
        if state >= 0 {
            // SAFETY: as in `state`; nobody else closes it.
            drop(unsafe { OwnedFd::from_raw_fd(state) });
        }
    }

    /// It can't serve: back to the parked form, which waits before it tries again. Returns only
    /// when the kernel refuses.
    pub fn back(self) {
        if self.is_heir() {
            // The elder goes on.
            return;
        }
        self.plan.failed(clock::monotonic());
        block_signals(true);
        plan::become_next(PARKED);
        self.plan.turn(plan::environment());
    }
}

/// Whether there is such a descriptor; children don't get it from now on.
fn close_on_exec(fd: i32) -> bool {
    // SAFETY: what is not open is refused.
    fd >= 0 && unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == 0
}

/// Signals that come while the form changes wait for the next one.
pub(crate) fn block_signals(on: bool) {
    let how = if on { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    // SAFETY: a set on the stack, filled before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in super::wait::SIGNALLED {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

/// The number of a descriptor, for the plan.
pub(super) fn number(fd: &impl AsRawFd) -> i32 {
    fd.as_raw_fd()
}
