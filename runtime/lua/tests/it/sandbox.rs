//! What scripts must not reach, each tried.

use crate::rig::*;

#[test]
fn what_is_not_there() {
    for name in [
        "io",
        "dofile",
        "loadfile",
        "newproxy",
        "getfenv",
        "setfenv",
        "gcinfo",
        "module",
        "ffi",
        "os.execute",
        "os.exit",
        "os.remove",
        "os.rename",
        "os.tmpname",
        "os.setlocale",
        "package.loadlib",
        "package.loaders",
        "package.searchpath",
        "package.loaded.io",
        "package.loaded.ffi",
        "package.loaded.jit.util",
        "package.loaded['jit.opt']",
        "string.dump",
        "string.buffer",
        "debug.getinfo",
        "debug.getregistry",
        "debug.sethook",
        "debug.getmetatable",
        "debug.setmetatable",
        "debug.getupvalue",
        "debug.setupvalue",
        "debug.getlocal",
        "debug.setfenv",
        "debug.getfenv",
        "debug.upvaluejoin",
        "debug.debug",
        "jit.off",
        "jit.on",
        "jit.flush",
        "jit.attach",
        "jit.opt",
        "jit.util",
        "jit.profile",
        "jit.prngstate",
        "table.foreach",
        "thread",
        "coroutine.close",
    ] {
        let body = format!(
            "local ok, value = pcall(function() return {name} end)
             return {{ body = tostring(ok and value or nil) }}"
        );
        assert_eq!(answer(&body), "nil", "{name}");
    }
}

/// Each must fail or find nothing: the body is "safe", or the phase fails with these words.
#[test]
fn escapes() {
    for (body, error) in [
        ("assert(load('\\27LJ\\2\\8'))", "binary chunk"),
        ("local f, e = load('\\27LJ') assert(f, e)", "binary chunk"),
        ("local f, e = loadstring('\\27LJ') assert(f, e)", "binary chunk"),
        ("local f, e = load('return 1', 'x', 'b') assert(f, e)", "binary chunk"),
        (
            "local n = 0 local f, e = load(function() n = n + 1 return n == 1 and '\\27LJ' or nil end) assert(f, e)",
            "binary chunk",
        ),
        ("getmetatable('').__index = nil", "attempt to index"),
        ("getmetatable('').__index.upper = nil", "attempt to index"),
        ("setmetatable('', {})", "table expected"),
        ("('').foo = 1", "attempt to index"),
        ("collectgarbage('stop')", "not available"),
        ("collectgarbage('setpause', 1)", "not available"),
        ("collectgarbage('generational')", "not available"),
        ("require 'ffi'", "module 'ffi' not found"),
        ("require 'io'", "module 'io' not found"),
        ("require 'jit.util'", "module 'jit.util' not found"),
        ("require 'string.buffer'", "module 'string.buffer' not found"),
        ("require '../../etc/passwd'", "not a module's name"),
        ("require '/etc/passwd'", "not a module's name"),
        ("require 'a\\0b'", "not a module's name"),
        ("getmetatable(req).__index = nil", "attempt to index"),
        ("setmetatable(req, {})", "protected metatable"),
        ("setmetatable(req.headers, {})", "protected metatable"),
        ("setmetatable(gateway.shared 'sessions', {})", "protected metatable"),
        ("setmetatable(gateway.wasm 'calc', {})", "protected metatable"),
        ("req.version = '3'", "can't be assigned"),
        ("req[1] = 7 return { body = req.method }", "this request has ended"),
        ("rawset(req, 1, 99) return { body = req.method }", "this request has ended"),
        ("rawset(req.headers, 1, 1e9) return { body = req.headers['x-token'] }", "ended"),
        ("rawset(req.headers, 2, {}) return { body = req.headers['x-token'] }", ""),
        ("rawset(req.headers, 2, 99) return { body = tostring(req.headers['x-token']) }", "= nil"),
        ("rawset(req.headers, 2, -1) req.headers.x = 'y'", "no trailers"),
        ("rawset(req, 2, 'x') return { body = tostring(req.headers.x) }", "= nil"),
        (
            "local d = gateway.shared 'sessions' rawset(d, 1, 1e9) return { body = tostring(d:get('x')) }",
            "= nil",
        ),
        (
            "local d = gateway.shared 'sessions' rawset(d, 1, -1) assert(d:set('x', 'y'))",
            "not at hand",
        ),
        ("getmetatable(gateway.json.array()).__metatable = nil", "attempt to index"),
        ("coroutine.yield(1)", "outside a coroutine"),
        ("assert(coroutine.running() == nil) return { body = 'x' }", "= x"),
        ("coroutine.resume(coroutine.running())", "coroutine expected"),
        ("coroutine.status(1)", "coroutine expected"),
        ("xpcall(xpcall, xpcall, xpcall, xpcall) return { body = 'x' }", "= x"),
        ("pcall(pcall, pcall, pcall, error) return { body = 'x' }", "= x"),
        (
            "local t = setmetatable({}, { __gc = function() error('gc') end }) t = nil collectgarbage() return { body = 'x' }",
            "= x",
        ),
        ("error(error) ", "function"),
        ("error(req)", "table"),
        ("return setmetatable({}, { __index = function() error('meta') end })", "= "),
        ("local t = {} t.t = t return { json = t }", "nested too deeply"),
        ("return { json = { 1, 2, a = 3 } }", "both list items and named"),
        ("return { json = 0 / 0 }", "not finite"),
        ("return { json = '\\255' }", "not UTF-8"),
        ("tostring(setmetatable({}, { __tostring = function() error('deep') end }))", "deep"),
        (
            "string.format('%s', setmetatable({}, { __tostring = function() return 1 end }))",
            "must return a string",
        ),
        ("string.format('%999d', 1)", "invalid"),
        ("string.rep()", "string expected"),
        ("local s = string.format('%d', 'x')", "number expected"),
        ("('x'):gsub('x', '%9')", "invalid capture index"),
        ("('x'):find('[')", "malformed pattern"),
        ("('x'):find(('('):rep(40))", "too many captures"),
        ("load(('('):rep(300) .. '1' .. (')'):rep(300)) return { body = 'x' }", "= x"),
        ("assert(load(('x = 1 '):rep(100000)))", "too large"),
        ("local function f() return f() + 1 end f()", "stack overflow"),
        ("unpack({}, 1, 1e8)", "too many results"),
        (
            "('x'):byte(1, -1, 1)\nreturn { body = select('#', ('x'):rep(100):byte(1, -1)) .. '' }",
            "= 100",
        ),
        ("math.random(0)", ""),
        ("os.date('%' .. ('x'):rep(1000))", "short string"),
        ("os.time({ year = 1e300, month = 1, day = 1 })", ""),
        ("gateway.log.info(nil) return { body = 'x' }", "= x"),
        ("gateway.log.info('x', { f = print })", "can't be handed over"),
        ("gateway.fetch(print)", "takes a URL"),
        ("gateway.sleep('x')", "takes seconds"),
        ("gateway.all(1)", "list of functions"),
        ("gateway.all({ 1 })", "function expected"),
        ("gateway.shared('sessions'):set('x', {})", "must be a string, number or boolean"),
        ("gateway.shared('sessions'):set({}, 1)", "key must be a string"),
        ("gateway.shared('sessions'):set('a', 1, -1)", "ttl must be"),
        ("gateway.wasm('calc').x = 1", "can't be changed"),
        ("gateway.wasm('calc').none()", "has no function \"none\" (it has: add, slow, trap)"),
        ("table.sort({ 3, 1, 2 }, 5)", "function expected"),
        ("table.sort({ 1, 'x' })", "attempt to compare"),
        ("table.concat({ {} })", "invalid value (table)"),
        ("pairs(nil)", "table expected"),
        ("pairs()", "table expected"),
        ("next({}, 'nope')", ""),
        ("setmetatable({}, { __metatable = 1 }) return { body = 'x' }", "= x"),
        ("_G._G = nil string = nil gateway = nil return { body = 'x' }", "= x"),
        ("_G.pairs = nil tostring = nil return { body = req.method }", "= GET"),
    ] {
        let rig =
            rig(&format!("local f = {{}}\nfunction f.request(req, ctx)\n{body}\nend\nreturn f"));
        let (result, mut exchange) = rig.request();
        let got = match result {
            Err(fault) => fault.message,
            Ok(_) => format!("= {}", text(&mut exchange.response.body)),
        };
        assert!(got.contains(error), "{body}\n  wants: {error}\n  got:   {got}");
        // Nothing is left broken behind.
        let (_, _) = rig.request();
    }
}

