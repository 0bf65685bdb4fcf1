//! Waits: of the script itself, of its coroutines, through pcall; side by side.

use bytes::Bytes;
use pilotlight_filter::abi::Phase;
use pilotlight_filter::{Body, BodyError, Frame, Source};
use std::collections::VecDeque;
use std::task::{Context, Poll};

use crate::rig::*;

/// A body that comes piece by piece, with a pause before each.
struct Drip(VecDeque<Result<Bytes, BodyError>>, bool);

impl Source for Drip {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.1 = !self.1;
        if self.1 {
            return Poll::Pending;
        }
        Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::Data)))
    }
}

fn drip(pieces: &[&'static str]) -> Body {
    let pieces = pieces.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
    Body::stream(Box::new(Drip(pieces, false)), None)
}

fn waited(body: &str, delay: u32) -> String {
    let rig = rig(&format!("local f = {{}}\nfunction f.request(req, ctx)\n{body}\nend\nreturn f"));
    rig.world.delay.set(delay);
    let mut exchange = exchange();
    exchange.request.body = drip(&["{\"a\":", "[1,2]}"]);
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut exchange).unwrap_or_else(|f| panic!("{body}: {f}"));
    text(&mut exchange.response.body)
}

#[test]
fn every_wait_everywhere() {
    for (body, want) in [
        ("local t = gateway.now() gateway.sleep(1.5) return { body = gateway.now() - t .. '' }", "1.5"),
        ("return { body = req:body() }", "{\"a\":[1,2]}"),
        ("return { body = req:json().a[2] .. '' }", "2"),
        ("return { body = table.concat({ tostring(req:body(3)), (select(2, req:body(3))) }, ' ') }", "nil too large"),
        ("return { body = gateway.fetch('http://x/').body }", "{\"url\":\"http://x/\"}"),
        ("return { body = gateway.fetch { url = '/y', upstream = 'u' }:json().url }", "/y"),
        ("local r = gateway.fetch 'http://x/' return { body = r.status .. r.headers['X-A'] .. r.headers['x-many'][2] }", "20012"),
        ("local r, e = gateway.fetch 'http://fail/' return { body = tostring(r) .. e }", "nilconnection refused"),
        ("return { body = gateway.wasm('calc').add(2, 3) .. '' }", "5"),
        ("return { body = gateway.wasm('calc').slow('abc') }", "ABC"),
        ("local r, e = gateway.wasm('calc').trap() return { body = tostring(r) .. e }", "nilit trapped"),
        ("local ok, v = pcall(function() gateway.sleep(1) return 'in pcall' end) return { body = v }", "in pcall"),
        ("local ok, v = pcall(function() gateway.sleep(1) error('late', 0) end) return { body = v }", "late"),
        ("local ok, v = xpcall(function() gateway.sleep(1) error('x', 0) end, function(e) return e .. '!' end) return { body = v }", "x!"),
        ("return { body = coroutine.wrap(function() gateway.sleep(1) return 'in wrap' end)() }", "in wrap"),
        ("local co = coroutine.create(function(a) local b = coroutine.yield(a + 1) gateway.sleep(1) return b * 2 end)
          local _, x = coroutine.resume(co, 1) local _, y = coroutine.resume(co, 21)
          return { body = x .. ' ' .. y .. ' ' .. coroutine.status(co) }", "2 42 dead"),
        ("local f = coroutine.wrap(function() return coroutine.wrap(function() return req:body() end)() end) return { body = f() }", "{\"a\":[1,2]}"),
        ("local s = '' for x in coroutine.wrap(function() for i = 1, 3 do gateway.sleep(1) coroutine.yield(i) end end) do s = s .. x end return { body = s }", "123"),
        ("local co = coroutine.wrap(function() return pcall(function() gateway.sleep(1) return gateway.wasm('calc').slow('x') end) end) return { body = select(2, co()) }", "X"),
        ("return { body = ('a-b'):gsub('%a', function(c) gateway.sleep(1) return c:upper() end) }", "A-B"),
        ("local t = { 3, 1, 2 } table.sort(t, function(a, b) gateway.sleep(0.1) return a < b end) return { body = table.concat(t) }", "123"),
        ("local t = setmetatable({}, { __index = function(t, k) gateway.sleep(1) return k end }) return { body = t.lazy }", "lazy"),
        ("return { body = select('#', coroutine.resume(coroutine.create(function() end))) .. '' }", "1"),
        ("local co co = coroutine.create(function() return coroutine.status(co) .. tostring(coroutine.running() == co) .. tostring(coroutine.isyieldable()) end) return { body = select(2, coroutine.resume(co)) .. tostring(coroutine.isyieldable()) }", "runningtruetruefalse"),
        ("local r = gateway.all { function() gateway.sleep(2) return 'a' end, function() return 'b' end, function() return (gateway.fetch 'http://x/').status end } return { body = table.concat(r, ' ') }", "a b 200"),
        ("local ok, e = pcall(gateway.all, { function() gateway.sleep(2) error('one', 0) end, function() end }) return { body = e }", "one"),
        ("return { body = table.concat(gateway.all {}, ' ') .. 'none' }", "none"),
    ] {
        for delay in [0, 3] {
            assert_eq!(waited(body, delay), want, "delay {delay}: {body}");
        }
    }
}

#[test]
fn bodies_fail() {
    let rig = rig(
        "return { request = function(req) local b, e = req:body() return { body = tostring(b) .. e } end }",
    );
    let mut exchange = exchange();
    let pieces = [Ok(Bytes::from_static(b"x")), Err(BodyError::Incomplete)].into();
    exchange.request.body = Body::stream(Box::new(Drip(pieces, false)), None);
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
    assert_eq!(text(&mut exchange.response.body), "nilthe peer closed before the end of the body");
}

#[test]
fn both_directions_at_once_and_giving_up() {
    let script = "return {
      request_body = function(chunk, last, ctx) gateway.sleep(1) return chunk:upper() end,
      response = function(res, ctx) gateway.sleep(1) res.headers['x'] = 'y' end,
    }";
    let rig = rig(script);
    rig.world.delay.set(1);
    let mut exchange = exchange();
    let mut filter = rig.realm.start(0);
    let mut chunk = pilotlight_filter::Chunk { data: "abc".into(), last: false };
    let filter = &mut *filter;
    assert!(poll(filter, Phase::RequestBody, &mut exchange, Some(&mut chunk)).is_pending());
    assert!(poll(filter, Phase::Response, &mut exchange, None).is_pending());
    assert!(poll(filter, Phase::RequestBody, &mut exchange, Some(&mut chunk)).is_ready());
    assert_eq!(chunk.data, "ABC");
    assert!(poll(filter, Phase::Response, &mut exchange, None).is_ready());
    assert_eq!(exchange.response.head.fields.get(b"x"), Some(&b"y"[..]));
    // A waiting phase is dropped when another of its direction begins.
    assert!(poll(filter, Phase::RequestBody, &mut exchange, Some(&mut chunk)).is_pending());
    assert!(poll(filter, Phase::Log, &mut exchange, None).is_ready());
    // And a waiting filter may be dropped.
    assert!(poll(filter, Phase::Response, &mut exchange, None).is_pending());
}

