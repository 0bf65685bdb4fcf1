//! The memory of one VM: one mapping below 2^46, counted, given back whole or left to the next VM.
//!
//! ```text
//! base                         top                              base + size
//! │ run │ run │ span ──── │ run │ never touched, costs nothing      │
//!   16 B  64 B  5 pages     4 KiB
//! ```
//! LuaJIT tags pointers in their upper bits, so an ordinary allocator will not do: on aarch64 it
//! hands out addresses that LuaJIT can't hold.

use std::cell::RefCell;
use std::ops::Range;
use std::os::raw::c_void;
use std::ptr;

use self::runs::Runs;
use crate::guard::leave_without_memory;

mod runs;

const PAGE: usize = 4096;
/// Requests up to this size come from runs of equal pieces, larger ones are whole pages.
const SMALL: usize = 4096;
const CLASSES: usize = 32;
/// Freed spans of this many pages are given back to the system at once.
const RETURN_PAGES: u32 = 16;
/// An arena that has used no more than this is left to the next VM of its thread; what is larger is given
/// back, by another.
const LEFT: usize = 2 << 20;
/// Room past the limit for what the host itself must push (results, messages).
const SLACK: usize = 32 << 20;

struct Free {
    next: *mut Free,
}

#[derive(Clone, Copy)]
struct Span {
    page: u32,
    pages: u32,
}

/// Who is told that memory runs out. Called from inside an allocation.
pub(crate) trait Pressure {
    /// The soft mark was passed: collect soon. Whether it will be; if not, it is asked again.
    fn collect(&mut self) -> bool;
    /// An allocation was refused: the call must end.
    fn refused(&mut self);
}

/// An arena. Its address is the allocator's user data, so it stays boxed.
pub(crate) struct Arena {
    /// All of it, given back by drop.
    mapping: Mapping,
    base: *mut u8,
    size: usize,
    top: usize,
    free: [*mut Free; CLASSES],
    bump: [(usize, usize); CLASSES],
    runs: Runs,
    spans: Vec<Span>,
    /// Bytes that Lua holds.
    pub(crate) used: usize,
    /// Bytes that scripts may hold.
    pub(crate) limit: usize,
    /// Past this the next allocation of a script asks for a collection.
    pub(crate) soft: usize,
    /// Whether a script runs: the limits hold only then, because only then a refusal is an error
    /// that something catches.
    pub(crate) strict: bool,
    /// Whether a call of the host's is under way, which Lua's errors must not pass.
    pub(crate) inside: bool,
    pub(crate) pressure: Option<*mut dyn Pressure>,
    /// The VM that lives here.
    pub(crate) owner: *mut c_void,
}

const fn class_of(size: usize) -> usize {
    if size <= 256 {
        return if size == 0 { 0 } else { (size - 1) / 16 };
    }
    // Four classes to a doubling: 320, 384, 448, 512, 640, ...
    let log = (usize::BITS - 1 - (size - 1).leading_zeros()) as usize;
    let quarter = ((size - 1) >> (log - 2)) & 3;
    16 + (log - 8) * 4 + quarter
}

const fn class_size(class: usize) -> usize {
    if class < 16 {
        return (class + 1) * 16;
    }
    let (log, quarter) = ((class - 16) / 4 + 8, (class - 16) % 4);
    (1 << log) + ((quarter + 1) << (log - 2))
}

/// Pages of a run.
const fn run_pages(class: usize) -> u32 {
    if class < 16 { 1 } else { 4 }
}

const fn pages(size: usize) -> u32 {
    size.div_ceil(PAGE) as u32
}

/// The whole units in a piece. The system's pages may be larger than ours (16 or 64 KiB on ARM), and it
/// would round a length up, over what others hold.
const fn whole(at: usize, len: usize, unit: usize) -> Range<usize> {
    at.next_multiple_of(unit)..(at + len) / unit * unit
}

impl Arena {
    /// Maps an arena for a VM of `limit` bytes; `None` when the system refuses.
    pub(crate) fn new(limit: usize) -> Option<Box<Arena>> {
        let size = (limit + limit / 2 + SLACK).next_multiple_of(PAGE);
        let left = LEAVINGS.take().filter(|mapping| mapping.size == size);
        let mapping = match left {
            Some(mapping) => mapping,
            None => Mapping { base: map(size)?, size },
        };
        Some(Box::new(Arena {
            base: mapping.base,
            mapping,
            size,
            top: 0,
            free: [ptr::null_mut(); CLASSES],
            bump: [(0, 0); CLASSES],
            runs: Runs::default(),
            spans: Vec::new(),
            used: 0,
            limit,
            soft: limit / 4 * 3,
            strict: false,
            inside: false,
            pressure: None,
            owner: ptr::null_mut(),
        }))
    }

