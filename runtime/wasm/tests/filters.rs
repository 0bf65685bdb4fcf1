//! What proxy-wasm filters see and do.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::*;
use pilotlight_filter::abi::{Phase, Value};
use pilotlight_filter::{Fields, Name, Verdict};

#[test]
fn headers_are_read_and_written_on_both_ways() {
    for cpu in [10, 100] {
        let rig =
            rig(&guest("headers.wat"), |spec| spec.cpu = std::time::Duration::from_millis(cpu));
        assert!(rig.library.phases(0).has(Phase::Request));
        assert!(!rig.library.phases(0).has(Phase::Log));
        for _ in 0..3 {
            let mut exchange = exchange("/", &[("x-a", "one"), ("X-B", "old")]);
            let mut filter = rig.realm.start(0);
            assert_eq!(
                run(&mut *filter, Phase::Request, &mut exchange).unwrap(),
                Verdict::Continue
            );
            assert_eq!(header(&exchange, "x-b"), Some("one"));
            assert_eq!(header(&exchange, "x-a"), None);
            respond(&mut exchange, 200, &[], b"");
            run(&mut *filter, Phase::Response, &mut exchange).unwrap();
            assert_eq!(exchange.response.head.fields.get(b"server"), Some(&b"wasm"[..]));
        }
    }
}

#[test]
fn a_local_reply_stands_in_the_exchange() {
    let rig = rig(&guest("reply.wat"), |_| ());
    let mut denied = exchange("/", &[]);
    let mut filter = rig.realm.start(0);
    assert_eq!(run(&mut *filter, Phase::Request, &mut denied).unwrap(), Verdict::Reply);
    assert_eq!(denied.response.head.status, 403);
    assert_eq!(denied.response.head.fields.get(b"x-reason"), Some(&b"none"[..]));
    assert_eq!(denied.response.body.length(), Some(7));
    let mut allowed = exchange("/", &[("x-key", "k")]);
    let mut filter = rig.realm.start(0);
    assert_eq!(run(&mut *filter, Phase::Request, &mut allowed).unwrap(), Verdict::Continue);
    assert!(allowed.response.origin.is_none());
}

#[test]
fn every_map_operation() {
    let rig = rig(&guest("maps.wat"), |_| ());
    let mut exchange =
        exchange("/old?p=0", &[("x-repeat", "a"), ("x-repeat", "b"), ("content-length", "3")]);
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut exchange).unwrap();
    // Letters are statuses: A ok, B not found, C bad argument, E malformed, G outside of memory.
    let said = ["A", "a, b", "A", "A", "C", "A", "B", "B", "G", "G", "B", "A"];
    assert_eq!(rig.world.lines(), said);
    assert_eq!(exchange.request.head.path(), b"/new");
    assert_eq!(exchange.request.head.query(), Some(&b"q=1"[..]));
    assert_eq!(header(&exchange, "content-length"), Some("3"));
    assert_eq!(header(&exchange, "x-new"), Some("value"));

    rig.world.log.borrow_mut().clear();
    respond(
        &mut exchange,
        200,
        &[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("Content-Type", "x")],
        b"",
    );
    run(&mut *filter, Phase::Response, &mut exchange).unwrap();
    assert_eq!(rig.world.lines(), ["A", "200", "A", "A", "a=1", "A", "A", "A", "A", "E"]);
    assert_eq!(exchange.response.head.status, 404);
    assert_eq!(exchange.response.head.fields.get(b"set-cookie"), None);
    assert_eq!(exchange.response.head.fields.get(b"content-type"), Some(&b"x"[..]));
    assert_eq!(header(&exchange, "x-two"), Some("2"));
    assert_eq!(header(&exchange, "x-new"), None);
    assert_eq!(exchange.request.head.path(), b"/new");
}

#[test]
fn bodies_pass_changed_held_back_and_with_trailers() {
    for cpu in [10, 100] {
        let rig = rig(&guest("body.wat"), |spec| spec.cpu = std::time::Duration::from_millis(cpu));
        let mut exchange = exchange("/", &[("content-length", "2")]);
        exchange.request.body = pilotlight_filter::Body::full("ab".into());
        let mut filter = rig.realm.start(0);
        run(&mut *filter, Phase::Request, &mut exchange).unwrap();
        assert_eq!(exchange.request.body.length(), None, "its length is not known any more");
        let e = &mut exchange;
        assert_eq!(pass(&mut *filter, Phase::RequestBody, e, b"a", false).unwrap(), "<a");
        assert_eq!(pass(&mut *filter, Phase::RequestBody, e, b"b", true).unwrap(), "<b");

        respond(e, 200, &[("content-length", "6")], b"abcdef");
        run(&mut *filter, Phase::Response, e).unwrap();
        assert_eq!(e.response.head.fields.known(Name::ContentLength), None);
        assert_eq!(pass(&mut *filter, Phase::ResponseBody, e, b"abc", false).unwrap(), "");
        assert_eq!(pass(&mut *filter, Phase::ResponseBody, e, b"de", false).unwrap(), "");
        assert_eq!(pass(&mut *filter, Phase::ResponseBody, e, b"f", true).unwrap(), "[abcdef]");
        e.response.body.set_trailers(Fields::default());
        run(&mut *filter, Phase::ResponseTrailers, e).unwrap();
        assert_eq!(e.response.body.trailers().unwrap().get(b"x-trail"), Some(&b"ok"[..]));
    }
}

