//! CPU and memory limits: each script fails its own exchange in time, and the next one is served.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::Plan;
use pilotlight_filter::{FaultKind, Frame, Pull, Verdict};

use crate::nginx::access;
use crate::rig::*;

const CPU: Duration = Duration::from_millis(30);
/// Over the limit on a quiet machine: 20 ms. Tests share two cores with others: CPU time counts.
const LATE: Duration = Duration::from_millis(20);

fn stopped(body: &str, kind: FaultKind) {
    let script = format!(
        "local f = {{}}
         function f.request(req, ctx)
           if req.path == '/ok' then return {{ body = 'ok' }} end
           {body}
         end
         return f"
    );
    let change = |plan: &mut Plan, _: &Dir| {
        plan.filters[0].cpu = CPU;
        plan.script.regex.match_limit = u32::MAX;
    };
    let rig = load(&[&script], change).unwrap();
    // Once before, so that loading is not measured.
    let ok = |rig: &Rig| {
        let mut exchange = exchange();
        exchange.request.head.set_path(b"/ok").unwrap();
        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
        assert_eq!(text(&mut exchange.response.body), "ok");
    };
    ok(&rig);
    let start = cpu();
    let (result, _) = rig.request();
    let took = cpu() - start;
    let fault = result.err().unwrap_or_else(|| panic!("not stopped: {body}"));
    assert_eq!(fault.kind, kind, "{body}: {fault}");
    eprintln!("{took:>10.1?} {kind:?}  {body}");
    let slack = if cfg!(debug_assertions) { 2 } else { 1 };
    assert!(took < CPU + LATE * slack, "{body}: {took:?}");
    ok(&rig);
}

#[test]
fn loops_stop_compiled_or_not() {
    for body in [
        "while true do end",
        "for i = 1, math.huge do end",
        "for i = 1, 1e15 do end",
        "local x = 0 while true do x = x + 1 end",
        "local x = 0 repeat x = x + 1 until x < 0",
        "::again:: goto again",
        "local function f() return f() end return f()",
        "local function f(n) if n > 0 then f(n - 1) end end while true do f(100) end",
        "local s = '' while true do s = s .. 'x' s = '' end",
        "local t = {1, 2, 3} while true do for k, v in pairs(t) do t[k] = v end end",
        "local t = {} while true do t = {} end",
        "while true do local x = req.headers['x-token'] end",
        // Nothing, as often as one likes: what is replaced stays in a head, which is full after a while.
        "while true do req.headers['x-a'] = '' end",
        "while true do gateway.now() end",
        "while true do (('x'):rep(100)):find('y') end",
        "local t = setmetatable({}, { __index = function(t, k) return k end }) while true do local x = t[1] end",
        "return load('while true do end')()",
        "string.gsub('x', '.', function() while true do end end)",
        "table.sort({ 3, 2, 1 }, function() while true do end end)",
        "setmetatable({}, { __call = function() while true do end end })()",
        "tostring(setmetatable({}, { __tostring = function() while true do end end }))",
        "for x in function() return 1 end do end",
        "local s = {} for i = 1, 200000 do s[i] = i * 7919 % 200001 end while true do table.sort(s, function(a, b) return a > b end) end",
        "while true do gateway.json.encode({ 1, 2, 3 }) end",
        "while true do string.format('%s', 1) end",
        "local t = {} for i = 1, 50000 do t[i] = { i } end while true do gateway.json.encode(t) end",
        "local s = '[' .. ('1,'):rep(500000) .. '1]' while true do gateway.json.decode(s) end",
        "while true do collectgarbage() end",
        "while true do debug.traceback() end",
        "while true do error(1) end",
    ]
    .into_iter()
    .filter(|body| !body.contains("error(1)"))
    {
        stopped(body, FaultKind::Cpu);
    }
}

