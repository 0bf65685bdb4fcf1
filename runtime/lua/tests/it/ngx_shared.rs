//! ngx.shared: OpenResty's results, errors and checks.

use crate::nginx::*;
use crate::rig::NOW;

/// `d` is a dictionary of 128 KiB.
fn shared(script: &str) -> String {
    NOW.set(0.0);
    said(&format!("local d = ngx.shared.sessions {script}"))
}

#[test]
fn values_flags_and_types() {
    let got = shared(
        "say(type(d), d:get('none'))
         say(d:set('s', 'text'), d:get('s')) say(d:set('n', 1.5), d:get('n'))
         say(d:set('t', true), d:get('t')) say(d:set('f', false), d:get('f'))
         say(d:set('x', 32, 0, 199)) say(d:get('x')) say(d:set('x', 33)) say(d:get('x'))
         say(d:set(5, 'five'), d:get('5')) say(d:set('bin', 'a\\0b'), #d:get('bin'))
         say(d:set('s', nil)) say(d:get('s')) say(d:delete('x')) say(d:get('x'))",
    );
    assert_eq!(
        got,
        "table nil true text true 1.5 true true true false true nil false 32 199 true nil false 33 \
         true five true 3 true nil false nil true nil false nil"
    );
}

#[test]
fn add_replace_and_what_is_wrong_with_arguments() {
    let got = shared(
        "say(d:add('a', 1)) say(d:add('a', 2)) say(d:safe_add('a', 2)) say(d:replace('b', 1))
         say(d:replace('a', 3)) say(d:get('a')) say(d:add('z')) say(d:replace('a', nil))
         say(d:set('k', {})) say(d:set(nil, 1)) say(d:set('', 1)) say(d:set(('k'):rep(65536), 1))
         say(d:set(('k'):rep(65535), 1)) say(d:get(nil)) say(d:get('')) say(d:get_stale(nil))
         say(d:incr(nil, 1)) say(d:ttl('none')) say(d:expire('none', 1)) say(d:llen(nil))",
    );
    assert_eq!(
        got,
        "true nil false false exists false false exists false false not found false true nil false 3 \
         false attempt to add or replace nil values false false attempt to add or replace nil values false \
         nil bad value type nil nil key nil empty key nil key too long true nil false nil nil key \
         nil empty key nil nil key nil nil key nil not found nil not found nil nil key"
    );
}

#[test]
fn misuse_is_an_error() {
    for (call, want) in [
        ("d.get(nil, 'a')", "bad \"zone\" argument"),
        ("d.set({ 1 }, 'a', 1)", "bad \"zone\" argument"),
        ("d.set({ 0 }, 'a', 1)", "bad \"zone\" argument"),
        ("d.incr({ 1 }, 'a', 1)", "bad \"zone\" argument"),
        ("d.lpush(nil, 'a', 1)", "bad \"zone\" argument"),
        ("d:set('a', 1, -1)", "bad \"exptime\" argument"),
        ("d:expire('a')", "bad \"exptime\" argument"),
        ("d:incr('a', 'x')", "cannot convert 'nil' to 'double'"),
        ("d:incr('a', 1, 'x')", "bad init arg: number expected, got string"),
        ("d:incr('a', 1, 0, 'x')", "bad init_ttl arg: number expected, got string"),
        ("d:incr('a', 1, 0, -1)", "bad \"init_ttl\" argument"),
        ("d:incr('a', 1, nil, 1)", "must provide \"init\" when providing \"init_ttl\""),
        ("d:lpush('a')", "expecting 3 arguments, but only seen 2"),
        ("d:lpop()", "expecting 2 arguments, but only seen 1"),
        ("d:llen({})", "bad argument #1 to 'llen' (string expected, got table)"),
        ("d:get_keys(1, 2)", "expecting 1 or 2 argument(s), but saw 3"),
        ("d:get_keys('x')", "bad argument #1 to 'get_keys' (number expected, got string)"),
        ("d:flush_expired(1, 2)", "expecting 1 or 2 argument(s), but saw 3"),
    ] {
        let message = failed(&format!("local d = ngx.shared.sessions {call}"));
        assert!(message.contains(want), "{call}: {message}");
        assert!(message.contains("access.lua:11"), "{call}: {message}");
    }
}

#[test]
fn counters() {
    let got = shared(
        "say(d:incr('n', 1)) say(d:incr('n', 2, 10)) say(d:incr('n', 1)) say(d:incr('n', '2'))
         say(d:incr('t', 1, 0, 5)) say(d:ttl('t')) d:set('s', 'x') say(d:incr('s', 1, 0))
         say(d:incr('n', 0.5)) say(d:incr('n', -20))",
    );
    assert_eq!(got, "nil not found 12 nil false 13 15 1 nil false 5 nil not a number 15.5 -4.5");
}

#[test]
fn time_goes_by() {
    let got = shared(
        "d:set('a', 1, 5, 7) d:set('b', 2) d:set('tiny', 3, 0.0001)
         say(d:ttl('a'), d:ttl('b'), d:ttl('tiny'), d:expire('b', 0.5), d:ttl('b'))
         ngx.sleep(0.25) say(d:ttl('b')) ngx.sleep(1) say(d:get('a')) say(d:get_stale('b'))
         ngx.sleep(5) say(d:get_stale('a')) say(d:get_stale('b')) say(d:ttl('a') < 0)
         say(d:expire('a', 10), d:get('a')) say(d:expire('a', -1), d:ttl('a'))
         say(d:set('huge', 1, 2 ^ 31), d:ttl('huge')) say(d:get_stale('none'))
         d:set('c', 1, 1) ngx.sleep(2) say(d:add('c', 2)) say(d:get('c'))
         d:set('e', 1, 1) ngx.sleep(2) say(d:replace('e', 2))",
    );
    assert_eq!(
        got,
        "5 0 0 true 0.5 0.25 1 7 2 nil true 1 7 true 2 nil true true true 1 7 true 0 \
         true 2147483648 nil true nil false 2 false not found false"
    );
}

#[test]
fn lists() {
    let got = shared(
        "say(d:lpush('l', 'b')) say(d:lpush('l', 'a')) say(d:rpush('l', 3)) say(d:llen('l'))
         say(d:get('l')) say(d:incr('l', 1)) say(d:lpop('l')) say(d:rpop('l')) say(d:rpop('l'))
         say(d:lpop('l')) say(d:llen('l')) d:set('s', 1) say(d:lpush('s', 1)) say(d:rpop('s'))
         say(d:llen('s')) say(d:lpush('l', true)) say(d:lpush('', 1)) say(d:lpush('l', 'x'), d:set('l', 1), d:get('l'))",
    );
    assert_eq!(
        got,
        "1 2 3 3 nil value is a list nil not a number a 3 b nil 0 nil value not a list \
         nil value not a list nil value not a list nil bad value type nil empty key 1 true 1"
    );
}

#[test]
fn keys_and_flushes() {
    let got = shared(
        "for i = 1, 1100 do d:set(i, i) end d:set('last', 1, 1) ngx.sleep(2)
         say(#d:get_keys(), #d:get_keys(0), #d:get_keys(5), d:get_keys(1)[1])
         say(d:flush_expired(), d:flush_expired(1)) d:flush_all()
         say(#d:get_keys(0), d:get('5')) say(d:get_stale('500'))
         say(d:flush_expired(10) + d:flush_expired() > 1000, d:flush_expired())
         say(d:capacity(), d:free_space())
         local n = 0 for name, zone in pairs(ngx.shared) do n = n + 1 say(name, zone == d) end say(n)",
    );
    assert_eq!(got, "1024 1100 5 1 1 0 0 nil 500 nil true true 0 131072 131072 sessions true 1");
}

#[test]
fn a_full_dictionary() {
    let got = shared(
        "local full
         for i = 1, 10000 do
           local ok, err, forcible = d:set('key' .. i, ('x'):rep(50))
           if forcible then full = i say(ok, err) break end
         end
         say(d:get('key1'), #d:get('key2'), full > 300)
         local x = ('x'):rep(50) say(d:safe_set('other', x)) say(d:safe_add('other', x))
         say(d:set('big', ('x'):rep(200000)))
         for i = 1, 10000 do local ok, err = d:lpush('l', 'x') if not ok then say(ok, err) break end end
         d:incr('n1', 1, 0) d:incr('n2', 1, 0) say((d:incr('n3', 1, 0)))",
    );
    assert_eq!(
        got,
        "true nil nil 50 true false no memory false false no memory false false no memory false \
         nil no memory 1"
    );
}
