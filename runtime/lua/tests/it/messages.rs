//! `req`, `res`, headers: contract 4.2 to 4.4.

use std::sync::Arc;

use pilotlight_filter::abi::{Phase, Value};
use pilotlight_filter::{Body, Fields, Origin};

use crate::rig::*;

#[test]
fn fields_of_the_request() {
    for (expression, want) in [
        ("req.method", "GET"),
        ("req.scheme", "http"),
        ("req.host", "example.com"),
        ("req.authority", "example.com:8080"),
        ("req.path", "/a/b"),
        ("req.query", "x=1&y=a+b%21&x=2&z"),
        ("req.version", "1.1"),
        ("req.id", "req-1"),
        ("req.route", "main"),
        ("req.upstream", "nil"),
        ("req.nothing", "nil"),
        ("req.client.address .. ' ' .. req.client.port", "192.0.2.7 4711"),
        ("req.tls.version .. req.tls.server_name .. req.tls.alpn", "1.3example.comh2"),
        ("req.tls.client.subject .. req.tls.client.san[1]", "CN=devicedevice.local"),
        ("req.tls.client.fingerprint", "00ff"),
        ("req:args().x[2] .. req:args().y .. '|' .. req:args().z .. '|'", "2a b!||"),
        ("type(req)", "table"),
        ("(function() local n = 0 for k, v in pairs(req) do n = n + 1 end return n end)()", "11"),
    ] {
        assert_eq!(
            answer(&format!("return {{ body = tostring({expression}) }}")),
            want,
            "{expression}"
        );
    }
}

#[test]
fn assignments() {
    let script = "return { request = function(req)
      req.method = 'POST' req.host = 'other:99' req.path = '/new' req.query = 'q=1'
      req.upstream = 'images'
    end }";
    let (result, exchange) = rig(script).request();
    result.unwrap();
    let head = &exchange.request.head;
    assert_eq!(head.method_text(), b"POST");
    assert_eq!(head.authority(), b"other:99");
    assert_eq!((head.path(), head.query()), (&b"/new"[..], Some(&b"q=1"[..])));
    assert_eq!(exchange.upstream, Some(Arc::from("images")));
    let (_, exchange) = rig("return { request = function(req) req.query = nil end }").request();
    assert_eq!(exchange.request.head.query(), None);
    for (body, error) in [
        ("req.method = 'A B'", "not a valid method"),
        ("req.path = 'x'", "not a valid path"),
        ("req.path = '/a?b'", "not a valid path"),
        ("req.path = '/a\\r\\nb'", "not a valid path"),
        ("req.host = 'a b'", "not a valid host"),
        ("req.query = 'a b'", "not a valid query"),
        ("req.path = {}", "must be a string, not a table"),
        ("req.id = 'x'", "req.id can't be assigned"),
        ("req.scheme = 'x'", "req.scheme can't be assigned"),
        ("req.headers = {}", "req.headers can't be assigned"),
        ("req.other = 1", "req.other can't be assigned"),
    ] {
        let fault = failure(body);
        assert!(fault.message.contains(error), "{body}: {fault}");
        assert!(fault.message.contains("f0.lua:3"), "{fault}");
    }
}

#[test]
fn arguments_are_written_back() {
    for (table, want) in [
        ("{ a = '1' }", "a=1"),
        ("{ b = 2, a = { 'x', 'y z' } }", "a=x&a=y%20z&b=2"),
        ("{ flag = true, no = false, ['k&'] = '=' }", "flag&k%26=%3D"),
    ] {
        let (result, exchange) =
            rig(&format!("return {{ request = function(req) req:set_args({table}) end }}"))
                .request();
        result.unwrap();
        assert_eq!(exchange.request.head.query(), Some(want.as_bytes()), "{table}");
    }
    let (_, exchange) = rig("return { request = function(req) req:set_args({}) end }").request();
    assert_eq!(exchange.request.head.query(), None);
    assert!(failure("req:set_args({ a = print })").message.contains("must be a string"));
    assert!(failure("req:set_args(1)").message.contains("takes a table"));
}