/// Loops in loops, and those that leave each other: each turn can be left (`runtime/luajit/asm.c`).
#[test]
fn short_loops_that_go_on_for_ever_stop() {
    for body in [
        "local x = 0 while true do for i = 1, 50 do x = x + i end end",
        "local x = 0 repeat for i = 50, 1, -1 do x = x + i end for i = 1, 60 do x = x - i end until x < -1e300",
        "local x = 0 for a = 1, 99 do for b = 1, 99 do for c = 1, 99 do for d = 1, 99 do for e = 1, 99 do x = x + e end end end end end",
        "local x = 0 while true do for i = 1, 200 do if i % 2 == 0 then x = x + 1 elseif i % 3 == 0 then x = x - 1 end end end",
        "local x = 0 local function f() for i = 1, 99 do x = x + i end return f() end f()",
        "local x = 0 while true do local function f() for i = 1, 99 do x = x + i end end f() end",
        // Each leaves its loop by a call of the other, which keeps no frame.
        "local g, h, x = nil, nil, 0
         function g() for i = 1, 99 do x = x + 1 if x % 90 == 89 then return h() end end return h() end
         function h() for i = 1, 99 do x = x + 1 if x % 80 == 79 then return g() end end return g() end g()",
        "local x = 0 local f = coroutine.wrap(function() while true do for i = 1, 99 do x = x + i end coroutine.yield() end end) while true do f() end",
        "local x = 0 while true do for i = 1, 99 do x = x + i if i == 98 then break end end end",
        // Its turns are few, each is long.
        "local s, x = ('ab'):rep(500000), 0 for i = 1, 250 do x = x + #s:upper() + #s:reverse() + #(s .. i) end",
        "local s, x = ('ab'):rep(500000), 0 while true do for i = 1, 250 do x = x + #s:upper() end end",
    ] {
        stopped(body, FaultKind::Cpu);
    }
}

#[test]
fn pcall_and_coroutines_do_not_hide_a_loop() {
    for body in [
        "pcall(function() while true do end end)",
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(error, 'x') end",
        "local function f() while true do pcall(f) end end f()",
        "xpcall(function() while true do end end, function() while true do end end)",
        "while true do xpcall(function() while true do end end, function() return 1 end) end",
        "coroutine.wrap(function() while true do end end)()",
        "local co = coroutine.create(function() while true do end end) while true do coroutine.resume(co) end",
        "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
        "while true do pcall(coroutine.wrap(function() while true do pcall(function() while true do end end) end end)) end",
        "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
        "local function deep(n) if n == 0 then while true do end end coroutine.wrap(deep)(n - 1) end while true do pcall(deep, 10) end",
        "while true do pcall(load, 'return 1') end",
    ] {
        stopped(body, FaultKind::Cpu);
    }
}

#[test]
fn patterns_have_a_budget() {
    for body in [
        "string.find(('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(31))",
        "string.find(('\"x'):rep(3000), '(\".-\")(\".-\")(\".-\")(\".-\")$')",
        "string.match(('a'):rep(100000), '.-.-.-.-.-b')",
        "for _ in string.gmatch(('a'):rep(100000), '.-.-.-b') do end",
        "string.gsub(('a'):rep(100000), '.-.-.-b', '')",
        "string.gsub(('a'):rep(100000), '.-.-.-b', print)",
        "(('a'):rep(100000)):find('.-.-.-b')",
    ] {
        let fault = failure(body);
        assert!(fault.message.contains("too many steps"), "{body}: {fault}");
    }
    // A gsub over much text is many matches, each within its budget.
    let long = answer(
        "local s = ('abc '):rep(200000)
         local r, n = s:gsub('%a+', 'x')
         return { body = #r .. ' ' .. n }",
    );
    assert_eq!(long, "400000 200000");
    let deep = failure("local function f() return (string.gsub('x', '.', f)) end f()");
    assert!(deep.message.contains("stack overflow"), "{deep}");
}

#[test]
fn regular_expressions_stop_in_the_middle() {
    // Steps without end, or few of them and each over much text: only leaving it helps.
    let long = "local s = ('a'):rep(300000)";
    for (flags, pattern, bytes) in [
        ("", "(?:a|a?)+[xy]", 40),
        ("j", "(?:a|a?)+[xy]", 40),
        ("ju", "(?:a|a?)+[xy]", 40),
        ("", "a*[bc]", 300_000),
        ("u", "a*[bc]", 300_000),
        ("d", "a*[bc]", 300_000),
    ] {
        let subject = format!("('a'):rep({bytes})");
        stopped(&format!("gateway.re.match({subject}, '{pattern}', '{flags}')"), FaultKind::Cpu);
    }
    for body in [
        "gateway.re.gsub(s, 'a*[bc]', '')",
        "gateway.re.gsub(s, 'a*[bc]', print)",
        "gateway.re.split(s, 'a*[bc]')",
        "for _ in gateway.re.gmatch(s, 'a*[bc]') do end",
        "pcall(gateway.re.match, s, 'a*[bc]') while true do end",
        "while true do pcall(gateway.re.match, s, 'a*[bc]', 'j') end",
        "coroutine.wrap(function() gateway.re.match(s, 'a*[bc]') end)()",
        "while true do gateway.re.match(s, 'a', 'j') end",
        "for i = 1, math.huge do gateway.re.match('a', '(a|b)+' .. i, 'j') end",
        "for i = 1, math.huge do pcall(gateway.re.match, 'a', ('('):rep(200) .. i) end",
        "local t = {} for i = 1, 2500 do t[i] = '(?<n' .. i .. '>a)' end
         local p = table.concat(t) for i = 1, math.huge do pcall(gateway.re.match, 'a', p .. i, 'j') end",
        "local p = ('(?:ab|cd|ef[g-z]*)'):rep(400) for i = 1, math.huge do pcall(gateway.re.match, 'a', p .. i, 'j') end",
        "local p = ('(?<=a|bc)'):rep(300) for i = 1, math.huge do pcall(gateway.re.match, 'a', p .. i, 'j') end",
    ] {
        stopped(&format!("{long} {body}"), FaultKind::Cpu);
    }
}

#[test]
fn memory_bombs_end_their_exchange() {
    for body in [
        "local t = {} for i = 1, math.huge do t[i] = { i } end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end",
        "while true do pcall(function() local s = 'x' while true do s = s .. s end end) end",
        "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
        "coroutine.wrap(function() local t = {} while true do t[#t + 1] = {} end end)()",
        "local t = {} for i = 1, 1e7 do t[i] = i end",
        "table.new(1e8, 0)",
        "local t = {} while true do t[#t + 1] = load('return ' .. #t) end",
        "local t = {} while true do t[#t + 1] = function() return t end end",
        "local t = {} for i = 1, math.huge do t[i .. 'k'] = i end",
    ] {
        let script = format!(
            "return {{ request = function(req)
               if req.path == '/ok' then return {{ body = 'ok' }} end
               {body}
             end }}"
        );
        let rig = load(&[&script], |plan, _| {
            plan.filters[0].cpu = Duration::from_secs(20);
            plan.script.memory = 8 << 20;
        })
        .unwrap();
        let before = cpu();
        let (result, _) = rig.request();
        let fault = result.err().unwrap_or_else(|| panic!("not stopped: {body}"));
        assert_eq!(fault.kind, FaultKind::Memory, "{body}: {fault}");
        eprintln!("{:?} {body}", cpu() - before);
        // The next exchange gets a new VM.
        let mut exchange = exchange();
        exchange.request.head.set_path(b"/ok").unwrap();
        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
        assert!(rig.heap() < 1 << 20, "{}", rig.heap());
    }
}

