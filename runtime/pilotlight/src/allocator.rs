//! mimalloc as the allocator: it is quick, and gives idle pages back.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mi;

mod gaps;

/// What every `malloc` of mimalloc is aligned to: larger wishes take its slower path.
const ALIGN: usize = 16;

/// mimalloc, without its aligned path where that is not needed.
pub(crate) struct Mimalloc;

// SAFETY: each call is mimalloc's own of the same meaning. Blocks of `mi_malloc` are aligned to 16
// bytes from 16 bytes on, and to their size's power of two below, which covers `align <= size`;
// other layouts take the aligned calls. `mi_free` takes blocks of either.
unsafe impl GlobalAlloc for Mimalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            match plain(layout) {
                true => mi::mi_malloc(layout.size()).cast(),
                false => mi::mi_malloc_aligned(layout.size(), layout.align()).cast(),
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if layout.size() >= LARGE {
                return untouched(layout);
            }
            match plain(layout) {
                true => mi::mi_zalloc(layout.size()).cast(),
                false => mi::mi_zalloc_aligned(layout.size(), layout.align()).cast(),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: as above.
        unsafe { mi::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; the new layout has the old alignment.
        unsafe {
            match plain(layout) && layout.align() <= size {
                true => mi::mi_realloc(block.cast(), size).cast(),
                false => mi::mi_realloc_aligned(block.cast(), size, layout.align()).cast(),
            }
        }
    }
}

/// Zeros from this size on are the system's: a buffer that may never be full, as each worker has one for
/// datagrams, would be resident as a whole where mimalloc writes them over what was there before.
const LARGE: usize = 1 << 20;

/// Zeros in pages that nobody has touched.
#[cold]
unsafe fn untouched(layout: Layout) -> *mut u8 {
    // SAFETY: the block is ours, and so is every byte that is zeroed or given back.
    unsafe {
        let block = Mimalloc.alloc(layout);
        let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(layout.size());
        let head = block.align_offset(page).min(layout.size());
        let whole = (layout.size() - head) / page * page;
        if block.is_null() || libc::madvise(block.add(head).cast(), whole, libc::MADV_DONTNEED) != 0
        {
            block.write_bytes(0, if block.is_null() { 0 } else { layout.size() });
            return block;
        }
        block.write_bytes(0, head);
        block.add(head + whole).write_bytes(0, layout.size() - head - whole);
        block
    }
}

/// Gives back to the system what this thread has freed.
pub(crate) fn collect() {
    unsafe extern "C" {
        fn mi_collect(force: bool);
    }
    // SAFETY: it has no preconditions.
    unsafe { mi_collect(true) };
    gaps::give_back();
}

/// What runs before all else of ours.
extern "C" fn first() {
    refuse_huge_pages();
    // The parked form has no use for an allocator, and never gets to it.
    pilotlight_server::park::enter();
}

/// Huge pages make small heaps big: an edge node's memory is worth more than a few TLB misses.
fn refuse_huge_pages() {
    // SAFETY: sets a flag of the process; kernels that don't know it refuse, which is fine.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

/// Called by the loader before all other constructors, mimalloc's own too: its first touch of the
/// heap would take a huge page.
#[used]
#[unsafe(link_section = ".init_array.00100")]
static FIRST: extern "C" fn() = first;

#[inline]
const fn plain(layout: Layout) -> bool {
    layout.align() <= ALIGN && layout.align() <= layout.size()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was there before does not make it resident.
    #[test]
    fn large_zeros_are_zero_and_cost_nothing() {
        let layout = Layout::from_size_align(3 << 20, 1).unwrap();
        for _ in 0..3 {
            // SAFETY: each block is used within its layout, and freed with it.
            unsafe {
                let dirty = Mimalloc.alloc(layout);
                dirty.write_bytes(1, layout.size());
                Mimalloc.dealloc(dirty, layout);
                let zeros = Mimalloc.alloc_zeroed(layout);
                let first = zeros.add(zeros.align_offset(4096));
                let mut pages = vec![0u8; (3 << 20) / 4096 - 1];
                assert_eq!(libc::mincore(first.cast(), pages.len() * 4096, pages.as_mut_ptr()), 0);
                let resident = pages.iter().filter(|page| **page & 1 == 1).count();
                assert!(resident < 16, "{resident}");
                assert!(std::slice::from_raw_parts(zeros, layout.size()).iter().all(|b| *b == 0));
                Mimalloc.dealloc(zeros, layout);
            }
        }
    }
}