#[test]
fn interleaved_exchanges_keep_their_own_request() {
    let script = "return { request = function(req)
      local seen = req.headers['x-n']
      gateway.sleep(1)
      assert(req.headers['x-n'] == seen)
      req.headers['x-out'] = seen .. req.headers['x-n']
    end }";
    let rig = rig(script);
    rig.world.delay.set(2);
    let mut open: Vec<_> = (0..50)
        .map(|n| {
            let mut exchange = exchange();
            exchange.request.head.fields.set(b"x-n", n.to_string().as_bytes()).unwrap();
            (rig.realm.start(0), exchange, n)
        })
        .collect();
    for _ in 0..4 {
        for (filter, exchange, _) in &mut open {
            if exchange.request.head.fields.get(b"x-out").is_none() {
                let _ = poll(&mut **filter, Phase::Request, exchange, None);
            }
        }
    }
    for (_, exchange, n) in &open {
        let want = format!("{n}{n}");
        assert_eq!(exchange.request.head.fields.get(b"x-out"), Some(want.as_bytes()));
    }
}

#[test]
fn phases_of_the_response_and_the_log_wait_for_anything() {
    const SCRIPT: &str = "local function all(where)
        gateway.sleep(1)
        local said = { gateway.fetch('http://x/').status, gateway.wasm('calc').slow('m') }
        for _, v in ipairs(gateway.all { function() gateway.sleep(1) return 'a' end, function() return 'b' end }) do
          said[#said + 1] = v
        end
        gateway.log.info(where .. ' ' .. table.concat(said, ' '))
      end
      return {
        response = function(res) all('response ' .. res:body()) res.headers['x-said'] = 'yes' end,
        response_body = function(chunk, last) all('body ' .. chunk) return chunk:upper() end,
        response_trailers = function() all('trailers') end,
        log = function(entry) all('log ' .. entry.status) entry.said = 'yes' end,
      }";
    let rig = rig(SCRIPT);
    rig.world.delay.set(2);
    let mut exchange = exchange();
    exchange.response.head.status = 200;
    exchange.response.body = drip(&["r", "s"]);
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Response, &mut exchange).unwrap();
    let mut chunk = pilotlight_filter::Chunk { data: "abc".into(), last: true };
    while poll(&mut *filter, Phase::ResponseBody, &mut exchange, Some(&mut chunk)).is_pending() {}
    run(&mut *filter, Phase::ResponseTrailers, &mut exchange).unwrap();
    run(&mut *filter, Phase::Log, &mut exchange).unwrap();
    assert_eq!(chunk.data, "ABC");
    assert_eq!(exchange.response.head.fields.get(b"x-said"), Some(&b"yes"[..]));
    assert_eq!(exchange.log.len(), 1);
    let lines = rig.world.lines.borrow();
    let said: Vec<_> = lines.iter().map(|line| line.rsplit(": ").next().unwrap()).collect();
    let tail = "200 M a b";
    let want = ["response rs", "body abc", "trailers", "log 200"].map(|w| format!("{w} {tail}"));
    assert_eq!(said, want);
}

