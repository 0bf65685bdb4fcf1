//! ngx.re: OpenResty's results, errors and modules.

use crate::nginx::*;

#[test]
fn matches() {
    for (expression, want) in [
        ("ngx.re.match('hello, 1234', '([0-9])([0-9]+)')", "{1234,1,234}"),
        ("ngx.re.match('hello', '[0-9]+')", "nil"),
        ("ngx.re.match('hello, 1234', '([a-z]+)|([0-9]+)')", "{hello,hello,false}"),
        ("ngx.re.match('hello', '(world)|(hello)', 'jo')", "{hello,false,hello}"),
        ("ngx.re.match('hello', '(hello)(x)?', 'jo')", "{hello,hello,false}"),
        ("ngx.re.match('HeLlo', 'h.l{2}o', 'i')", "{HeLlo}"),
        ("ngx.re.match('hello\\nworld', '^world', 'm')", "{world}"),
        ("ngx.re.match('a\\nb', 'a.b', 's')[0] == 'a\\nb'", "true"),
        ("ngx.re.match('hello', 'h e l l o', 'x')", "{hello}"),
        ("ngx.re.match('xhello', 'hello', 'a')", "nil"),
        ("ngx.re.match('章', '.', 'u')[0] == '章', #ngx.re.match('章', '.', 'U')[0]", "true 3"),
        ("ngx.re.match('hello', 'he|hello', 'd')", "{hello}"),
        ("#ngx.re.match('hello', '(he)|(hello)', 'd')", "0"),
        ("ngx.re.match('\\\\x', '\\\\u', 'J')", "nil"),
        ("ngx.re.match('hello', '(?<first>[a-z])(?<n>[0-9])?', 'j').first", "h"),
        ("ngx.re.match('hello', '(?<first>[a-z])(?<n>[0-9])?').n", "false"),
        ("ngx.re.match('ab', '(?<c>a)(?<c>b)?(?<c>x)?', 'D').c", "{a,b}"),
        ("ngx.re.match(1234, '23')", "{23}"),
        ("ngx.re.match('', '')", "{}"),
    ] {
        assert_eq!(said(&format!("say({expression})")), want, "{expression}");
    }
}

#[test]
fn contexts_and_given_tables() {
    let got = said(
        "local ctx = { pos = 3 }
         say(ngx.re.match('1234, hello', '[0-9]+', '', ctx), ctx.pos)
         ctx = {} say(ngx.re.match('1234, hello', '[a-z]+', 'jo', ctx), ctx.pos)
         ctx = { pos = 3 } say(ngx.re.match('12', 'x', '', ctx), ctx.pos)
         ctx = { pos = 0 } say(ngx.re.find('ab', 'b', '', ctx), ctx.pos)
         say(ngx.re.match('ab', 'b', '', { pos = -5 }))
         say(ngx.re.match('ab', '$', '', { pos = 9 }))
         local res = { 'old', 'old', x = 'stays' }
         say(ngx.re.match('hello', '(h)', 'jo', nil, res) == res, res, res.x)",
    );
    assert_eq!(
        got,
        "{34} 5 {hello} 12 nil 3 2 3 {b} nil pcre_exec() failed: -33 true {h,h,old} stays"
    );
}

#[test]
fn find() {
    for (expression, want) in [
        ("ngx.re.find('hello, 1234', '([0-9])([0-9]+)', 'jo')", "8 11"),
        ("ngx.re.find('hello, 1234', '([0-9])([0-9]+)', 'jo', nil, 1)", "8 8"),
        ("ngx.re.find('hello, 1234', '([0-9])([0-9]+)', 'jo', nil, 2)", "9 11"),
        ("ngx.re.find('hello, 1234', '([0-9])([0-9]+)', 'jo', nil, -1)", "8 11"),
        ("ngx.re.find('hello', '(x)?(h)', 'jo', nil, 1)", "nil nil"),
        ("ngx.re.find('hello', 'h', 'jo', nil, 1)", "nil nil nth out of bound"),
        ("ngx.re.find('hello', 'x', 'jo')", "nil"),
        ("ngx.re.find('hello', '', 'jo')", "1 0"),
    ] {
        assert_eq!(said(&format!("say({expression})")), want, "{expression}");
    }
}

