//! What happens to guests that misbehave, and what does not happen to others.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use common::*;
use pilotlight_filter::abi::{Phase, limit};
use pilotlight_filter::{Call, FaultKind};

/// Each way to misbehave, in each phase: the exchange fails with the right kind, and the next
/// one is served.
#[test]
fn a_trap_in_any_phase_fails_its_exchange_alone() {
    for cpu in [10, 40] {
        let rig = rig(&guest("bad.wat"), |spec| spec.cpu = Duration::from_millis(cpu));
        for (what, kind) in [
            ("l", FaultKind::Cpu),
            ("t", FaultKind::Trap),
            ("r", FaultKind::Trap),
            ("m", FaultKind::Memory),
        ] {
            for (letter, phase) in [
                ("q", Phase::Request),
                ("b", Phase::RequestBody),
                ("r", Phase::Response),
                ("s", Phase::ResponseBody),
                ("l", Phase::Log),
            ] {
                let mut bad = exchange("/", &[("x-do", what), ("x-in", letter)]);
                let mut good = exchange("/", &[]);
                let (mut one, mut two) = (rig.realm.start(0), rig.realm.start(0));
                run(&mut *two, Phase::Request, &mut good).unwrap();
                let began = spent();
                let fault = through(&mut *one, &mut bad, phase).unwrap_err();
                assert_eq!(fault.kind, kind, "{what} in {letter}: {fault}");
                let took = spent() - began;
                assert!(took < Duration::from_millis(cpu + 200), "{what} in {letter}: {took:?}");
                respond(&mut good, 200, &[], b"");
                run(&mut *two, Phase::Response, &mut good).unwrap();
                pass(&mut *two, Phase::ResponseBody, &mut good, b"x", true).unwrap();
                run(&mut *two, Phase::Log, &mut good).unwrap();
            }
        }
    }
}

/// While the machine is busy with something else a call's CPU time does not pass, and the ticker, which sleeps
/// when nobody enters for long, has to go on.
#[test]
fn a_loop_ends_that_was_kept_waiting() {
    let rig = rig(&guest("busy.wat"), |spec| spec.cpu = Duration::from_millis(10));
    rig.world.busy.set(Duration::from_millis(300));
    let fault = run(&mut *rig.realm.start(0), Phase::Request, &mut exchange("/", &[])).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Cpu, "{fault}");
}

fn through(
    filter: &mut dyn pilotlight_filter::Filter,
    exchange: &mut pilotlight_filter::Exchange,
    until: Phase,
) -> Result<(), pilotlight_filter::Fault> {
    run(filter, Phase::Request, exchange)?;
    if until == Phase::RequestBody {
        pass(filter, Phase::RequestBody, exchange, b"x", true)?;
    }
    respond(exchange, 200, &[], b"");
    run(filter, Phase::Response, exchange)?;
    pass(filter, Phase::ResponseBody, exchange, b"x", true)?;
    run(filter, Phase::Log, exchange).map(|_| ())
}

#[test]
fn pointers_outside_of_memory_are_the_guests_problem() {
    let rig = rig(&guest("bad.wat"), |_| ());
    let mut exchange = exchange("/", &[("x-do", "o"), ("x-in", "q")]);
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
}

/// A loop ends soon after its limit, within 20 ms of CPU time; the best of several counts.
#[test]
fn a_loop_ends_within_20_ms_over_its_limit() {
    let rig = rig(&guest("bad.wat"), |_| ());
    let best = (0..5)
        .map(|_| {
            let mut bad = exchange("/", &[("x-do", "l"), ("x-in", "q")]);
            let began = spent();
            run(&mut *rig.realm.start(0), Phase::Request, &mut bad).unwrap_err();
            spent() - began
        })
        .min();
    let best = best.unwrap();
    assert!(best >= Duration::from_millis(9) && best < Duration::from_millis(30), "{best:?}");
}

/// A filter with a long limit yields: its worker polls others meanwhile.
#[test]
fn a_long_call_lets_others_run() {
    let rig = rig(&guest("bad.wat"), |spec| spec.cpu = Duration::from_millis(60));
    let mut bad = exchange("/", &[("x-do", "l"), ("x-in", "q")]);
    let mut filter = rig.realm.start(0);
    let (polls, result) = polls(&mut *filter, Phase::Request, &mut bad, None);
    assert_eq!(result.unwrap_err().kind, FaultKind::Cpu);
    assert!(polls > 20, "yielded {polls} times");
}