#[test]
fn a_body_held_back_has_a_limit() {
    let rig = rig(&guest("body.wat"), |_| ());
    let mut exchange = exchange("/", &[]);
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut exchange).unwrap();
    respond(&mut exchange, 200, &[], b"");
    let chunk = vec![b'a'; 1 << 20];
    let mut fault = None;
    for _ in 0..9 {
        fault = pass(&mut *filter, Phase::ResponseBody, &mut exchange, &chunk, false).err();
    }
    assert_eq!(fault.unwrap().kind.name(), "output");
}

#[test]
fn properties_in_envoys_encoding() {
    let rig = rig(&guest("property.wat"), |_| ());
    let read = |path: &str| {
        let mut exchange = exchange("/a/b?c=d", &[("x-prop", path), ("user-agent", "curl")]);
        exchange.set_property("lua.width", Value::from("320"));
        let mut filter = rig.realm.start(0);
        run(&mut *filter, Phase::Request, &mut exchange).unwrap();
        assert_eq!(exchange.property("wasm.seen"), Some(&Value::from("yes")));
        header(&exchange, "x-out").map(str::to_owned)
    };
    for (path, value) in [
        ("request/path", "/a/b?c=d"),
        ("request/url_path", "/a/b"),
        ("request/query", "c=d"),
        ("request/host", "example.com"),
        ("request/scheme", "http"),
        ("request/method", "GET"),
        ("request/protocol", "HTTP/1.1"),
        ("request/useragent", "curl"),
        ("request/headers/user-agent", "curl"),
        ("request/id", "req-1"),
        ("source/address", "10.1.2.3:4321"),
        ("destination/address", "10.0.0.1:443"),
        ("route_name", "thumbs"),
        ("plugin_name", "guest"),
        ("lua/width", "320"),
        ("filter_state/lua.width", "320"),
    ] {
        assert_eq!(read(path).as_deref(), Some(value), "{path}");
    }
    for absent in
        ["cluster_name", "nothing", "request/nothing", "response/code", "connection/tls_version"]
    {
        assert_eq!(read(absent), None, "{absent}");
    }
}

#[test]
fn start_and_configuration() {
    let guest = guest("start.wat");
    let rig = rig(&guest, |spec| spec.config = b"yes".to_vec());
    for _ in 0..2 {
        let mut filter = rig.realm.start(0);
        run(&mut *filter, Phase::Request, &mut exchange("/", &[])).unwrap();
    }
    assert_eq!(rig.world.lines(), ["yes", "hello", "world", "hello", "world"]);

    let said = |config: &str| refused(&guest, |spec| spec.config = config.into()).remove(0).message;
    assert_eq!(said("no"), "the filter refused its configuration: no");
    assert!(said("trap").contains("unreachable"), "{}", said("trap"));
    assert!(said("loop").contains("cpu limit"), "{}", said("loop"));
}

#[test]
fn a_fresh_instance_for_each_exchange() {
    let rig = rig(&guest("start.wat"), |spec| {
        spec.config = b"yes".to_vec();
        spec.fresh = true;
    });
    for _ in 0..2 {
        let mut filter = rig.realm.start(0);
        run(&mut *filter, Phase::Request, &mut exchange("/", &[])).unwrap();
    }
    assert_eq!(rig.world.lines().iter().filter(|line| *line == "yes").count(), 2);
}

/// More exchanges at once than the pool has slots: the rest get instances of the common kind.
#[test]
fn fresh_instances_do_not_run_out() {
    let rig = rig(&guest("headers.wat"), |spec| spec.fresh = true);
    for _ in 0..3 {
        let mut open = Vec::new();
        for _ in 0..100 {
            let mut exchange = exchange("/", &[("x-a", "one")]);
            let mut filter = rig.realm.start(0);
            run(&mut *filter, Phase::Request, &mut exchange).unwrap();
            assert_eq!(header(&exchange, "x-b"), Some("one"));
            open.push(filter);
        }
    }
}

/// A guest that calls `app`, pauses, and goes on when it is answered.
const CALLS: &str = r#"(module
    (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $context (param i32) (result i32)))
    (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
    (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $stream (mut i32) (i32.const 0))
    (data (i32.const 256) "appx-called")
    (data (i32.const 512) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\02\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/a\00:authority\00h\00")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (global.set $stream (local.get 0))
      (call $call (i32.const 256) (i32.const 3) (i32.const 512) (i32.const 62) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 500) (i32.const 0))
      (if (then unreachable))
      (i32.const 1))
    (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
      (drop (call $context (global.get $stream)))
      (drop (call $replace (i32.const 0) (i32.const 259) (i32.const 8) (i32.const 256) (i32.const 3)))
      (drop (call $continue (i32.const 0)))))"#;

