//! Scripts for OpenResty that mean harm: each ends within its limits, and neither the process, the
//! worker nor the other scripts of its VM notice. What native scripts try is in `runaway.rs` and in
//! the Lua engine's own `attacks.rs`.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::gateway::{Gateway, Setup};
use crate::support::message::{Protocol, ask};
use crate::support::{Request, full, h1, run};

/// The limit of CPU time of each script.
const CPU: Duration = Duration::from_millis(10);
/// How late the watchdog may see a script begin.
const TICK: Duration = Duration::from_millis(3);
/// What a script that waits for a peer allows it.
const PATIENCE: Duration = Duration::from_millis(200);

/// How much of the worker's time a script may take past its limit, and the one after it that finds its
/// VM gone: the promises on a quiet machine, more for a build that is not optimized.
fn promised() -> (Duration, Duration) {
    let milliseconds = |over, next| (Duration::from_millis(over), Duration::from_millis(next));
    if full() { milliseconds(20, 5) } else { milliseconds(200, 100) }
}

/// How long a client may wait whose request needs no script.
fn patience_of_others() -> Duration {
    if full() { CPU + Duration::from_millis(20) } else { Duration::from_secs(3) }
}

/// A client on a thread of its own that asks again and again for what needs no script.
struct Other {
    ends: Arc<AtomicBool>,
    /// Microseconds that an answer took at most.
    slowest: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Other {
    /// Between two requests.
    const PACE: Duration = Duration::from_millis(3);

    fn start(gateway: SocketAddr) -> Other {
        let (ends, slowest) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (over, most) = (ends.clone(), slowest.clone());
        let ask = async move {
            let mut client = h1::Client::connect(gateway).await;
            while !over.load(Relaxed) {
                let begun = Instant::now();
                client.send(&Request::get("/ok")).await.assert(200);
                most.fetch_max(begun.elapsed().as_micros() as u64, Relaxed);
                tokio::time::sleep(Other::PACE).await;
            }
        };
        Other { ends, slowest, thread: std::thread::spawn(|| run(ask)) }
    }

    /// What an answer took at most since the last look.
    fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.swap(0, Relaxed))
    }

    fn end(self) {
        self.ends.store(true, Relaxed);
        self.thread.join().unwrap();
    }
}

/// Time that passes, or that the worker uses, whichever is less: beside other tests it waits for the
/// processor, and a script that answers waits for its client.
struct Watch {
    begun: Instant,
    cpu: Duration,
}

impl Watch {
    fn start(gateway: &Gateway) -> Watch {
        Watch { begun: Instant::now(), cpu: gateway.worker_cpu() }
    }

    fn stop(self, gateway: &Gateway) -> Duration {
        self.begun.elapsed().min(gateway.worker_cpu() - self.cpu)
    }
}