#[test]
fn stages_of_a_body_pass_with_their_chunk_and_before_the_phase_of_the_script() {
    let rig = rig("return {
        request = function(req) req:transform(gateway.wasm 'calc', 'slow') end,
        request_body = function(chunk) gateway.sleep(1) return chunk .. '!' end,
        response = function(res) res:transform_whole('calc', 'slow') end,
      }");
    rig.world.delay.set(2);
    let mut exchange = exchange();
    exchange.request.body = drip(&["x"]);
    exchange.response.body = drip(&["x"]);
    let mut filter = rig.realm.start(0);
    let enlisted = |phase| pilotlight_filter::Verdict::Enlist([phase].into_iter().collect());
    let begun = run(&mut *filter, Phase::Request, &mut exchange).unwrap();
    assert_eq!(begun, enlisted(Phase::RequestBody));
    let mut pass = |filter: &mut dyn pilotlight_filter::Filter, phase, data: &'static str, last| {
        let mut chunk = pilotlight_filter::Chunk { data: data.into(), last };
        let mut polls = 0;
        while poll(filter, phase, &mut exchange, Some(&mut chunk)).is_pending() {
            polls += 1;
        }
        (String::from_utf8(chunk.data.to_vec()).unwrap(), polls > 0)
    };
    assert_eq!(pass(&mut *filter, Phase::RequestBody, "ab", false), ("AB!".into(), true));
    assert_eq!(pass(&mut *filter, Phase::RequestBody, "c", true), ("C!".into(), true));
    let mut other = crate::rig::exchange();
    other.response.body = drip(&["x"]);
    let begun = run(&mut *filter, Phase::Response, &mut other).unwrap();
    assert_eq!(begun, enlisted(Phase::ResponseBody));
    assert_eq!(pass(&mut *filter, Phase::ResponseBody, "ab", false), ("".into(), false));
    assert_eq!(pass(&mut *filter, Phase::ResponseBody, "c", true), ("ABC".into(), true));
    // A script that has placed nothing is called for nothing more.
    let quiet = crate::rig::rig("return { request = function() gateway.sleep(1) end }");
    let begun = quiet.request().0.unwrap();
    assert_eq!(begun, pilotlight_filter::Verdict::Continue);
}
