//! An instance as it was when its plugin had started.
//!
//! One that serves an exchange alone is put back to that when the exchange is over, and serves the next: nothing is
//! mapped, no page is faulted in and no initialiser runs for it. All that an instance can change is its memory, its
//! globals (`expose.rs`) and its host. Which pages were written the kernel says, whatever has become of them since:
//! in memory, swapped out, on the move. Where it can't (before Linux 6.7), each exchange has an instance made for it.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::OnceLock;

use wasmtime::{Global, Memory, Val};

use super::abi::ROOT;
use super::context::Contexts;
use super::instance::Instanced;
use super::redis::Server;
use super::root::Root;

/// The memory of a module whose instances can be put back.
pub(crate) const MEMORY: &str = "pilotlight:memory";
/// Its globals that change, with a number.
pub(crate) const GLOBAL: &str = "pilotlight:global-";

/// Pages that exchanges write, which are remembered too: what is copied back is not faulted in again, but is copied
/// after each exchange from then on. Others are let go of.
const LEARNT: usize = 64;

/// What an instance is put back to.
pub(crate) struct Origin {
    memory: Memory,
    bytes: usize,
    globals: Vec<(Global, Val)>,
    /// Pages that were written until then, or at some time since, by their numbers: what they held.
    pages: Vec<(usize, Box<[u8]>)>,
    /// Of these, at most.
    most: usize,
    metrics: usize,
    redis: Vec<Server>,
    token: u32,
}

impl Instanced {
    /// Remembers the instance as it is. One that has asked what may be another thing the next time (the time, chance,
    /// what is shared), or that has begun something, is not to be had again by copying it.
    pub(super) fn remember(&mut self) {
        let host = self.store.data();
        if host.asked || host.proxy.root.wanted.get() || host.proxy.root.has_work() {
            return;
        }
        self.origin = self.look().map(Box::new);
    }

    fn look(&mut self) -> Option<Origin> {
        let instance = self.instance();
        let store = &mut self.store;
        let memory = instance.get_memory(&mut *store, MEMORY)?;
        let numbers = 0..;
        let globals = numbers.map_while(|number: u32| {
            let global = instance.get_global(&mut *store, &format!("{GLOBAL}{number}"))?;
            let value = global.get(&mut *store);
            Some((global, value))
        });
        let globals = globals.collect();
        let (mem, host) = memory.data_and_store_mut(&mut *store);
        let mut pages = Vec::new();
        let fits = written(mem, |number, page| {
            let fits = host.limits.set_aside(page.len() as u64);
            if fits {
                pages.push((number, Box::from(&*page)));
            }
            fits
        })?;
        let proxy = &host.proxy;
        let (metrics, redis, token) = (proxy.metrics.len(), proxy.redis.clone(), proxy.token);
        let (bytes, most) = (mem.len(), pages.len() + LEARNT);
        fits.then_some(Origin { memory, bytes, globals, pages, most, metrics, redis, token })
    }

    /// Puts the instance back, if it can be.
    pub(super) fn put_back(&mut self) -> bool {
        let Some(origin) = &mut self.origin else { return false };
        let (mem, host) = origin.memory.data_and_store_mut(&mut self.store);
        if mem.len() != origin.bytes {
            return false;
        }
        let pages = &mut origin.pages;
        let done = written(mem, |number, page| {
            match pages.binary_search_by_key(&number, |known| known.0) {
                Ok(at) => page.copy_from_slice(&pages[at].1),
                Err(at) => {
                    // Nothing was written to it before: the mapping below it is what it held.
                    if !forget(page) {
                        return false;
                    }
                    if pages.len() < origin.most && host.limits.set_aside(page.len() as u64) {
                        pages.insert(at, (number, Box::from(&*page)));
                    }
                }
            }
            true
        });
        if done != Some(true) {
            return false;
        }
        host.limits.refused = None;
        let proxy = &mut host.proxy;
        proxy.stream = None;
        proxy.root = Rc::<Root>::default();
        proxy.contexts = Contexts::default();
        proxy.incoming = Default::default();
        proxy.grpc.clear();
        proxy.metrics.truncate(origin.metrics);
        proxy.redis.clone_from(&origin.redis);
        (proxy.token, proxy.effective) = (origin.token, ROOT);
        let store = &mut self.store;
        origin.globals.iter().all(|(global, value)| global.set(&mut *store, *value).is_ok())
    }
}

/// Has the kernel take what was written to a page, which is one of a private mapping.
fn forget(page: &mut [u8]) -> bool {
    // SAFETY: the page is whole, and the caller's alone; it reads as what it is a mapping of, or as zeros.
    unsafe { libc::madvise(page.as_mut_ptr().cast(), page.len(), libc::MADV_DONTNEED) == 0 }
}

/// `struct pm_scan_arg` (linux/fs.h).
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
/// Regions that the kernel tells of at a time.
const REGIONS: usize = 32;

/// Shows each page of a memory that was written since it was mapped, in order; false when `visit` would not go
/// on, `None` when the kernel can't tell.
fn written(mem: &mut [u8], mut visit: impl FnMut(usize, &mut [u8]) -> bool) -> Option<bool> {
    static PAGEMAP: OnceLock<Option<(File, usize)>> = OnceLock::new();
    let open = || {
        // SAFETY: it only answers.
        let size = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        Some((File::open("/proc/self/pagemap").ok()?, size))
    };
    let (file, size) = PAGEMAP.get_or_init(open).as_ref()?;
    let size = *size;
    let base = mem.as_ptr() as usize;
    if !base.is_multiple_of(size) || !mem.len().is_multiple_of(size) {
        return None;
    }
    let mut regions = [Region::default(); REGIONS];
    let mut scan = Scan {
        size: size_of::<Scan>() as u64,
        start: base as u64,
        end: (base + mem.len()) as u64,
        vec: regions.as_mut_ptr() as u64,
        vec_len: REGIONS as u64,
        // There, wherever, and not as a file has it. A page of zeros may be one that was written: the kernel puts
        // its own in the place of such.
        category_inverted: FILE,
        category_mask: FILE,
        category_anyof_mask: PRESENT | SWAPPED,
        ..Scan::default()
    };
    while scan.start < scan.end {
        // SAFETY: `scan` and the regions that it names live as long as the call.
        let count = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) };
        let found = regions.get(..usize::try_from(count).ok()?)?;
        for region in found {
            let (from, to) = (region.start as usize - base, region.end as usize - base);
            for (index, page) in mem.get_mut(from..to)?.chunks_exact_mut(size).enumerate() {
                if !visit(from / size + index, page) {
                    return Some(false);
                }
            }
        }
        if scan.walk_end <= scan.start {
            return None;
        }
        scan.start = scan.walk_end;
    }
    Some(true)
}
