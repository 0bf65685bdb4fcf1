//! A pattern, compiled.

use std::ffi::CStr;
use std::os::raw::{c_int, c_void};
use std::ptr;

use pcre2_sys as pcre2;
use pilotlight_filter::abi::limit::REGEX_PATTERN;

use super::flags;
use super::memory::{Memory, allocate, release};
use crate::leave::{LEFT, may_leave};

/// Uses after which a pattern becomes machine code without being asked to.
const HOT: u32 = 16;
/// Bytes of a compiled pattern past which it does not: nothing could leave that work.
const MACHINE_MAX: usize = 16 * 1024;
/// Bytes of a message; the pattern that it names may be long.
const MESSAGE: usize = 1024;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) raw: *mut pcre2::pcre2_code_8,
    memory: Memory,
    /// Capturing groups, the whole match left out.
    pub(super) groups: u32,
    /// Bytes of the shortest match, or fewer.
    pub(super) least: usize,
    /// Whether its subjects are UTF-8: by its flags, or because it says so itself (`(*UTF)`).
    pub(super) utf: bool,
    names: Names,
    machine: Machine,
    uses: u32,
}

#[derive(Debug, Clone, Copy)]
enum Machine {
    NotYet,
    Made(usize),
    Refused,
}

/// PCRE2's table of the named groups: the number in two bytes, the name, a NUL.
#[derive(Debug, Clone, Copy)]
struct Names {
    table: *const u8,
    count: u32,
    size: u32,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Mistake {
    /// The pattern is wrong: what, and where.
    Pattern(Vec<u8>),
    /// The watchdog left it, or there is no memory.
    GivenUp,
}

#[repr(C)]
struct Compile {
    pattern: *const u8,
    len: usize,
    options: u32,
    error: c_int,
    at: usize,
    memory: *mut c_void,
    code: *mut pcre2::pcre2_code_8,
}

/// Compiles; the answer says nothing.
///
/// # Safety
/// `job` is a [`Compile`]. Nothing here is to be dropped: the watchdog may leave it.
unsafe extern "C" fn compile(job: *mut c_void) -> c_int {
    // SAFETY: by the caller; each context lives until it is freed, or its memory goes.
    unsafe {
        let job = &mut *job.cast::<Compile>();
        let memory =
            pcre2::pcre2_general_context_create_8(Some(allocate), Some(release), job.memory);
        let context = pcre2::pcre2_compile_context_create_8(memory);
        if memory.is_null() || context.is_null() {
            return 0;
        }
        pcre2::pcre2_set_max_pattern_length_8(context, REGEX_PATTERN);
        let Compile { pattern, len, options, .. } = *job;
        let (error, at) = (&raw mut job.error, &raw mut job.at);
        job.code = pcre2::pcre2_compile_8(pattern, len, options, error, at, context);
        pcre2::pcre2_compile_context_free_8(context);
        pcre2::pcre2_general_context_free_8(memory);
    }
    0
}

impl Code {
    pub(super) fn new(pattern: &[u8], flags: u32) -> Result<Code, Mistake> {
        let memory = Memory::new();
        let mut job = Compile {
            pattern: pattern.as_ptr(),
            len: pattern.len(),
            options: flags::options(flags),
            error: 0,
            at: 0,
            memory: memory.address(),
            code: ptr::null_mut(),
        };
        // SAFETY: the job lives through the call; what is left goes with its memory.
        let left = unsafe { may_leave(compile, (&raw mut job).cast()) } == LEFT;
        if left {
            return Err(Mistake::GivenUp);
        }
        if job.code.is_null() {
            return Err(match job.error {
                0 => Mistake::GivenUp,
                error => Mistake::Pattern(message(pattern, error, job.at)),
            });
        }
        let raw = job.code;
        let names = Names {
            table: info(raw, pcre2::PCRE2_INFO_NAMETABLE, ptr::null()),
            count: info(raw, pcre2::PCRE2_INFO_NAMECOUNT, 0),
            size: info(raw, pcre2::PCRE2_INFO_NAMEENTRYSIZE, 0),
        };
        let groups = info(raw, pcre2::PCRE2_INFO_CAPTURECOUNT, 0);
        let utf = info(raw, pcre2::PCRE2_INFO_ALLOPTIONS, 0) & pcre2::PCRE2_UTF != 0;
        let least = info(raw, pcre2::PCRE2_INFO_MINLENGTH, 0_u32) as usize;
        Ok(Code { raw, memory, groups, least, utf, names, machine: Machine::NotYet, uses: 0 })
    }

