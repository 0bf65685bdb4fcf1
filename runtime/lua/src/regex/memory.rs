//! What PCRE2 allocates, by owner: all of it can be given back, whatever was left halfway.

use std::alloc::{Layout, alloc, dealloc};
use std::os::raw::c_void;
use std::ptr;

use crate::leave::held;

/// Memory of one owner.
#[derive(Debug)]
pub(super) struct Memory(*mut Pieces);

/// What is out, linked. It stays where it is: PCRE2 holds its address.
#[derive(Debug)]
struct Pieces {
    first: *mut Piece,
    bytes: usize,
}

/// Stands before each piece.
#[repr(C, align(16))]
struct Piece {
    next: *mut Piece,
    previous: *mut Piece,
    size: usize,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory(Box::into_raw(Box::new(Pieces { first: ptr::null_mut(), bytes: 0 })))
    }

    /// What PCRE2 hands back to [`allocate`] and [`release`].
    pub(super) fn address(&self) -> *mut c_void {
        self.0.cast()
    }

    /// Bytes that are out.
    pub(super) fn used(&self) -> usize {
        // SAFETY: it lives as long as this; PCRE2 is not at work while somebody asks.
        unsafe { (*self.0).bytes }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: made by `new`; whoever owns it is going, and so is all that PCRE2 made of it.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl Pieces {
    fn layout(size: usize) -> Option<Layout> {
        let whole = size.checked_add(size_of::<Piece>())?;
        Layout::from_size_align(whole, align_of::<Piece>()).ok()
    }

    fn take(&mut self, size: usize) -> *mut c_void {
        let Some(layout) = Pieces::layout(size) else { return ptr::null_mut() };
        // SAFETY: the layout has a size. The piece is written before it is linked; the one that
        // was first is linked, so it lives.
        unsafe {
            let piece = alloc(layout).cast::<Piece>();
            if piece.is_null() {
                return ptr::null_mut();
            }
            piece.write(Piece { next: self.first, previous: ptr::null_mut(), size });
            if let Some(next) = self.first.as_mut() {
                next.previous = piece;
            }
            self.first = piece;
            self.bytes += size;
            piece.add(1).cast()
        }
    }

    /// # Safety
    /// `piece` is linked here; nobody uses it any more.
    unsafe fn give(&mut self, piece: *mut Piece) {
        // SAFETY: by the caller; its neighbours are linked, so they live.
        unsafe {
            let Piece { next, previous, size } = piece.read();
            match previous.as_mut() {
                Some(previous) => previous.next = next,
                None => self.first = next,
            }
            if let Some(next) = next.as_mut() {
                next.previous = previous;
            }
            self.bytes -= size;
            if let Some(layout) = Pieces::layout(size) {
                dealloc(piece.cast(), layout);
            }
        }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        while !self.first.is_null() {
            // SAFETY: it is linked, and its owner is going.
            unsafe { self.give(self.first) };
        }
    }
}

/// PCRE2's `malloc`.
///
/// # Safety
/// `memory` is a [`Memory::address`] of this thread's that nobody else uses now.
pub(super) unsafe extern "C" fn allocate(size: usize, memory: *mut c_void) -> *mut c_void {
    // SAFETY: by the caller.
    held(|| unsafe { (*memory.cast::<Pieces>()).take(size) })
}

/// PCRE2's `free`.
///
/// # Safety
/// As of [`allocate`]; `at` is null or came from there.
pub(super) unsafe extern "C" fn release(at: *mut c_void, memory: *mut c_void) {
    if !at.is_null() {
        // SAFETY: by the caller: a piece stands before what it was given.
        held(|| unsafe { (*memory.cast::<Pieces>()).give(at.cast::<Piece>().sub(1)) });
    }
}
