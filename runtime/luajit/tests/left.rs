//! Compiled code is left thousands of times, wherever a signal finds it, and what it works out is the
//! same; what would go on for ever is left, too.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, with a thread of its own"
)]

use std::cell::Cell;
use std::ffi::{CStr, CString, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pilotlight_luajit as lua;
use pilotlight_luajit::lua_State;

/// What a hook does when compiled code has been left for it.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    GoOn,
    Raise,
}

thread_local! {
    static STATE: Cell<*mut lua_State> = const { Cell::new(ptr::null_mut()) };
    static OPENED: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
    static LEFT: Cell<usize> = const { Cell::new(0) };
    static THEN: Cell<Then> = const { Cell::new(Then::GoOn) };
}

const SIGNAL: c_int = libc::SIGUSR1;

/// What is not left by then never is.
const PATIENCE: Duration = Duration::from_mins(5);

extern "C" fn on_signal(_: c_int) {
    let state = STATE.get();
    if state.is_null() {
        return;
    }
    // SAFETY: the state of this thread, which runs.
    unsafe {
        if !OPENED.get().is_null() {
            return;
        }
        // A hook that comes while LuaJIT records trips its assertions; compiled code is what this is of.
        OPENED.set(lua::pl_open_ways_out(state));
        if !OPENED.get().is_null() {
            lua::lua_sethook(state, Some(on_hook), lua::LUA_MASKCOUNT, 1);
        }
    }
}

unsafe extern "C-unwind" fn on_hook(state: *mut lua_State, _: *mut lua::lua_Debug) {
    // SAFETY: as above; not in a handler.
    unsafe {
        lua::lua_sethook(state, None, 0, 0);
        lua::pl_close_ways_out(state, OPENED.get());
        LEFT.set(LEFT.get() + 1);
        OPENED.set(ptr::null_mut());
        if THEN.get() == Then::Raise {
            lua::lua_pushstring_(state, c"stopped".as_ptr());
            lua::lua_error(state);
        }
    }
}

#[cfg(target_arch = "x86_64")]
extern "C" fn on_trap(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel's.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let at = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
        let out = match OPENED.get() {
            opened if opened.is_null() => libc::abort(),
            opened => lua::pl_way_out_at(opened, (*at - 1) as *mut c_void),
        };
        assert!(!out.is_null());
        *at = out as libc::greg_t;
    }
}

fn handle_signals() {
    // SAFETY: handlers that touch what is of their thread.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(SIGNAL, &raw const action, ptr::null_mut());
        #[cfg(target_arch = "x86_64")]
        {
            action.sa_sigaction = on_trap as extern "C" fn(c_int, _, _) as usize;
            action.sa_flags |= libc::SA_SIGINFO;
            libc::sigaction(libc::SIGTRAP, &raw const action, ptr::null_mut());
        }
    }
}

/// Runs a script in a state of its own: what it returns, or what it raises.
fn run(script: &str, times: usize, then: Then) -> Result<String, String> {
    let script = CString::new(script).unwrap();
    // SAFETY: the state lives until the end, on this thread.
    unsafe {
        let state = lua::luaL_newstate();
        lua::luaL_openlibs(state);
        THEN.set(then);
        STATE.set(state);
        let mut said = Ok(String::new());
        for _ in 0..times {
            let mut failed = lua::luaL_loadstring(state, script.as_ptr()) != lua::LUA_OK;
            failed = failed || lua::lua_pcall(state, 0, 1, 0) != lua::LUA_OK;
            let text = CStr::from_ptr(lua::lua_tostring(state, -1)).to_string_lossy().into_owned();
            let now = if failed { Err(text) } else { Ok(text) };
            assert!(said == now || said == Ok(String::new()), "{now:?} after {said:?}");
            said = now;
            lua::lua_settop(state, 0);
        }
        STATE.set(ptr::null_mut());
        lua::lua_close(state);
        said
    }
}

/// Runs it while signals come, so far apart: also how often compiled code was left.
fn run_disturbed(
    script: &str,
    times: usize,
    then: Then,
    apart: Duration,
) -> (Result<String, String>, usize) {
    handle_signals();
    let ended = AtomicBool::new(false);
    // SAFETY: the thread is alive while its scope is.
    let thread = unsafe { libc::pthread_self() };
    LEFT.set(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            while !ended.load(Relaxed) {
                std::thread::sleep(apart);
                // SAFETY: as above.
                unsafe { libc::pthread_kill(thread, SIGNAL) };
                if begun.elapsed() > PATIENCE {
                    eprintln!("it goes on: {script}");
                    std::process::abort();
                }
            }
        });
        let said = run(script, times, then);
        ended.store(true, Relaxed);
        (said, LEFT.get())
    })
}

#[test]
fn what_is_left_goes_on_as_if_it_were_not() {
    let work = include_str!("left.lua");
    let truth = run(&format!("jit.off() {work}"), 1, Then::GoOn);
    assert!(truth.as_ref().is_ok_and(|truth| truth.lines().count() > 20), "{truth:?}");
    assert_eq!(run(work, 2, Then::GoOn), truth);
    let mut left = 0;
    for micros in [10, 30, 100] {
        let apart = Duration::from_micros(micros);
        let (said, times) = run_disturbed(work, 20, Then::GoOn, apart);
        assert_eq!(said, truth);
        left += times;
    }
    assert!(left > 100, "only {left} times");
}

#[test]
fn what_goes_on_for_ever_is_left() {
    for script in [
        "while true do end",
        "local n = 0 while true do n = n + 1 end",
        "local flag, n = true, 0 while flag do n = n + 1 end",
        "::a:: goto a",
        "for i = 1, math.huge do end",
        "local function f() return f() end f()",
        "local a, b function a() return b() end function b() return a() end a()",
        "local function f(n) if n > 0 then return 1 + f(n - 1) end return 0 end while true do f(50) end",
        "local x, n = 0 / 0, 0 while not (n >= x) do n = n + 1 end",
        "while true do for i = 1, 3 do end end",
        // Traces with C between them, where almost all of the time goes.
        "while true do collectgarbage('count') end",
        "local s = ('x'):rep(20000) while true do s:gsub('y', 'z') end",
        "local t = {} for i = 1, 5000 do t[i] = -i end while true do table.sort(t) table.sort(t, function(a, b) return a > b end) end",
        "local s = 0 repeat s = s + 1 if s % 2 == 0 then s = s + 1 else s = s - 1 end until false",
        "local t = {} for i = 1, 99 do t[i] = i end while true do for k, v in pairs(t) do t[k] = v + 1 end end",
        "local t, n = { a = 1 }, 0 while t.a do n = n + (t.b or 1) end",
        "local f = coroutine.wrap(function() while true do coroutine.yield(1) end end) while true do f() end",
        "local t = {} while true do t[#t + 1] = {} if #t > 1000 then t = {} end end",
        "local s = 'x' while true do s = s:sub(1, 1) .. ('y'):rep(3) end",
        "local s = ('a'):rep(1000) while true do s:find('b', 1, true) end",
        "local a, i = require('ffi').new('int[8]'), 0 while true do a[i % 8], i = i, i + 1 end",
        "local t, s = setmetatable({}, { __index = function(_, k) return k end }), 0 while true do s = s + t[1] end",
    ] {
        // All is compiled by then.
        let (said, _) = run_disturbed(script, 1, Then::Raise, Duration::from_millis(20));
        assert!(said.as_ref().is_err_and(|said| said.ends_with("stopped")), "{script}: {said:?}");
    }
}
