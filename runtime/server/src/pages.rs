//! Code that nothing runs need not be held: its pages are unmapped when all workers are idle, those
//! of start-up for good.

use std::ffi::{c_int, c_void};

/// Unmaps the clean pages of this program's own code and constants. What is used again is mapped
/// again from the page cache, without a read from disk.
pub(crate) fn drop_code() {
    // SAFETY: the callback only reads the headers that it is given.
    unsafe { libc::dl_iterate_phdr(Some(unmap), std::ptr::null_mut()) };
}

/// The same for a process that only waits from now on, and for its libraries: start-up has run through
/// more of them than waiting does. What the loader has written for the program goes, too (`relocated`),
/// but for the tables by which functions of libraries are found. From then on no trait object, no table
/// of texts and no panic may be touched: they would be as the file has them.
pub(crate) fn drop_all(mut relocated: bool) {
    // SAFETY: as above; the flag outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(unmap), (&raw mut relocated).cast()) };
}

/// Called for the program itself first, then for its libraries; a result other than 0 ends the walk.
/// `all`: none, or whether what was relocated goes, too.
unsafe extern "C" fn unmap(info: *mut libc::dl_phdr_info, _size: usize, all: *mut c_void) -> c_int {
    // SAFETY: none, or the caller's flag, which is for the program alone.
    let everything = unsafe { all.cast::<bool>().as_mut() };
    let walks = everything.is_some();
    let relocations = everything.is_some_and(|flag| std::mem::replace(flag, false));
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
        (!relocations, find(libc::PT_GNU_RELRO), find(libc::PT_DYNAMIC))
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
    c_int::from(!walks)
}
