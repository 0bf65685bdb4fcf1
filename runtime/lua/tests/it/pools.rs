//! Pools of ngx.socket's connections: who gets which, who waits, which go.

use pilotlight_filter::Exchange;
use pilotlight_filter::abi::Phase;

use crate::net::Step::{self, *};
use crate::rig::*;
use crate::sockets::{access, dialect, said};

const HERE: &str = "192.0.2.1:80";

/// Runs the script once for each of `exchanges`; what is said, what became of connections.
fn again(rig: &Rig, exchanges: usize) -> (Vec<String>, Vec<String>) {
    let done: Vec<Exchange> = (0..exchanges)
        .map(|_| {
            let (result, exchange) = rig.request();
            result.unwrap_or_else(|fault| panic!("{fault} {:?}", fault.trace));
            exchange
        })
        .collect();
    drop(done);
    (said(rig).0, rig.world.net.noted())
}

fn peers(rig: &Rig, count: usize, steps: &[Step]) {
    (0..count).for_each(|_| rig.world.net.peer(HERE, steps));
}

#[test]
fn what_is_kept_is_used_again() {
    let rig = access(
        "local s = open() all(s:getreusedtimes()) all(s:setkeepalive()) all(s:getreusedtimes()) all(s:send 'x')",
    );
    peers(&rig, 1, &[]);
    let (said, notes) = again(&rig, 3);
    let each = |n: &str| [n.to_owned(), "1".into(), "nil closed".into(), "nil closed".into()];
    assert_eq!(said, [each("0"), each("1"), each("2")].concat());
    assert_eq!(notes, ["open 192.0.2.1:80"]);
}

#[test]
fn a_pool_has_a_name() {
    let script = "for _, name in ipairs { 'a', 'b', 'a' } do local s = open(80, { pool = name }) all(s:getreusedtimes()) s:setkeepalive() end
        local s = open(81, { pool = 'a' }) all(s:getreusedtimes()) s:setkeepalive()
        local s = open(80) all(s:getreusedtimes())";
    let rig = access(script);
    peers(&rig, 3, &[]);
    assert_eq!(again(&rig, 1).0, ["0", "0", "1", "2", "0"]);
}

#[test]
fn the_one_that_was_not_used_for_longest_goes() {
    let script = "local a, b, c = open(80), open(81), open(82)
        for _, s in ipairs { a, b, c } do s[3] = 'pool' all(s:setkeepalive(0, 2)) end
        all(ngx.socket.tcp():connect('x.test', 1, { pool = 'pool' }))
        all(ngx.socket.tcp():connect('x.test', 1, { pool = 'pool' }))
        all(ngx.socket.tcp():connect('x.test', 1, { pool = 'pool' }))";
    let rig = access(script);
    for port in [80, 81, 82] {
        rig.world.net.peer(&format!("192.0.2.1:{port}"), &[]);
    }
    let (said, notes) = again(&rig, 1);
    assert_eq!(said, ["1", "1", "1", "1", "1", "nil no resolver defined to resolve \"x.test\""]);
    assert_eq!(
        notes[..4],
        ["open 192.0.2.1:80", "open 192.0.2.1:81", "open 192.0.2.1:82", "close 192.0.2.1:80",]
    );
}

#[test]
fn what_can_not_be_kept() {
    for (steps, script, want) in [
        (&[Say("abc")][..], "s:receive(1)", "nil unread data in buffer"),
        (&[Say("abc")], "", "nil connection in dubious state"),
        (&[End], "", "nil closed"),
        (&[Reset], "", "nil connection in dubious state"),
        (&[End], "s:receive()", "nil closed"),
        (&[], "s:close()", "nil closed"),
    ] {
        let rig = access(&format!("local s = open() {script} all(s:setkeepalive())"));
        peers(&rig, 1, steps);
        let (said, notes) = again(&rig, 1);
        assert_eq!(said, [want], "{script}");
        assert_eq!(notes.last().unwrap(), "close 192.0.2.1:80");
    }
}

#[test]
fn a_peer_that_ends_an_idle_connection_is_noticed() {
    let rig = access("local s = open() s:setkeepalive(0)");
    peers(&rig, 1, &[Pause(1), Pause(5), End]);
    assert_eq!(again(&rig, 1).1, ["open 192.0.2.1:80"]);
    let mut ticks = 0;
    while rig.tick() > 0 {
        ticks += 1;
    }
    assert!(ticks > 2);
    assert_eq!(again(&access(""), 0).1, [""; 0]);
    assert_eq!(rig.world.net.noted(), ["close 192.0.2.1:80"]);
}

#[test]
fn idle_connections_have_their_time() {
    let rig = access("local s = open() s:setkeepalive(5000) local t = open(81) t:setkeepalive()");
    peers(&rig, 1, &[]);
    rig.world.net.peer("192.0.2.1:81", &[]);
    again(&rig, 1);
    rig.tick();
    assert_eq!(rig.world.now.get(), 5.0, "it sleeps until the first is over");
    let mut closed = Vec::new();
    while rig.tick() > 0 {
        closed.extend(rig.world.net.noted().into_iter().map(|note| (note, rig.world.now.get())));
    }
    closed.extend(rig.world.net.noted().into_iter().map(|note| (note, rig.world.now.get())));
    assert_eq!(
        closed,
        [("close 192.0.2.1:80".to_owned(), 60.0), ("close 192.0.2.1:81".to_owned(), 60.0),]
    );
}

