//! ngx.socket: what scripts get and hand over, how it fails, what becomes of what they leave open.

use std::sync::Arc;

use bytes::Bytes;
use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{OpenResty, ScriptFile, Source};
use pilotlight_filter::{Exchange, Filter};

use crate::net::Step::{self, *};
use crate::rig::*;

/// What every script begins with, on its first line.
pub const KIT: &str = "local function say(...) ngx.log(ngx.WARN, '<', table.concat({ ... }, ' '), '>') end \
    local function all(...) local t = { ... } for i = 1, select('#', ...) do t[i] = tostring(t[i]) end say(unpack(t)) end \
    local function open(port, ...) local s = ngx.socket.tcp() assert(s:connect('192.0.2.1', port or 80, ...)) return s end ";

/// A filter with scripts of nginx's phases.
pub fn dialect(phases: &[(&'static str, &str)], settings: &str) -> Rig {
    let made = load(&[], |plan, dir| {
        let phases = phases.iter().map(|(phase, script)| {
            let path = dir.write(&format!("{phase}.lua"), &format!("{KIT}{script}"));
            (*phase, ScriptFile { path, name: Arc::from(format!("{phase}.lua")) })
        });
        let phases = OpenResty { phases: phases.collect(), set: vec![], settings: settings.into() };
        let mut spec = spec("f", dir.0.clone());
        spec.program = Source::OpenResty(phases);
        plan.filters.push(spec);
    });
    made.unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// A worker with one script, in its access phase.
pub fn access(script: &str) -> Rig {
    let rig = dialect(&[("access", script)], "{}");
    rig.world.delay.set(20);
    rig
}

/// What scripts have said since this was asked last, and the lines of errors.
pub fn said(rig: &Rig) -> (Vec<String>, Vec<String>) {
    let lines = std::mem::take(&mut *rig.world.lines.borrow_mut());
    let plain = |line: &String| {
        let from = line.find('<')? + 1;
        Some(line[from..line.rfind('>')?].to_owned())
    };
    let errors = lines.iter().filter(|line| line.starts_with("Error "));
    let errors = errors.map(|line| line["Error f req-1: ".len()..].to_owned());
    (lines.iter().filter_map(plain).collect(), errors.collect())
}

/// Runs a script towards one peer at 192.0.2.1:80; what it says.
pub fn talk(steps: &[Step], script: &str) -> Vec<String> {
    let rig = access(script);
    rig.world.net.peer("192.0.2.1:80", steps);
    let (result, _) = rig.request();
    result.unwrap_or_else(|fault| panic!("{script}: {fault} {:?}", fault.trace));
    said(&rig).0
}

/// A script's error.
pub fn error(script: &str) -> String {
    let rig = access(script);
    rig.world.net.peer("192.0.2.1:80", &[]);
    let (result, _) = rig.request();
    result.err().unwrap_or_else(|| panic!("no error: {script}")).message
}

#[test]
fn reads_of_every_kind() {
    for (steps, script, want) in [
        (
            &[Say("a\r\nb"), Pause(2), Say("c\n\n"), End][..],
            "local s = open() all(s:receive()) all(s:receive '*l') all(s:receive('*l')) all(s:receive()) all(s:receive())",
            &["a", "bc", "", "nil closed ", "nil closed"][..],
        ),
        (
            &[Say("ab"), Pause(1), Say("cd"), End],
            "local s = open() all(s:receive(3)) all(s:receive('1')) all(s:receive(0)) all(s:receive(1))",
            &["abc", "d", "", "nil closed "],
        ),
        (
            &[Say("ab"), Pause(1), Say("c"), End],
            "local s = open() all(s:receive('*a')) all(s:receive('*a')) all(s:receive())",
            &["abc", "", "nil closed "],
        ),
        (
            &[Say("abc"), End],
            "local s = open() all(s:receive(5)) all(s:receive(1)) all(s:send('x'))",
            &["nil closed abc", "nil closed", "1"],
        ),
        (
            &[Say("abcdef"), Pause(1), Say("gh"), End],
            "local s = open() all(s:receiveany(4)) all(s:receiveany(4)) all(s:receiveany(4)) all(s:receiveany(4))",
            &["abcd", "ef", "gh", "nil closed "],
        ),
        (
            &[Say("a--"), Pause(1), Say("b-"), Pause(1), Say("-c"), End],
            "local s = open() local r = s:receiveuntil('--') all(r()) all(r()) all(r()) all(r())",
            &["a", "b", "nil closed c", "nil closed"],
        ),
        (
            &[Say("abcd--e"), End],
            "local s = open() local r = s:receiveuntil('--', { inclusive = true }) all(r(3)) all(r(3)) all(r(3)) all(r(3))",
            &["abc", "d--", "nil nil nil", "nil closed e"],
        ),
        (
            &[Say("ab--x"), Reset],
            "local s = open() local r = s:receiveuntil '--' all(r()) all(s:receive(2)) all(s:receive(2))",
            &["ab", "nil connection reset by peer x", "nil closed"],
        ),
    ] {
        assert_eq!(talk(steps, script), want, "{script}");
    }
}

#[test]
fn a_read_that_times_out_leaves_the_socket_as_it_is() {
    let script = "local s = open() s:settimeout(10) all(s:receive()) all(s:receive())
        local r = s:receiveuntil('--') all(r()) all(s:receive(3))
        s:settimeouts(1, 2, 3) all(s:receive(4))";
    let rig = access(script);
    let steps =
        [Say("ab"), Pause(30), Say("c\nd-"), Pause(30), Say("-e"), Pause(60), Say("fgh"), End];
    rig.world.net.peer("192.0.2.1:80", &steps);
    rig.request().0.unwrap();
    let (said, errors) = said(&rig);
    assert_eq!(said, ["nil timeout ab", "c", "nil timeout d", "--e", "nil timeout "]);
    let line = "lua tcp socket read timed out, upstream: 192.0.2.1:80(192.0.2.1) severity=Bytes";
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(|error| error.starts_with(line)), "{errors:?}");
}

#[test]
fn a_file_that_is_no_socket_has_its_name_in_the_line() {
    let rig = access("all(ngx.socket.tcp():connect('unix:/run/none'))");
    rig.request().0.unwrap();
    let (said, errors) = said(&rig);
    assert_eq!(said, ["nil connection refused"]);
    let line =
        "connect() to unix:/run/none failed (111: Connection refused), upstream: unix:/run/none(";
    assert!(errors[0].starts_with(line), "{errors:?}");
}

#[test]
fn what_is_sent() {
    let heard = [Hear("GET "), Hear("12 1.5"), Pause(3), Hear("abc-1-de"), Hear("truefalsenil")];
    let script = "local s = open() all(s:send('GET ')) all(s:send('12 ')) all(s:send(1.5))
        all(s:send { 'a', { 'bc', '-', 1, {} }, '-', 'de' })
        all(s:send(true)) all(s:send(false)) all(s:send(nil)) all(s:send '') all(s:send {})";
    assert_eq!(talk(&heard, script), ["4", "3", "3", "8", "4", "5", "3", "0", "0"]);
    let full = talk(
        &[Hear("abc"), Full],
        "local s = open() s:settimeout(5) all(s:send('abcdef')) all(s:send('x')) all(s:close())",
    );
    assert_eq!(full, ["nil timeout", "nil closed", "1"]);
    assert_eq!(talk(&[Reset], "local s = open() all(s:send('x'))"), ["nil broken pipe"]);
    for (data, why) in [
        ("{ 1, nil, 2 }", "bad data type nil found"),
        ("{ true }", "bad data type boolean found"),
        ("{ ngx.null }", "bad data type userdata found"),
        ("{ a = 1 }", "non-array table found"),
        ("print", "string, number, boolean, nil, or array table expected, got function"),
    ] {
        let want = format!("access.lua:1: bad argument #1 to 'send' ({why})");
        let got = error(&format!("local s = open() s:send({data})"));
        assert!(got.ends_with(&want), "{got}");
    }
}

#[test]
fn connecting_and_failing_to() {
    for (script, want) in [
        ("all(ngx.socket.tcp():connect('192.0.2.1', 1))", "nil connection refused"),
        ("all(ngx.socket.connect('192.0.2.1', 1))", "nil connection refused"),
        ("all(ngx.socket.tcp():connect('192.0.2.1', 9))", "nil network is unreachable"),
        ("all(ngx.socket.tcp():connect('192.0.2.1'))", "nil missing the port number"),
        ("all(ngx.socket.tcp():connect('192.0.2.1', nil, {}))", "nil missing the port number"),
        ("all(ngx.socket.tcp():connect('192.0.2.1', 65536))", "nil bad port number: 65536"),
        ("all(ngx.socket.tcp():connect('192.0.2.1', -1))", "nil bad port number: -1"),
        (
            "all(ngx.socket.tcp():connect('other.test', 80))",
            "nil no resolver defined to resolve \"other.test\"",
        ),
        (
            "all(ngx.socket.tcp():connect('gone.test', 80))",
            "nil gone.test could not be resolved (3: Host not found)",
        ),
        (
            "all(ngx.socket.tcp():connect('a b', 80))",
            "nil failed to parse host name \"a b\": invalid host",
        ),
        (
            "all(ngx.socket.tcp():connect('unix:', 80))",
            "nil failed to parse host name \"unix:\": no path in the unix domain socket",
        ),
        ("all(ngx.socket.tcp():connect('one.test', '80'))", "1"),
        ("all(ngx.socket.tcp():connect('192.0.2.1:80', 1))", "1"),
        (
            "local s = ngx.socket.tcp() s:settimeout(1) all(s:connect('192.0.2.1', 81))",
            "nil timeout",
        ),
        ("local s = ngx.socket.tcp() all(s:connect('unix:/run/x'))", "1"),
        (
            "local s = ngx.socket.stream() all(s:bind('192.0.2.9')) all(s:connect('192.0.2.1', 80))",
            "true 1",
        ),
        ("local s = ngx.socket.tcp() all(s:bind('nowhere'))", "nil bad address"),
        (
            "local s = ngx.socket.tcp() all(s:send('x')) all(s:receive()) all(s:close()) all(s:getreusedtimes()) all(s:setkeepalive())",
            "nil closed nil closed nil closed nil closed nil closed",
        ),
    ] {
        let rig = access(script);
        rig.world.net.peer("192.0.2.1:80", &[]);
        rig.world.net.peer("192.0.2.1:81", &[Pause(100)]);
        rig.world.net.peer("unix:/run/x", &[]);
        rig.request().0.unwrap_or_else(|fault| panic!("{script}: {fault}"));
        assert_eq!(said(&rig).0.join(" "), want, "{script}");
    }
}

#[test]
fn failures_are_logged_where_the_settings_do_not_say_otherwise() {
    let script = "ngx.socket.connect('192.0.2.1', 1) ngx.socket.connect('192.0.2.1', 81) ngx.socket.tcp():send('x')
        local s = ngx.socket.tcp() s:bind('192.0.2.9') s:receive()";
    for (settings, logged) in [("{}", true), ("{\"socket\":{\"log_errors\":false}}", false)] {
        let rig = dialect(&[("access", script)], settings);
        rig.world.delay.set(2);
        rig.world.net.peer("192.0.2.1:81", &[Pause(100)]);
        rig.request().0.unwrap();
        let errors = said(&rig).1;
        let texts = [
            "connect() failed (111: Connection refused), upstream: 192.0.2.1:1(192.0.2.1)",
            "lua tcp socket connect timed out, upstream: 192.0.2.1:81(192.0.2.1)",
            "attempt to send data on a closed socket: ",
            "attempt to receive data on a closed socket: ",
        ];
        assert_eq!(errors.len(), if logged { texts.len() } else { 0 }, "{errors:?}");
        assert!(
            errors.iter().zip(texts).all(|(error, text)| error.starts_with(text)),
            "{errors:?}"
        );
    }
}

#[test]
fn arguments_that_are_wrong() {
    for (script, why) in [
        ("open():receive('x')", "bad argument #1 to 'receive' (bad pattern argument: x)"),
        ("open():receive('*x')", "bad argument #1 to 'receive' (bad pattern argument)"),
        ("open():receive({})", "bad argument #1 to 'receive' (bad argument)"),
        ("open():receive(-1)", "bad argument #1 to 'receive' (bad number argument)"),
        ("open():receive(1, 2)", "expecting 1 or 2 arguments (including the object), but got 3"),
        ("open().receive('l')", "bad argument #1 to 'receive' (table expected, got string)"),
        ("open():receiveany(0)", "bad argument #1 to 'receiveany' (bad max argument)"),
        ("open():receiveany('x')", "bad argument #1 to 'receiveany' (bad max argument)"),
        ("open():receiveuntil()", "expecting 2 or 3 arguments (including the object), but got 1"),
        (
            "open().receiveuntil(32, 'ab')",
            "bad argument #1 to 'receiveuntil' (table expected, got number)",
        ),
        (
            "open():receiveuntil('x', { inclusive = 1 })",
            "bad \"inclusive\" option value type: number",
        ),
        ("open().send('x')", "expecting 2 arguments (including the object), but got 1"),
        ("open().send('x', 1)", "bad argument #1 to 'send' (table expected, got string)"),
        ("open().close(2)", "bad argument #1 to 'close' (table expected, got number)"),
        (
            "open().getreusedtimes(2)",
            "bad argument #1 to 'getreusedtimes' (table expected, got number)",
        ),
        (
            "open().setkeepalive(2)",
            "bad argument #1 to 'setkeepalive' (table expected, got number)",
        ),
        (
            "open():setkeepalive('x')",
            "bad argument #1 to 'setkeepalive' (number expected, got string)",
        ),
        (
            "open():setkeepalive(1, 'x')",
            "bad argument #2 to 'setkeepalive' (number expected, got string)",
        ),
        (
            "open():setkeepalive(1, 0)",
            "bad argument #2 to 'setkeepalive' (bad \"pool_size\" option value: 0)",
        ),
        ("open():settimeout(-1)", "bad timeout value"),
        (
            "open():settimeouts(1, 2)",
            "ngx.socket settimeouts: expecting 4 arguments (including the object) but seen 3",
        ),
        ("ngx.socket.tcp(1)", "expecting zero arguments, but got 1"),
        (
            "ngx.socket.tcp():connect()",
            "ngx.socket connect: expecting 2, 3, or 4 arguments (including the object), but seen 1",
        ),
        (
            "ngx.socket.tcp():connect('h', 1, { pool = {} })",
            "bad argument #3 to 'connect' (bad \"pool\" option type: table)",
        ),
        (
            "ngx.socket.tcp():connect('h', 1, { pool_size = 0 })",
            "bad argument #3 to 'connect' (bad \"pool_size\" option value: 0)",
        ),
        (
            "ngx.socket.tcp():connect('h', 1, { backlog = -1 })",
            "bad argument #3 to 'connect' (bad \"backlog\" option value: -1)",
        ),
        ("ngx.socket.tcp():setoption('keepalive', 1)", "socket is never created nor connected"),
        (
            "ngx.socket.tcp().sslhandshake()",
            "ngx.socket sslhandshake: expecting 1 ~ 5 arguments (including the object), but seen 0",
        ),
        (
            "local f = open().setkeepalive local ok, e = pcall(f, open(82), 0, 0) error(e, 0)",
            "bad argument #3 to '?' (bad \"pool_size\" option value: 0)",
        ),
    ] {
        let rig = access(script);
        rig.world.net.peer("192.0.2.1:80", &[]);
        rig.world.net.peer("192.0.2.1:82", &[]);
        let message = rig.request().0.expect_err(script).message;
        assert!(message.ends_with(why), "{script}: {message}");
    }
}

#[test]
fn one_thread_reads_while_another_writes() {
    let script = "local s = open()
        local reader = ngx.thread.spawn(function() all('read', s:receive()) end)
        all(s:receive()) all(s:close()) all(s:setkeepalive()) all(s:sslhandshake())
        local writer = ngx.thread.spawn(function() all('sent', s:send('abc')) end)
        all(s:send('x'))
        ngx.thread.wait(reader) ngx.thread.wait(writer) all(s:close())";
    let got = talk(&[Pause(1), Pause(6), Hear("abc"), Pause(4), Say("hi\n")], script);
    assert_eq!(
        got,
        [
            "nil socket busy reading",
            "nil socket busy reading",
            "nil socket busy reading",
            "nil socket busy reading",
            "nil socket busy writing",
            "sent 3",
            "read hi",
            "1",
        ]
    );
    let script = "local s = ngx.socket.tcp()
        ngx.thread.spawn(function() all('open', s:connect('192.0.2.1', 80)) end)
        all(s:connect('192.0.2.1', 80)) all(s:receive()) all(s:send('x')) all(s:close())";
    let busy = "nil socket busy connecting";
    assert_eq!(talk(&[Pause(4)], script), [busy, busy, busy, busy, "open 1"]);
}

#[test]
fn a_thread_that_is_killed_closes_what_it_waits_for() {
    let script = "local s = open()
        local t = ngx.thread.spawn(function() s:receive() end)
        all(ngx.thread.kill(t)) all(s:send('x'))";
    assert_eq!(talk(&[], script), ["1", "nil closed"]);
}

#[test]
fn sockets_end_with_their_exchange() {
    let rig = access("local s = open() s:receive()");
    rig.world.net.peer("192.0.2.1:80", &[Say("a\n")]);
    let (result, exchange) = rig.request();
    result.unwrap();
    assert_eq!(rig.world.net.noted(), ["open 192.0.2.1:80"]);
    drop(exchange);
    assert_eq!(rig.world.net.noted(), ["close 192.0.2.1:80"]);
}

#[test]
fn sockets_end_when_they_are_collected() {
    let rig = access(
        "do local s = open() end collectgarbage() for i = 1, 1e4 do local t = {} end collectgarbage() all 'done'",
    );
    rig.world.net.peer("192.0.2.1:80", &[]);
    let (result, exchange) = rig.request();
    result.unwrap();
    for _ in 0..4 {
        rig.realm.rest();
    }
    assert_eq!(rig.world.net.noted(), ["open 192.0.2.1:80", "close 192.0.2.1:80"]);
    drop(exchange);
}

#[test]
fn a_given_up_wait_closes_its_connection() {
    let rig = access("open():receive()");
    rig.world.net.peer("192.0.2.1:80", &[]);
    let mut exchange = exchange();
    let mut filter = rig.realm.start(0);
    for _ in 0..3 {
        assert!(poll(&mut *filter, Phase::Request, &mut exchange, None).is_pending());
    }
    drop(filter);
    assert_eq!(rig.world.net.noted(), ["open 192.0.2.1:80", "close 192.0.2.1:80"]);
}

#[test]
fn a_socket_of_another_exchange_is_refused() {
    let script = "if not kept then kept = open() iter = kept:receiveuntil 'x' return end
        for _, try in ipairs {
          function() local r = kept:receive() end, function() local r = kept:send 'x' end,
          function() local r = kept:close() end, function() local r = kept:setkeepalive() end,
          function() local r = kept:connect('192.0.2.1', 80) end, function() local r = iter() end,
          function() local r = kept:sslhandshake() end,
        } do all(pcall(try)) end";
    let rig = access(script);
    rig.world.net.peer("192.0.2.1:80", &[]);
    let (result, first) = rig.request();
    result.unwrap();
    rig.request().0.unwrap();
    let got = said(&rig).0;
    assert_eq!(got.len(), 7);
    let refused =
        |line: &String| line.starts_with("false access.lua:") && line.ends_with(": bad request");
    assert!(got.iter().all(refused), "{got:?}");
    drop(first);
}

#[test]
fn sockets_of_timers_end_with_them() {
    let script = "ngx.timer.at(0, function() local s = open() all(s:receive()) end)";
    let rig = access(script);
    rig.world.net.peer("192.0.2.1:80", &[Say("x\n")]);
    rig.request().0.unwrap();
    while rig.tick() > 0 {}
    assert_eq!(said(&rig).0, ["x"]);
    assert_eq!(rig.world.net.noted(), ["open 192.0.2.1:80", "close 192.0.2.1:80"]);
}

#[test]
fn every_phase_may_use_sockets() {
    let script = "local s = open() all(ngx.get_phase(), s:receive())";
    let rig = dialect(
        &[("access", script), ("header_filter", script), ("body_filter", script), ("log", script)],
        "{}",
    );
    rig.world.delay.set(20);
    for _ in 0..4 {
        rig.world.net.peer("192.0.2.1:80", &[Pause(2), Say("x\n")]);
    }
    let mut exchange = exchange();
    let mut filter = rig.realm.start(0);
    run(&mut *filter, Phase::Request, &mut exchange).unwrap();
    exchange.reply(200, Bytes::from_static(b"abc"));
    run(&mut *filter, Phase::Response, &mut exchange).unwrap();
    body(&mut *filter, &mut exchange);
    run(&mut *filter, Phase::Log, &mut exchange).unwrap();
    assert_eq!(said(&rig).0, ["access x", "header_filter x", "body_filter x", "log x"]);
}

fn body(filter: &mut dyn Filter, exchange: &mut Exchange) {
    let mut chunk = pilotlight_filter::Chunk { data: Bytes::from_static(b"abc"), last: true };
    for _ in 0..100 {
        if poll(filter, Phase::ResponseBody, exchange, Some(&mut chunk)).is_ready() {
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn a_peer_that_says_much_leaves_others_their_turn() {
    let much: &'static str = Box::leak("x".repeat(3 << 20).into_boxed_str());
    let rig = access("local s = open() say(#s:receive(3145728))");
    rig.world.net.peer("192.0.2.1:80", &[Say(much)]);
    let (mut filter, mut exchange) = (rig.realm.start(0), exchange());
    let mut turns = 0;
    while poll(&mut *filter, Phase::Request, &mut exchange, None).is_pending() {
        turns += 1;
    }
    assert!((40..80).contains(&turns), "{turns}");
    assert_eq!(said(&rig).0, ["3145728"]);
}
