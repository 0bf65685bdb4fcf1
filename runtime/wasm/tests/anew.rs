//! Instances that serve an exchange alone: what one exchange leaves, no other finds.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::os::fd::AsRawFd;

use common::{Rig, assemble, exchange, header, refused, rig, run};
use pilotlight_filter::FaultKind;
use pilotlight_filter::abi::Phase;

/// Counts calls in a global, in its data, in memory that nothing has written before, and far away; `x-a` becomes the sum
/// in digits. `START` runs when the plugin is configured, `MORE` with each head.
fn counter(start: &str, more: &str) -> Vec<u8> {
    let text = r#"(module
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
    (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 20)
    (table $table 4 funcref)
    (global $own (mut i32) (i32.const 0))
    (global $wide (mut i64) (i64.const 0))
    (data (i32.const 256) "x-astarted")
    (data (i32.const 8192) "\00\00\00\00")
    (func $one)
    (elem declare func $one)
    (elem $later funcref (ref.func $one))
    (data $passive "abc")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.store8 (i32.const 12288) (local.get 1)) (i32.const 1))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $log (i32.const 2) (i32.const 259) (i32.const 7)))
      (i32.store8 (i32.const 16384) (i32.const 1))
      START
      (i32.const 1))
    (func $up (param $at i32) (result i32)
      (i32.store8 (local.get $at) (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))
      (i32.load8_u (local.get $at)))
    (func $digit (param $at i32) (param $value i32)
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (local.get $value))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (global.set $own (i32.add (global.get $own) (i32.const 1)))
      (global.set $wide (i64.add (global.get $wide) (i64.const 1)))
      (call $digit (i32.const 512) (global.get $own))
      (call $digit (i32.const 513) (i32.wrap_i64 (global.get $wide)))
      (call $digit (i32.const 514) (call $up (i32.const 8192)))
      (call $digit (i32.const 515) (call $up (i32.const 16384)))
      (call $digit (i32.const 516) (call $up (i32.const 700000)))
      (call $digit (i32.const 517) (call $up (i32.const 1310719)))
      (call $digit (i32.const 518) (i32.load8_u (i32.const 12288)))
      MORE
      (call $replace (i32.const 0) (i32.const 256) (i32.const 3) (i32.const 512) (i32.const 7))))"#;
    assemble(&text.replace("START", start).replace("MORE", more))
}

/// What a new instance says.
const NEW: &str = "1112117";

fn alone(guest: &[u8]) -> Rig {
    rig(guest, |spec| {
        spec.fresh = true;
        spec.proxy.vm_config = "7 bytes".into();
    })
}

/// Exchanges, `side_by_side` of them at a time; how many instances were started.
fn started(rig: &Rig, rounds: usize, side_by_side: usize) -> usize {
    for round in 0..rounds {
        let mut open = Vec::new();
        for _ in 0..side_by_side {
            let mut exchange = exchange("/", &[]);
            let mut filter = rig.realm.start(0);
            run(&mut *filter, Phase::Request, &mut exchange).unwrap();
            assert_eq!(header(&exchange, "x-a"), Some(NEW), "round {round}");
            open.push(filter);
        }
    }
    rig.world.lines().iter().filter(|line| *line == "started").count()
}

/// Whether the kernel says which pages were written: from Linux 6.7 on, on any machine, and under no emulator.
fn tells() -> bool {
    const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610_u32 as libc::Ioctl;
    let Ok(file) = std::fs::File::open("/proc/self/pagemap") else { return false };
    // Its own size, and nothing to look at.
    let mut scan = [0_u64; 12];
    scan[0] = size_of_val(&scan) as u64;
    // SAFETY: `scan` lives as long as the call.
    unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) == 0 }
}

/// So many instances were made: `few`, or as many as there were exchanges where the kernel does not tell.
fn made(count: usize, few: usize, exchanges: usize) {
    assert_eq!(count, if tells() { few } else { exchanges });
}

#[test]
fn an_instance_is_put_back_to_its_start() {
    let rig = alone(&counter("", ""));
    let count = started(&rig, 10, 3);
    made(count, 3, 30);
    // What nobody uses is dropped when the worker is idle.
    rig.realm.rest();
    let mut held = 0;
    rig.realm
        .gauges(&mut |what, _, value| held += if what == "wasm_instances" { value } else { 0 });
    assert_eq!(held, 0);
    assert_eq!(started(&rig, 1, 1), count + 1);
}

#[test]
fn so_is_one_whose_calls_may_take_long() {
    let rig = rig(&counter("", ""), |spec| {
        spec.fresh = true;
        spec.proxy.vm_config = "7 bytes".into();
        spec.cpu = std::time::Duration::from_millis(100);
    });
    made(started(&rig, 10, 2), 2, 20);
}

/// What its start has asked for may be another thing the next time, or what it does can't be undone.
#[test]
fn others_are_made_anew() {
    for (start, more) in [
        ("(drop (call $now (i32.const 1024)))", ""),
        ("(drop (call $random (i32.const 1024) (i32.const 8)))", ""),
        ("", "(drop (memory.grow (i32.const 1)))"),
        ("", "(table.set (i32.const 1) (ref.func $one))"),
        ("", "(table.init $later (i32.const 0) (i32.const 0) (i32.const 1)) (elem.drop $later)"),
        (
            "",
            "(memory.init $passive (i32.const 2048) (i32.const 0) (i32.const 3)) (data.drop $passive)",
        ),
    ] {
        assert_eq!(started(&alone(&counter(start, more)), 5, 1), 5, "{start}{more}");
    }
}

/// One that has trapped is not used again, nor is what it leaves.
#[test]
fn a_trap_is_its_own_exchanges_affair() {
    let guest = counter("", "(if (i32.gt_u (local.get 1) (i32.const 6)) (then unreachable))");
    let rig = alone(&guest);
    let before = started(&rig, 3, 1);
    let mut many = exchange("/", &["a", "b", "c", "d", "e", "f"].map(|name| (name, "1")));
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut many).unwrap_err();
    drop(filter);
    made(started(&rig, 3, 1), before + 1, before + 4);
}

/// Memory that one exchange was refused is no reason of another's trap.
#[test]
fn what_was_refused_before_is_forgotten() {
    let guest = counter(
        "",
        "(if (i32.gt_u (local.get 1) (i32.const 6)) (then unreachable)) (drop (memory.grow (i32.const 30000)))",
    );
    let rig = alone(&guest);
    started(&rig, 3, 1);
    let mut many = exchange("/", &["a", "b", "c", "d", "e", "f"].map(|name| (name, "1")));
    let mut filter = rig.realm.start(0);
    let fault = run(&mut *filter, Phase::Request, &mut many).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Trap, "{fault:?}");
}

/// What exchanges write is remembered up to a bound, and is gone beyond that.
#[test]
fn one_that_writes_much_leaves_nothing() {
    let much = "(if (i32.eqz (i32.load8_u (i32.const 900000)))
        (then (memory.fill (i32.const 800000) (i32.const 7) (i32.const 400000))) (else unreachable))";
    let rig = alone(&counter("", much));
    made(started(&rig, 5, 1), 1, 5);
}

#[test]
fn names_of_the_hosts_own_exports_are_refused() {
    let guest = assemble(
        r#"(module (memory (export "pilotlight:memory") 1) (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#,
    );
    let said = refused(&guest, |_| {}).remove(0).message;
    assert!(said.contains("pilotlight:"), "{said}");
}
