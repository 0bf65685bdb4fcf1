//! `gateway.re`: PCRE's syntax, native manners.

use crate::rig::*;

/// Runs expressions over `re`; each value as text, lists in braces.
fn shown(expression: &str) -> String {
    answer(&format!(
        "local re = gateway.re
         local function show(v)
           if type(v) ~= 'table' then return tostring(v) end
           local out = {{}}
           for i = v[0] == nil and 1 or 0, #v do out[#out + 1] = show(v[i]) end
           return '{{' .. table.concat(out, ',') .. '}}'
         end
         local function all(...)
           local out = {{}}
           for i = 1, select('#', ...) do out[i] = show((select(i, ...))) end
           return table.concat(out, ' ')
         end
         return {{ body = all({expression}) }}"
    ))
}

#[test]
fn matches() {
    for (expression, want) in [
        ("re.match('hello 123', '([a-z]+) ([0-9]+)')", "{hello 123,hello,123}"),
        ("re.match('hello', '[0-9]')", "nil"),
        ("re.match('ac', 'a(b)?(c)')", "{ac,false,c}"),
        ("re.match('ABC', 'b', 'i')[0]", "B"),
        ("re.match('a\\nb', '^b$', 'm')[0]", "b"),
        ("re.match('a\\nb', 'a.b')", "nil"),
        ("#re.match('a\\nb', 'a.b', 's')[0]", "3"),
        ("re.match('ab', ' a b # both', 'x')[0]", "ab"),
        ("re.match('xay', 'a', 'a')", "nil"),
        ("#re.match('é', '.', 'u')[0], #re.match('é', '.')[0]", "2 1"),
        ("re.match('2026-11', '(?<year>[0-9]+)-(?<month>[0-9]+)').month", "11"),
        ("re.match('ab', '(?<x>a)(?<x>b)', 'D').x", "{a,b}"),
        ("re.match('aXbX', 'X', nil, 3)[0], re.match('aX', 'X', nil, -1)[0]", "X X"),
        ("re.match('foobar', 'foo(?=bar)')[0], re.match('aab', '(?<!a)a+b')[0]", "foo aab"),
        ("re.match(123, 2)[0]", "2"),
        ("re.match('abc', '$', nil, 9)", "nil"),
        ("re.match('ab', '(a)(b)(x)?(y)?(z)?')", "{ab,a,b,false,false,false}"),
        ("re.match('\\0x', '\\\\0(x)')[1]", "x"),
        ("re.find('hello', 'l+')", "3 4"),
        ("re.find('hello', 'x')", "nil"),
        ("re.find('hello', 'l', nil, 4)", "4 4"),
        ("re.find('', '')", "1 0"),
    ] {
        assert_eq!(shown(expression), want, "{expression}");
    }
}

#[test]
fn replacements_and_pieces() {
    for (expression, want) in [
        ("re.sub('a b a', 'a', 'x')", "x b a 1"),
        ("re.gsub('a b a', 'a', '<$0>')", "<a> b <a> 2"),
        ("re.gsub('ab', '(a)(b)', '$2$1$$')", "ba$ 1"),
        ("re.gsub('abc', 'x', 'y')", "abc 0"),
        ("re.gsub('a1b2', '[0-9]', function(m) return m[0] * 2 end)", "a2b4 2"),
        ("re.gsub('abc', '.', function(m) if m[0] == 'b' then return '-' end end)", "a-c 3"),
        ("re.sub('abc', '.', function() return '' end)", "bc 1"),
        ("re.gsub('ab', '', '-')", "-a-b- 3"),
        ("re.gsub('ab', '', function() return '-' end)", "-a-b- 3"),
        ("re.gsub('éa', '', function() return '-' end, 'u')", "-é-a- 3"),
        ("re.gsub('x', 'x', 5)", "5 1"),
        ("re.split('a, b,c', ',\\\\s*')", "{a,b,c}"),
        ("re.split('a,b,c,,', ',')", "{a,b,c}"),
        ("re.split('a,b,c', ',', nil, 2)", "{a,b,c}"),
        ("#re.split('a,b,c', ',', nil, 2)", "2"),
        ("re.split('abc', '')", "{a,b,c}"),
        ("re.split('axxb', 'x*')", "{a,b}"),
        ("re.split('a1b2c', '([0-9])')", "{a,1,b,2,c}"),
        ("re.split('', ',')", "{}"),
        ("re.split('éa', '', 'u')", "{é,a}"),
    ] {
        assert_eq!(shown(expression), want, "{expression}");
    }
}