/// What a script does to the request's headers, and what they are then.
#[test]
fn headers_table() {
    const BEFORE: &str = "X-Token: secret, x-many: 1, X-Many: 2";
    for (body, want) in [
        ("h['x-a'] = 'v'", "X-Token: secret, x-many: 1, X-Many: 2, x-a: v"),
        ("h['X-TOKEN'] = 'v'", "X-Token: v, x-many: 1, X-Many: 2"),
        ("h['x-many'] = 'v'", "X-Token: secret, x-many: v"),
        ("h['x-many'] = nil", "X-Token: secret"),
        ("h['x-none'] = nil", BEFORE),
        ("h['x-many'] = { 'a', 'b', 'c' }", "X-Token: secret, x-many: a, x-many: b, x-many: c"),
        ("h['x-n'] = 5", "X-Token: secret, x-many: 1, X-Many: 2, x-n: 5"),
        ("h:add('x-many', '3')", "X-Token: secret, x-many: 1, X-Many: 2, x-many: 3"),
        ("h.host = 'new.example'", BEFORE),
        ("assert(h['x-many'] == '1' and h['X-MANY'] == '1')", BEFORE),
        ("assert(h['none'] == nil)", BEFORE),
        ("assert(h.host == 'example.com:8080' and h.Host == h.host)", BEFORE),
        ("local l = h:all('x-many') assert(#l == 2 and l[1] == '1' and l[2] == '2')", BEFORE),
        ("assert(#h:all('none') == 0 and h:all('host')[1] == h.host)", BEFORE),
        (
            "local t = {} for k, v in pairs(h) do t[#t + 1] = k .. '=' .. v end
          assert(table.concat(t, ',') == 'host=example.com:8080,x-token=secret,x-many=1,x-many=2')",
            BEFORE,
        ),
        ("assert(h == req.headers)", BEFORE),
    ] {
        let script =
            format!("return {{ request = function(req) local h = req.headers {body} end }}");
        let (result, exchange) = rig(&script).request();
        result.unwrap_or_else(|fault| panic!("{body}: {fault}"));
        assert_eq!(list(&exchange.request.head.fields), want, "{body}");
    }
    for (body, error) in [
        ("h['a b'] = 'x'", "must be a token"),
        ("h[''] = 'x'", "must be a token"),
        ("h['a:'] = 'x'", "must be a token"),
        ("h['a\\n'] = 'x'", "must be a token"),
        ("h.a = 'x\\r\\ny: z'", "no control bytes"),
        ("h.a = 'x\\ny'", "no control bytes"),
        ("h.a = 'x\\0'", "no control bytes"),
        ("h.a = ' x'", "no control bytes"),
        ("h.a = { 'x', 'y\\n' }", "no control bytes"),
        ("h:add('a', 'b\\r')", "no control bytes"),
        ("h:add('a\\r', 'b')", "must be a token"),
        ("h['Content-Length'] = '5'", "frames messages itself"),
        ("h['transfer-encoding'] = 'chunked'", "frames messages itself"),
        ("h['content-length'] = nil", "frames messages itself"),
        ("h.host = 'a b'", "header value"),
        ("h.host = nil", "can be replaced, not removed"),
        ("h.a = true", "not a boolean"),
        ("h.a = {}", "not a nil"),
        ("h.a = { {} }", "not a table"),
        ("local x = h[{}]", "must be a string, not a table"),
        ("h.a = ('x'):rep(1024 * 1024) h.b = 'y'", "too many or too large"),
    ] {
        let fault = failure(&format!("local h = req.headers {body}"));
        assert!(fault.message.contains(error), "{body}: {fault}");
    }
}

fn list(fields: &Fields) -> String {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let all: Vec<_> = fields.iter().map(|(_, n, v)| format!("{}: {}", text(n), text(v))).collect();
    all.join(", ")
}

