//! Our pattern functions against LuaJIT's own.

use std::ffi::CString;

use pilotlight_filter::abi::Phase;
use pilotlight_luajit as lua;
use proptest::prelude::*;

use crate::rig::*;

/// What a script does with subject, pattern and more; run in both worlds.
const SCRIPT: &str = "
local function show(...)
  local out = {}
  for i = 1, select('#', ...) do out[i] = tostring((select(i, ...))) end
  return table.concat(out, ',')
end
local function try(f, ...)
  local got = { pcall(f, ...) }
  if not got[1] then return 'error' end
  return show(unpack(got, 2, table.maxn(got)))
end
local function each(s, p)
  local out = {}
  for a, b in string.gmatch(s, p) do
    out[#out + 1] = tostring(a) .. '/' .. tostring(b)
    if #out > 50 then break end
  end
  return table.concat(out, ';')
end
function check(s, p, r, n)
  return table.concat({
    try(string.find, s, p), try(string.find, s, p, n), try(string.find, s, p, n, true),
    try(string.match, s, p), try(string.match, s, p, n), try(each, s, p),
    try(string.gsub, s, p, r), try(string.gsub, s, p, r, n),
    try(string.gsub, s, p, { a = 'A', b = false, ['1'] = 1 }),
    try(string.gsub, s, p, function(a, b) return b or a end),
    try(string.gsub, s, p, function() end),
    try(string.rep, s, n), try(string.format, '%s %5s %q', s, p, r),
    try(table.concat, { s, p, r }, p), try(table.concat, { s, 1, r }, ' ', 2, 3),
  }, '|')
end
";

struct Stock(*mut lua::lua_State);

impl Stock {
    fn new() -> Stock {
        // SAFETY: a plain VM of the test's own.
        unsafe {
            let state = lua::luaL_newstate();
            lua::luaL_openlibs(state);
            let script = CString::new(SCRIPT).unwrap();
            assert_eq!(lua::luaL_loadstring(state, script.as_ptr()), 0);
            assert_eq!(lua::lua_pcall(state, 0, 0, 0), 0);
            Stock(state)
        }
    }

    fn check(&self, s: &[u8], p: &[u8], r: &[u8], n: i32) -> Vec<u8> {
        // SAFETY: as above.
        unsafe {
            lua::lua_getfield_(self.0, lua::LUA_GLOBALSINDEX, c"check".as_ptr());
            for text in [s, p, r] {
                lua::lua_pushlstring_(self.0, text.as_ptr().cast(), text.len());
            }
            lua::lua_pushnumber(self.0, f64::from(n));
            assert_eq!(lua::lua_pcall(self.0, 4, 1, 0), 0);
            let mut len = 0;
            let at = lua::lua_tolstring(self.0, -1, &raw mut len);
            let text = std::slice::from_raw_parts(at.cast::<u8>(), len).to_vec();
            lua::lua_settop(self.0, 0);
            text
        }
    }
}

fn ours() -> Rig {
    let script = format!(
        "{SCRIPT} return {{ request = function(req)
           local p = req.properties
           return {{ body = check(p.s, p.p, p.r, p.n) }}
         end }}"
    );
    load(&[&script], |plan, _| plan.filters[0].cpu = std::time::Duration::from_secs(10)).unwrap()
}

