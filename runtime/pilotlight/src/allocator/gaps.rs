//! Memory between blocks: mimalloc gives back pages of blocks of which none is in use. One that is keeps up
//! to 4 MiB of them, which all others may have been written to.

use std::ffi::c_void;
use std::ptr;

/// What mimalloc calls an area: blocks of one size, side by side.
#[repr(C)]
struct Area {
    blocks: *mut u8,
    reserved: usize,
    committed: usize,
    used: usize,
    block_size: usize,
    full_block_size: usize,
    reserved1: *mut c_void,
}

type Visit = extern "C" fn(*const c_void, *const Area, *mut u8, usize, *mut c_void) -> bool;

unsafe extern "C" {
    fn mi_theap_get_default() -> *const c_void;
    fn mi_theap_visit_blocks(
        of: *const c_void,
        blocks: bool,
        visit: Visit,
        to: *mut c_void,
    ) -> bool;
}

/// Where the walk over a thread's blocks stands.
struct Walk {
    page: usize,
    /// Bytes of a block of the area at hand; 0 where they are too small to hold pages of their own.
    block: usize,
    /// The first block that was not seen to be in use, and the end of those that ever were.
    free: *mut u8,
    end: *mut u8,
}

/// Gives the pages of free blocks of this thread's back, but for the first of each: mimalloc finds the
/// next by its first words.
pub(super) fn give_back() {
    // SAFETY: it has no preconditions.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let mut walk = Walk { page, block: 0, free: ptr::null_mut(), end: ptr::null_mut() };
    // SAFETY: this thread's heap is visited by nobody else; `visit` allocates nothing, and gets the walk.
    unsafe { mi_theap_visit_blocks(mi_theap_get_default(), true, visit, (&raw mut walk).cast()) };
    walk.pass(walk.end);
}

/// Called for each area, without a block, then for each block in it that is in use, in order.
extern "C" fn visit(
    _: *const c_void,
    area: *const Area,
    block: *mut u8,
    _: usize,
    walk: *mut c_void,
) -> bool {
    // SAFETY: what `give_back` has passed, and what mimalloc tells of an area.
    let (walk, area) = unsafe { (&mut *walk.cast::<Walk>(), &*area) };
    if !block.is_null() {
        walk.pass(block);
        walk.free = block.wrapping_add(walk.block);
        return true;
    }
    walk.pass(walk.end);
    let size = area.full_block_size;
    walk.block = if size >= 4 * walk.page { size } else { 0 };
    walk.free = area.blocks;
    walk.end = area.blocks.wrapping_add(area.committed);
    // Others may have used what has no blocks yet.
    walk.clear(walk.end, area.blocks.wrapping_add(area.reserved));
    true
}

impl Walk {
    /// Lets go of the free blocks before this one.
    fn pass(&mut self, until: *mut u8) {
        while self.block > 0 && self.free < until {
            let next = self.free.wrapping_add(self.block);
            self.clear(self.free.wrapping_add(1), next);
            self.free = next;
        }
    }

    /// Lets go of the whole pages in between.
    fn clear(&self, from: *mut u8, to: *mut u8) {
        let from = from.map_addr(|at| at.next_multiple_of(self.page));
        let length = (to.addr() / self.page * self.page).saturating_sub(from.addr());
        if length > 0 {
            // SAFETY: nothing that is in use is in these pages.
            unsafe { libc::madvise(from.cast(), length, libc::MADV_DONTNEED) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{GlobalAlloc, Layout};

    use super::super::{Mimalloc, collect};

    const BLOCK: usize = 128 << 10;

    fn resident(block: *mut u8) -> usize {
        let mut pages = [0u8; BLOCK / 4096];
        // SAFETY: the whole pages of a block, and room for a byte for each.
        unsafe {
            let first = block.add(block.align_offset(4096));
            assert_eq!(libc::mincore(first.cast(), BLOCK - 4096, pages.as_mut_ptr()), 0);
        }
        pages.iter().filter(|page| **page & 1 == 1).count()
    }

    /// One block that stays does not keep the others', which serve again.
    #[test]
    fn free_blocks_beside_one_in_use_cost_a_page() {
        let layout = Layout::from_size_align(BLOCK, 1).unwrap();
        for _ in 0..3 {
            // SAFETY: each block is used within its layout, and freed with it.
            unsafe {
                let blocks: Vec<*mut u8> = (0..20).map(|_| Mimalloc.alloc(layout)).collect();
                blocks.iter().for_each(|block| block.write_bytes(7, BLOCK));
                let (stays, go) = blocks.split_last().unwrap();
                go.iter().for_each(|block| Mimalloc.dealloc(*block, layout));
                collect();
                for block in go {
                    assert!(resident(*block) <= 1, "{}", resident(*block));
                }
                assert!(std::slice::from_raw_parts(*stays, BLOCK).iter().all(|byte| *byte == 7));
                let again: Vec<*mut u8> = (0..20).map(|_| Mimalloc.alloc(layout)).collect();
                again.iter().for_each(|block| block.write_bytes(8, BLOCK));
                assert!(std::slice::from_raw_parts(*stays, BLOCK).iter().all(|byte| *byte == 7));
                again.iter().for_each(|block| Mimalloc.dealloc(*block, layout));
                Mimalloc.dealloc(*stays, layout);
            }
        }
    }
}