/// A phase, or several, and what runs in each.
const SCRIPTS: &[(&str, &str)] = &[
    // Loops, wherever a script runs.
    ("rewrite", "while true do end"),
    ("access", "while true do end"),
    ("content", "while true do end"),
    ("header_filter", "while true do end"),
    ("body_filter", "while true do end"),
    ("log", "while true do end"),
    ("content", "ngx.say('begun') ngx.flush(true) while true do end"),
    ("access", "while true do pcall(function() while true do end end) end"),
    (
        "access",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
    ),
    (
        "access",
        "local c = coroutine.wrap(function() while true do end end) while true do pcall(c) end",
    ),
    (
        "access",
        "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end",
    ),
    ("access", "ngx.thread.spawn(function() while true do end end)"),
    ("access", "ngx.thread.wait(ngx.thread.spawn(function() while true do pcall(error) end end))"),
    ("access", "local function f() ngx.thread.spawn(f) f() end f()"),
    ("access", "while true do ngx.thread.spawn(function() ngx.sleep(100) end) end"),
    ("access", "local s = require 'ngx.semaphore'.new(0) while true do s:post(1) s:wait(0) end"),
    (
        "access",
        "setmetatable(ngx.ctx, { __index = function() while true do end end }) return ngx.ctx.x",
    ),
    (
        "access",
        "ngx.ctx = setmetatable({}, { __newindex = function() while true do end end }) ngx.ctx.x = 1",
    ),
    ("access", "ngx.say(setmetatable({}, { __index = function() while true do end end }))"),
    (
        "access",
        "ngx.log(ngx.ERR, setmetatable({}, { __tostring = function() while true do end end }))",
    ),
    ("access", "error(setmetatable({}, { __tostring = function() while true do end end }))"),
    ("access", "table.sort({ 3, 2, 1 }, function() while true do end end)"),
    ("access", "ngx.re.gsub(('a'):rep(100), 'a', function() while true do end end)"),
    ("access", "ngx.on_abort(function() while true do end end)"),
    // Memory.
    ("access", "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end"),
    (
        "access",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = { {}, {} } end end) end",
    ),
    ("access", "local s = 'x' while true do s = s .. s end"),
    ("access", "while true do local s = ('x'):rep(1e9) end"),
    ("access", "local t = {} for i = 1, 1e9 do t[i] = ngx.ctx ngx.ctx[i] = t end"),
    ("content", "while true do ngx.print(('x'):rep(1e6)) end"),
    ("content", "local t = {} t[1] = t ngx.print(t)"),
    ("content", "local t = { 'x' } for i = 1, 40 do t = { t, t } end ngx.print(t)"),
    ("body_filter", "ngx.arg[1] = ('x'):rep(1e9)"),
    ("body_filter", "local t = { 'x' } for i = 1, 40 do t = { t, t } end ngx.arg[1] = t"),
    ("access", "for i = 1, 1e9 do ngx.header['x-' .. i] = ('x'):rep(1000) end"),
    ("access", "for i = 1, 1e9 do ngx.req.set_header('x-' .. i, ('x'):rep(1000)) end"),
    ("access", "local t = {} for i = 1, 1e6 do t[i] = 'x' end ngx.req.set_header('x', t)"),
    ("access", "ngx.req.set_uri_args(('a=b&'):rep(1e7))"),
    ("access", "while true do ngx.req.set_uri('/' .. ('x'):rep(1e6)) end"),
    ("access", "ngx.req.read_body() while true do ngx.req.set_body_data(('x'):rep(1e6)) end"),
    ("access", "ngx.req.init_body() while true do ngx.req.append_body(('x'):rep(1e6)) end"),
    ("access", "while true do ngx.log(ngx.ERR, ('x'):rep(1e6)) end"),
    ("access", "local m = ngx.shared.tiny for i = 1, 1e9 do m:set(i, ('x'):rep(1000)) end"),
    (
        "access",
        "local m = ngx.shared.tiny for i = 1, 1e9 do m:safe_set(i, ('x'):rep(100)) m:lpush('l', i) end",
    ),
    ("access", "local m = ngx.shared.tiny while true do m:get_keys(0) m:flush_all() end"),
    ("access", "require 'resty.lrucache'.new(1e9)"),
    ("access", "require 'table.new'(2 ^ 30, 2 ^ 30)"),
    // Recursion.
    ("access", "local function f() return 1 + f() end f()"),
    ("access", "local function f() pcall(f) f() end f()"),
    ("access", "local function f() return coroutine.wrap(f)() end f()"),
    ("access", "local function f(s) return (s:gsub('.', f)) end f('x')"),
    ("access", "local function f(m) return ngx.re.gsub(m and m[0] or 'x', '.', f) end f()"),
    (
        "access",
        "local m = {} m.__index = function(t, k) return t[k .. 'x'] end return setmetatable({}, m).x",
    ),
    ("access", "local t = {} for i = 1, 1e5 do t = { t } end require 'cjson'.encode(t)"),
    ("access", "require 'cjson'.decode(('['):rep(1e6))"),
    ("access", "ngx.location.capture(ngx.var.uri)"),
    ("access", "ngx.exec(ngx.var.uri)"),
    ("access", "ngx.req.set_uri(ngx.var.uri, true)"),
    // Patterns.
    (
        "access",
        "while true do pcall(string.find, ('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(31)) end",
    ),
    ("access", "ngx.re.match(('a'):rep(40), '(a+)+$b')"),
    ("access", "ngx.re.match(('a'):rep(40) .. 'b', '(a|aa)+$', 'jo')"),
    ("access", "ngx.re.match(('x'):rep(1e6), '(x+x+)+y', 'jo')"),
    ("access", "for i = 1, 1e9 do ngx.re.match('x', 'x' .. i, 'jo') end"),
    ("access", "ngx.re.match('x', ('('):rep(1e5))"),
    ("access", "ngx.re.match('x', '(x{1,1000}){1,1000}')"),
    ("access", "ngx.re.gsub(('a'):rep(1e6), '', ('b'):rep(1e5))"),
    ("access", "ngx.re.match(('a'):rep(1e5), '(?R)?a')"),
    ("access", "for m in ngx.re.gmatch(('a'):rep(1e6), 'a*?') do end"),
    // What is not there, and what is there for all.
    ("access", "assert(not string.dump) assert(not debug.sethook) assert(not load('\\27LJ\\2'))"),
    (
        "access",
        "assert(not io.popen and not os.execute and not os.exit) io.open('/etc/passwd', 'w'):write('x')",
    ),
    ("access", "require 'ffi'.cdef 'int system(const char *);' require 'ffi'.C.system 'true'"),
    ("access", "require 'ffi'.cast('char *', 0)[0] = 1"),
    ("access", "debug.getregistry()[1] = nil"),
    (
        "access",
        "debug.setmetatable('', nil) debug.setmetatable(nil, { __index = function() return 1 end })",
    ),
    ("access", "getmetatable('').__index = { len = function() return 'evil' end }"),
    ("access", "package.preload.evil = function() while true do end end require 'evil'"),
    ("access", "setmetatable(_G, { __index = function() while true do end end }) return nothing"),
    ("access", "newproxy(true)"),
    ("access", "jit.off() jit.flush() collectgarbage('stop') while true do local t = {} end"),
    ("access", "require 'jit.opt'.start('maxmcode=1') while true do end"),
    // Heads that would be split.
    ("content", "ngx.header['x\\r\\ny'] = 'z' ngx.say 'x'"),
    ("content", "ngx.header.x = 'a\\r\\nset-cookie: evil=1\\r\\n\\r\\n<html>' ngx.say 'x'"),
    ("access", "ngx.req.set_header('x', 'a\\r\\nhost: evil') ngx.req.set_uri('/a\\r\\nb')"),
    ("access", "ngx.redirect('/a\\r\\nset-cookie: evil=1')"),
    ("access", "ngx.status = 1e300 ngx.exit(-1e300)"),
    ("access", "ngx.exit(0 / 0)"),
    // Sleeps and peers.
    ("access", "ngx.sleep(-1) ngx.sleep(0 / 0) ngx.sleep(1e-300) while true do ngx.sleep(0) end"),
    ("access", "while true do ngx.socket.tcp() end"),
    (
        "access",
        "local all = {} for i = 1, 1e9 do all[i] = ngx.socket.udp() all[i]:setpeername('127.0.0.1', 9) end",
    ),
    (
        "access",
        "local s = ngx.socket.tcp() s:settimeout(200) s:connect(STALLS) s:send('x') s:receive()",
    ),
    (
        "access",
        "local s = ngx.socket.tcp() s:settimeout(200) s:connect(DIES) s:send('x') s:receive('*a')",
    ),
    ("access", "local s = ngx.socket.tcp() s:settimeout(200) s:connect(FLOODS) s:receive('*a')"),
    (
        "access",
        "local s = ngx.socket.tcp() s:settimeout(200) s:connect(FLOODS) s:receiveuntil('never')()",
    ),
    (
        "access",
        "local r = gateway.redis { url = 'redis://' .. string.gsub(table.concat({ STALLS }, ':'), ' ', ''), timeout = 0.2 } r:get 'x'",
    ),
    (
        "access",
        "local r = gateway.redis { url = 'redis://' .. string.gsub(table.concat({ DIES }, ':'), ' ', ''), timeout = 0.2 } r:get 'x'",
    ),
    // What goes on behind the answer.
    ("access", "for i = 1, 1e9 do ngx.timer.at(0, function() while true do end end) end"),
    ("access", "local function f() ngx.timer.at(0, f) ngx.timer.at(0, f) end f()"),
    ("access", "for i = 1, 1e9 do ngx.timer.every(0.001, function() error 'x' end) end"),
    ("access", "ngx.timer.every(0.001, function() while true do end end) while true do end"),
    ("access, log", "while true do end"),
    ("access, header_filter, body_filter, log", "while true do pcall(error) end"),
    ("access, log", "local t = {} while true do t[#t + 1] = { {}, {} } end"),
];

