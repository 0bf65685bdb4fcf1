//! Matches, one after the other: what they need lives here, and one that was left leaves nothing.

use std::os::raw::{c_int, c_void};
use std::ptr;

use pcre2_sys as pcre2;

use super::Limits;
use super::code::Code;
use super::flags::{CHECKED, DFA};
use super::memory::{Memory, allocate, release};
use crate::leave::{LEFT, may_leave};

/// Room of the other algorithm, in `int`s.
const WORKSPACE: usize = 1000;
/// How deep that may go: it is the thread's own stack.
const DFA_DEPTH: u32 = 200;
/// Memory of a match that is kept for the next.
const KEEP: usize = 64 * 1024;
/// The stack of machine code at first.
const STACK_MIN: usize = 32 * 1024;
/// ... and as far as it may grow, unless a script says otherwise.
const STACK_MAX: usize = 256 * 1024;

/// A match's state, and the memory that all of it is in.
struct State {
    memory: Memory,
    data: *mut pcre2::pcre2_match_data_8,
    /// Groups that it has room for.
    room: u32,
}

/// Runs matches.
pub(super) struct Matcher {
    state: Option<State>,
    /// For ever: limits, and the stack of machine code.
    context: *mut pcre2::pcre2_match_context_8,
    dfa: *mut pcre2::pcre2_match_context_8,
    stack: *mut pcre2::pcre2_jit_stack_8,
    workspace: Vec<c_int>,
    /// The last match: begin and end of the whole and of each group; -1 where it has none.
    pub(super) groups: Vec<i32>,
}

#[repr(C)]
struct Match {
    code: *const pcre2::pcre2_code_8,
    subject: *const u8,
    len: usize,
    from: usize,
    options: u32,
    data: *mut pcre2::pcre2_match_data_8,
    context: *mut pcre2::pcre2_match_context_8,
    /// Null for the usual algorithm.
    workspace: *mut c_int,
    /// Straight to the machine code, which checks nothing of what it is given.
    machine: bool,
}

/// Runs a match.
///
/// # Safety
/// `job` is a [`Match`] of live things. Nothing here is to be dropped: the watchdog may leave it.
unsafe extern "C" fn run(job: *mut c_void) -> c_int {
    // SAFETY: by the caller.
    unsafe {
        let job = &*job.cast::<Match>();
        let &Match { code, subject, len, from, data, context, .. } = job;
        if job.machine {
            return pcre2::pcre2_jit_match_8(code, subject, len, from, 0, data, context);
        }
        let &Match { options, workspace, .. } = job;
        if workspace.is_null() {
            return pcre2::pcre2_match_8(code, subject, len, from, options, data, context);
        }
        pcre2::pcre2_dfa_match_8(
            code, subject, len, from, options, data, context, workspace, WORKSPACE,
        )
    }
}

impl Matcher {
    pub(super) fn new(limits: &Limits) -> Matcher {
        // SAFETY: makes contexts and sets their limits; PCRE2 takes null for "its defaults", so a
        // lack of memory here only loses the limits of steps.
        unsafe {
            let context = pcre2::pcre2_match_context_create_8(ptr::null_mut());
            let dfa = pcre2::pcre2_match_context_create_8(ptr::null_mut());
            for context in [context, dfa] {
                if !context.is_null() {
                    pcre2::pcre2_set_match_limit_8(context, limits.steps);
                    let kib = u32::try_from(limits.memory / 1024).unwrap_or(u32::MAX);
                    pcre2::pcre2_set_heap_limit_8(context, kib);
                }
            }
            if !dfa.is_null() {
                pcre2::pcre2_set_depth_limit_8(dfa, DFA_DEPTH);
            }
            let mut matcher = Matcher {
                state: None,
                context,
                dfa,
                stack: ptr::null_mut(),
                workspace: Vec::new(),
                groups: Vec::new(),
            };
            matcher.set_stack(STACK_MAX);
            matcher
        }
    }

    /// How far the stack of machine code may grow; false when there is no memory for it.
    pub(super) fn set_stack(&mut self, most: usize) -> bool {
        let most = most.max(STACK_MIN);
        // SAFETY: no match is under way; the old stack is nobody's once the new one is assigned.
        // Null asks for PCRE2's own, of 32 KiB.
        unsafe {
            let stack = pcre2::pcre2_jit_stack_create_8(STACK_MIN, most, ptr::null_mut());
            if !self.context.is_null() {
                pcre2::pcre2_jit_stack_assign_8(self.context, None, stack.cast());
            }
            pcre2::pcre2_jit_stack_free_8(std::mem::replace(&mut self.stack, stack));
        }
        !self.stack.is_null()
    }

