//! `gateway.*` and the libraries of scripts.

use crate::rig::*;

#[test]
fn json() {
    for (expression, want) in [
        ("json.encode({ a = 1 })", r#"{"a":1}"#),
        ("json.encode({ 1, 2.5, 'x', true, json.null })", r#"[1,2.5,"x",true,null]"#),
        ("json.encode({})", "{}"),
        ("json.encode(json.array())", "[]"),
        ("json.encode(json.array { 1 })", "[1]"),
        ("json.encode(json.decode('[]'))", "[]"),
        ("json.encode(json.decode('{\"a\":[],\"b\":{}}').a)", "[]"),
        ("json.encode('\\n\"\\\\\\1')", r#""\n\"\\\u0001""#),
        ("json.encode(1e300)", "1e300"),
        ("json.encode(0.1)", "0.1"),
        ("json.encode(-5)", "-5"),
        ("json.encode(2 ^ 53)", "9007199254740992"),
        ("json.encode({ [1] = 'a', [2] = 'b' })", r#"["a","b"]"#),
        ("json.encode({ [5] = 'a' })", r#"{"5":"a"}"#),
        ("tostring(json.decode('null') == json.null)", "true"),
        ("json.decode('{\"a\":{\"b\":[1,\"\\\\u00e9\"]}}').a.b[2]", "é"),
        ("tostring(json.decode('1e2'))", "100"),
        ("select(2, json.decode('{\"a\":'))", "EOF while parsing a value at line 1 column 5"),
        ("select(2, json.decode('[1,\\n2,]'))", "trailing comma at line 2 column 3"),
        ("select(2, json.decode('1 2'))", "trailing characters at line 1 column 3"),
        ("select(2, json.decode(('['):rep(200)))", "recursion limit exceeded at line 1 column 128"),
    ] {
        let body = format!("local json = gateway.json return {{ body = {expression} }}");
        assert_eq!(answer(&body), want, "{expression}");
    }
}

#[test]
fn dictionaries() {
    let got = answer(
        "local d, out = gateway.shared('sessions'), {}
         local function put(...) for i = 1, select('#', ...) do out[#out + 1] = tostring((select(i, ...))) end end
         put(d:get('a'), d:set('a', 'text'), d:get('a'))
         put(d:add('a', 1)) put(d:add('n', 1.5, 10), d:get('n'), d:ttl('n'))
         put(d:replace('none', 1)) put(d:replace('n', 2))
         put(d:incr('n', 3), d:incr('c', 1, 10)) put(d:incr('x', 1)) put(d:incr('a', 1))
         put(d:set('t', true), d:get('t'), d:set('f', false), d:get('f'))
         put(d:expire('a', 5), d:ttl('a')) put(d:ttl('zz')) put(d:expire('zz', 1))
         put(d:set('big', ('x'):rep(200000)))
         put(table.concat(d:keys(), '+')) put(#d:keys(1))
         d:delete('a') put(d:get('a')) put(d:set('n', nil), d:get('n'))
         d:flush() put(#d:keys(0))
         put(d:set(5, 'five'), d:get('5'), d:set('bin', 'a\\0b'), #d:get('bin'))
         return { body = table.concat(out, ' ') }",
    );
    assert_eq!(
        got,
        "nil true text nil exists true 1.5 10 nil not found true 5 11 nil not found nil not a number \
         true true true false true 5 nil not found nil not found nil no memory n+c+a+t+f 1 nil true nil 0 \
         true five true 3"
    );
}

#[test]
fn log_lines() {
    let rig = rig("return { request = function(req)
           gateway.log.info('hello', { user = 'a', n = 1 })
           gateway.log.debug('not on')
           gateway.log.error('bad')
           print('x', 1, nil, true)
           for i = 1, 200 do gateway.log.warn('flood') end
         end }");
    rig.request().0.unwrap();
    let lines = rig.world.lines.borrow();
    assert!(lines[0].starts_with("Info f0 req-1: hello "), "{}", lines[0]);
    assert!(lines[0].contains("n=Int(1)"), "{}", lines[0]);
    assert_eq!(lines[1], "Error f0 req-1: bad");
    assert_eq!(lines[2], "Info f0 req-1: x\t1\tnil\ttrue");
    assert_eq!(lines.len(), 101);
    assert!(lines[100].contains("further ones are dropped"), "{}", lines[100]);
}

#[test]
fn helpers() {
    for (expression, want) in [
        ("gateway.base64.encode('foob')", "Zm9vYg=="),
        ("gateway.base64.decode('Zm9vYg')", "foob"),
        ("select(2, gateway.base64.decode('?'))", "not base64"),
        ("gateway.hex.encode('\\0\\255')", "00ff"),
        ("#gateway.hex.decode('00ff')", "2"),
        ("gateway.url.encode('a b/c')", "a%20b%2Fc"),
        ("gateway.url.decode('a%20b')", "a b"),
        ("gateway.env('SITE')", "fra"),
        ("tostring(gateway.env('HOME'))", "nil"),
        ("os.getenv('SITE')", "fra"),
        ("tostring(os.getenv('PATH'))", "nil"),
        ("gateway.name", "f0"),
        ("type(os.time()) .. os.date('!%Y', 0)", "number1970"),
        ("type(debug.traceback())", "string"),
        ("bit.band(7, 2)", "2"),
        ("jit.version:sub(1, 6)", "LuaJIT"),
        ("load('return 1 + 1')()", "2"),
        ("load('x = 5') and (load('x = 5')() or x)", "5"),
        ("load('return y', 'c', 't', { y = 3 })()", "3"),
        ("(select(2, load('return +', '=mine')))", "mine:1: unexpected symbol near '+'"),
        ("('x'):rep(3) .. ('%5.1f'):format(2.25) .. ('ab'):upper():reverse()", "xxx  2.2BA"),
        ("#table.new(4, 0)", "0"),
    ] {
        let got = answer(&format!("return {{ body = tostring(({expression})) }}"));
        assert_eq!(got, want, "{expression}");
    }
}

#[test]
fn modules_of_scripts() {
    let setup = |script: &str| {
        let dir = Dir::new();
        dir.write("lua/util.lua", "local m = {} count = (count or 0) + 1 function m.hi() return 'hi ' .. count .. gateway.name end return m");
        dir.write("lua/pack/init.lua", "return { util = require 'util', name = ... }");
        dir.write("lua/broken.lua", "return {");
        dir.write("lua/fails.lua", "error('inside')");
        dir.write("lua/loop.lua", "return require 'loop'");
        dir.write("lua/waits.lua", "gateway.sleep(1) return 'waited'");
        let script = format!("return {{ request = function(req) {script} end }}");
        let rig = load(&[&script], |plan, _| {
            plan.script.path = ["lua/?.lua", "lua/?/init.lua"]
                .map(|p| dir.0.join(p).to_string_lossy().into())
                .to_vec();
        })
        .unwrap();
        (rig, dir)
    };
    let (rig, _dir) = setup(
        "local u = require 'util' assert(require 'util' == u)
         return { body = u.hi() .. require('pack').util.hi() .. require('pack').name .. require('waits') }",
    );
    let (result, mut exchange) = rig.request();
    result.unwrap();
    assert_eq!(text(&mut exchange.response.body), "hi 1f0hi 1f0packwaited");
    for (name, error) in [
        ("none.at.all", "lua/none/at/all/init.lua'"),
        ("broken", "broken.lua:1: unexpected symbol"),
        ("fails", "fails.lua:1: inside"),
        ("loop", "requires itself"),
    ] {
        let (rig, _dir) = setup(&format!("require '{name}'"));
        let message = rig.request().0.unwrap_err().message;
        assert!(message.contains(error), "{name}: {message}");
    }
}

#[test]
fn fetches_are_as_told() {
    let rig = rig(
        "return { request = function(req)
           gateway.fetch { url = 'http://x/', method = 'POST', body = 'b', timeout = 1.5,
             headers = { ['x-a'] = '1', ['x-b'] = { '1', '2' } }, upstream = 'u' }
           local r, e = gateway.fetch { url = 1 } assert(not r and e:find('url must'))
           r, e = gateway.fetch {} assert(not r and e:find('a url is needed'))
           r, e = gateway.fetch { url = '/', headers = { print } } assert(not r and e:find('headers'))
           r, e = gateway.fetch { url = '/', body = {} } assert(not r and e:find('body must'))
         end }",
    );
    rig.request().0.unwrap();
    let fetches = rig.world.fetches.borrow();
    assert_eq!(fetches.len(), 1);
    let fetch = &fetches[0];
    assert_eq!((fetch.method.as_str(), &fetch.body[..]), ("POST", &b"b"[..]));
    assert_eq!(fetch.timeout, Some(std::time::Duration::from_millis(1500)));
    assert_eq!(fetch.upstream.as_deref(), Some("u"));
    assert_eq!(fetch.headers.len(), 3);
}

#[test]
fn sort_sorts() {
    let got = answer(
        "local seed = 42
         local function random(n) seed = (seed * 16807) % 2147483647 return seed % n end
         for round = 1, 60 do
           local t, n = {}, random(300)
           for i = 1, n do t[i] = random(round % 3 == 0 and 5 or 10000) end
           if round % 4 == 0 then table.sort(t) end
           local down = round % 2 == 0
           table.sort(t, down and function(a, b) return a > b end or nil)
           assert(#t == n)
           for i = 2, n do assert(down and t[i - 1] >= t[i] or not down and t[i - 1] <= t[i]) end
         end
         local t = { 3, 1, 2, 5, 4, 9, 8, 7, 6, 10, 13, 12, 11, 15, 14 }
         table.sort(t, function() return true end)
         return { body = 'sorted' }",
    );
    assert_eq!(got, "sorted");
}

#[test]
fn pairs_and_iteration() {
    let got = answer(
        "local out = {}
         for k, v in pairs({ a = 1 }) do out[#out + 1] = k .. v end
         for i, v in ipairs({ 'x', 'y' }) do out[#out + 1] = i .. v end
         local t = setmetatable({}, { __pairs = function() return function(_, k) return not k and 'mine' or nil end end })
         for k in pairs(t) do out[#out + 1] = k end
         for k, v in pairs(setmetatable({ b = 2 }, { __index = {} })) do out[#out + 1] = k .. v end
         return { body = table.concat(out, ' ') }",
    );
    assert_eq!(got, "a1 1x 2y mine b2");
}