/// What changes the world that scripts of a VM share, as those of a worker of nginx do: contained by
/// `limits.memory`, which gives a filter a VM of its own.
const POISON: &[(&str, &str)] = &[
    (
        "access",
        "setmetatable(string, { __index = function() return 'evil' end }) string.upper = nil",
    ),
    ("access", "_G.string = nil _G.tostring = nil _G.pairs = nil ngx = nil"),
    ("access", "for k in pairs(_G) do _G[k] = nil end"),
    ("access", "for k in pairs(ngx) do ngx[k] = nil end"),
    ("access", "ngx.say = nil ngx.re.match = nil ngx.shared.tiny.get = nil ngx.var = nil"),
    ("access", "setfenv(0, {}) setfenv(1, {}) setfenv(2, {}) setfenv(3, {})"),
    (
        "access",
        "for i = 0, 20 do local e = getfenv(i) if e then for k in pairs(e) do e[k] = nil end end end",
    ),
    ("access", "package.loaded.string = nil package.loaded.ngx = nil package.loaders = nil"),
];

/// A peer that takes connections and does with each as it is told.
fn peer(serve: fn(std::net::TcpStream)) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Takes all and says nothing.
fn stalls(mut stream: std::net::TcpStream) {
    while stream.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
}

/// Breaks off in the middle of a Redis string.
fn dies(mut stream: std::net::TcpStream) {
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.write_all(b"$100\r\nhalf of i");
}

