//! Code that nothing runs need not be held: its pages are unmapped when all workers are idle, those
//! of start-up for good.

use std::ffi::{c_int, c_void};

/// Unmaps the clean pages of this program's own code and constants. What is used again is mapped
/// again from the page cache, without a read from disk.
pub(crate) fn drop_code() {
    // SAFETY: the callback only reads the headers that it is given.
    unsafe { libc::dl_iterate_phdr(Some(unmap), std::ptr::null_mut()) };
}

/// The same for a process that only waits from now on: what the loader has written goes, too, but for
/// the tables by which functions of libraries are found. From then on no trait object, no table of
/// texts and no panic may be touched: they would be as the file has them.
pub(crate) fn drop_all() {
    let mut all = true;
    // SAFETY: as above; the flag outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(unmap), (&raw mut all).cast()) };
}

/// Called for the program itself first; a result other than 0 ends the walk there.
unsafe extern "C" fn unmap(info: *mut libc::dl_phdr_info, _size: usize, all: *mut c_void) -> c_int {
    // SAFETY: sysconf has no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    // SAFETY: the loader hands over a valid record with `dlpi_phnum` headers.
    let (base, headers) = unsafe {
        let info = &*info;
        let count = usize::from(info.dlpi_phnum);
        (info.dlpi_addr as usize, std::slice::from_raw_parts(info.dlpi_phdr, count))
    };
    // Relocated constants lie before the dynamic section, which the tables of libraries' functions
    // follow.
    let find = |kind| headers.iter().find(|header| header.p_type == kind);
    if let (false, Some(relocated), Some(dynamic)) =
        (all.is_null(), find(libc::PT_GNU_RELRO), find(libc::PT_DYNAMIC))
    {
        let first = (base + relocated.p_vaddr as usize).div_ceil(page) * page;
        let end = (base + dynamic.p_vaddr as usize) / page * page;
        if end > first {
            // SAFETY: the caller gives up all that is in there.
            unsafe { libc::madvise(first as *mut c_void, end - first, libc::MADV_DONTNEED) };
        }
    }
    for header in headers {
        // Segments that are written hold relocations, which would be lost.
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let start = base + header.p_vaddr as usize;
        let (first, end) =
            (start.div_ceil(page) * page, (start + header.p_filesz as usize) / page * page);
        if end > first {
            // SAFETY: a private mapping of a file, never written: its pages can be had again.
            unsafe { libc::madvise(first as *mut c_void, end - first, libc::MADV_DONTNEED) };
        }
    }
    1
}
