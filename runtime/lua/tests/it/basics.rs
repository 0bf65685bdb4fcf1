use pilotlight_filter::abi::{Phase, Value};
use pilotlight_filter::{Chunk, FaultKind, Origin, Verdict};

use crate::rig::*;

const AUTH: &str = r#"
local filter = {}
local realm
function filter.init(config)
  assert(config.realm, "realm is required")
  realm = config.realm
end
function filter.request(req, ctx)
  local user = gateway.shared("sessions"):get(req.headers["X-TOKEN"])
  if not user then
    return { status = 401, headers = { ["www-authenticate"] = realm }, body = "sign in\n" }
  end
  ctx.user = user
  req.headers["x-user"] = user
end
function filter.response(res, ctx) res.headers["x-served-by"] = "edge" end
function filter.response_body(chunk, last, ctx) return chunk:upper() end
function filter.log(entry, ctx) entry.user = ctx.user end
return filter
"#;

fn auth() -> Rig {
    load(&[AUTH], |plan, _| {
        plan.filters[0].config = br#"{"realm":"devices"}"#.to_vec();
        plan.filters[0].config_is_json = true;
    })
    .unwrap()
}

#[test]
fn the_contracts_example_answers() {
    let rig = auth();
    let (result, mut exchange) = rig.request();
    assert_eq!(result.unwrap(), Verdict::Reply);
    assert_eq!(exchange.response.head.status, 401);
    assert_eq!(exchange.response.origin, Some(Origin::Filter));
    let head = &exchange.response.head.fields;
    assert_eq!(head.get(b"WWW-Authenticate"), Some(&b"devices"[..]));
    assert_eq!(text(&mut exchange.response.body), "sign in\n");
}

#[test]
fn the_contracts_example_goes_through_all_phases() {
    let rig = auth();
    let phases = rig.library.phases(0);
    for phase in Phase::ALL {
        let wanted =
            matches!(phase, Phase::Request | Phase::Response | Phase::ResponseBody | Phase::Log);
        assert_eq!(phases.has(phase), wanted, "{phase:?}");
    }
    use pilotlight_filter::abi::shared::{Put, Scalar};
    use pilotlight_filter::host::Services;
    let sessions = rig.world.shared("sessions").unwrap();
    sessions.put(b"secret", Scalar::Text(b"alice"), Put::default()).unwrap();
    let mut exchange = exchange();
    let mut filter = rig.realm.start(0);
    let verdict = run(&mut *filter, Phase::Request, &mut exchange).unwrap();
    assert_eq!(verdict, Verdict::Continue);
    assert_eq!(exchange.request.head.fields.get(b"x-user"), Some(&b"alice"[..]));
    run(&mut *filter, Phase::Response, &mut exchange).unwrap();
    assert_eq!(exchange.response.head.fields.get(b"x-served-by"), Some(&b"edge"[..]));
    let mut chunk = Chunk { data: "abc".into(), last: true };
    let polled = poll(&mut *filter, Phase::ResponseBody, &mut exchange, Some(&mut chunk));
    assert!(matches!(polled, std::task::Poll::Ready(Ok(Verdict::Continue))), "{polled:?}");
    assert_eq!(&chunk.data[..], b"ABC");
    run(&mut *filter, Phase::Log, &mut exchange).unwrap();
    assert_eq!(exchange.log, [("user".into(), Value::from("alice"))]);
}

#[test]
fn mistakes_refuse_the_manifest() {
    for (script, line, message) in [
        ("return {", Some(1), "unexpected symbol near '<eof>'"),
        ("local x =\n= 2\nreturn {}", Some(2), "unexpected symbol"),
        ("error('no')", Some(1), "no"),
        ("return 3", None, "must return a table of phases, not a number"),
        ("return {}", None, "no phases"),
        ("return { request = 1 }", None, "request must be a function"),
        (
            "local f = {}\nfunction f.init(c)\n assert(c, 'a config is needed')\nend\nreturn f",
            Some(3),
            "a config is needed",
        ),
        (
            "local f = { request = function() end }\nfunction f.init(c)\n error('x')\nend\nreturn f",
            Some(3),
            "x",
        ),
        ("gateway.sleep(1) return { request = print }", None, "can't wait while it loads"),
        ("require 'nowhere'", Some(1), "lua/nowhere.lua'\n\tno file"),
        ("gateway.shared 'session'", Some(1), "no [shared.session], but sessions"),
        ("gateway.wasm 'none'", Some(1), "no [modules.none]"),
        ("while true do end", None, "over its CPU time"),
        ("\x1bLJ\x02", None, "bytecode"),
    ] {
        let errors = load(&[script], |_, _| {}).err().unwrap_or_else(|| panic!("{script}"));
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message.contains(message), "{script}: {}", errors[0].message);
        assert_eq!(errors[0].line, line, "{script}: {}", errors[0].message);
        assert!(errors[0].file.as_ref().unwrap().ends_with("filters/f0.lua"));
    }
    let missing = load(&[], |plan, dir| plan.filters.push(spec("a", dir.0.join("none.lua"))));
    assert!(missing.err().unwrap()[0].message.contains("can't read"));
}