fn ask(rig: &Rig, s: &[u8], p: &[u8], r: &[u8], n: i32) -> Vec<u8> {
    use pilotlight_filter::abi::Value;
    let mut exchange = exchange();
    for (name, text) in [("s", s), ("p", p), ("r", r)] {
        exchange.set_property(name, Value::Bytes(text.to_vec()));
    }
    exchange.set_property("n", Value::Int(i64::from(n)));
    run(&mut *rig.realm.start(0), Phase::Request, &mut exchange).unwrap();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match exchange.response.body.poll_collect(&mut cx, 1 << 20) {
        std::task::Poll::Ready(Ok(Some(bytes))) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn same(rig: &Rig, stock: &Stock, s: &[u8], p: &[u8], r: &[u8], n: i32) {
    let (ours, theirs) = (ask(rig, s, p, r, n), stock.check(s, p, r, n));
    let show = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    assert_eq!(show(&ours), show(&theirs), "s={:?} p={:?} r={:?} n={n}", show(s), show(p), show(r));
}

#[test]
fn known_patterns() {
    let (rig, stock) = (ours(), Stock::new());
    for pattern in [
        "",
        "a",
        "^a",
        "a$",
        "^$",
        "$",
        "^",
        "^^",
        "a$b",
        "%a+",
        "%A*",
        "%d-%s",
        "[abc]",
        "[^abc]",
        "[a-c]",
        "[%a_]",
        "[]]",
        "[^]]",
        "[a-]",
        "[-a]",
        "[%]]",
        "[]",
        "[",
        "[^",
        "[%",
        "%",
        "%%",
        "()",
        "(a)",
        "(a)(b)",
        "(a(b))",
        "(",
        ")",
        "(a",
        "a)",
        "(()a)",
        "%1",
        "(a)%1",
        "(a)%2",
        "%0",
        "%b()",
        "%bxy",
        "%b",
        "%bx",
        "%f[%w]%w+",
        "%f[%z]",
        "%fa",
        "%f",
        "a?",
        "a*",
        "a+",
        "a-",
        "a-b",
        ".-b",
        ".*b",
        "(.)-",
        "[[]",
        "[a-c-e]",
        "[z-a]",
        "a-$",
        "%w+%s*$",
        "%x%g%p",
        "%z",
        "\0",
        "a\0b",
        "(%w+)=(%w+)",
        "^%s*(.-)%s*$",
        "([^,]*),?",
        "%c",
        "%u%l",
        "[%w%.]+",
        "*",
        "+",
        "-",
        "?",
        "a**",
        "a+?",
        "%.",
        "[.]",
        "[%d-z]",
        "((((a))))",
        "(a*)(b*)",
        "(()",
        "%f[a]",
        "%f[^a]",
    ] {
        for subject in [
            "",
            "a",
            "ab",
            "abab",
            "hello world",
            "k=v, x=y",
            " trim me ",
            "a(b(c)d)e",
            "THE (quick) fox",
            "a\0b",
            "ab]c",
            "1.5e3 0xff",
            "xaaay",
            "][",
        ] {
            for (with, n) in
                [("x", 1), ("%0%1", 2), ("%%", -1), ("%2", 0), ("%", 3), ("", -3), ("<%0>", 99)]
            {
                same(&rig, &stock, subject.as_bytes(), pattern.as_bytes(), with.as_bytes(), n);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn generated_patterns(
        cases in proptest::collection::vec((
            "[ab1 (),=\\]%\\x00A.-]{0,14}",
            proptest::collection::vec(prop_oneof![
                Just("a"), Just("b"), Just("1"), Just("."), Just("%a"), Just("%d"), Just("%W"),
                Just("%s"), Just("[ab]"), Just("[^a]"), Just("[%d%s]"), Just("[a-z]"), Just("*"),
                Just("+"), Just("-"), Just("?"), Just("("), Just(")"), Just("()"), Just("%1"),
                Just("%2"), Just("%b()"), Just("%f[%w]"), Just("^"), Just("$"), Just("["),
                Just("]"), Just("%"), Just("%%"), Just(" "), Just("="), Just("%z"),
            ], 0..9),
            "[a%0-3]{0,5}",
            -5i32..16,
        ), 4000..4001)
    ) {
        let (rig, stock) = (ours(), Stock::new());
        for (subject, pattern, with, n) in cases {
            let pattern = pattern.concat();
            same(&rig, &stock, subject.as_bytes(), pattern.as_bytes(), with.as_bytes(), n);
        }
    }
}
