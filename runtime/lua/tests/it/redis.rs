//! gateway.redis: commands, pipelines, and servers that stall, refuse or die.

use std::sync::Arc;
use std::time::Duration;

use pilotlight_filter::engine::RedisSpec;

use crate::net::Step::{self, *};
use crate::rig::*;

fn server() -> RedisSpec {
    RedisSpec {
        name: Arc::from("main"),
        host: "192.0.2.1".into(),
        port: 6379,
        tls: false,
        ca: None,
        user: None,
        password: None,
        database: 0,
        connect: Duration::from_secs(1),
        reply: Duration::from_secs(1),
        idle: Duration::from_secs(60),
        pool: 2,
    }
}

/// A worker with a script towards these peers, one a connection.
fn towards(spec: RedisSpec, peers: &[&[Step]], script: &str) -> Rig {
    let kit = "local function text(...) local t = { ... } for i = 1, select('#', ...) do t[i] = type(t[i]) == 'table' and gateway.json.encode(t[i]) or tostring(t[i]) end return table.concat(t, ' ') end";
    let script = format!(
        "{kit} return {{ request = function() local r, said = gateway.redis 'main', {{}}
        local function all(...) said[#said + 1] = text(...) end {script} return {{ body = table.concat(said, '|') }} end }}"
    );
    let host = match spec.host.strip_prefix("unix:") {
        Some(_) => spec.host.clone(),
        None => "192.0.2.1:6379".to_owned(),
    };
    let rig = load(&[&script], |plan, _| plan.redis.push(spec)).unwrap();
    rig.world.delay.set(20);
    peers.iter().for_each(|steps| rig.world.net.peer(&host, steps));
    rig
}

fn ran(rig: &Rig) -> String {
    let (result, mut exchange) = rig.request();
    result.unwrap_or_else(|fault| panic!("{fault} {:?}", fault.trace));
    text(&mut exchange.response.body)
}

fn with(peers: &[&[Step]], script: &str) -> String {
    ran(&towards(server(), peers, script))
}

#[test]
fn commands_and_replies() {
    let steps = [
        Hear("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\n12\r\n"),
        Say("+OK\r\n"),
        Hear("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"),
        Pause(2),
        Say("$2\r\n1"),
        Pause(2),
        Say("2\r\n"),
        Hear("*1\r\n$3\r\nNIL\r\n"),
        Say("$-1\r\n"),
        Hear("*1\r\n$3\r\nBAD\r\n"),
        Say("-ERR no such command\r\n"),
        Hear("*1\r\n$4\r\nLIST\r\n"),
        Say("*3\r\n:1\r\n$-1\r\n*1\r\n+x\r\n"),
    ];
    let script = "all(r:cmd('SET', 'k', 12)) all(r:cmd('GET', 'k')) all(r:cmd('NIL')) all(r:cmd('BAD')) all(r:cmd('LIST'))";
    let want = "OK|12|nil|nil ERR no such command|[1,false,[\"x\"]]";
    assert_eq!(with(&[&steps], script), want);
}

#[test]
fn pipelines() {
    let steps = [
        Hear("*1\r\n$1\r\nA\r\n*2\r\n$1\r\nB\r\n$1\r\n1\r\n*1\r\n$1\r\nC\r\n"),
        Say("+OK\r\n-ERR no\r\n$-1\r\n"),
    ];
    let script = "all(r:pipeline(function(p) p:cmd('A'):cmd('B', 1) p:cmd('C') end)) all(r:pipeline(function() end))
        all(pcall(r.pipeline, r, 1)) all(r:cmd({})) all(r:cmd())";
    let want = "[\"OK\",{\"err\":\"ERR no\"},false]|{}|false pipeline takes a function, not a number|nil a command is of strings and numbers, not of a table|nil a command is needed";
    assert_eq!(with(&[&steps], script), want);
}

#[test]
fn a_server_that_fails_fails_one_call() {
    let script = "all(r:cmd('A')) all(r:cmd('A'))";
    let well = [Hear("*1\r\n$1\r\nA\r\n"), Say("+OK\r\n")];
    let begin = Hear("*1\r\n$1\r\nA\r\n");
    for (ill, why) in [
        (&[begin.clone(), End][..], "closed"),
        (&[begin.clone(), Say("$5\r\nab"), End], "closed"),
        (&[begin.clone(), Say("$5\r\nab"), Reset], "connection reset by peer"),
        (&[begin.clone(), Say("$5\r\nab"), Pause(1000)], "timeout"),
        (&[Pause(1000)], "timeout"),
        (&[begin.clone(), Say("hello\r\n")], "malformed reply"),
        (&[begin.clone(), Say("$99999999999\r\n")], "the reply is too large"),
        (&[Reset], "broken pipe"),
    ] {
        assert_eq!(with(&[ill, &well], script), format!("nil {why}|OK"), "{ill:?}");
    }
    assert_eq!(with(&[], script), "nil connection refused|nil connection refused");
}

#[test]
fn connections_are_kept_and_looked_after() {
    let call = Hear("*1\r\n$1\r\nA\r\n");
    let rig = towards(
        server(),
        &[
            &[call.clone(), Say("+1\r\n"), call.clone(), Say("+2\r\n"), Pause(3), End],
            &[call.clone(), Say("+3\r\n+4\r\n")],
            &[call.clone(), Say("+5\r\n")],
        ],
        "all(r:cmd('A'))",
    );
    assert_eq!(ran(&rig), "1");
    assert_eq!(ran(&rig), "2");
    assert_eq!(rig.world.net.noted(), ["open 192.0.2.1:6379"]);
    // The server ends it while it is idle.
    while rig.tick() > 0 {}
    assert_eq!(rig.world.net.noted(), ["close 192.0.2.1:6379"]);
    // A reply too many: whose it is nobody knows.
    assert_eq!(ran(&rig), "3");
    assert_eq!(ran(&rig), "5");
    assert_eq!(
        rig.world.net.noted(),
        ["open 192.0.2.1:6379", "close 192.0.2.1:6379", "open 192.0.2.1:6379",]
    );
}

#[test]
fn signing_in() {
    let script = "all(r:cmd('A'))";
    let end = [Hear("*1\r\n$1\r\nA\r\n"), Say("+OK\r\n")];
    let user = [
        Hear("*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n"),
        Say("+OK\r\n"),
        Hear("*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"),
        Say("+OK\r\n"),
    ];
    let spec = RedisSpec {
        user: Some("u".into()),
        password: Some("p".into()),
        database: 3,
        host: "unix:/run/redis".into(),
        ..server()
    };
    assert_eq!(ran(&towards(spec, &[&[&user[..], &end].concat()], script)), "OK");
    let spec =
        RedisSpec { password: Some("p".into()), tls: true, host: "system.test".into(), ..server() };
    let refused = [Tls(Ok(())), Hear("*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n"), Say("-WRONGPASS\r\n")];
    let rig = towards(spec, &[&refused], script);
    assert_eq!(ran(&rig), "nil WRONGPASS");
    let notes = rig.world.net.noted();
    assert!(notes[1].starts_with("tls Some(\"system.test\") verify true"), "{notes:?}");
}

#[test]
fn servers_that_the_manifest_does_not_have() {
    let rig = load(&["return { request = function() gateway.redis 'other' end }"], |plan, _| {
        plan.redis.push(server())
    })
    .unwrap();
    let fault = rig.request().0.unwrap_err();
    assert!(fault.message.ends_with("the manifest has no [redis.other], but main"), "{fault}");
}
