//! What the benchmarks' scripts do, as a proxy-wasm filter: reads two headers, sets a third to
//! the sum of their lengths. No SDK, so that what is measured is the gateway.

#![no_std]

use core::ptr::{addr_of_mut, null};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_len: usize,
        value: *mut *const u8,
        value_len: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
    ) -> u32;
}

const REQUEST_HEADERS: u32 = 0;
const ARENA: usize = 64 << 10;

/// Where the host puts values; empty again at each callback.
static mut BYTES: [u8; ARENA] = [0; ARENA];
static mut USED: usize = 0;

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(len: usize) -> *mut u8 {
    // SAFETY: a module has one thread, and the sum is checked against the arena.
    unsafe {
        let start = USED;
        if len > ARENA - start {
            return core::ptr::null_mut();
        }
        USED = start + len;
        addr_of_mut!(BYTES).cast::<u8>().add(start)
    }
}

fn length(name: &[u8]) -> usize {
    let (mut value, mut len) = (null(), 0);
    // SAFETY: all pointers are to live variables of this frame.
    let status = unsafe {
        proxy_get_header_map_value(
            REQUEST_HEADERS,
            name.as_ptr(),
            name.len(),
            &raw mut value,
            &raw mut len,
        )
    };
    if status == 0 { len } else { 0 }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_context: u32, _headers: u32, _end: u32) -> u32 {
    // SAFETY: a module has one thread.
    unsafe { USED = 0 };
    let mut sum = length(b":authority") + length(b"x-a");
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (sum % 10) as u8;
        sum /= 10;
        if sum == 0 {
            break;
        }
    }
    let text = &digits[at..];
    // SAFETY: both ranges are live.
    unsafe {
        proxy_replace_header_map_value(
            REQUEST_HEADERS,
            b"x-b".as_ptr(),
            3,
            text.as_ptr(),
            text.len(),
        );
    }
    0
}
