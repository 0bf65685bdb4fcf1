//! What a run prints, and how it ends.

use super::{err, fails, folder, out, pilotlight};

const FILTER: &str = "return { request = function() return { status = 401 } end }\n";
const MIXED: &str = r#"
local t = require "pilotlight.test"
local tests = {}
function tests.zebra_first() t.equal(1, 1) end
function tests.wrong()
  print("seen", 7)
  local result = t.filter("f.lua"):request {}
  t.equal(result.status, 200, "status <&>")
end
function tests.broken() local none; return none.field end
t.test("a name # with signs", function() end)
return tests
"#;

#[test]
fn people_see_file_line_and_difference() {
    let folder = folder(&[("f.lua", FILTER), ("deep/f_test.lua", ""), ("f_test.lua", MIXED)]);
    let output = pilotlight(folder.path(), &["test"]);
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    for expected in [
        "deep/f_test.lua\n  FAIL  (the file)\n        deep/f_test.lua: no tests in it\n",
        "f_test.lua\n  ok    a name # with signs\n  ok    zebra_first\n  FAIL  wrong\n",
        "f_test.lua:8: status <&>: expected 200, got 401\n",
        "        | seen\t7\n",
        "f_test.lua:10: attempt to index local 'none' (a nil value)\n",
        "\n2 passed, 3 failed\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
}

#[test]
fn tables_that_differ_are_shown_by_their_paths() {
    let text = fails(
        "return {}",
        r#"t.same({ a = 1, list = { "x", "y" }, ["c d"] = {}, deep = { { n = 1 } } },
                  { a = 1, list = { "x", "Y", "z" }, deep = { { n = 2 } } }, "what came")"#,
    );
    for expected in [
        "f_test.lua:4: what came: they differ\n",
        "[\"c d\"]: expected nothing, got {}\n",
        ".deep[1].n: expected 2, got 1\n",
        ".list[2]: expected \"Y\", got \"y\"\n",
        ".list[3]: expected \"z\", got nothing\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
    assert!(!text.contains(".a:"), "{text}");
}

#[test]
fn a_file_that_is_no_lua_fails_alone() {
    let folder =
        folder(&[("f.lua", FILTER), ("a_test.lua", "local x = =\n"), ("f_test.lua", MIXED)]);
    let output = pilotlight(folder.path(), &["test"]);
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    assert!(text.contains("a_test.lua:1: unexpected symbol near '='"), "{text}");
    assert!(text.contains("\n2 passed, 3 failed\n"), "{text}");
}

#[test]
fn tap_is_tap() {
    let folder =
        folder(&[("f.lua", FILTER), ("a_test.lua", "local x = =\n"), ("f_test.lua", MIXED)]);
    let output = pilotlight(folder.path(), &["test", "--tap"]);
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("TAP version 14"));
    assert_eq!(text.lines().last(), Some("1..5"));
    let points: Vec<&str> =
        lines.clone().filter(|l| l.starts_with("ok ") || l.starts_with("not ok ")).collect();
    let numbers = points.iter().map(|line| line.trim_start_matches("not ").split(' ').nth(1));
    let numbers: Vec<usize> = numbers.map(|number| number.unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5], "{text}");
    assert!(text.contains("ok 2 - f_test.lua: a name \\# with signs\n"), "{text}");
    // Each other line belongs to a block of YAML.
    let mut open = false;
    for line in lines.filter(|line| !points.contains(line) && !line.starts_with("1..")) {
        match line {
            "  ---" => open = true,
            "  ..." => open = false,
            line => assert!(open && line.starts_with("  "), "{line:?} in\n{text}"),
        }
    }
    assert!(!open, "{text}");
}

#[test]
fn junit_is_xml() {
    let folder =
        folder(&[("f.lua", FILTER), ("a_test.lua", "local x = =\n"), ("f_test.lua", MIXED)]);
    let output = pilotlight(folder.path(), &["test", "--junit", "out.xml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("FAIL"), "people are told, too");
    let xml = std::fs::read_to_string(folder.path().join("out.xml")).unwrap();
    let names = elements(&xml);
    let count = |name: &str| names.iter().filter(|n| *n == name).count();
    assert_eq!(
        (count("testsuite"), count("testcase"), count("failure"), count("error")),
        (2, 5, 1, 2),
        "{xml}"
    );
    let suite = "name=\"f_test.lua\" tests=\"4\" failures=\"1\" errors=\"1\"";
    assert!(xml.contains(suite), "{xml}");
    assert!(xml.contains("status &lt;&amp;&gt;: expected 200, got 401"), "{xml}");
}

/// Names of the elements of a document, which must be well-formed.
fn elements(xml: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    let rest = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    for piece in rest.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap();
        assert!(!text.contains('>') || !text.contains('<'), "{piece}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap().to_owned();
        if tag.starts_with('/') {
            assert_eq!(open.pop().as_ref(), Some(&name));
            continue;
        }
        all.push(name.clone());
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

#[test]
fn usage_that_is_wrong_ends_with_2() {
    let folder = folder(&[("f.lua", FILTER)]);
    for (arguments, said) in [
        (&["test"][..], "no *_test.lua in ."),
        (&["test", "nowhere"][..], "nowhere: "),
        (&["test", "--surprise"][..], "surprise"),
    ] {
        let output = pilotlight(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(err(&output).contains(said), "{}", err(&output));
    }
    folder.write("f_test.lua", MIXED);
    folder.write("pilotlight.toml", "[surprise]\n");
    let output = pilotlight(folder.path(), &["test"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("pilotlight.toml:1"), "{}", err(&output));
}

#[test]
fn mistakes_in_a_test_name_their_line() {
    let filter = "local f = {}\nfunction f.request(req)\n  error('no ' .. req.path)\nend\nreturn f";
    for (test, said) in [
        ("t.filter('f.lua'):request { pth = '/' }", "f_test.lua:4: a request has no \"pth\""),
        ("t.filter('g.lua')", "f_test.lua:4: "),
        ("t.filter('f.lua', nil, { limts = {} })", "did you mean \"limits\"?"),
        ("t.equal(t.filter('f.lua'):request { path = '/x' }.error, nil)", "f.lua:3: no /x"),
        ("t.filter('f.lua'):request { headers = { a = 'b\\r\\nc' } }", "would split the message"),
        ("while true do end", "over its CPU time"),
        ("coroutine.yield()", "yield"),
    ] {
        let text = fails(filter, test);
        assert!(text.contains(said), "{test}: {said:?} in\n{text}");
    }
}