    /// Bytes that the host may still push without asking.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.used)
    }

    fn small(&mut self, class: usize) -> *mut u8 {
        let head = self.free[class];
        if !head.is_null() {
            // SAFETY: the head of a free list is a piece of ours that nobody holds; `release`
            // wrote its link.
            self.free[class] = unsafe { (*head).next };
            fetch(self.free[class]);
            return head.cast();
        }
        let size = class_size(class);
        let (mut at, mut end) = self.bump[class];
        if at + size > end {
            let run = run_pages(class);
            let Some(page) = self.take(run) else { return ptr::null_mut() };
            self.runs.begin(page, run);
            (at, end) = (page as usize * PAGE, (page + run) as usize * PAGE);
        }
        self.bump[class] = (at + size, end);
        // SAFETY: `at + size <= end`, and the run lies in the mapping.
        unsafe { self.base.add(at) }
    }

    /// Pages in a row: first fit among the freed, else fresh ones.
    fn take(&mut self, pages: u32) -> Option<u32> {
        if let Some(index) = self.spans.iter().position(|span| span.pages >= pages) {
            let span = &mut self.spans[index];
            let page = span.page;
            span.page += pages;
            span.pages -= pages;
            if span.pages == 0 {
                self.spans.remove(index);
            }
            return Some(page);
        }
        let page = self.top / PAGE;
        if self.top + pages as usize * PAGE > self.size {
            return None;
        }
        self.top += pages as usize * PAGE;
        Some(page as u32)
    }

    fn give(&mut self, page: u32, pages: u32) {
        if pages >= RETURN_PAGES {
            self.clean(page, pages);
        }
        let index = self.spans.partition_point(|span| span.page < page);
        self.spans.insert(index, Span { page, pages });
        if index + 1 < self.spans.len() && page + pages == self.spans[index + 1].page {
            self.spans[index].pages += self.spans.remove(index + 1).pages;
        }
        if index > 0 && self.spans[index - 1].page + self.spans[index - 1].pages == page {
            let more = self.spans.remove(index).pages;
            self.spans[index - 1].pages += more;
        }
    }

    /// Gives the pages of all free spans back to the system, and of runs of which nobody holds a piece.
    pub(crate) fn trim(&mut self) {
        self.gather();
        self.spans.iter().for_each(|span| self.clean(span.page, span.pages));
    }

    fn clean(&self, page: u32, pages: u32) {
        // SAFETY: it has no preconditions.
        let system = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let unit = usize::try_from(system).unwrap_or(PAGE).max(PAGE);
        let whole = whole(page as usize * PAGE, pages as usize * PAGE, unit);
        if !whole.is_empty() {
            // SAFETY: the system's pages in it are ours, and nobody holds a byte of them.
            unsafe {
                let at = self.base.add(whole.start);
                libc::madvise(at.cast(), whole.len(), libc::MADV_DONTNEED);
            }
        }
    }

    fn allocate(&mut self, size: usize) -> *mut u8 {
        if size <= SMALL {
            return self.small(class_of(size));
        }
        match self.take(pages(size)) {
            // SAFETY: the page lies in the mapping.
            Some(page) => unsafe { self.base.add(page as usize * PAGE) },
            None => ptr::null_mut(),
        }
    }

    fn release(&mut self, at: *mut u8, size: usize) {
        if size <= SMALL {
            let class = class_of(size);
            let piece = at.cast::<Free>();
            // SAFETY: the piece is ours and free now; every class holds a pointer and is aligned
            // to 16 bytes.
            unsafe { piece.write(Free { next: self.free[class] }) };
            self.free[class] = piece;
            return;
        }
        let page = (at as usize - self.base as usize) / PAGE;
        self.give(page as u32, pages(size));
    }

    fn resize(&mut self, at: *mut u8, old: usize, new: usize) -> *mut u8 {
        let same = if old <= SMALL {
            new <= SMALL && class_of(old) == class_of(new)
        } else {
            new > SMALL && pages(old) == pages(new)
        };
        if same {
            return at;
        }
        if old > SMALL && new > SMALL && new < old {
            let page = (at as usize - self.base as usize) / PAGE;
            self.give(page as u32 + pages(new), pages(old) - pages(new));
            return at;
        }
        let to = self.allocate(new);
        if to.is_null() {
            // LuaJIT relies on shrinking: the old piece is large enough, and its class is told
            // by the size at release, so a smaller one must not be kept. The slack makes this
            // unreachable for small pieces.
            return to;
        }
        // SAFETY: both pieces are ours, distinct, and at least that long.
        unsafe { ptr::copy_nonoverlapping(at, to, old.min(new)) };
        self.release(at, old);
        to
    }
}