#[test]
fn iterators_go_through_all() {
    let got = answer(
        "local out = {}
         for m in gateway.re.gmatch('a1 b2 c', '([a-z])([0-9])?') do
           out[#out + 1] = m[1] .. tostring(m[2])
         end
         for m in gateway.re.gmatch('éa', '', 'u') do out[#out + 1] = '.' end
         local a, b = gateway.re.gmatch('xy', '.'), gateway.re.gmatch('12', '.')
         out[#out + 1] = a()[0] .. b()[0] .. a()[0] .. b()[0] .. tostring(a()) .. tostring(a())
         return { body = table.concat(out, ' ') }",
    );
    assert_eq!(got, "a1 b2 cfalse . . . x1y2nilnil");
}

#[test]
fn callbacks_may_wait_and_match_themselves() {
    let got = answer(
        "local s, n = gateway.re.gsub('a-b-c', '[a-z]', function(m)
           gateway.sleep(0.1)
           local inner = gateway.re.gsub(m[0] .. m[0], m[0], 'x$0', 'i')
           return '(' .. inner .. ')'
         end)
         return { body = s .. ' ' .. n }",
    );
    assert_eq!(got, "(xaxa)-(xbxb)-(xcxc) 3");
}

#[test]
fn mistakes_are_errors_of_the_script() {
    for (body, want) in [
        (
            "gateway.re.match('a', '(')",
            "re.match: bad pattern: missing closing parenthesis in \"(\"",
        ),
        (
            "gateway.re.gmatch('a', '[')",
            "re.gmatch: bad pattern: missing terminating ] for character class",
        ),
        ("gateway.re.find('a', 'a', 'q')", "re.find: there is no flag 'q'"),
        ("gateway.re.match({}, 'a')", "re.match takes a string as its text, not a table"),
        ("gateway.re.match('a')", "re.match takes a string as its pattern, not a nil"),
        ("gateway.re.sub('a', 'a')", "re.sub takes a string as its replacement, not a nil"),
        (
            "gateway.re.gsub('a', 'a', '$x')",
            "re.gsub: bad replacement: attempt to use named capturing variable \"x\"",
        ),
        (
            "gateway.re.gsub('a', 'a', function() return {} end)",
            "takes a string as its replacement, not a table",
        ),
        ("gateway.re.match('\\255', '.', 'u')", "re.match: the text is not UTF-8"),
        (
            "gateway.re.match(('a'):rep(300000), '^(?:a|b)*[cd]')",
            "re.match: the match takes too much memory",
        ),
        ("gateway.re.gsub(('a'):rep(10000), 'a', ('x'):rep(10000))", "re.gsub: result too large"),
    ] {
        let fault = failure(body);
        assert!(fault.message.contains(want), "{body}: {fault}");
        assert!(fault.message.contains("f0.lua:3"), "{body}: {fault}");
    }
}

#[test]
fn the_manifest_limits_steps() {
    let script = "return { request = function(req)
        local ok, why = pcall(gateway.re.match, ('a'):rep(40), '(?:a|a?)+[xy]')
        return { body = tostring(why) }
      end }";
    let rig = load(&[script], |plan, _| plan.script.regex.match_limit = 1000).unwrap();
    let (result, mut exchange) = rig.request();
    result.unwrap();
    let body = text(&mut exchange.response.body);
    assert!(body.ends_with("re.match: the match takes too many steps"), "{body}");
}