#[test]
fn the_globals_are_these() {
    let names = answer(
        "local names = {}
         for name in pairs(_G) do names[#names + 1] = name end
         table.sort(names)
         return { body = table.concat(names, ' ') }",
    );
    assert_eq!(
        names,
        "_G _VERSION assert bit collectgarbage coroutine debug error gateway getmetatable ipairs jit \
         load loadstring math next os package pairs pcall print rawequal rawget rawset require \
         select setmetatable string table tonumber tostring type unpack xpcall"
    );
}

#[test]
fn ffi_only_where_it_is_granted() {
    let script = "return { request = function()
      return { body = tostring(require('ffi').sizeof('int') == 4 and ffi ~= nil) } end }";
    let granted = load(&[script], |plan, _| plan.script.ffi = true).unwrap();
    let (result, mut exchange) = granted.request();
    result.unwrap();
    assert_eq!(text(&mut exchange.response.body), "true");
}

#[test]
fn handles_end_with_their_exchange() {
    let script = "local kept, headers
      return { request = function(req, ctx)
        if kept then
          local errors = {}
          for index, use in ipairs {
            function() return kept.method end, function() kept.path = '/x' end,
            function() return kept.headers end, function() return headers['x-token'] end,
            function() headers['x-a'] = 'b' end, function() headers:add('x', 'y') end,
            function() return headers:all('x') end, function() return kept:args() end,
            function() return kept:body() end, function() kept:set_body('x') end,
            function() return kept:json() end, function() for k in pairs(headers) do end end,
            function() return kept.client end, function() return kept.tls end,
          } do
            local ok, why = pcall(use)
            errors[index] = not ok and why:match('this request has ended') or tostring(index)
          end
          return { body = table.concat(errors, ',') }
        end
        kept, headers = req, req.headers
      end }";
    let rig = rig(script);
    rig.request().0.unwrap();
    let (result, mut exchange) = rig.request();
    result.unwrap();
    let want = vec!["this request has ended"; 14].join(",");
    assert_eq!(text(&mut exchange.response.body), want);
}

#[test]
fn a_handle_works_in_later_phases_of_its_exchange() {
    use pilotlight_filter::abi::Phase;
    let rig = rig("return { request = function(req, ctx) ctx.req = req end,
           response = function(res, ctx) res.headers['x-path'] = ctx.req.path end }");
    let mut exchange = exchange();
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut exchange).unwrap();
    run(&mut *filter, Phase::Response, &mut exchange).unwrap();
    assert_eq!(exchange.response.head.fields.get(b"x-path"), Some(&b"/a/b"[..]));
}
