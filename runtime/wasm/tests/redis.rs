//! Redis, as modules of Higress ask for it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use common::{Folder, Rig, World, assemble, exchange, header, look, spec};
use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{Plan, RedisSpec};
use pilotlight_filter::host::Wait;
use pilotlight_filter::host::socket::{Secured, Socket, SocketOption, StartTls, TlsFailure};
use pilotlight_filter::{Engine, Verdict};
use pilotlight_wasm::{CompileWith, WasmEngine};

/// A module that asks `GET k` of the server which its configuration names, and shows the status of each call in `x-a`
/// and what came of it in `x-b`.
const GUEST: &str = r#"(module
    (import "env" "proxy_redis_init" (func $init (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_redis_call" (func $call (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $context (param i32) (result i32)))
    (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
    (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (global $stream (mut i32) (i32.const 0))
    (global $top (mut i32) (i32.const 65536))
    (global $name (mut i32) (i32.const 0))
    (global $len (mut i32) (i32.const 0))
    (data (i32.const 256) "x-ax-bme secret")
    (data (i32.const 512) "*2\0d\0a$3\0d\0aGET\0d\0a$1\0d\0ak\0d\0a*2\0d\0a$3\0d\0aGET\0d\0a$1\0d\0ak\0d\0a")
    (func (export "proxy_abi_version_0_2_100"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32)
      (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 0))))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $buffer (i32.const 7) (i32.const 0) (local.get 1) (i32.const 0) (i32.const 4)))
      (global.set $name (i32.load (i32.const 0)))
      (global.set $len (i32.load (i32.const 4)))
      ;; Higress's SDK names the database when it begins, and not when it asks.
      (if (i32.eq (i32.load8_u (i32.sub (i32.add (global.get $name) (local.get 1)) (i32.const 5))) (i32.const 63))
        (then (global.set $len (i32.sub (local.get 1) (i32.const 5)))))
      (i32.eqz (call $init (global.get $name) (local.get 1) (i32.const 262) (i32.const 2)
        (i32.const 265) (i32.const 6) (i32.const 500))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (global.set $stream (local.get 0))
      (i32.store8 (i32.const 700) (i32.add (i32.const 48)
        (call $call (i32.const 256) (i32.const 3) (i32.const 512) (i32.const 20) (i32.const 8))))
      (i32.store8 (i32.const 701) (i32.add (i32.const 48)
        (call $call (global.get $name) (global.get $len) (i32.const 512) (i32.const 20) (i32.const 8))))
      ;; Two commands, and half of one.
      (i32.store8 (i32.const 702) (i32.add (i32.const 48)
        (call $call (global.get $name) (global.get $len) (i32.const 512) (i32.const 40) (i32.const 8))))
      (i32.store8 (i32.const 703) (i32.add (i32.const 48)
        (call $call (global.get $name) (global.get $len) (i32.const 512) (i32.const 10) (i32.const 8))))
      (drop (call $replace (i32.const 0) (i32.const 256) (i32.const 3) (i32.const 700) (i32.const 4)))
      (i32.const 3))
    (func (export "proxy_on_redis_call_response") (param $root i32) (param $token i32) (param $status i32) (param $size i32)
      (drop (call $context (global.get $stream)))
      (i32.store8 (i32.const 800) (i32.add (i32.const 48) (local.get $status)))
      (i32.store (i32.const 4) (i32.const 0))
      (drop (call $buffer (i32.const 9) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
      (memory.copy (i32.const 801) (i32.load (i32.const 0)) (i32.load (i32.const 4)))
      (if (i32.load (i32.const 4)) (then
        ;; Without the end of its line.
        (drop (call $replace (i32.const 0) (i32.const 259) (i32.const 3) (i32.const 800) (i32.sub (i32.load (i32.const 4)) (i32.const 1)))))
      (else (drop (call $replace (i32.const 0) (i32.const 259) (i32.const 3) (i32.const 800) (i32.const 1)))))
      (drop (call $continue (i32.const 0)))))"#;

/// The other end: what it heard, and what it will say, answer by answer; an empty one ends the connection.
#[derive(Default)]
struct Server {
    heard: RefCell<Vec<String>>,
    says: RefCell<Vec<&'static str>>,
}

struct Line {
    server: Rc<Server>,
    answers: usize,
    closed: bool,
}

impl Socket for Line {
    fn poll_read(
        &mut self,
        _: &mut Context<'_>,
        to: &mut Vec<u8>,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        if self.answers == 0 {
            return if self.closed { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        self.answers -= 1;
        let says = self.server.says.borrow_mut().remove(0);
        to.extend_from_slice(says.as_bytes());
        self.closed = says.is_empty() || says.starts_with("+last");
        Poll::Ready(Ok(says.len()))
    }
    fn poll_write(&mut self, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.server.heard.borrow_mut().push(String::from_utf8_lossy(data).replace("\r\n", " "));
        self.answers += 1;
        Poll::Ready(Ok(data.len()))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn option(&self, _: SocketOption) -> io::Result<i32> {
        unreachable!()
    }
    fn set_option(&self, _: SocketOption, _: i32) -> io::Result<()> {
        unreachable!()
    }
    fn descriptor(&self) -> Option<i32> {
        None
    }
    fn start_tls(self: Box<Self>, _: StartTls) -> Wait<Result<Secured, TlsFailure>> {
        unreachable!()
    }
}

fn rig(config: &str) -> Result<(Rig, Rc<Server>), Vec<pilotlight_filter::engine::LoadError>> {
    let folder = Folder::new();
    let mut spec = spec(folder.write("guest.wasm", &assemble(GUEST)));
    spec.config = config.into();
    let redis = RedisSpec {
        name: Arc::from("redis.static"),
        host: "10.0.0.9".into(),
        port: 6379,
        tls: false,
        ca: None,
        user: None,
        password: None,
        database: 0,
        connect: Duration::from_secs(1),
        reply: Duration::from_secs(1),
        idle: Duration::from_secs(60),
        pool: 4,
    };
    let cache_dir = folder.0.join("cache");
    let plan = Plan { filters: vec![spec], redis: vec![redis], cache_dir, ..Plan::default() };
    let engine = WasmEngine::new(CompileWith::Here);
    let library = engine.load(&plan)?;
    let world = Rc::new(World::default());
    let realm = library.open(Rc::clone(&world) as _);
    let server = Rc::<Server>::default();
    let theirs = Rc::clone(&server);
    *world.server.borrow_mut() = Some(Box::new(move |connect| {
        theirs.heard.borrow_mut().push(format!("{:?}", connect.to));
        Box::new(Line { server: Rc::clone(&theirs), answers: 0, closed: false })
    }));
    Ok((Rig { library, realm, world, engine, folder }, server))
}

/// The status of its calls, and what came.
fn asks(rig: &Rig) -> (String, String) {
    let mut exchange = exchange("/", &[]);
    let mut filter = rig.realm.start(0);
    for turn in 0.. {
        match look(&mut *filter, Phase::Request, &mut exchange) {
            Poll::Ready(verdict) => {
                assert_eq!(verdict.unwrap(), Verdict::Continue);
                break;
            }
            // What takes so long ends by its time.
            Poll::Pending if turn == 3 => rig.world.pass(2.0),
            Poll::Pending => rig.world.turn(),
        }
        assert!(turn < 6);
    }
    let text = |name| header(&exchange, name).unwrap_or("-").to_owned();
    (text("x-a"), text("x-b"))
}

#[test]
fn a_command_and_its_reply() {
    let (rig, server) = rig("outbound|6379||redis.static?db=2").unwrap();
    // A name that it has not begun with is BAD_ARGUMENT, and so is what is not one command.
    server.says.replace(vec!["+OK\r\n", "+OK\r\n", "+first\r\n", ":5\r\n", "-ERR no\r\n"]);
    assert_eq!(asks(&rig), ("2022".to_owned(), "0+first".to_owned()));
    let signed_in = "*3 $4 AUTH $2 me $6 secret ";
    let asked = "*2 $3 GET $1 k ";
    let opened = "Inet(10.0.0.9:6379)";
    assert_eq!(server.heard.take(), [opened, signed_in, "*2 $6 SELECT $1 2 ", asked]);
    // The same connection, also after a refusal.
    assert_eq!(asks(&rig).1, "0:5");
    assert_eq!(asks(&rig).1, "0-ERR no");
    assert_eq!(server.heard.take(), [asked, asked]);
    // One that the server has left, or that waited for too long, is not used again.
    server.says.replace(vec!["+last one\r\n", "+OK\r\n", "+OK\r\n", "+new\r\n"]);
    assert_eq!(asks(&rig).1, "0+last one");
    assert_eq!(asks(&rig).1, "0+new");
    assert_eq!(server.heard.take()[1], opened);
    rig.world.pass(61.0);
    server.says.replace(vec!["+OK\r\n", "+OK\r\n", "+newer\r\n"]);
    assert_eq!(asks(&rig).1, "0+newer");
}

#[test]
fn what_fails_is_told() {
    let (rig, server) = rig("redis.static").unwrap();
    for says in [vec!["-WRONGPASS\r\n"], vec!["+OK\r\n", ""], vec!["+OK\r\n", "HTTP/1.1 400\r\n"]] {
        server.says.replace(says);
        assert_eq!(asks(&rig).1, "1");
    }
    // Nobody answers: the time is up.
    server.says.replace(vec!["+OK\r\n", "$5\r\nab"]);
    assert_eq!(asks(&rig).1, "1");
    *rig.world.server.borrow_mut() = None;
    assert_eq!(asks(&rig).1, "1");
}

#[test]
fn a_server_that_the_manifest_does_not_have_is_none() {
    let errors = rig("redis.other").err().unwrap();
    assert!(errors[0].message.contains("refused its configuration"), "{errors:?}");
}