    /// Whether there is machine code of it.
    pub(super) fn is_machine(&self) -> bool {
        matches!(self.machine, Machine::Made(_))
    }

    /// Before a use: makes machine code of it when it is asked to, or used much. Whether it did, or tried.
    #[inline]
    pub(super) fn warm(&mut self, asked: bool) -> bool {
        if !matches!(self.machine, Machine::NotYet) {
            return false;
        }
        self.uses += 1;
        let due = asked || self.uses > HOT;
        if due {
            self.make();
        }
        due
    }

    #[cold]
    fn make(&mut self) {
        self.machine = Machine::Refused;
        if self.memory.used() > MACHINE_MAX {
            return;
        }
        // SAFETY: the code is alive. What it can't do it refuses, and the code stays as it is.
        let result = unsafe { pcre2::pcre2_jit_compile_8(self.raw, pcre2::PCRE2_JIT_COMPLETE) };
        if result == 0 {
            self.machine = Machine::Made(info(self.raw, pcre2::PCRE2_INFO_JITSIZE, 0));
        }
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        let machine = match self.machine {
            Machine::Made(size) => size,
            Machine::NotYet | Machine::Refused => 0,
        };
        self.memory.used() + machine
    }

    /// Named groups.
    pub(super) fn names(&self) -> u32 {
        self.names.count
    }

    /// The name at `index` and its group; it lives as long as the code.
    pub(super) fn name(&self, index: u32) -> Option<(&[u8], u32)> {
        let Names { table, count, size } = self.names;
        if index >= count {
            return None;
        }
        // SAFETY: the table has `count` rows of `size` bytes.
        let row = unsafe {
            std::slice::from_raw_parts(table.add((index * size) as usize), size as usize)
        };
        let name = CStr::from_bytes_until_nul(row.get(2..)?).ok()?;
        Some((name.to_bytes(), u32::from(row[0]) << 8 | u32::from(row[1])))
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        // SAFETY: made by PCRE2, in memory that goes after it; used by nobody.
        unsafe { pcre2::pcre2_code_free_8(self.raw) };
    }
}

/// A fact of a pattern; `T` is what PCRE2 documents for `what`.
fn info<T: Copy>(code: *const pcre2::pcre2_code_8, what: u32, none: T) -> T {
    let mut fact = none;
    // SAFETY: the code is alive; `fact` is what this fact is written to.
    unsafe { pcre2::pcre2_pattern_info_8(code, what, (&raw mut fact).cast()) };
    fact
}

/// `missing closing parenthesis in "(abc"`, with ` at "..."` where that is before the end.
fn message(pattern: &[u8], error: c_int, at: usize) -> Vec<u8> {
    let mut text = [0; 128];
    // SAFETY: writes to the buffer, a NUL at its end.
    unsafe { pcre2::pcre2_get_error_message_8(error, text.as_mut_ptr(), text.len()) };
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
    let mut message = text.to_bytes().to_vec();
    let mut add = |before: &[u8], quoted: &[u8]| {
        message.extend_from_slice(before);
        message.extend_from_slice(quoted);
        message.push(b'"');
    };
    add(b" in \"", pattern);
    if let Some(rest) = pattern.get(at..).filter(|rest| !rest.is_empty()) {
        add(b" at \"", &rest[..memchr::memchr(0, rest).unwrap_or(rest.len())]);
    }
    message.truncate(MESSAGE);
    message
}
