//! mimalloc as the allocator: it is quick, and gives idle pages back.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys as mi;

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

/// Gives back to the system what this thread has freed.
pub(crate) fn collect() {
    unsafe extern "C" {
        fn mi_collect(force: bool);
    }
    // SAFETY: it has no preconditions.
    unsafe { mi_collect(true) };
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
