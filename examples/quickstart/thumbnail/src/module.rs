//! The same as a module for scripts: `gateway.wasm("imaging").resize(bytes, width)`, declared as
//! `functions = { resize = "(string, i32) -> string" }`.

use std::alloc::{Layout, alloc as allocate, dealloc};

/// Room for `len` bytes; null when there is none.
#[unsafe(no_mangle)]
pub extern "C" fn alloc(len: usize) -> *mut u8 {
    match Layout::from_size_align(len.max(1), 1) {
        // SAFETY: the size is not zero.
        Ok(layout) => unsafe { allocate(layout) },
        Err(_) => std::ptr::null_mut(),
    }
}

/// Gives back what `alloc` or a function gave.
///
/// # Safety
/// `ptr` and `len` must be such a pair.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(ptr: *mut u8, len: usize) {
    if let Ok(layout) = Layout::from_size_align(len.max(1), 1) {
        // SAFETY: the caller vouches for the pair; all pairs were made with this layout.
        unsafe { dealloc(ptr, layout) }
    }
}

/// Pointer and length of the smaller picture, as `ptr << 32 | len`; traps on what is no picture.
///
/// # Safety
/// `len` bytes must stand at `ptr`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn resize(ptr: *const u8, len: usize, width: u32) -> u64 {
    // SAFETY: the caller vouches for the bytes.
    let picture = unsafe { std::slice::from_raw_parts(ptr, len) };
    match crate::resize::resize(picture, width) {
        Ok(smaller) => {
            let smaller = Box::leak(smaller.into_boxed_slice());
            (smaller.as_ptr() as u64) << 32 | smaller.len() as u64
        }
        Err(problem) => panic!("{problem}"),
    }
}
