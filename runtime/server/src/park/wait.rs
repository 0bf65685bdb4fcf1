//! The parked form: holds the sockets, and waits. It runs before Rust's runtime, the allocator or a
//! thread is there: system calls and the plan, nothing else; no panic, no allocation.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::hush::rouse;
use super::plan::{self, Kind, Place, Plan};
use super::woken::Reason;
use super::{PARKED, WOKEN};
use crate::{clock, pages};

/// So many failures are waited out; from then on clients are told.
const PATIENCE: u32 = 3;
/// Bytes of a request that are looked at.
const LOOK: usize = 2048;
/// Milliseconds that a connection has for what it wants to say.
const MOMENT: c_int = 50;
/// Marks the signals among what is waited for.
const SIGNALS: u64 = u64::MAX;

/// What can wake it, and what ends it.
pub(super) const SIGNALLED: [c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR2];

/// Waits, if this process is to be the parked form: then it never returns, but as another program.
/// To be called before anything else runs.
pub fn enter() {
    if let Some(plan) = plan::asked(PARKED).and_then(Plan::open) {
        catch(&plan);
        // Code that was not optimised looks up in relocated constants what it could know.
        pages::drop_all(!cfg!(debug_assertions));
        wait(&plan);
    }
}

fn wait(plan: &Plan) {
    let head = plan.head();
    let signals = signals();
    if head.carried.get() >= 0 {
        // It came with an attempt to wake that failed.
        let by = usize::try_from(head.by.get()).ok().and_then(|at| plan.places().get(at));
        let plain = by.is_some_and(|place| place.plain == 1);
        let bytes = if plain { plan.bytes(head.refusal) } else { &[] };
        close_with(head.carried.replace(-1), bytes);
    }
    // SAFETY: plain system calls on descriptors of this process.
    unsafe {
        let poll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        if poll < 0 || signals < 0 {
            // Nothing to wait with: whoever supervises it starts it anew.
            libc::_exit(1);
        }
        add(poll, signals, SIGNALS);
        let mut listens = false;
        loop {
            let now = clock::monotonic();
            let left = head.not_before.get().saturating_sub(now);
            if left == 0 && head.alarm > 0 && head.alarm <= now {
                // When the kernel refuses, there is a time before which it must not try again.
                wake(plan, Reason::Schedule, SIGNALS);
                continue;
            }
            let refusing = left > 0 && head.failures.get() >= PATIENCE;
            if !listens && (left == 0 || refusing) {
                listens = true;
                for (at, place) in (0..).zip(plan.places()) {
                    add(poll, place.fd, at);
                }
            }
            let alarm = head.alarm.saturating_sub(now);
            let timeout = match if left > 0 { left } else { alarm } {
                0 => -1,
                _ => (left / 1_000_000 + 1).min(c_int::MAX as u64) as c_int,
            };
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            if libc::epoll_wait(poll, &raw mut event, 1, timeout) != 1 {
                continue;
            }
            let at = event.u64;
            let why = match at {
                SIGNALS => signalled(signals),
                _ => match usize::try_from(at).ok().and_then(|at| plan.places().get(at)) {
                    Some(place) => look(plan, place, at, refusing),
                    None => None,
                },
            };
            if let Some(reason) = why {
                wake(plan, reason, at);
            }
        }
    }
}