#[test]
fn all_mistakes_at_once() {
    let errors = load(&["return {", "return {}", "return { log = print }"], |_, _| {});
    assert_eq!(errors.err().unwrap().len(), 2);
}

#[test]
fn errors_name_file_line_and_phase() {
    let fault = failure("local x = nil\nlocal function g() return x.y end\nlocal z = g()");
    assert_eq!(fault.kind, FaultKind::Error);
    assert!(fault.message.starts_with("request: filters/f0.lua:4: attempt to index"), "{fault}");
    let trace = fault.trace.unwrap();
    assert!(trace.contains("filters/f0.lua:5"), "{trace}");
}

#[test]
fn a_trace_leads_through_coroutines_that_died_of_the_error() {
    let died = "local inner = coroutine.wrap(function() local x = nil\nreturn x.y end)
        local outer = coroutine.wrap(function() local v = inner() return v end)
        pcall(coroutine.wrap(function() error('caught') end))
        local v = outer() return v";
    let trace = failure(died).trace.unwrap();
    let parts: Vec<&str> = trace.split('\n').filter(|line| line.starts_with("coroutine")).collect();
    assert_eq!(parts, ["coroutine 1:", "coroutine 2:"], "{trace}");
    let caught = "pcall(coroutine.wrap(function() error('caught') end)) error('another')";
    let trace = failure(caught).trace.unwrap();
    assert!(!trace.contains("coroutine"), "{trace}");
}

#[test]
fn an_error_may_be_any_value() {
    assert_eq!(failure("error({ message = 'mine' })").message, "request: mine");
    assert_eq!(failure("error('plain', 0)").message, "request: plain");
    assert!(failure("error()").message.contains("nil"));
    assert!(failure("error(setmetatable({}, { __index = error }))").message.contains("table"));
}

#[test]
fn answers_of_the_wrong_shape() {
    for (body, message) in [
        ("return 'x'", "returned a string"),
        ("return { status = 99 }", "status 99"),
        ("return { status = 'x' }", "status must be a number"),
        ("return { status = 200.5 }", "status 200.5"),
        ("return { body = {} }", "body must be a string, not a table"),
        ("return { headers = 1 }", "headers must be a table"),
        ("return { headers = { a = {} , b = true } }", "must be a string, not a boolean"),
        ("return { headers = { ['a b'] = 'x' } }", "must be a token"),
        ("return { headers = { a = 'x\\r\\nb: c' } }", "control bytes"),
        ("return { headers = { ['content-length'] = '1' } }", "frames messages"),
        ("return { json = print }", "can't encode a function"),
    ] {
        let fault = failure(body);
        assert!(fault.message.contains(message), "{body}: {fault}");
    }
}