fn floods(mut stream: std::net::TcpStream) {
    while stream.write_all(&[b'x'; 65536]).is_ok() {}
}

async fn start() -> Gateway {
    let place = |peer: SocketAddr| format!("'{}', {}", peer.ip(), peer.port());
    let (stalls, dies, floods) = (place(peer(stalls)), place(peer(dies)), place(peer(floods)));
    let mut manifest = String::from(
        "[shared.tiny]\nsize = \"64KiB\"\n\
         [[routes]]\nmatch = { path = \"/ok\" }\nrespond = { body = \"ok\" }\n\
         [[routes]]\nmatch = { path = \"/witness\" }\nfilters = [\"witness\"]\n\
         [filters.witness]\nopenresty = { content = \"witness.lua\" }\n",
    );
    let mut setup = Setup::default().quiet().file("witness.lua", WITNESS);
    for (index, (phase, body)) in SCRIPTS.iter().chain(POISON).enumerate() {
        let memory = if index < SCRIPTS.len() { "" } else { ", memory = \"16MiB\"" };
        let answer = match *phase {
            "content" => "",
            _ => "respond = { body = \"never\" }\n",
        };
        let phases: Vec<String> =
            phase.split(", ").map(|phase| format!("{phase} = \"{index}.lua\"")).collect();
        let phases = phases.join(", ");
        let _ = write!(
            manifest,
            "[[routes]]\nmatch = {{ path = \"/{index}\" }}\nfilters = [\"f{index}\"]\n{answer}\
             [filters.f{index}]\nopenresty = {{ {phases} }}\nlimits = {{ cpu = \"10ms\"{memory} }}\n"
        );
        let body =
            body.replace("STALLS", &stalls).replace("DIES", &dies).replace("FLOODS", &floods);
        setup = setup.file(&format!("{index}.lua"), body);
    }
    setup.rest = manifest;
    setup.start().await
}