#[test]
fn a_call_to_an_upstream_and_its_answer() {
    for cpu in [10, 100] {
        let rig = rig(&assemble(CALLS), |spec| spec.cpu = std::time::Duration::from_millis(cpu));
        let mut exchange = exchange("/", &[]);
        let mut filter = rig.realm.start(0);
        for _ in 0..3 {
            assert!(look(&mut *filter, Phase::Request, &mut exchange).is_pending());
            rig.world.turn();
        }
        assert!(exchange.aside);
        let fetched = pilotlight_filter::host::Fetched { status: 200, ..Default::default() };
        let asked = rig.world.answer(Ok(fetched));
        assert_eq!((&*asked.method, &*asked.url), ("GET", "http://h/a"));
        assert_eq!(asked.upstream.as_deref(), Some("app"));
        assert_eq!(run(&mut *filter, Phase::Request, &mut exchange).unwrap(), Verdict::Continue);
        assert_eq!(header(&exchange, "x-called"), Some("app"));
    }
}

/// A body that does not come.
struct Silent;

impl pilotlight_filter::body::Source for Silent {
    fn poll_frame(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<pilotlight_filter::Frame, pilotlight_filter::BodyError>>>
    {
        std::task::Poll::Pending
    }
}

/// A head that is held goes on before its body comes: the body is seen when it does.
#[test]
fn a_head_that_goes_on_before_its_body() {
    let body = r#"(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
        (drop (call $replace (i32.const 0) (i32.const 259) (i32.const 8) (i32.const 256) (i32.const 3)))
        (i32.const 0))
      (func (export "proxy_abi"#;
    let text =
        CALLS.replacen("(func (export \"proxy_abi", body, 1).replacen("x-called", "x-seen-b", 1);
    let rig = rig(&assemble(&text), |spec| spec.proxy.hold_headers = true);
    let mut exchange = exchange("/", &[]);
    exchange.request.body = pilotlight_filter::Body::stream(Box::new(Silent), None);
    let mut filter = rig.realm.start(0);
    assert!(look(&mut *filter, Phase::Request, &mut exchange).is_pending());
    rig.world.turn();
    rig.world.answer(Ok(pilotlight_filter::host::Fetched { status: 200, ..Default::default() }));
    assert_eq!(run(&mut *filter, Phase::Request, &mut exchange).unwrap(), Verdict::Continue);
    exchange.request.head.fields.remove(b"x-seen-b");
    pass(&mut *filter, Phase::RequestBody, &mut exchange, b"a", true).unwrap();
    assert_eq!(header(&exchange, "x-seen-b"), Some("app"));
}

/// An exchange that leaves while its call is under way: the answer comes to nobody, and harms nobody.
#[test]
fn an_answer_for_an_exchange_that_has_left() {
    for cpu in [10, 100] {
        let rig = rig(&assemble(CALLS), |spec| spec.cpu = std::time::Duration::from_millis(cpu));
        let mut gone = exchange("/", &[]);
        let mut filter = rig.realm.start(0);
        for _ in 0..3 {
            assert!(look(&mut *filter, Phase::Request, &mut gone).is_pending());
            rig.world.turn();
        }
        drop((filter, gone));
        rig.world.answer(Err(pilotlight_filter::host::FetchError("late".into())));
        rig.realm.trim();
        assert_eq!(std::rc::Rc::strong_count(&rig.world), 3, "no task holds on to the worker");
    }
}

#[test]
fn a_pause_that_nothing_can_end_fails() {
    let text = "(module (memory (export \"memory\") 1)
        (func (export \"proxy_abi_version_0_2_1\"))
        (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) (i32.const 1)))";
    let rig = rig(&assemble(text), |_| ());
    let fault = run(&mut *rig.realm.start(0), Phase::Request, &mut exchange("/", &[])).unwrap_err();
    assert!(fault.message.contains("nothing can resume it"), "{fault}");
}

#[test]
fn the_old_abi_has_two_arguments_for_heads() {
    let text = "(module (memory (export \"memory\") 1)
        (import \"env\" \"proxy_remove_header_map_value\" (func $remove (param i32 i32 i32) (result i32)))
        (data (i32.const 256) \"x-a\")
        (func (export \"proxy_abi_version_0_1_0\"))
        (func (export \"proxy_on_request_headers\") (param i32 i32) (result i32)
          (call $remove (i32.const 0) (i32.const 256) (i32.const 3))))"
        .replace("(memory (export \"memory\") 1)", "");
    let text = text.replace("(data", "(memory (export \"memory\") 1) (data");
    let rig = rig(&assemble(&text), |_| ());
    let mut exchange = exchange("/", &[("x-a", "1")]);
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
    assert_eq!(header(&exchange, "x-a"), None);
}