/// A client that goes away in the middle of a long call: the call ends there.
#[test]
fn an_exchange_that_ends_takes_its_long_call_along() {
    let rig = rig(&guest("bad.wat"), |spec| spec.cpu = Duration::from_secs(30));
    let began = Instant::now();
    for _ in 0..3 {
        let mut gone = exchange("/", &[("x-do", "l"), ("x-in", "r")]);
        let mut filter = rig.realm.start(0);
        run(&mut *filter, Phase::Request, &mut gone).unwrap();
        respond(&mut gone, 200, &[], b"");
        let call = Call { phase: Phase::Response, exchange: &mut gone, chunk: None };
        assert!(filter.poll(&mut Context::from_waker(Waker::noop()), call).is_pending());
        run(&mut *filter, Phase::Log, &mut gone).unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// The same while another stream lives in the instance: that one does not notice.
#[test]
fn a_long_call_that_is_left_alone_ends_without_harm_to_others() {
    let rig = rig(&guest("bad.wat"), |spec| spec.cpu = Duration::from_millis(60));
    let mut good = exchange("/", &[]);
    let mut other = rig.realm.start(0);
    run(&mut *other, Phase::Request, &mut good).unwrap();
    let mut gone = exchange("/", &[("x-do", "m"), ("x-in", "r")]);
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut gone).unwrap();
    respond(&mut gone, 200, &[], b"");
    let call = Call { phase: Phase::Response, exchange: &mut gone, chunk: None };
    let _ = filter.poll(&mut Context::from_waker(Waker::noop()), call);
    drop(filter);
    rig.world.turn();
    respond(&mut good, 200, &[], b"");
    run(&mut *other, Phase::Response, &mut good).unwrap();
    run(&mut *other, Phase::Log, &mut good).unwrap();
}

/// A filter that traps all the time is not started anew all the time.
#[test]
fn a_filter_that_traps_too_often_rests() {
    for cpu in [10, 40] {
        let rig = rig(&guest("bad.wat"), |spec| spec.cpu = Duration::from_millis(cpu));
        let try_one = |what: &str| {
            let mut one = exchange("/", &[("x-do", what), ("x-in", "q")]);
            run(&mut *rig.realm.start(0), Phase::Request, &mut one)
        };
        for _ in 0..=limit::WASM_CRASHES {
            let fault = try_one("t").unwrap_err();
            assert!(fault.message.contains("unreachable"), "{fault}");
        }
        let fault = try_one("").unwrap_err();
        assert!(fault.message.contains("it has trapped too often, and rests"), "{fault}");
        rig.world.pass(0.11);
        try_one("").unwrap();
        // The second rest is longer.
        for _ in 0..=limit::WASM_CRASHES {
            try_one("t").unwrap_err();
        }
        rig.world.pass(0.11);
        try_one("").unwrap_err();
        rig.world.pass(0.1);
        try_one("").unwrap();
    }
}

#[test]
fn memory_is_counted_and_given_back() {
    let rig = rig(&guest("headers.wat"), |_| ());
    let held = AtomicU64::new(0);
    let gauge = || {
        held.store(0, Ordering::Relaxed);
        rig.realm.gauges(&mut |name, filter, bytes| {
            assert!(filter == "guest" && ["wasm_memory", "wasm_instances"].contains(&name));
            if name == "wasm_memory" {
                held.fetch_add(bytes, Ordering::Relaxed);
            }
        });
        held.load(Ordering::Relaxed)
    };
    assert_eq!(gauge(), 0, "nothing is made before it is needed");
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut exchange("/", &[])).unwrap();
    assert_eq!(gauge(), 4 << 16);
    rig.realm.trim();
    assert_eq!(gauge(), 4 << 16, "in use");
    drop(filter);
    rig.realm.trim();
    assert_eq!(gauge(), 0);
}

/// A filter with this allocator, which reads its configuration when a request comes.
fn allocating(allocator: &str) -> Vec<u8> {
    assemble(&format!(
        r#"(module
          (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
          (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 100) "status 0")
          (func $read (result i32)
            (call $get (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4)))
          (func (export "proxy_abi_version_0_2_1"))
          (func (export "proxy_on_memory_allocate") (param i32) (result i32) {allocator})
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (i32.store8 (i32.const 107) (i32.add (i32.const 48) (call $read)))
            (call $log (i32.const 2) (i32.const 100) (i32.const 8))))"#
    ))
}

/// An allocator that lies, re-enters or traps harms its own call.
#[test]
fn a_bad_allocator_is_its_modules_own_harm() {
    for cpu in [10, 40] {
        let asked = |allocator: &str| {
            let rig = rig(&allocating(allocator), |spec| {
                spec.config = b"some text".to_vec();
                spec.cpu = Duration::from_millis(cpu);
            });
            let ran = run(&mut *rig.realm.start(0), Phase::Request, &mut exchange("/", &[]));
            ran.map(|_| rig.world.lines().concat()).map_err(|fault| fault.message)
        };
        assert_eq!(asked("(i32.const 1000)").unwrap(), "status 0");
        for outside in ["(i32.const -4)", "(i32.const 65530)", "(i32.const 0)"] {
            assert_eq!(asked(outside).unwrap(), "status 6", "{outside}");
        }
        // The call within gets INTERNAL_FAILURE, which is no place.
        assert_eq!(asked("(i32.mul (call $read) (i32.const 10000000))").unwrap(), "status 6");
        let said = asked("(unreachable)").unwrap_err();
        assert!(said.starts_with("guest: ") && said.contains("unreachable"), "{said}");
        let said = asked("(loop $on (br $on)) (i32.const 0)").unwrap_err();
        assert!(said.starts_with("guest: cpu limit"), "{said}");
    }
}