#[test]
fn errors_are_the_last_results() {
    for (expression, want) in [
        (
            "ngx.re.match('a', '(abc')",
            "nil pcre2_compile() failed: missing closing parenthesis in \"(abc\"",
        ),
        (
            "ngx.re.match('a', 'a)b')",
            "nil pcre2_compile() failed: unmatched closing parenthesis in \"a)b\" at \")b\"",
        ),
        (
            "ngx.re.find('a', '(abc')",
            "nil nil pcre2_compile() failed: missing closing parenthesis in \"(abc\"",
        ),
        (
            "ngx.re.gmatch('a', '(abc')",
            "nil pcre2_compile() failed: missing closing parenthesis in \"(abc\"",
        ),
        (
            "ngx.re.sub('a', '(abc', '')",
            "nil nil pcre2_compile() failed: missing closing parenthesis in \"(abc\"",
        ),
        (
            "ngx.re.gsub('a', '(abc', print)",
            "nil nil pcre2_compile() failed: missing closing parenthesis in \"(abc\"",
        ),
        ("ngx.re.match('\\255', '.', 'u')", "nil pcre_exec() failed: -23"),
        ("ngx.re.gsub('\\255', '.', '', 'u')", "nil nil pcre_exec() failed: -23"),
        ("ngx.re.gsub('a', 'a', '[$hello]')", "nil nil failed to compile the replacement template"),
        ("select(2, pcall(ngx.re.match, 'a', 'a', 'Hm'))", "unknown flag \"H\" (flags \"Hm\")"),
        ("#select(2, ngx.re.match('a', ('('):rep(5000)))", "255"),
    ] {
        assert_eq!(said(&format!("say({expression})")), want, "{expression}");
    }
    let message = failed("ngx.re.gsub('a', 'a', '', 'q')");
    assert!(message.contains("access.lua:11: unknown flag \"q\" (flags \"q\")"), "{message}");
    let rig = access(&saying("say(ngx.re.sub('a', 'a', '${1'))"), |_| {});
    said_in(&rig).unwrap();
    let lines = rig.world.lines.borrow();
    let told = "the closing bracket in \"1\" variable is missing";
    assert!(lines.iter().any(|line| line.contains(told)), "{lines:?}");
}

#[test]
fn iterators() {
    let got = said(
        "for m, err in ngx.re.gmatch('hello, world', '([a-z])[a-z]+', 'jo') do say(m) end
         local it = ngx.re.gmatch('hello', '') local n = 0
         for m in it do n = n + 1 end say(n, it())
         it = ngx.re.gmatch('a\\255', '.', 'u') say(it())
         local a, b = ngx.re.gmatch('ab', '.'), ngx.re.gmatch('xy', '.')
         say(a()[0], b()[0], a()[0], b()[0], a(), b())
         it = ngx.re.gmatch('章亦', '', 'u') n = 0
         for m in it do n = n + 1 end say(n)",
    );
    assert_eq!(got, "{hello,h} {world,w} 6 nil nil pcre_exec() failed: -23 a x b y nil nil 3");
}

#[test]
fn replacements() {
    for (expression, want) in [
        ("ngx.re.sub('hello, 1234', '([0-9])[0-9]', '[$0][$1]')", "hello, [12][1]34 1"),
        ("ngx.re.gsub('hello, world', '([a-z])[a-z]+', '[$0,$1]', 'i')", "[hello,h], [world,w] 2"),
        (
            "ngx.re.sub('b c d', '(b) (c)', '[$0] [$1] [${2}] [$3] [${134}]')",
            "[b c] [b] [c] [] [] d 1",
        ),
        ("ngx.re.sub('b', 'b', '[$$0]')", "[$0] 1"),
        ("ngx.re.gsub('hello', 'x', '-')", "hello 0"),
        ("ngx.re.gsub('hello', '', '-')", "-h-e-l-l-o- 6"),
        ("ngx.re.gsub('ab', 'b', 5)", "a5 1"),
        ("ngx.re.gsub('ab', '[a-b]', true)", "truetrue 2"),
        ("ngx.re.gsub(1234, '3', 'x')", "12x4 1"),
        (
            "ngx.re.gsub('ab', '([ab])', function(m) return '<' .. m[1] .. '>' end, 'jo')",
            "<a><b> 2",
        ),
        ("ngx.re.sub('ab', '[ab]', function(m) return m[0]:upper() end)", "Ab 1"),
        ("ngx.re.sub('ab', 'a', function() return nil end)", "nilb 1"),
        ("ngx.re.gsub('ab', '', function() return '.' end)", ".a.b. 3"),
        ("ngx.re.gsub('a', 'a', function() return ngx.re.gsub('xx', 'x', 'y') end)", "yy 1"),
        ("#ngx.re.gsub(('a'):rep(100000), 'a', 'bb', 'jo')", "200000"),
    ] {
        assert_eq!(said(&format!("say({expression})")), want, "{expression}");
    }
    let got = said(
        "say(ngx.re.gsub('a-b', '[a-z]', function(m) ngx.sleep(0.1) return m[0]:upper() end))",
    );
    assert_eq!(got, "A-B 2");
}

