//! What the forms of the gateway tell each other: a memory file that stays open over `execve`.
//!
//! Read by a process that has no allocator yet, and by a signal handler: everything is in place,
//! checked when it is looked at, and what can't be read is empty.

use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_char, c_int};
use std::ptr;

use super::{PARKED, VARIABLE, WOKEN};

/// What a plan of this layout begins with.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"PLPARK02");
/// Arguments of a command line that can be kept.
pub(super) const ARGUMENTS_MAX: usize = 1024;

/// Where the list of arguments is made; one longer than they are, for its end.
struct List(UnsafeCell<[*const c_char; ARGUMENTS_MAX + 1]>);
// SAFETY: used by the one who turns.
unsafe impl Sync for List {}
static LIST: List = List(UnsafeCell::new([ptr::null(); ARGUMENTS_MAX + 1]));

/// A piece of the file.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) at: u32,
    pub(super) length: u32,
}

/// How the file begins; places, answers and texts follow.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) magic: u64,
    pub(super) places: u32,
    pub(super) answers: u32,
    /// The program's path, ended by a zero byte.
    pub(super) program: Span,
    /// Its arguments, each ended by a zero byte.
    pub(super) arguments: Span,
    /// What clients are told while it can't wake.
    pub(super) refusal: Span,
    /// What outlives sleep: a descriptor, or -1.
    pub(super) state: Cell<i32>,
    /// A connection that was accepted while parked: a descriptor, or -1; and where it came in.
    pub(super) carried: Cell<i32>,
    pub(super) by: Cell<i32>,
    /// Why it woke: [`super::woken::REASONS`].
    pub(super) reason: Cell<u32>,
    /// Times in a row that waking failed.
    pub(super) failures: Cell<u32>,
    /// The channel to the process that hands over: a descriptor, or -1.
    pub(super) elder: Cell<i32>,
    /// Nanoseconds of the kernel's clock: when it fell asleep, when it woke, before when it must not.
    pub(super) slept: Cell<u64>,
    pub(super) woken: Cell<u64>,
    pub(super) not_before: Cell<u64>,
    /// When it is to wake without being asked; 0: never.
    pub(super) alarm: u64,
}

/// What a socket is for.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream = 0,
    Datagram = 1,
    Admin = 2,
    /// No listener's: the way to the process before, beside a socket of datagrams.
    Passage = 3,
}

impl Kind {
    pub(super) fn of(number: u8) -> Option<Kind> {
        let all = [Kind::Stream, Kind::Datagram, Kind::Admin, Kind::Passage];
        all.get(usize::from(number)).copied()
    }
}

/// A socket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) fd: i32,
    pub(super) kind: u8,
    /// It speaks HTTP/1 in clear text.
    pub(super) plain: u8,
    pub(super) worker: u16,
    /// Its listener.
    pub(super) key: Span,
}

/// What is answered without waking.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) kind: u32,
    /// It says that the gateway is well: not to be said while it can't wake.
    pub(super) well: u32,
    pub(super) path: Span,
    pub(super) bytes: Span,
}

/// A plan in this process's memory.
pub(super) struct Plan {
    pub(super) fd: c_int,
    base: *const u8,
    length: usize,
}

impl Plan {
    /// Maps the plan behind a descriptor; `None` when it is none.
    pub(super) fn open(fd: c_int) -> Option<Plan> {
        // SAFETY: fstat fills the record it is given; a mapping of a file that only this process has.
        unsafe {
            let mut facts: libc::stat = std::mem::zeroed();
            if libc::fstat(fd, &raw mut facts) != 0 {
                return None;
            }
            let length = usize::try_from(facts.st_size).ok()?;
            if length < size_of::<Head>() {
                return None;
            }
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let base = libc::mmap(ptr::null_mut(), length, access, libc::MAP_SHARED, fd, 0);
            if base == libc::MAP_FAILED {
                return None;
            }
            let plan = Plan { fd, base: base.cast(), length };
            (plan.head().magic == MAGIC).then_some(plan)
        }
    }

    pub(super) fn head(&self) -> &Head {
        // SAFETY: mapped at a page's start and at least a head long; what changes is in cells.
        unsafe { &*self.base.cast::<Head>() }
    }

    pub(super) fn places(&self) -> &[Place] {
        // SAFETY: plain integers, in bounds as checked.
        unsafe { self.list(size_of::<Head>(), self.head().places) }
    }

    fn answers(&self) -> &[Answer] {
        let places = size_of_val(self.places());
        // SAFETY: plain integers, in bounds as checked.
        unsafe { self.list(size_of::<Head>() + places, self.head().answers) }
    }