/// A fault tells the function that failed and what the module said last, in one line that has an end.
#[test]
fn a_fault_names_the_function_and_what_was_said() {
    let failing = |level: u32, text: &str| {
        let module = format!(
            r#"(module
              (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
              (memory (export "memory") 1)
              (data (i32.const 100) "{text}")
              (func (export "proxy_abi_version_0_2_1"))
              (func $gives_up (unreachable))
              (func $proxy_on_request_headers (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (drop (call $log (i32.const {level}) (i32.const 100) (i32.const {})))
                (call $gives_up) (i32.const 0)))"#,
            text.len()
        );
        let rig = rig(&assemble(&module), |_| ());
        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange("/", &[])).unwrap_err()
    };
    let plain = failing(2, "all is well");
    assert!(plain.message.ends_with("instruction executed"), "{plain}");
    let trace = plain.trace.unwrap_or_default();
    assert!(trace.contains("gives_up") && trace.contains("proxy_on_request_headers"), "{trace}");
    let said = failing(5, "panicked  at    a.rs:1:   no   key");
    assert!(said.message.ends_with("executed: panicked at a.rs:1: no key"), "{said}");
    assert!(!failing(3, "a warning").message.contains("warning"));
    let long = failing(4, &"x".repeat(5000)).message;
    assert!(long.ends_with(&"x".repeat(200)) && long.len() < 300, "{}", long.len());
    let wide = failing(4, &"\u{e9} ".repeat(400)).message;
    assert!(wide.chars().filter(|c| *c == '\u{e9}').count() == 100, "{wide}");
}

/// What AssemblyScript hands to `abort` is in the message; places that are none are not.
#[test]
fn an_abort_says_why() {
    let aborting = |text: &str| {
        let module = format!(
            r#"(module
              (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
              (memory (export "memory") 1)
              (data (i32.const 100) "\0c\00\00\00n\00o\00 \00k\00e\00y\00")
              (data (i32.const 200) "\08\00\00\00a\00.\00t\00s\00")
              (func (export "proxy_abi_version_0_2_1"))
              (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (call $abort {text} (i32.const 7) (i32.const 3)) (i32.const 0)))"#
        );
        let rig = rig(&assemble(&module), |_| ());
        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange("/", &[])).unwrap_err().message
    };
    assert_eq!(aborting("(i32.const 104) (i32.const 204)"), "guest: abort: no key (a.ts:7:3)");
    assert_eq!(aborting("(i32.const 0) (i32.const -1)"), "guest: abort:  (:7:3)");
}

/// Lines past a call's share go nowhere, and the next call has its own.
#[test]
fn a_flood_of_lines_is_cut_by_the_call() {
    let module = r#"(module
      (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (local $n i32)
        (loop $on
          (drop (call $log (i32.const 2) (i32.const 0) (i32.const 65536)))
          (local.set $n (i32.add (local.get $n) (i32.const 1)))
          (br_if $on (i32.lt_u (local.get $n) (i32.const 1000))))
        (i32.const 0)))"#;
    let rig = rig(&assemble(module), |spec| spec.cpu = Duration::from_secs(1));
    for calls in 1..3 {
        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange("/", &[])).unwrap();
        let lines = rig.world.lines();
        assert_eq!(lines.len() as u64, calls * (limit::LOG_LINES + 1));
        assert!(lines.iter().all(|line| line.len() <= 16 << 10));
        let last = "too many log lines in one call: further ones are dropped";
        assert_eq!(lines.last().map(|line| &**line), Some(last));
    }
}

/// A million keys: what is shared stays within its quota.
#[test]
fn a_million_shared_keys_are_contained() {
    let module = r#"(module
      (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (loop $on
          (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
          (if (call $set (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 16) (i32.const 0)) (then unreachable))
          (br_if $on (i32.lt_u (i32.load (i32.const 0)) (i32.const 1000000))))
        (i32.const 0)))"#;
    let before = resident();
    let rig = rig(&assemble(module), |spec| spec.cpu = Duration::from_secs(60));
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange("/", &[])).unwrap();
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for a quota of {}", limit::WASM_SHARED_DATA);
}

/// CPU time of this thread, by which limits go.
fn spent() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills `time`.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes of this process that are in memory; of one that is emulated, what lies where its own mappings do, below
/// those of the emulator: nothing else does.
fn resident() -> u64 {
    const EMULATORS: u64 = 1 << 46;
    let kib = |line: &str| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
    let (mut own, mut all) = (0, 0);
    let mut is_own = false;
    for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        match line.split_once('-').map(|(start, _)| u64::from_str_radix(start, 16)) {
            Some(Ok(start)) => is_own = start < EMULATORS,
            _ if line.starts_with("Rss:") => {
                all += kib(line);
                own += if is_own { kib(line) } else { 0 };
            }
            _ => {}
        }
    }
    (if own > 0 { own } else { all }) << 10
}