#[test]
fn garbage_is_not_held_against_a_script() {
    let script = "return { request = function()
      local n = 0
      for i = 1, 200 do
        local s = ('x'):rep(500000) .. i
        n = n + #s
      end
      return { body = tostring(n) }
    end }";
    let rig = load(&[script], |plan, _| {
        plan.script.memory = 4 << 20;
        plan.filters[0].cpu = Duration::from_secs(5);
    })
    .unwrap();
    let (result, mut exchange) = rig.request();
    result.unwrap();
    assert_eq!(text(&mut exchange.response.body), "100000492");
}

#[test]
fn results_have_caps() {
    for body in [
        "return ('x'):rep(1e9)",
        "return ('x'):rep(1024 * 1024 + 1)",
        "return ('x'):rep(2 ^ 40)",
        "local t = {} for i = 1, 2000 do t[i] = ('x'):rep(1000) end return table.concat(t)",
        "return table.concat({ 'a', 'b' }, ('x'):rep(1024 * 1024))",
        "return ('%s'):rep(20):format(unpack((function() local t = {} for i = 1, 20 do t[i] = ('x'):rep(100000) end return t end)()))",
        "return ('x'):rep(1000):gsub('.', ('y'):rep(2000))",
        "return ('x'):rep(1000):gsub('.', function() return ('y'):rep(2000) end)",
    ] {
        let fault = failure(body);
        assert!(fault.message.contains("too large"), "{body}: {fault}");
    }
    assert_eq!(answer("return { body = #('x'):rep(1024 * 1024) .. '' }"), "1048576");
    assert_eq!(
        answer("return { body = ('').rep('', 1e9) .. ('ab'):rep(3, '-') .. ('x'):rep(-1) }"),
        "ab-ab-ab"
    );
    let deep = failure(
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) end tostring(t)",
    );
    assert!(deep.message.contains("nested too deeply"), "{deep}");
    let deep = failure(
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return ('%s'):format(t) end tostring(t)",
    );
    assert!(deep.message.contains("nested too deeply"), "{deep}");
}

#[test]
fn coroutines_nest_sixteen_deep() {
    let nest = |depth: usize| {
        format!(
            "local function f(n) if n == 0 then return 'bottom' end
               return coroutine.wrap(f)(n - 1) end
             return {{ body = f({depth}) }}"
        )
    };
    assert_eq!(answer(&nest(16)), "bottom");
    assert!(failure(&nest(17)).message.contains("nested too deeply"));
    let endless = "local function f() return coroutine.wrap(f)() end f()";
    assert!(failure(endless).message.contains("nested too deeply"));
    let resumed = "local function f() return select(2, coroutine.resume(coroutine.create(f))) end
      return { body = f() }";
    assert_eq!(answer(resumed), "coroutines are nested too deeply");
}

