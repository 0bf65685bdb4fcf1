//! Scripts that mean harm: none holds its worker, takes the process's memory, or reaches another filter.

use std::time::Duration;

use pilotlight_filter::abi::Phase;

use crate::rig::*;

const CPU: Duration = Duration::from_millis(10);
/// Over the limit: 20 ms on a quiet machine in a release build.
const LATE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 60 } else { 20 });
/// What a script may make the host hold beside its own VM.
const HELD: u64 = 48 << 20;

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Each may fail or answer as it likes: in time, within memory, and the next exchange is served.
const ATTACKS: &[&str] = &[
    // Matchers: long sets, many matches, replacements that multiply.
    "string.find(('a'):rep(1e6), '[' .. ('b'):rep(1e6) .. ']')",
    "string.find(('a'):rep(1e6), ('[' .. ('b'):rep(1e3) .. ']*'):rep(100) .. 'c')",
    "string.find(('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(31))",
    "return ('a'):rep(30):find(('a?'):rep(30) .. ('a'):rep(30) .. 'b')",
    "string.find(('('):rep(1e6), '%b()')",
    "string.find(('a'):rep(1e6), '(a*)%1b')",
    "string.gsub(('a'):rep(1e6), '', '')",
    "string.gsub(('a'):rep(1e6), 'a', ('b'):rep(100))",
    "string.gsub(('x'):rep(1e6), '.*', ('%0'):rep(5e5))",
    "string.gsub(('x'):rep(1e6), '(.*)', ('%1'):rep(5e5))",
    "string.gsub(('a'):rep(1e6), '%f[%w]', '')",
    "for _ in string.gmatch(('a'):rep(1e6), '()') do end",
    "string.find(('\\0'):rep(1e6), '[%z\\0]+x')",
    "while true do string.find(('a'):rep(1e6), 'b') end",
    // Tables that lie about their length, and loops in C.
    "table.insert({}, -2147483647, 1)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end table.insert(t, 1, 1)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end table.concat(t)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end unpack(t)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end table.sort(t)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end table.remove(t, 1)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end table.move(t, 1, #t, 2)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 'x' end return { headers = { x = t } }",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 'x' end gateway.fetch { url = 'http://a', headers = { x = t } }",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end return { json = t }",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end gateway.json.encode(t)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end gateway.log.info('x', t)",
    "local t = {} for i = 0, 30 do t[2 ^ i] = print end gateway.all(t)",
    "local t = {} for i = 1, 1e6 do t[i] = '' end while true do table.concat(t) end",
    "table.move({}, -2147483647, 2147483646, 1)",
    "table.new(2 ^ 30, 2 ^ 30)",
    "table.sort({ 3, 1, 2, 5, 4, 9, 8, 7, 6, 10, 13, 12, 11, 15 }, function() return true end)",
    "table.sort({ 3, 1, 2 }, function() coroutine.yield() end)",
    "table.sort({ 3, 1, 2 }, function() gateway.sleep(0.1) return false end)",
    // Sources that are slow to parse.
    "local p = {} for i = 1, 60000 do p[i] = '::a' .. i .. '::' end load(table.concat(p))",
    "local p = {} for i = 1, 30000 do p[i] = 'goto a' end load('do ' .. table.concat(p, ' ') .. ' end')",
    "load('return ' .. ('{'):rep(1e5))",
    "load('return ' .. ('-'):rep(5e5) .. '1')",
    "load('x = ' .. ('a.'):rep(2e5) .. 'a')",
    "load('return ' .. ('1 .. '):rep(1e5) .. '1')",
    "while true do load('return 1') end",
    // Values that are small in the VM and large beside it.
    "local s = ('x'):rep(1e6) local t = {} for i = 1, 9999 do t[i] = s end gateway.log.info('x', t)",
    "local s = ('x'):rep(1e6) local t = {} for i = 1, 9999 do t[i] = s end req.properties.x = t",
    "local s = ('x'):rep(1e6) local t = {} for i = 1, 9999 do t[i] = s end gateway.wasm('calc').add(unpack(t, 1, 5000))",
    "local s = ('x'):rep(1e6) local t = {} for i = 1, 9999 do t[i] = s end gateway.fetch { url = 'http://a', headers = { a = t } }",
    "local s = ('x'):rep(1e6) for i = 1, 1e6 do req.properties['k' .. i] = s end",
    "local s = '/' .. ('x'):rep(60000) while true do req.path = s end",
    "local s = ('x'):rep(60000) while true do req.query = s end",
    "local s = ('x'):rep(500) while true do req.host = s end",
    "while true do req.method = ('X'):rep(64) end",
    "local s = ('x'):rep(60000) while true do req.headers.a = s end",
    "local s = ('x'):rep(60000) while true do req.headers:add('a', s) end",
    "local s = ('x'):rep(1e6) while true do req:set_body(s) end",
    "local s = ('x'):rep(1e6) s = s .. s .. s s = s .. s while true do gateway.base64.encode(s) end",
    "local s = ('\\1'):rep(1e6) s = s .. s .. s s = s .. s while true do gateway.url.encode(s) end",
    "local s = ('a'):rep(1e6) s = s .. s .. s s = s .. s while true do gateway.hex.decode(s) end",
    "local s = ('\\1'):rep(1e6) s = s .. s .. s s = s .. s gateway.json.encode(s)",
    "local s = ('\\1'):rep(1e6) s = s .. s .. s s = s .. s return { json = s }",
    "local t = {} for i = 1, 90 do t = { t, t } end return { json = t }",
    "local t = {} for i = 1, 90 do t = { t, t } end gateway.json.encode(t)",
    "local t = {} for i = 1, 31 do t = { t, t } end gateway.log.info('x', t)",
    "gateway.json.decode(('['):rep(1e6))",
    "gateway.json.decode('[' .. ('1'):rep(1e6) .. ']')",
    "gateway.json.decode('{' .. ('\"a\":1,'):rep(1e5) .. '\"b\":1}')",
    "local s = ('x'):rep(1e6) error(s .. s .. s)",
    "error(setmetatable({}, { __tostring = function() while true do end end }))",
    "local s = ('x'):rep(1e6) for i = 1, 1e5 do print(s) end",
    // Waits where no wait is expected, and coroutines across calls.
    "pcall(gateway.sleep, 0.1) return { body = 'x' }",
    "xpcall(function() gateway.sleep(0.1) error('x') end, function() gateway.sleep(0.1) end)",
    "setmetatable({}, { __index = function() gateway.sleep(0.1) return 1 end }).x = 1",
    "local t = setmetatable({}, { __index = function() gateway.sleep(0.1) return 1 end }) return { body = '' .. t.x }",
    "local t = setmetatable({}, { __concat = function() gateway.sleep(0.1) return 'x' end }) return { body = t .. t }",
    "tostring(setmetatable({}, { __tostring = function() gateway.sleep(0.1) return 'x' end }))",
    "for x in function(_, i) gateway.sleep(0.1) return nil end do end",
    "('abc'):gsub('.', function() gateway.sleep(0.1) return 'x' end)",
    "load(function() gateway.sleep(0.1) return nil end)",
    "local c c = coroutine.wrap(function() c() end) c()",
    "local c = coroutine.create(function() gateway.sleep(0.1) end) coroutine.resume(c) coroutine.resume(c)",
    "kept = kept or coroutine.wrap(function() while true do gateway.sleep(0.1) coroutine.yield() end end) kept()",
    "local c gateway.all { function() c = coroutine.running() gateway.sleep(0.1) end, function() coroutine.resume(c, 1) end }",
    "gateway.all { function() gateway.all { function() gateway.sleep(0.1) end } end }",
    "local f f = function() gateway.all { f } end f()",
    "local f f = function() return coroutine.wrap(f)() end f()",
    "while true do coroutine.wrap(function() coroutine.yield() end)() end",
    "local t = {} for i = 1, 200 do t[i] = function() gateway.sleep(0.1) end end gateway.all(t)",
    "coroutine.wrap(function() error(setmetatable({}, { __index = error })) end)()",
    "local co = coroutine.create(function() error({}) end) coroutine.resume(co) debug.traceback(co, {}, -1)",
    "debug.traceback(('x'):rep(1e6), 1e9)",
    "setmetatable({}, { __gc = function() while true do end end }) collectgarbage()",
    "local t = setmetatable({}, { __mode = 'kv' }) for i = 1, 1e5 do t[{}] = {} end collectgarbage()",
    "local t = setmetatable({}, { __call = 1 }) getmetatable(t).__call = t t()",
    "local a, b = {}, {} setmetatable(a, { __index = b }) setmetatable(b, { __index = a }) return a.x",
    "local a, b = {}, {} setmetatable(a, { __newindex = b }) setmetatable(b, { __newindex = a }) a.x = 1",
    "local m = {} m.__eq = function(a, b) return a == b end return setmetatable({}, m) == setmetatable({}, m)",
    "local m = {} m.__lt = function(a, b) return a < b end return setmetatable({}, m) < setmetatable({}, m)",
    "rawset(req, 2, setmetatable({}, { __index = function() return req.headers end })) return { body = req.headers.x }",
    "req.headers.add({ rawget(req, 1), -2147483648 }, 'a', 'b')",
    "req.headers.add({ rawget(req, 1), {} }, 'a', 'b')",
    "req.headers.add({ rawget(req, 1), 1e300 }, 'a', 'b')",
    "local d = gateway.shared 'sessions' d.get({ {} }, 'x')",
    "local d = gateway.shared 'sessions' d.get({ 1e300 }, 'x')",
    "local d = gateway.shared 'sessions' d:set('x', 1) d:expire('x', 0 / 0) d:expire('x', 1e308) d:incr('x', 0 / 0, 0, 1e308) return { body = '' }",
    "local d = gateway.shared 'sessions' d:keys(0 / 0) d:keys(-1) d:keys(1e308) return { body = '' }",
    "gateway.sleep(0 / 0) gateway.sleep(-1) gateway.sleep(1 / 0) return { body = '' }",
    "req:body(0 / 0) req:body(-1) req:body(1 / 0) return { body = '' }",
    "os.date('!%c', 1e300) os.date('*t', -1e300) os.date('*t', 0 / 0)",
    "os.time { year = 1e9, month = -1e9, day = 1e9, hour = 0 / 0 }",
    "('%99.99f'):rep(200):format(unpack((function() local t = {} for i = 1, 200 do t[i] = 1e308 end return t end)()))",
    "while true do ('%99.99f'):rep(200):format(unpack((function() local t = {} for i = 1, 200 do t[i] = 1e308 end return t end)())) end",
    "string.format('%q', ('\\0'):rep(1e6))",
    "tostring(-1 / 0) string.format('%d', 1e308) string.format('%c', -1) string.format('%s')",
    "('x'):rep(1e6):byte(1, -1)",
    "string.char(unpack((function() local t = {} for i = 1, 7000 do t[i] = 300 end return t end)()))",
    "require(('a.'):rep(1e5))",
    "math.random(1, -1) math.random(0 / 0) math.randomseed(0 / 0)",
    "bit.rol(0 / 0, 1e308) bit.tohex(1, -1e308)",
];