#[test]
fn split() {
    for (arguments, want) in [
        ("'a,b,c,d', ','", "{a,b,c,d}"),
        ("'a;,b;,c;,d;e', ';,'", "{a,b,c,d;e}"),
        ("'a;,b;,c;,d,e', '(;),'", "{a,;,b,;,c,;,d,e}"),
        ("'a,b,c,d,e', '(;)|,'", "{a,b,c,d,e}"),
        ("'a,b,c,d,e', ',', nil, nil, 3", "{a,b,c,d,e}"),
        ("'a,b,c,d,e', '(,)', nil, nil, 3", "{a,,,b,,,c,d,e}"),
        ("'a,b,c,d,e', ',', nil, nil, 0", "{a,b,c,d,e}"),
        ("'a,b,c,d,e', ',', nil, nil, -1", "{a,b,c,d,e}"),
        ("'a,b,c,d,e', ',', nil, nil, 1", "{a,b,c,d,e}"),
        ("'a,b,c,d,e', ',', nil, { pos = 5 }", "{c,d,e}"),
        ("',a,b,c,d,', ','", "{,a,b,c,d}"),
        ("'abcd', ','", "{abcd}"),
        ("1234512345, '23', 'jo'", "{1,451,45}"),
        ("'a,b,c,d,e', ',', nil, { pos = 10 }", "{}"),
        ("'12345', '', 'jo'", "{1,2,3,4,5}"),
        ("'12345', '', 'jo', nil, 3", "{1,2,345}"),
        ("'12345', '', 'jo', { pos = 2 }", "{2,3,4,5}"),
        ("'12345', '', 'jo', { pos = 2 }, 2", "{2,345}"),
        ("'abcd', '()'", "{a,,b,,c,,d}"),
        ("'ab\\ncd\\nef', '^', 'm'", "{ab\n,cd\n,ef}"),
        ("'ab\\ncd\\nef', '^', 'm', nil, 2", "{ab\n,cd\nef}"),
        ("'ab\\n1cdefg\\n2hij', '^(\\\\d)', 'm'", "{ab\n,1,cdefg\n,2,hij}"),
        ("',,,', ','", "{}"),
    ] {
        let got = said(&format!("say((require 'ngx.re').split({arguments}))"));
        assert_eq!(got, want, "{arguments}");
    }
    let got = said(
        "local split = require('ngx.re').split
         local given = {} for i = 1, 10 do given[i] = i .. ' hello' end
         local res = split('a,b,c', ',', nil, nil, nil, given)
         local n = 0 for _ in ipairs(res) do n = n + 1 end
         say(res == given, n, split('a', '(abc'))
         say(pcall(split, 'a', 'a', nil, nil, nil, 5))",
    );
    assert_eq!(
        got,
        "true 3 nil pcre2_compile() failed: missing closing parenthesis in \"(abc\" false res is not a table"
    );
}

#[test]
fn modules_and_options() {
    let got = said(
        "local module = require 'ngx.re'
         module.opt('jit_stack_size', 128 * 1024)
         say(pcall(module.opt, 'foo', 1))
         ngx.re.match('a', 'a', 'jo')
         say(pcall(module.opt, 'jit_stack_size', 1))
         say(type(require 'resty.core.regex'))",
    );
    assert_eq!(
        got,
        "false unrecognized option name false changing jit stack size is not allowed when some regexs \
         have already been compiled and cached table"
    );
}

#[test]
fn steps_have_a_limit() {
    for flags in ["", "jo"] {
        let script = format!("say(ngx.re.match(('a'):rep(40), '(?:a|a?)+[xy]', '{flags}'))");
        let rig = access(&saying(&script), |plan| plan.script.regex.match_limit = 1000);
        assert_eq!(said_in(&rig).unwrap(), "nil pcre_exec() failed: -47");
    }
}