#[test]
fn slices_add_up() {
    let script = "return { request = function()
      for i = 1, 100 do
        local t = gateway.now()
        for j = 1, 3e6 do t = t + j end
        gateway.sleep(0.001)
      end
      return { body = 'done' }
    end }";
    let rig = load(&[script], |plan, _| plan.filters[0].cpu = Duration::from_millis(20)).unwrap();
    let (result, _) = rig.request();
    assert_eq!(result.err().map(|fault| fault.kind), Some(FaultKind::Cpu));
}

#[test]
fn waiting_costs_no_cpu_time() {
    let script = "return { request = function()
      for i = 1, 1000 do gateway.sleep(10) end
      return { body = 'done' }
    end }";
    let rig = load(&[script], |plan, _| plan.filters[0].cpu = Duration::from_millis(60)).unwrap();
    let (result, mut exchange) = rig.request();
    result.unwrap();
    assert_eq!(text(&mut exchange.response.body), "done");
}

/// What the worker does to send it is the script's doing.
#[test]
fn writing_costs_time_by_the_byte() {
    let rig = access("while true do ngx.print(('x'):rep(1e6)) end", |plan| {
        plan.filters[0].cpu = Duration::from_millis(5);
    });
    let (mut filter, mut exchange) = (rig.realm.start(0), exchange());
    let begun = poll(&mut *filter, Phase::Request, &mut exchange, None);
    assert!(matches!(begun, Poll::Ready(Ok(Verdict::Stream { .. }))), "{begun:?}");
    let mut written = 0;
    let fault = loop {
        let mut cx = Context::from_waker(Waker::noop());
        match filter.poll_body(&mut cx, Pull { exchange: &mut exchange, flushed: true }) {
            Poll::Ready(Ok(Some(Frame::Data(data)))) => written += data.len(),
            Poll::Ready(Err(fault)) => break fault,
            Poll::Pending => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fault.kind, FaultKind::Cpu, "{fault}");
    assert!(written < 24 << 20, "{written}");
}

#[test]
fn another_exchange_waits_out_a_kill_in_its_old_vm() {
    let script = "return { request = function(req, ctx)
      if req.path == '/wait' then gateway.sleep(1) return { body = 'woke' } end
      while true do end
    end }";
    let rig = load(&[script], |_, _| {}).unwrap();
    rig.world.delay.set(3);
    let mut waiting = exchange();
    waiting.request.head.set_path(b"/wait").unwrap();
    let mut filter = rig.realm.start(0);
    assert!(poll(&mut *filter, Phase::Request, &mut waiting, None).is_pending());
    assert_eq!(rig.request().0.err().map(|f| f.kind), Some(FaultKind::Cpu));
    run(&mut *filter, Phase::Request, &mut waiting).unwrap();
    assert_eq!(text(&mut waiting.response.body), "woke");
}

#[test]
fn kills_do_not_disturb_other_threads() {
    let threads: Vec<_> = (0..3)
        .map(|index| {
            std::thread::spawn(move || {
                let script = "return { request = function(req)
                  if req.path == '/ok' then return { body = 'ok' } end
                  while true do pcall(function() while true do end end) end
                end }";
                let rig = load(&[script], |plan, _| plan.filters[0].cpu = Duration::from_millis(5))
                    .unwrap();
                for round in 0..10 {
                    if (round + index) % 2 == 0 {
                        let fault = rig.request().0.err().map(|f| f.kind);
                        assert_eq!(fault, Some(FaultKind::Cpu));
                    }
                    for _ in 0..200 {
                        let mut exchange = exchange();
                        exchange.request.head.set_path(b"/ok").unwrap();
                        run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn memory_comes_back_when_the_vm_goes() {
    fn mapped() -> usize {
        // Our arenas are the only anonymous mappings from 2^40 to 2^41.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().filter(|line| line.starts_with("100") && line.find('-') == Some(11)).count()
    }
    let script = "return { request = function()
      kept = kept or {}
      for i = 1, 10000 do kept[#kept + 1] = { i } end
      return { body = '' }
    end }";
    let rig = rig(script);
    rig.request().0.unwrap();
    assert!(mapped() > 0);
    let heap = rig.heap();
    assert!(heap > 400_000, "{heap}");
    rig.realm.trim();
    assert_eq!(rig.heap(), 0);
}