#[test]
fn none_outlasts_its_limit() {
    let late: Vec<String> = ATTACKS.iter().filter_map(|body| one(body).err()).collect();
    assert!(late.is_empty(), "{}", late.join("\n"));
}

fn one(body: &str) -> Result<(), String> {
    let script = format!(
        "return {{ request = function(req, ctx)
           if req.path == '/ok' then return {{ body = 'ok' }} end
           {body}
         end }}"
    );
    let rig = load(&[&script], |plan, _| plan.filters[0].cpu = CPU).unwrap();
    let ok = || {
        let mut exchange = exchange();
        exchange.request.head.set_path(b"/ok").unwrap();
        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
        assert_eq!(text(&mut exchange.response.body), "ok");
    };
    ok();
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (resident, start) = (status("VmRSS"), cpu());
    let (result, exchange) = rig.request();
    let took = cpu() - start;
    let held = status("VmHWM").saturating_sub(resident);
    drop(exchange);
    let what = result.map_or_else(|fault| fault.message, |verdict| format!("{verdict:?}"));
    let over = took.saturating_sub(CPU);
    let line = format!(
        "{:>6.1} ms over, {:>3} MiB  {body}\n      {:.100}",
        over.as_secs_f64() * 1e3,
        held >> 20,
        what.lines().next().unwrap_or_default()
    );
    eprintln!("{line}");
    ok();
    if over > LATE || held > HELD || what.len() > 8192 { Err(line) } else { Ok(()) }
}