impl Arena {
    /// The script that runs gets no more, and ends: by Lua's error, or by the end of the call that it is in.
    #[cold]
    fn refuse(&mut self) -> *mut c_void {
        // SAFETY: as in `allocate`.
        if let Some(pressure) = self.pressure.map(|p| unsafe { &mut *p }) {
            pressure.refused();
        }
        match self.inside {
            true => leave_without_memory(),
            false => ptr::null_mut(),
        }
    }

    /// Gives all of it back, to the next VM or to the system. That takes milliseconds to take
    /// thousands of pages: a thread of its own waits for it.
    pub(crate) fn give_back(self: Box<Arena>) {
        let Arena { mapping, top, .. } = *self;
        if top <= LEFT {
            // On a thread that ends it goes with what was to keep it.
            drop(LEAVINGS.try_with(move |place| place.replace(Some(mapping))));
            return;
        }
        let thread = std::thread::Builder::new().name("lua-unmap".into());
        // Where there is no thread to be had, the mapping goes with what it was to do.
        drop(thread.stack_size(64 * 1024).spawn(move || drop(mapping)));
    }
}

thread_local! {
    /// What the last VM of this thread has left. Who takes a killed one's place waits for no page:
    /// each costs a microsecond, and several where a hypervisor has to find it.
    static LEAVINGS: RefCell<Option<Mapping>> = const { RefCell::new(None) };
}

/// Gives back what the last VM of this thread has left: there may be no next one.
pub(crate) fn clear() {
    LEAVINGS.take();
}

/// Brings the piece that the next request of its class gets into the near cache: a collector strews
/// them over more than that holds, and a script would wait for each.
#[inline]
fn fetch(piece: *const Free) {
    // SAFETY: no address is wrong: this neither reads nor faults.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(piece.cast());
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!("prfm pstl1keep, [{}]", in(reg) piece, options(nostack, readonly, preserves_flags));
        #[cfg(target_arch = "arm")]
        std::arch::asm!("pld [{}]", in(reg) piece, options(nostack, readonly, preserves_flags));
    }
}

/// A piece of the address space.
struct Mapping {
    base: *mut u8,
    size: usize,
}

// SAFETY: memory alone, which nobody else holds; any thread may give it back.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the VM that lived in it is gone.
        unsafe { libc::munmap(self.base.cast(), self.size) };
    }
}

/// A private mapping below 2^46, as all are on 32 bits.
fn map(size: usize) -> Option<*mut u8> {
    const TRIES: u64 = if usize::BITS == 64 { 512 } else { 0 };
    const START: u64 = 1 << 40;
    const STEP: u64 = 1 << 33;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // The last: wherever there is room, on systems whose addresses end before (39 bits on small ARM).
    for hint in (0..TRIES).map(|attempt| START + attempt * STEP).chain([0]) {
        let placed = if hint == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
        // SAFETY: a fresh anonymous mapping that never replaces another (NOREPLACE).
        let at =
            unsafe { libc::mmap(hint as *mut c_void, size, protection, flags | placed, -1, 0) };
        if at == libc::MAP_FAILED {
            continue;
        }
        // Kernels before 4.17 take the address as a hint only.
        if (at as u64) + (size as u64) < 1 << 46 {
            return Some(at.cast());
        }
        // SAFETY: we have just mapped it.
        unsafe { libc::munmap(at, size) };
    }
    None
}

/// The `lua_Alloc` of a VM; `data` is its [`Arena`].
///
/// # Safety
/// Called by LuaJIT only, with the arena it was made with.
pub(crate) unsafe extern "C-unwind" fn allocate(
    data: *mut c_void,
    at: *mut c_void,
    old: usize,
    new: usize,
) -> *mut c_void {
    // SAFETY: LuaJIT hands back the arena's address; the VM's thread is the only one to use it.
    let arena = unsafe { &mut *data.cast::<Arena>() };
    let old = if at.is_null() { 0 } else { old };
    if new == 0 {
        if !at.is_null() {
            arena.release(at.cast(), old);
            arena.used -= old;
        }
        return ptr::null_mut();
    }
    if new > old && arena.strict {
        let after = arena.used + (new - old);
        if after > arena.soft {
            if after > arena.limit {
                return arena.refuse();
            }
            // SAFETY: the VM owns both the arena and what it points to.
            if let Some(pressure) = arena.pressure.map(|p| unsafe { &mut *p })
                && pressure.collect()
            {
                arena.soft = usize::MAX;
            }
        }
    }
    let to = if at.is_null() { arena.allocate(new) } else { arena.resize(at.cast(), old, new) };
    if to.is_null() {
        return if arena.strict { arena.refuse() } else { ptr::null_mut() };
    }
    arena.used = arena.used + new - old;
    to.cast()
}

#[cfg(test)]
mod tests;
