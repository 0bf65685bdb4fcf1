//! Randomness, which a module of this target has from nobody but its host.

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(out: *mut u8, len: usize) -> u32;
}

/// What getrandom calls with `getrandom_backend = "custom"`.
///
/// # Safety
/// `len` bytes at `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(
    out: *mut u8,
    len: usize,
) -> Result<(), getrandom::Error> {
    // SAFETY: the caller vouches for the range.
    match unsafe { random_get(out, len) } {
        0 => Ok(()),
        _ => Err(getrandom::Error::UNSUPPORTED),
    }
}