    /// The first match at or behind `from`: one more than the number of the last group that has
    /// matched, 0 when there is no match; below, PCRE2's error.
    pub(super) fn run(&mut self, code: &Code, flags: u32, subject: &[u8], from: usize) -> c_int {
        let dfa = flags & DFA != 0;
        let machine = !dfa
            && code.is_machine()
            && (!code.utf || flags & CHECKED != 0)
            && from <= subject.len();
        // As PCRE2 itself says at last: the search behind a last match is mostly one of these.
        if machine && subject.len() - from < code.least {
            return 0;
        }
        let groups = if dfa { 0 } else { code.groups };
        let Some(data) = self.data(groups) else { return pcre2::PCRE2_ERROR_NOMEMORY };
        let mut job = Match {
            code: code.raw,
            subject: subject.as_ptr(),
            len: subject.len(),
            from,
            options: if flags & CHECKED != 0 { pcre2::PCRE2_NO_UTF_CHECK } else { 0 },
            data,
            context: if dfa { self.dfa } else { self.context },
            workspace: ptr::null_mut(),
            machine,
        };
        if dfa {
            self.workspace.resize(WORKSPACE, 0);
            job.workspace = self.workspace.as_mut_ptr();
        }
        let mut result = self.leavable(&mut job);
        if result == pcre2::PCRE2_ERROR_JIT_STACKLIMIT {
            // The interpreter takes what it needs from the heap.
            (job.options, job.machine) = (job.options | pcre2::PCRE2_NO_JIT, false);
            result = self.leavable(&mut job);
        }
        match result {
            pcre2::PCRE2_ERROR_NOMATCH => result = 0,
            // The other algorithm found more than one match; the first is the longest.
            0 => result = 1,
            _ => {}
        }
        if result > 0 {
            self.read(data, result as usize, groups as usize + 1);
        }
        if self.state.as_ref().is_some_and(|state| state.memory.used() > KEEP) {
            self.forget();
        }
        result
    }

    #[inline]
    fn leavable(&mut self, job: &mut Match) -> c_int {
        // SAFETY: the job's things live through the call. What is left of it is in the state's
        // memory, which goes whole.
        let result = unsafe { may_leave(run, ptr::from_mut(job).cast()) };
        if result != LEFT {
            return result;
        }
        // Its data may be half made: nothing of PCRE2 may look at it again.
        self.state = None;
        pcre2::PCRE2_ERROR_MATCHLIMIT
    }

    /// Match data with room for so many groups.
    fn data(&mut self, groups: u32) -> Option<*mut pcre2::pcre2_match_data_8> {
        if self.state.as_ref().is_some_and(|state| state.room < groups) {
            self.forget();
        }
        if self.state.is_none() {
            let memory = Memory::new();
            // SAFETY: all is made in this memory, and goes with it.
            let data = unsafe {
                let context = pcre2::pcre2_general_context_create_8(
                    Some(allocate),
                    Some(release),
                    memory.address(),
                );
                if context.is_null() {
                    return None;
                }
                pcre2::pcre2_match_data_create_8(groups + 1, context)
            };
            self.state = Some(State { memory, data, room: groups });
        }
        self.state.as_ref().map(|state| state.data).filter(|data| !data.is_null())
    }

    fn forget(&mut self) {
        self.state = None;
    }

    /// Copies what matched, as `int`s: the prelude reads them by FFI.
    fn read(&mut self, data: *mut pcre2::pcre2_match_data_8, matched: usize, all: usize) {
        // SAFETY: the data has pairs for all groups of the pattern, and the match set the first.
        let pairs = unsafe {
            let at = pcre2::pcre2_get_ovector_pointer_8(data);
            std::slice::from_raw_parts(at, 2 * matched.min(all))
        };
        self.groups.resize(2 * all, -1);
        let (set, unset) = self.groups.split_at_mut(pairs.len());
        set.iter_mut().zip(pairs).for_each(|(group, offset)| *group = *offset as i32);
        unset.fill(-1);
    }
}

impl Drop for Matcher {
    fn drop(&mut self) {
        self.forget();
        // SAFETY: no match is under way.
        unsafe {
            pcre2::pcre2_match_context_free_8(self.context);
            pcre2::pcre2_match_context_free_8(self.dfa);
            pcre2::pcre2_jit_stack_free_8(self.stack);
        }
    }
}
