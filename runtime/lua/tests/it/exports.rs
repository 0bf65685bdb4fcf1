//! `gateway.export`: what modules call by name.

use std::task::{Context, Poll, Waker};

use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{Called, Outcome};

use crate::rig::*;

const NOTHING_ELSE: &str = "return { init = function() end }";

fn offering(exports: &str) -> Rig {
    rig(&format!("{exports}\n{NOTHING_ELSE}"))
}

fn called(rig: &Rig, name: &str, argument: &[u8]) -> Outcome {
    match rig.realm.exported(name, argument) {
        Some(Called::Done(outcome)) => outcome,
        Some(Called::Running(_)) => panic!("{name} answers later"),
        None => panic!("nobody exports {name}"),
    }
}

fn refused(rig: &Rig, name: &str) -> String {
    match called(rig, name, b"") {
        Err(Value::Bytes(why)) => String::from_utf8(why).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_function_is_called_by_its_name() {
    let rig = offering(
        "gateway.export('upper', string.upper)
         gateway.export('count', function(text) return #text end)
         gateway.export('nothing', function() end)
         local calls = 0
         gateway.export('calls', function() calls = calls + 1 return calls end)",
    );
    assert_eq!(called(&rig, "upper", b"a\0b"), Ok(Value::from("A\0B")));
    assert_eq!(called(&rig, "count", &[7; 100_000]), Ok(Value::from("100000")));
    assert_eq!(called(&rig, "nothing", b""), Ok(Value::Nil));
    for n in 1..200 {
        assert_eq!(called(&rig, "calls", b""), Ok(Value::from(&*n.to_string())));
    }
    assert!(rig.realm.exported("absent", b"").is_none());
    // What is dropped when the worker is idle is there again when it is called.
    rig.realm.trim();
    assert_eq!(called(&rig, "calls", b""), Ok(Value::from("1")));
}

#[test]
fn its_failures_are_messages() {
    let rig = offering(
        "gateway.export('refuses', function() return nil, 'not today' end)
         gateway.export('fails', function() error('oops') end)
         gateway.export('odd', function() return {} end)
         gateway.export('waits', function() gateway.sleep(1) end)
         gateway.export('loops', function() while true do end end)
         gateway.export('hoards', function() local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end end)
         gateway.export('fine', function() return 'fine' end)",
    );
    rig.world.delay.set(1);
    for (name, why) in [
        ("refuses", "not today"),
        ("fails", "filters/f0.lua:2: oops"),
        ("odd", "it gave a table, not a string"),
        ("waits", "it waits, so it must be exported with { later = true }"),
        ("loops", "over its CPU time"),
        ("hoards", "over its memory (16384 KiB)"),
    ] {
        assert_eq!(refused(&rig, name), why);
        assert_eq!(called(&rig, "fine", b""), Ok(Value::from("fine")), "after {name}");
    }
    let large = vec![0; 32 << 20];
    let outcome = called(&rig, "fine", &large);
    assert_eq!(outcome, Err(Value::from("no room in its VM for the argument")));
}

#[test]
fn what_may_wait_answers_later_each_time() {
    let rig = offering(
        "gateway.export('later', function(text)
           if text == 'at once' then return text end
           if text == 'wrong' then error('oops') end
           gateway.sleep(1)
           if text == '' then error('oops') end
           return text .. gateway.fetch('http://x/').status
         end, { later = true })",
    );
    rig.world.delay.set(2);
    for (argument, outcome) in [
        ("at once", Ok(Value::from("at once"))),
        ("x", Ok(Value::from("x200"))),
        ("wrong", Err(Value::from("filters/f0.lua:3: oops"))),
        ("", Err(Value::from("filters/f0.lua:5: oops"))),
    ] {
        let Some(Called::Running(mut wait)) = rig.realm.exported("later", argument.as_bytes())
        else {
            panic!("it has answered");
        };
        let mut cx = Context::from_waker(Waker::noop());
        let answer = (0..10).find_map(|_| match wait.as_mut().poll(&mut cx) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        });
        assert_eq!(answer, Some(outcome));
    }
    // One that is given up takes nothing along.
    drop(rig.realm.exported("later", b"x"));
    assert!(rig.realm.exported("later", b"x").is_some());
}

#[test]
fn a_name_means_one_function_and_is_given_at_load() {
    let refused = |scripts: &[&str]| match load(scripts, |_, _| {}) {
        Ok(_) => panic!("it loads"),
        Err(mut errors) => errors.remove(0).message,
    };
    let one = format!("gateway.export('a', print)\n{NOTHING_ELSE}");
    assert_eq!(refused(&[&one, &one]), "it exports \"a\", as filter \"f0\" does");
    assert!(
        refused(&[&format!("gateway.export('a', print) {one}")])
            .contains("\"a\" is exported already")
    );
    assert!(
        refused(&["gateway.export('a')"]).contains("gateway.export takes a function, not a nil")
    );
    assert!(
        refused(&["gateway.export(1, print)"])
            .contains("gateway.export takes a name, not a number")
    );
    assert!(
        refused(&["for n = 1, 1000 do gateway.export('f' .. n, print) end"])
            .contains("too many exports")
    );
    let late = rig("return { request = function() gateway.export('a', print) end }");
    let fault = late.request().0.unwrap_err();
    assert!(fault.message.contains("gateway.export is for a script's chunk and init"), "{fault}");
    assert!(late.realm.exported("a", b"").is_none());
}
