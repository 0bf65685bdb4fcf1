//! Checked access to a guest's memory.

use super::abi::Status;

/// `len` bytes at `ptr`.
#[inline]
pub(crate) fn slice(memory: &[u8], ptr: u32, len: u32) -> Result<&[u8], Status> {
    memory.get(ptr as usize..ptr as usize + len as usize).ok_or(Status::InvalidMemoryAccess)
}

/// `len` bytes at `ptr`, to write to.
#[inline]
pub(crate) fn slice_mut(memory: &mut [u8], ptr: u32, len: u32) -> Result<&mut [u8], Status> {
    memory.get_mut(ptr as usize..ptr as usize + len as usize).ok_or(Status::InvalidMemoryAccess)
}

/// Writes bytes.
#[inline]
pub(crate) fn write(memory: &mut [u8], ptr: u32, bytes: &[u8]) -> Result<(), Status> {
    let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
    slice_mut(memory, ptr, length)?.copy_from_slice(bytes);
    Ok(())
}

/// Writes a number, little endian.
#[inline]
pub(crate) fn write_u32(memory: &mut [u8], ptr: u32, number: u32) -> Result<(), Status> {
    write(memory, ptr, &number.to_le_bytes())
}

/// Reads a number, little endian.
#[inline]
pub(crate) fn read_u32(memory: &[u8], ptr: u32) -> Result<u32, Status> {
    let bytes = slice(memory, ptr, 4)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// A text of AssemblyScript's: UTF-16, its length in bytes in front of it. As much as a message holds.
pub(crate) fn wide(memory: &[u8], ptr: u32) -> Result<String, Status> {
    const LONG: u32 = 400;
    let length = read_u32(memory, ptr.checked_sub(4).ok_or(Status::InvalidMemoryAccess)?)?;
    let units = slice(memory, ptr, length.min(LONG) & !1)?.chunks_exact(2);
    let units: Vec<u16> = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    Ok(String::from_utf16_lossy(&units))
}