#[test]
fn settings_say_how_long_and_how_many() {
    let settings = "{\"socket\":{\"keepalive_timeout\":0.1,\"pool_size\":1}}";
    let script = "local s, t = open(), open() s:setkeepalive() t:setkeepalive()";
    let rig = dialect(&[("access", script)], settings);
    rig.world.details.set(true);
    peers(&rig, 2, &[]);
    let (result, exchange) = rig.request();
    result.unwrap();
    let lines = rig.world.lines.take();
    for line in [
        "lua tcp socket connection pool size: 1, backlog: -1",
        "lua tcp socket keepalive create connection pool for key \"192.0.2.1:80\"",
        "lua tcp socket keepalive timeout: 100 ms",
    ] {
        assert!(
            lines.iter().any(|other| other == &format!("Debug  : {line}")),
            "{line}: {lines:?}"
        );
    }
    assert_eq!(rig.world.net.noted()[2..], ["close 192.0.2.1:80"], "there is room for one");
    drop(exchange);
    while rig.tick() > 0 {}
    assert_eq!(rig.world.net.noted(), ["close 192.0.2.1:80"]);
    let lines = rig.world.lines.take();
    assert!(lines[0].starts_with("Debug  : lua tcp socket keepalive close handler, upstream: "));
    assert_eq!(
        lines[1],
        "Debug  : lua tcp socket keepalive: free connection pool for \"192.0.2.1:80\""
    );
}

#[test]
fn with_a_backlog_those_who_find_no_room_wait() {
    let script = "local function one(name, time)
          return ngx.thread.spawn(function()
            local s = ngx.socket.tcp() s:settimeout(time or 60000)
            local ok, why = s:connect('192.0.2.1', 80, { pool_size = 1, backlog = 2 })
            all(name, ok, why, ok and s:getreusedtimes())
            if not ok then return end
            s:receive() all(name, s:setkeepalive())
          end)
        end
        local t = { one 'a', one 'b', one 'c', one 'd' }
        for i = 1, 4 do ngx.thread.wait(t[i]) end";
    let rig = access(script);
    peers(&rig, 1, &[Pause(1), Pause(3), Say("1\n"), Pause(3), Say("2\n"), Pause(3), Say("3\n")]);
    let (said, notes) = again(&rig, 1);
    assert_eq!(
        said,
        [
            "d nil too many waiting connect operations nil",
            "a 1 nil 0",
            "a 1",
            "b 1 nil 1",
            "b 1",
            "c 1 nil 2",
            "c 1",
        ]
    );
    assert_eq!(notes, ["open 192.0.2.1:80"]);
}

#[test]
fn given_up_waits_make_room() {
    let script = "local s = open(80, { pool_size = 1, backlog = 1 })
        local function wait() local t = ngx.socket.tcp() t:settimeout(50) return t:connect('192.0.2.1', 80, { pool_size = 1, backlog = 1 }) end
        local t = ngx.thread.spawn(wait)
        all(ngx.socket.tcp():connect('192.0.2.1', 80)) ngx.thread.kill(t)
        all(wait()) s:close() all(wait())";
    let rig = access(script);
    peers(&rig, 2, &[]);
    let (result, exchange) = rig.request();
    result.unwrap();
    let (said, errors) = said(&rig);
    assert_eq!(said, ["nil too many waiting connect operations", "nil timeout", "1"]);
    assert!(
        errors[0].starts_with(
            "lua tcp socket queued connect timed out, when trying to connect to 192.0.2.1:80 "
        ),
        "{errors:?}"
    );
    drop(exchange);
}

#[test]
fn a_vm_that_goes_takes_its_pools_with_it() {
    let rig = access("local s = open() s:setkeepalive(0)");
    peers(&rig, 1, &[]);
    again(&rig, 1);
    assert_eq!(rig.tick(), 1);
    rig.realm.trim();
    assert_eq!(rig.world.net.noted(), ["close 192.0.2.1:80"]);
    assert_eq!(rig.tick(), 0, "nobody looks after them any more");
}

#[test]
fn connections_are_counted() {
    let script = "local n, why = 0 while true do local s s, why = ngx.socket.connect('192.0.2.1', 80) if not s then break end n = n + 1 kept = { s, kept } end all(n, why)
        kept = nil collectgarbage()";
    let rig = access(script);
    peers(&rig, 5000, &[]);
    let mut exchange = exchange();
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
    assert_eq!(said(&rig).0, ["4096 too many open sockets"]);
    drop(exchange);
    let notes = rig.world.net.noted();
    let closed = notes.iter().filter(|note| note.starts_with("close")).count();
    assert_eq!(closed, 4096);
    rig.request().0.unwrap();
}
