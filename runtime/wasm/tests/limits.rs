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
                let began = Instant::now();
                let fault = through(&mut *one, &mut bad, phase).unwrap_err();
                assert_eq!(fault.kind, kind, "{what} in {letter}: {fault}");
                assert!(began.elapsed() < Duration::from_millis(cpu + 200), "{what} in {letter}");
                respond(&mut good, 200, &[], b"");
                run(&mut *two, Phase::Response, &mut good).unwrap();
                pass(&mut *two, Phase::ResponseBody, &mut good, b"x", true).unwrap();
                run(&mut *two, Phase::Log, &mut good).unwrap();
            }
        }
    }
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

/// A loop ends soon after its limit. On a quiet machine within 20 ms; this one may be busy, so the
/// best of several counts.
#[test]
fn a_loop_ends_within_20_ms_over_its_limit() {
    let rig = rig(&guest("bad.wat"), |_| ());
    let best = (0..5)
        .map(|_| {
            let mut bad = exchange("/", &[("x-do", "l"), ("x-in", "q")]);
            let began = Instant::now();
            run(&mut *rig.realm.start(0), Phase::Request, &mut bad).unwrap_err();
            began.elapsed()
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