    /// # Safety
    /// `T` is made of integers, and no stricter aligned than a head.
    unsafe fn list<T>(&self, at: usize, count: u32) -> &[T] {
        let count = count as usize;
        match count.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(at)) {
            // SAFETY: within the mapping; alignment by the caller's word.
            Some(end) if end <= self.length => unsafe {
                std::slice::from_raw_parts(self.base.add(at).cast(), count)
            },
            _ => &[],
        }
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        // SAFETY: bytes have no alignment.
        unsafe { self.list(span.at as usize, span.length) }
    }

    /// What a request is answered with, from which no waking is needed.
    pub(super) fn answer(&self, place: &Place, request: &[u8], failing: bool) -> Option<&[u8]> {
        let kind = u32::from(place.kind);
        let mut fit = self.answers().iter().filter(|one| place.plain == 1 && one.kind == kind);
        let fit = fit.find(|one| answers(request, self.bytes(one.path)))?;
        let bytes = match failing && fit.well == 1 {
            true => self.head().refusal,
            false => fit.bytes,
        };
        Some(self.bytes(bytes))
    }

    /// Waking failed once more: the next try has to wait.
    pub(super) fn failed(&self, now: u64) {
        let head = self.head();
        head.failures.set(head.failures.get().saturating_add(1));
        let rest = 1u64 << head.failures.get().saturating_sub(1).min(6);
        head.not_before.set(now.saturating_add(rest * 1_000_000_000));
    }

    /// Becomes another form of the program. Returns only when the kernel refuses.
    pub(super) fn turn(&self, environment: *const *const c_char) {
        self.run(environment);
        // It is not there any more: then what runs now.
        let own = c"/proc/self/exe".as_ptr();
        // SAFETY: both lists end with null.
        unsafe { libc::execve(own, LIST.0.get().cast(), environment) };
    }

    /// Becomes the program as it is on the disk now. Returns only when the kernel refuses.
    pub(super) fn run(&self, environment: *const *const c_char) {
        // SAFETY: one thread turns, and only once; a handler's stack is too small for it.
        let arguments = unsafe { &mut *LIST.0.get() };
        let text = self.bytes(self.head().arguments);
        let mut begin = 0;
        let mut count = 0;
        for (at, byte) in text.iter().enumerate() {
            if *byte == 0 && count < ARGUMENTS_MAX {
                if let (Some(slot), Some(rest)) = (arguments.get_mut(count), text.get(begin..)) {
                    *slot = rest.as_ptr().cast();
                }
                (begin, count) = (at + 1, count + 1);
            }
        }
        let head = self.head();
        let own = [self.fd, head.state.get(), head.carried.get(), head.elder.get()];
        let all = self.places().iter().map(|place| place.fd).chain(own);
        // SAFETY: descriptors that are not open are refused, which is no harm; paths and lists end
        // with zeros, the path as it was written.
        unsafe {
            for fd in all {
                libc::fcntl(fd, libc::F_SETFD, 0);
            }
            let program = self.bytes(head.program);
            if program.last() == Some(&0) {
                libc::execve(program.as_ptr().cast(), arguments.as_ptr(), environment);
            }
        }
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: this mapping is nobody else's.
        unsafe { libc::munmap(self.base.cast_mut().cast(), self.length) };
    }
}

/// Whether a request is a GET for a path, whole in what has come so far: a tiny matcher that both
/// forms share.
pub(crate) fn answers(request: &[u8], path: &[u8]) -> bool {
    let rest = request.strip_prefix(b"GET ").and_then(|rest| rest.strip_prefix(path));
    let behind = rest.and_then(|rest| rest.first());
    matches!(behind, Some(b' ' | b'?'))
        && request.windows(4).any(|four| *four == [b'\r', b'\n', b'\r', b'\n'])
}

unsafe extern "C" {
    static environ: *const *mut c_char;
}

/// This process's environment.
pub(super) fn environment() -> *const *const c_char {
    // SAFETY: the C library's own, set before anything of ours runs.
    unsafe { environ.cast() }
}

/// Where the variable that tells the form has its value.
fn variable() -> Option<*mut u8> {
    let mut entry = environment();
    if entry.is_null() {
        return None;
    }
    // SAFETY: a list of strings that ends with null; each is compared up to its zero.
    unsafe {
        while !(*entry).is_null() {
            let name = VARIABLE.as_bytes();
            if libc::strncmp(*entry, name.as_ptr().cast(), name.len()) == 0
                && *(*entry).add(name.len()) == b'=' as c_char
            {
                return Some((*entry).add(name.len() + 1).cast_mut().cast());
            }
            entry = entry.add(1);
        }
    }
    None
}

/// The plan's descriptor, if this process is to be in that form.
pub(super) fn asked(form: u8) -> Option<c_int> {
    let value = variable()?;
    // SAFETY: a string that ends with a zero.
    unsafe { (*value == form).then(|| libc::atoi(value.add(1).cast())).filter(|fd| *fd > 2) }
}

/// The next form of this process.
pub(super) fn become_next(form: u8) {
    debug_assert!(form == PARKED || form == WOKEN);
    if let Some(value) = variable() {
        // SAFETY: the strings of the environment are this process's to write.
        unsafe { *value = form };
    }
}