#[test]
fn the_response() {
    let script = "return { response = function(res, ctx)
      assert(res.from == 'upstream' and res.status == 404)
      res.status = 200
      res.headers['x-a'] = res.headers['Server'] .. '!'
      res:set_body(res:body():upper())
      assert(res.request.method == 'GET')
    end }";
    let rig = rig(script);
    let mut exchange = exchange();
    exchange.response.origin = Some(Origin::Upstream);
    exchange.response.head.status = 404;
    exchange.response.head.fields.push_checked(b"server", b"up");
    exchange.response.head.fields.push_checked(b"content-length", b"4");
    exchange.response.body = Body::full("body".into());
    run(&mut *rig.realm.start(0), Phase::Response, &mut exchange).unwrap();
    assert_eq!(exchange.response.head.status, 200);
    assert_eq!(list(&exchange.response.head.fields), "server: up, x-a: up!");
    assert_eq!(text(&mut exchange.response.body), "BODY");
    for (body, error) in [
        ("res.status = 99", "200 to 599"),
        ("res.status = 101", "200 to 599"),
        ("res.status = 'x'", "must be a number"),
        ("res.from = 'x'", "res.from can't be assigned"),
        ("res:set_body({})", "must be a string"),
    ] {
        let script = format!("return {{ response = function(res) {body} end }}");
        let (result, _) = crate::rig::rig(&script).phase(Phase::Response);
        assert!(result.unwrap_err().message.contains(error), "{body}");
    }
}

#[test]
fn trailers() {
    let script = "return { response_trailers = function(res, ctx)
      res.trailers['grpc-message'] = 'seen ' .. res.trailers['grpc-status']
    end, request_trailers = function(req) req.trailers['content-length'] = '1' end }";
    let rig = rig(script);
    let mut exchange = exchange();
    let mut fields = Fields::default();
    fields.push_checked(b"grpc-status", b"0");
    exchange.response.body.set_trailers(fields.clone());
    exchange.request.body.set_trailers(fields);
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::ResponseTrailers, &mut exchange).unwrap();
    let trailers = exchange.response.body.trailers().unwrap();
    assert_eq!(list(trailers), "grpc-status: 0, grpc-message: seen 0");
    let fault = run(&mut *filter, Phase::RequestTrailers, &mut exchange).unwrap_err();
    assert!(fault.message.contains("frames messages"), "{fault}");
}

#[test]
fn properties_and_the_log_entry() {
    let script = "return { request = function(req)
      assert(req.properties['wasm.x'] == 7 and req.properties.none == nil)
      req.properties['lua.user'] = 'alice'
      req.properties['lua.list'] = { 1, 2.5, 'x' }
      req.properties['wasm.x'] = nil
    end, log = function(entry)
      assert(entry.properties['lua.user'] == 'alice')
      entry.user, entry.n, entry.flag = 'alice', 5, true
      entry.user = 'bob'
      entry.seen = table.concat({ entry.status, entry.route, entry.method, entry.client,
        entry.duration, entry.bytes, entry.user }, ' ')
    end }";
    let rig = rig(script);
    let mut exchange = exchange();
    exchange.set_property("wasm.x", Value::Int(7));
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut exchange).unwrap();
    assert_eq!(exchange.property("wasm.x"), None);
    let list = Value::List(vec![Value::Int(1), Value::Float(2.5), Value::from("x")]);
    assert_eq!(exchange.property("lua.list"), Some(&list));
    exchange.response.head.status = 204;
    exchange.stats.duration = 0.25;
    exchange.stats.sent = 12;
    run(&mut *filter, Phase::Log, &mut exchange).unwrap();
    let field = |name: &str| exchange.log.iter().find(|f| &*f.0 == name).map(|f| f.1.clone());
    assert_eq!(field("user"), Some(Value::from("bob")));
    assert_eq!(field("n"), Some(Value::Int(5)));
    assert_eq!(field("flag"), Some(Value::Bool(true)));
    assert_eq!(field("seen"), Some(Value::from("204 main GET 192.0.2.7 0.25 12 bob")));
    assert_eq!(exchange.log.len(), 4);
}