#[test]
fn answers() {
    let rig = rig("return { request = function() return { status = 201, json = { a = { 1, 2 } }, \
         headers = { ['set-cookie'] = { 'a=1', 'b=2' }, n = 5 } } end }");
    let (result, mut exchange) = rig.request();
    assert_eq!(result.unwrap(), Verdict::Reply);
    let fields = &exchange.response.head.fields;
    assert_eq!(fields.all(b"set-cookie").collect::<Vec<_>>(), [b"a=1", b"b=2"]);
    assert_eq!(fields.get(b"content-type"), Some(&b"application/json"[..]));
    assert_eq!(fields.get(b"n"), Some(&b"5"[..]));
    assert_eq!(exchange.response.head.status, 201);
    assert_eq!(text(&mut exchange.response.body), r#"{"a":[1,2]}"#);
}

#[test]
fn targets_must_answer() {
    let target = |script: &str| {
        load(&[script], |plan, _| plan.filters[0].target = true).map(|rig| rig.request())
    };
    let (result, mut exchange) =
        target("return function(req, ctx) return { body = req.path } end").unwrap();
    assert_eq!(result.unwrap(), Verdict::Reply);
    assert_eq!(text(&mut exchange.response.body), "/a/b");
    let (result, _) = target("return { request = function(req) end }").unwrap();
    assert!(result.unwrap_err().message.contains("did not answer"));
    assert!(target("return { log = print }").err().unwrap()[0].message.contains("target"));
}

#[test]
fn only_request_phases_answer() {
    let rig = rig("return { response = function() return {} end }");
    let (result, _) = rig.phase(Phase::Response);
    assert!(result.unwrap_err().message.contains("only request phases can answer"));
}

#[test]
fn body_phases() {
    let script = "return { request_body = function(chunk, last, ctx)
      ctx.n = (ctx.n or 0) + #chunk
      if chunk == 'eat' then return '' end
      if last then return chunk .. ctx.n end
    end, response = function(res, ctx) res.headers['x-n'] = ctx.n end }";
    let rig = rig(script);
    let mut exchange = exchange();
    let mut filter = rig.realm.start(0);
    for (data, last, want) in [("ab", false, "ab"), ("eat", false, ""), ("c", true, "c6")] {
        let mut chunk = Chunk { data: data.into(), last };
        let polled = poll(&mut *filter, Phase::RequestBody, &mut exchange, Some(&mut chunk));
        assert!(polled.is_ready(), "{polled:?}");
        assert_eq!(chunk.data, want);
    }
    run(&mut *filter, Phase::Response, &mut exchange).unwrap();
    assert_eq!(exchange.response.head.fields.get(b"x-n"), Some(&b"6"[..]));
}

#[test]
fn filters_do_not_see_each_others_globals() {
    let writer = "x = 1 string.x = 1 gateway.x = 1 math.x = 1 table.x = 1 coroutine.x = 1 _G.y = 1
      return { request = function(req) return { body = tostring(x) } end }";
    let reader = "return { request = function(req) return { body = table.concat({ tostring(x),
      tostring(string.x), tostring(gateway.x), tostring(math.x), tostring(table.x),
      tostring(coroutine.x), tostring(y), tostring((''):x) }, ' ') } end }"
        .replace("tostring((''):x)", "tostring((''):len())");
    let rig = load(&[writer, &reader], |_, _| {}).unwrap();
    let mut answers = Vec::new();
    for index in [0, 1] {
        let mut exchange = exchange();
        let mut filter = rig.realm.start(index);
        run(&mut *filter, Phase::Request, &mut exchange).unwrap();
        answers.push(text(&mut exchange.response.body));
    }
    assert_eq!(answers, ["1", "nil nil nil nil nil nil nil 0"]);
}

#[test]
fn a_vm_of_its_own_and_trim() {
    let script =
        "n = 0 return { request = function() n = n + 1 return { body = tostring(n) } end }";
    let own = load(&[script, script], |plan, _| plan.filters[1].memory = Some(2 << 20)).unwrap();
    let ask = |rig: &Rig, index| {
        let mut exchange = exchange();
        run(&mut *rig.realm.start(index), Phase::Request, &mut exchange).unwrap();
        text(&mut exchange.response.body)
    };
    assert_eq!([ask(&own, 0), ask(&own, 0), ask(&own, 1), ask(&own, 0)], ["1", "2", "1", "3"]);
    assert!(own.heap() > 50_000, "{}", own.heap());
    own.realm.trim();
    assert_eq!(own.heap(), 0);
    assert_eq!(ask(&own, 0), "1");
    let fresh = load(&[script], |plan, _| plan.filters[0].fresh = true).unwrap();
    assert_eq!([ask(&fresh, 0), ask(&fresh, 0)], ["1", "1"]);
}

#[test]
fn a_body_phase_alone_keeps_its_context() {
    let rig = rig("return { response_body = function(chunk, last, ctx)
           ctx.n = (ctx.n or 0) + 1
           return chunk .. ctx.n
         end }");
    let mut exchange = exchange();
    let mut filter = rig.realm.start(0);
    for want in ["x1", "x2"] {
        let mut chunk = Chunk { data: "x".into(), last: false };
        let polled = poll(&mut *filter, Phase::ResponseBody, &mut exchange, Some(&mut chunk));
        assert!(polled.is_ready());
        assert_eq!(chunk.data, want);
    }
}
