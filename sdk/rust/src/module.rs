//! Functions that scripts call.
//!
//! ```
//! /// In the manifest: `functions = { shout = "(string, i32) -> string" }`.
//! #[pilotlight_sdk::function]
//! fn shout(text: &str, times: u32) -> Result<String, String> {
//!     if times > 100 {
//!         return Err("that is too loud".into());
//!     }
//!     Ok(text.to_uppercase().repeat(times as usize))
//! }
//! ```
//!
//! A function `(chunk: &[u8], last: bool, ...) -> Vec<u8>` is also a stage of a body's stream
//! (`req:transform`, `res:transform`): its calls follow each other in one instance, so that what it
//! keeps in a `thread_local!` is the stream's.

use std::fmt::Display;

/// A parameter or result that is a number to scripts.
pub trait Number: Sized {
    /// How it passes the boundary.
    type Wire;
    /// From the gateway.
    fn from_wire(wire: Self::Wire) -> Self;
    /// To the gateway.
    fn into_wire(self) -> Self::Wire;
}

macro_rules! numbers {
    ($($ty:ty as $wire:ty)*) => { $(
        impl Number for $ty {
            type Wire = $wire;
            fn from_wire(wire: $wire) -> $ty { wire as $ty }
            fn into_wire(self) -> $wire { self as $wire }
        }

        impl Answer for $ty {
            type Wire = $wire;
            fn answer(self) -> Result<$wire, String> { Ok(self.into_wire()) }
        }
    )* };
}

numbers!(i32 as i32 u32 as i32 i64 as i64 u64 as i64 f32 as f32 f64 as f64);

impl Number for bool {
    type Wire = i32;

    fn from_wire(wire: i32) -> bool {
        wire != 0
    }

    fn into_wire(self) -> i32 {
        i32::from(self)
    }
}

impl Answer for bool {
    type Wire = i32;

    fn answer(self) -> Result<i32, String> {
        Ok(self.into_wire())
    }
}

/// A parameter that is a string to scripts.
pub trait Text<'a>: Sized {
    /// From the bytes that the script gave.
    ///
    /// # Errors
    /// When they are no such text.
    fn read(bytes: &'a [u8]) -> Result<Self, String>;
}

impl<'a> Text<'a> for &'a [u8] {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        Ok(bytes)
    }
}

impl<'a> Text<'a> for &'a str {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        std::str::from_utf8(bytes).map_err(|_| "an argument is not UTF-8".to_owned())
    }
}

impl Text<'_> for Vec<u8> {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        Ok(bytes.to_vec())
    }
}

impl Text<'_> for String {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        <&str>::read(bytes).map(str::to_owned)
    }
}

/// What a function may return.
pub trait Answer {
    /// How it passes the boundary.
    type Wire;
    /// To the gateway.
    ///
    /// # Errors
    /// The function's own.
    fn answer(self) -> Result<Self::Wire, String>;
}

impl Answer for () {
    type Wire = ();

    fn answer(self) -> Result<(), String> {
        Ok(())
    }
}

/// Pointer and length, as `ptr << 32 | len`. The gateway gives the range back to `free`.
impl Answer for Vec<u8> {
    type Wire = u64;

    fn answer(self) -> Result<u64, String> {
        let bytes = Box::leak(self.into_boxed_slice());
        Ok((bytes.as_ptr() as u64) << 32 | bytes.len() as u64)
    }
}

impl Answer for String {
    type Wire = u64;

    fn answer(self) -> Result<u64, String> {
        self.into_bytes().answer()
    }
}

impl<T: Answer, E: Display> Answer for Result<T, E> {
    type Wire = T::Wire;

    fn answer(self) -> Result<T::Wire, String> {
        self.map_err(|error| error.to_string())?.answer()
    }
}

/// Runs an exported function; used by the attribute.
#[doc(hidden)]
pub fn answer<T: Answer>(name: &str, call: impl FnOnce() -> Result<T, String>) -> T::Wire {
    match call().and_then(T::answer) {
        Ok(wire) => wire,
        Err(problem) => fail(&format!("{name}: {problem}")),
    }
}

/// The bytes that the gateway has put at `ptr`; used by the attribute.
///
/// # Safety
/// `len` bytes must stand at `ptr` until the call is over.
#[doc(hidden)]
pub unsafe fn text<'a, T: Text<'a>>(ptr: *const u8, len: usize) -> Result<T, String> {
    // SAFETY: the caller vouches for the bytes.
    T::read(unsafe { std::slice::from_raw_parts(ptr, len) })
}

#[cfg(not(target_arch = "wasm32"))]
fn fail(problem: &str) -> ! {
    panic!("{problem}")
}

#[cfg(target_arch = "wasm32")]
use guest::fail;

#[cfg(target_arch = "wasm32")]
mod guest {
    //! What the module exports beside its functions.

    use std::alloc::{Layout, alloc as allocate, dealloc};
    use std::ptr::null_mut;

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_log(level: u32, text: *const u8, len: usize) -> u32;
    }

    const CRITICAL: u32 = 5;

    /// Ends the call: the reason to the log, `nil` and a message to the script.
    pub(super) fn fail(problem: &str) -> ! {
        // SAFETY: the range is that of a living string.
        unsafe { proxy_log(CRITICAL, problem.as_ptr(), problem.len()) };
        std::process::abort()
    }

    /// An empty range is never allocated, so that one can be given back, too.
    const NOWHERE: *mut u8 = std::ptr::dangling_mut();

    /// Room for `len` bytes; null when there is none.
    #[unsafe(no_mangle)]
    extern "C" fn alloc(len: usize) -> *mut u8 {
        match Layout::from_size_align(len, 1) {
            Ok(layout) if layout.size() == 0 => NOWHERE,
            // SAFETY: the size is not zero.
            Ok(layout) => unsafe { allocate(layout) },
            Err(_) => null_mut(),
        }
    }

    /// Gives back what `alloc` or a function gave.
    ///
    /// # Safety
    /// `ptr` and `len` must be such a pair.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn free(ptr: *mut u8, len: usize) {
        if let Ok(layout) = Layout::from_size_align(len, 1)
            && layout.size() > 0
        {
            // SAFETY: the caller vouches for the pair; both kinds have this layout.
            unsafe { dealloc(ptr, layout) }
        }
    }
}
