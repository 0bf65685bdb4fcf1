//! Filters of such connections, in the text form of Wasm. What each host call does there: the kit in
//! `conformance/proxy-wasm`.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{connect, echo, hear, rest, say, setup};
use crate::support::gateway::Setup;
use crate::support::{free_address, run, soon};

/// A module with these functions, and `$get` and `$set` of buffers.
fn module(functions: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 64)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
        {functions})"#
    );
    wat::parse_str(text).unwrap()
}

/// Makes what the client sends upper case.
const UPPER: &str = r#"
(func (export "proxy_on_downstream_data") (param i32) (param $size i32) (param i32) (result i32)
  (local $at i32) (local $byte i32)
  (drop (call $get (i32.const 2) (i32.const 0) (local.get $size) (i32.const 16) (i32.const 20)))
  (block $done (loop $next
    (br_if $done (i32.ge_u (local.get $at) (local.get $size)))
    (local.set $byte (i32.load8_u offset=65536 (local.get $at)))
    (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
      (then (i32.store8 offset=65536 (local.get $at) (i32.sub (local.get $byte) (i32.const 32)))))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br $next)))
  (drop (call $set (i32.const 2) (i32.const 0) (local.get $size) (i32.const 65536) (local.get $size)))
  (i32.const 0))
"#;

/// Holds whatever the client sends.
const HOLDS: &str = r#"
(func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32) (i32.const 1))
"#;

/// Traps when the client has sent three bytes at once.
const TRAPS: &str = r#"
(func (export "proxy_on_downstream_data") (param i32) (param $size i32) (param i32) (result i32)
  (if (i32.eq (local.get $size) (i32.const 3)) (then unreachable))
  (i32.const 0))
"#;

fn filtered(at: std::net::SocketAddr, upstream: std::net::SocketAddr, module: Vec<u8>) -> Setup {
    let keys = "filters = [\"it\"]\ntimeouts = { idle = \"3s\" }";
    setup(at, keys, &[upstream], "[filters.it]\nwasm = \"it.wasm\"\n").file("it.wasm", module)
}

#[test]
fn bytes_are_changed_as_they_pass() {
    const MUCH: usize = 4 << 20;
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let _gateway = filtered(at, upstream, module(UPPER)).quiet().start().await;
        let (mut from, mut to) = connect(at).await.into_split();
        tokio::spawn(async move {
            to.write_all(&[b'a'; MUCH]).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        soon("all of it", from.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read.len(), MUCH + 3);
        assert!(read[..MUCH].iter().all(|byte| *byte == b'A') && read.ends_with(b"bye"));
    });
}

#[test]
fn an_open_connection_keeps_its_filter_over_a_reload() {
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let gateway = filtered(at, upstream, module(UPPER)).start().await;
        let mut old = connect(at).await;
        say(&mut old, "one").await;
        hear(&mut old, "ONE").await;
        let plain = setup(at, "", &[upstream], "");
        gateway.folder.write("pilotlight.toml", plain.manifest(gateway.clear, gateway.tls));
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"message\":\"reloaded\""]).await.unwrap();
        let mut new = connect(at).await;
        say(&mut new, "two").await;
        hear(&mut new, "two").await;
        say(&mut old, "three").await;
        hear(&mut old, "THREE").await;
    });
}

#[test]
fn what_a_filter_holds_is_bounded_by_not_reading_on() {
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let gateway = filtered(at, upstream, module(HOLDS)).start().await;
        let before = gateway.resident();
        let mut client = connect(at).await;
        let much = vec![b'x'; 32 << 20];
        let written = tokio::time::timeout(Duration::from_secs(1), client.write_all(&much)).await;
        assert!(written.is_err(), "the gateway has taken 32 MiB");
        let grown = gateway.resident().saturating_sub(before);
        assert!(grown < 16 << 20, "it grew by {grown} bytes");
        // Nothing moves: that has an end.
        assert_eq!(rest(&mut client).await.unwrap_err(), "connection reset");
        gateway.logged(&["\"error\":\"connection_read_timeout\""]).await.unwrap();
    });
}

#[test]
fn a_trap_harms_the_connections_of_its_instance_alone() {
    for (isolation, survives) in [("stream", true), ("worker", false)] {
        run(async {
            let (at, upstream) = (free_address(), echo().await);
            let mut setup = filtered(at, upstream, module(TRAPS));
            setup.rest.push_str(&format!("isolation = \"{isolation}\"\n"));
            let gateway = setup.start().await;
            let (mut one, mut other) = (connect(at).await, connect(at).await);
            for client in [&mut one, &mut other] {
                say(client, "x").await;
                hear(client, "x").await;
            }
            say(&mut one, "xxx").await;
            assert_eq!(rest(&mut one).await.unwrap_err(), "connection reset");
            let told = ["filter failed", "\"filter\":\"it\"", "\"kind\":\"trap\"", "unreachable"];
            gateway.logged(&told).await.unwrap();
            match survives {
                true => {
                    say(&mut other, "y").await;
                    hear(&mut other, "y").await;
                }
                false => assert_eq!(rest(&mut other).await.unwrap_err(), "connection reset"),
            }
            // The next one finds a filter again.
            let mut next = connect(at).await;
            say(&mut next, "z").await;
            hear(&mut next, "z").await;
        });
    }
}