/// A script of the same VM that uses what the others would spoil.
const WITNESS: &str = r#"
local m = ngx.re.match('a1', [[\d]], 'jo')
ngx.ctx.x = 1
local c = coroutine.wrap(function() coroutine.yield(1) return 2 end)
local thread = ngx.thread.spawn(function() ngx.sleep(0) return 'thread' end)
local _, waited = ngx.thread.wait(thread)
ngx.say(table.concat({ ('x'):upper(), string.upper 'y', ('abc'):len(), m[0], tostring(evil), c() + c(),
  waited, require 'cjson'.encode { ngx.ctx.x }, ngx.var.uri, tostring(pcall(error)) }, ' '))
"#;

/// Waits until what scripts have put off is over; some of them go on for good, with half of the time.
async fn at_rest(gateway: &Gateway) {
    const LOOK: Duration = Duration::from_millis(50);
    for _ in 0..20 {
        let before = gateway.worker_cpu();
        tokio::time::sleep(LOOK).await;
        if gateway.worker_cpu() - before < LOOK / 4 {
            return;
        }
    }
}

#[test]
fn none_harms_another() {
    run(async {
        let mut gateway = start().await;
        let other = Other::start(gateway.clear);
        let mut failures = Vec::new();
        for (index, (phase, body)) in SCRIPTS.iter().chain(POISON).enumerate() {
            let watch = Watch::start(&gateway);
            let path = format!("/{index}");
            let answer = ask(Protocol::H1, &gateway, &Request::get(&path)).await;
            let over = watch.stop(&gateway).saturating_sub(CPU);
            let waits = body.contains("200)") || body.contains("timeout = ");
            let (slack, mut next_allowed) = promised();
            let allowed = slack + if waits { PATIENCE } else { Duration::ZERO };
            let mut others_allowed = patience_of_others();
            let goes_on = phase.ends_with("log") || body.contains("ngx.timer");
            if *phase == "log" {
                // It runs when its answer is out, with a limit of its own, and is seen a tick later.
                next_allowed += CPU + TICK;
                others_allowed += CPU + TICK;
            }
            let watch = Watch::start(&gateway);
            let witness = ask(Protocol::H1, &gateway, &Request::get("/witness")).await;
            let (next, slowest) = (watch.stop(&gateway), other.slowest());
            let line = format!(
                "{} {:>6.1} ms over, others waited {:>5.1} ms, the next script {:>5.1} ms  {phase}: {body}",
                answer.status,
                over.as_secs_f64() * 1e3,
                slowest.as_secs_f64() * 1e3,
                next.as_secs_f64() * 1e3,
            );
            eprintln!("{line}");
            let unharmed = witness.is(200) && witness.text() == EXPECTED;
            let late = over > allowed || next > next_allowed || slowest > others_allowed;
            if late || !unharmed {
                failures.push(format!("{line}\n    {witness}"));
            }
            assert!(gateway.is_alive(), "the gateway is gone: {line}");
            if goes_on {
                at_rest(&gateway).await;
            }
        }
        other.end();
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    });
}

const EXPECTED: &str = "X Y 3 1 nil 3 thread [1] /witness false\n";