/// What a socket has for us: something to wake for, or none.
fn look(plan: &Plan, place: &Place, at: u64, refusing: bool) -> Option<Reason> {
    let reason = if place.kind == Kind::Admin as u8 { Reason::Admin } else { Reason::Connection };
    if place.kind == Kind::Datagram as u8 {
        if !refusing {
            return Some(Reason::Datagram);
        }
        let mut byte = 0u8;
        // SAFETY: one byte to write to; the datagram goes: its sender tries again.
        unsafe { libc::recv(place.fd, (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) };
        return None;
    }
    // SAFETY: addresses are not asked for.
    let fd =
        unsafe { libc::accept4(place.fd, ptr::null_mut(), ptr::null_mut(), libc::SOCK_CLOEXEC) };
    if fd < 0 {
        return match errno() {
            libc::EAGAIN | libc::ECONNABORTED | libc::EINTR => None,
            _ if refusing => None,
            _ => Some(reason),
        };
    }
    let head = plan.head();
    head.carried.set(fd);
    head.by.set(at as i32);
    if place.plain == 1 {
        // It might be a probe, which sends a moment after it connects.
        let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one record.
        unsafe { libc::poll(&raw mut asked, 1, MOMENT) };
    }
    let mut seen = [0u8; LOOK];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: writes at most as much as there is room.
    let count = unsafe { libc::recv(fd, seen.as_mut_ptr().cast(), LOOK, flags) };
    let silent = count < 0 && errno() == libc::EAGAIN;
    if count == 0 || count < 0 && !silent {
        // Somebody who only looked whether the port is open.
        close_with(head.carried.replace(-1), &[]);
        return None;
    }
    let request = usize::try_from(count).ok().and_then(|count| seen.get(..count)).unwrap_or(&[]);
    if let Some(answer) = plan.answer(place, request, head.failures.get() > 0) {
        close_with(head.carried.replace(-1), answer);
        return None;
    }
    if refusing {
        let bytes = if place.plain == 1 { plan.bytes(head.refusal) } else { &[] };
        close_with(head.carried.replace(-1), bytes);
        return None;
    }
    Some(reason)
}

/// Says something and closes: what the client has sent is read first, or the kernel would tell it
/// that the connection is broken before it has read.
fn close_with(fd: c_int, bytes: &[u8]) {
    let mut seen = [0u8; LOOK];
    let wait = libc::timeval { tv_sec: 1, tv_usec: 0 };
    // SAFETY: the buffers are there for their lengths.
    unsafe {
        if !bytes.is_empty() {
            let length = size_of::<libc::timeval>() as libc::socklen_t;
            let option = (&raw const wait).cast();
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, option, length);
            for _ in 0..32 {
                if libc::recv(fd, seen.as_mut_ptr().cast(), LOOK, libc::MSG_DONTWAIT) <= 0 {
                    break;
                }
            }
            let mut rest = bytes;
            while !rest.is_empty() {
                let sent = libc::send(fd, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL);
                match usize::try_from(sent).ok().filter(|sent| *sent > 0) {
                    Some(sent) => rest = rest.get(sent..).unwrap_or(&[]),
                    None => break,
                }
            }
            libc::shutdown(fd, libc::SHUT_WR);
        }
        libc::close(fd);
    }
}

/// Who waits, for a handler.
static WAITS: AtomicPtr<Plan> = AtomicPtr::new(ptr::null_mut());

/// A fault wakes: should the compiler have put a constant where it is gone, nothing is lost by it.
fn catch(plan: &Plan) {
    WAITS.store(ptr::from_ref(plan).cast_mut(), Ordering::Release);
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGABRT] {
        // SAFETY: a handler of the right kind; the rest of the record is zero.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = stumbled as extern "C" fn(c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_NODEFER;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

extern "C" fn stumbled(_: c_int) {
    // SAFETY: the plan of `enter`, which does not return.
    unsafe {
        if let Some(plan) = WAITS.swap(ptr::null_mut(), Ordering::AcqRel).as_ref() {
            wake(plan, Reason::Fault, SIGNALS);
        }
        libc::_exit(1);
    }
}

/// Becomes the gateway again; when the kernel refuses, it stays what it is for a while.
fn wake(plan: &Plan, reason: Reason, by: u64) {
    let head = plan.head();
    head.reason.set(reason as u32);
    head.woken.set(clock::monotonic());
    if head.carried.get() < 0 {
        head.by.set(i32::try_from(by).unwrap_or(-1));
    }
    plan.places().iter().for_each(|place| {
        if let Some(kind) = Kind::of(place.kind) {
            rouse(place.fd, kind);
        }
    });
    plan::become_next(WOKEN);
    plan.turn(plan::environment());
    plan::become_next(PARKED);
    plan.failed(clock::monotonic());
    close_with(head.carried.replace(-1), &[]);
}

/// Signals as a descriptor; those that came while the form changed wait in it.
fn signals() -> c_int {
    // SAFETY: a set on the stack, filled before it is used.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in SIGNALLED {
            libc::sigaddset(&raw mut set, signal);
        }
        // All others as they were at first: a handler that turned us may have blocked some.
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut());
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    }
}

fn signalled(signals: c_int) -> Option<Reason> {
    // SAFETY: a record of integers that the kernel fills.
    unsafe {
        let mut told: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        if libc::read(signals, (&raw mut told).cast::<c_void>(), size) != size as isize {
            return None;
        }
        match told.ssi_signo as c_int {
            libc::SIGTERM | libc::SIGINT => libc::_exit(0),
            _ => Some(Reason::Signal),
        }
    }
}

/// # Safety
/// `poll` is an epoll descriptor; others are refused.
unsafe fn add(poll: c_int, fd: c_int, data: u64) {
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: data };
    // SAFETY: the event is read only.
    unsafe { libc::epoll_ctl(poll, libc::EPOLL_CTL_ADD, fd, &raw mut event) };
}

fn errno() -> c_int {
    // SAFETY: this thread's own.
    unsafe { *libc::__errno_location() }
}