/// What a filter does to a thing that it was given, no other filter sees.
#[test]
fn nothing_is_passed_from_filter_to_filter() {
    for poison in [
        "rawset(gateway.shared 'sessions', 'get', function() return 'evil' end)",
        "rawset(gateway.wasm 'calc', 'add', function() return 'evil' end)",
        "rawset(gateway.shared 'sessions', 1, 7)",
        "getmetatable(gateway.fetch('http://a')).__index.json = function() return 'evil' end",
        "getmetatable(gateway.fetch('http://a').headers).__index = function() return 'evil' end",
        "getmetatable(gateway.json.decode('[]')).__index = { 'evil' }",
        "string.upper = function() return 'evil' end",
        "gateway.json.encode = function() return 'evil' end",
        "package.loaded.string.upper = function() return 'evil' end",
        "_G.tostring = function() return 'evil' end",
        "math.floor = function() return 'evil' end",
        "evil = 'evil'",
    ] {
        let first = format!("return {{ request = function() {poison} end }}");
        let second = "return { request = function()
            local d = gateway.shared 'sessions'
            d:set('a', 'good')
            local fetched = gateway.fetch('http://a')
            return { body = table.concat({ d:get('a'), gateway.wasm('calc').add(1, 2),
              fetched:json().url, tostring(fetched.headers['x-none']),
              tostring(gateway.json.decode('[]')[1]), ('x'):upper(), string.upper('x'),
              gateway.json.encode(1), math.floor(1.5), tostring(evil) }, ' ') }
          end }";
        let rig = load(&[&first, second], |_, _| {}).unwrap();
        let _ = rig.request();
        let mut exchange = exchange();
        run(&mut *rig.realm.start(1), Phase::Request, &mut exchange).unwrap();
        let body = text(&mut exchange.response.body);
        assert_eq!(body, "good 3 http://a nil nil X X 1 1 nil", "{poison}");
    }
}
