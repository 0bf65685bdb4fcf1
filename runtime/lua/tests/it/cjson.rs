//! `cjson` and `cjson.safe`, as lua-cjson's own tests have them.

use crate::said::{check, said};

const BEFORE: &str = "local json, inf = require 'cjson', math.huge";

#[test]
fn values_and_texts() {
    check(
        BEFORE,
        &[
            ("json._NAME, json._VERSION, json.null == ngx.null", "cjson 2.1.0.11 true"),
            ("json.decode '\"test string\"'", "test string"),
            (
                "table.concat(json.decode '[ 0.0, -5e3, -1, 0.3e-3, 1023.2, 0e10 ]', ' ')",
                "0 -5000 -1 0.0003 1023.2 0",
            ),
            (
                "json.decode 'null' == json.null, json.decode 'true', json.decode 'false'",
                "true true false",
            ),
            ("json.decode '{ \"1\": \"one\" }'['1'], json.decode '[\"a\",null,\"c\"]'[3]", "one c"),
            ("json.decode '\"\\\\uF800\\\\ud83d\\\\ude00\\\\t\"'", "\u{f800}😀\t"),
            ("json.decode(' \\t\\r\\n1 ')", "1"),
            (
                "json.encode(json.null), json.encode(nil), json.encode(true), json.encode(10)",
                "null null true 10",
            ),
            (
                "json.encode {}, json.encode { dogs = {} }, json.encode { 1, 'x' }",
                "{} {\"dogs\":{}} [1,\"x\"]",
            ),
            ("json.encode '/\\1\\127\"\\\\\\n'", "\"\\/\\u0001\\u007f\\\"\\\\\\n\""),
            (
                "json.encode(2 ^ 53), json.encode(1 / 3), json.encode(-0.1)",
                "9.007199254741e+15 0.33333333333333 -0.1",
            ),
            (
                "json.encode { [3] = 'x' }, json.encode { ['2'] = 'x' }, json.encode { [1.5] = 1 }",
                "[null,null,\"x\"] {\"2\":\"x\"} {\"1.5\":1}",
            ),
            ("json.encode { arr = json.empty_array }", "{\"arr\":[]}"),
            (
                "json.encode(setmetatable({}, json.empty_array_mt)), json.encode(setmetatable({ 'x' }, json.empty_array_mt))",
                "[] [\"x\"]",
            ),
            ("json.encode(setmetatable({ a = 1 }, json.array_mt))", "[]"),
            (
                "json.encode(setmetatable({}, { __len = function() return 3 end, __index = function(_, i) return i * 2 end }))",
                "[2,4,6]",
            ),
            ("json.encode(setmetatable({ a = 1 }, { __index = print }))", "{\"a\":1}"),
        ],
    );
}

#[test]
fn errors() {
    check(
        BEFORE,
        &[
            (
                "pcall(json.decode, '\\0\"\\0\"')",
                "false JSON parser does not support UTF-16 or UTF-32",
            ),
            (
                "pcall(json.decode, '{ \"unexpected eof\": ')",
                "false Expected value but found T_END at character 21",
            ),
            (
                "pcall(json.decode, '{ \"extra data\": true }, false')",
                "false Expected the end but found T_COMMA at character 23",
            ),
            (
                "pcall(json.decode, [[ { \"bad escape \\q code\" } ]])",
                "false Expected object key string but found invalid escape code at character 16",
            ),
            (
                "pcall(json.decode, [[ { \"bad unicode \\u0f6 escape\" } ]])",
                "false Expected object key string but found invalid unicode escape code at character 17",
            ),
            (
                "pcall(json.decode, ' [ \"bad barewood\", test ] ')",
                "false Expected value but found invalid token at character 20",
            ),
            (
                "pcall(json.decode, '[ -+12 ]')",
                "false Expected value but found invalid number at character 3",
            ),
            (
                "pcall(json.decode, '-v')",
                "false Expected value but found invalid number at character 1",
            ),
            (
                "pcall(json.decode, '[ 0.4eg10 ]')",
                "false Expected comma or array end but found invalid token at character 6",
            ),
            (
                "pcall(json.decode, '{\"a\" 1}')",
                "false Expected colon but found T_INTEGER at character 6",
            ),
            (
                "pcall(json.decode, '{\"a\":1 2}')",
                "false Expected comma or object end but found T_INTEGER at character 8",
            ),
            (
                "pcall(json.decode, '{,}')",
                "false Expected object key string but found T_COMMA at character 2",
            ),
            (
                "pcall(json.decode, '\"abc')",
                "false Expected value but found unexpected end of string at character 5",
            ),
            ("pcall(json.decode, '')", "false Expected value but found T_END at character 1"),
            (
                "pcall(json.decode, 'hello')",
                "false Expected value but found invalid token at character 1",
            ),
            (
                "pcall(json.decode, '[\"\\\\uDC00\\\\uD800\"]')",
                "false Expected value but found invalid unicode escape code at character 3",
            ),
            (
                "pcall(json.decode, '[\"\\\\uDB00\\\\uD\"]')",
                "false Expected value but found invalid unicode escape code at character 3",
            ),
            ("pcall(json.decode, nil)", "false bad argument #1 to '?' (string expected, got nil)"),
            ("pcall(json.decode)", "false bad argument #1 to 'decode' (expected 1 argument)"),
            ("pcall(json.encode, print)", "false Cannot serialise function: type not supported"),
            (
                "pcall(json.encode, { f = coroutine.create(print) })",
                "false Cannot serialise thread: type not supported",
            ),
            (
                "pcall(json.encode, { [false] = 'wrong' })",
                "false Cannot serialise boolean: table key must be a number or string",
            ),
            (
                "pcall(json.encode, inf * 0)",
                "false Cannot serialise number: must not be NaN or Infinity",
            ),
            (
                "pcall(json.encode, { [1] = 1, [100] = 2 })",
                "false Cannot serialise table: excessively sparse array",
            ),
        ],
    );
    let got = said(
        "local json = require 'cjson'
         local ok, raised = pcall(json.encode, setmetatable({}, { __len = function() error({ 'mine' }) end }))
         say(ok, raised[1])
         say(pcall(function() json.encode(print) end))",
    );
    assert_eq!(
        got,
        "false mine\nfalse access.lua:10: Cannot serialise function: type not supported"
    );
}

#[test]
fn depths() {
    check(
        BEFORE,
        &[
            ("json.decode_max_depth(), json.decode_max_depth(5)", "1000 5"),
            ("json.decode '[[[[[ \"nested\" ]]]]]'[1][1][1][1][1]", "nested"),
            (
                "pcall(json.decode, '[[[[[[ 1 ]]]]]]')",
                "false Found too many nested data structures (6) at character 6",
            ),
            (
                "pcall(json.decode, '{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":1}}}}}}')",
                "false Found too many nested data structures (6) at character 26",
            ),
            ("json.decode_max_depth(1000)", "1000"),
            (
                "pcall(json.decode, ('['):rep(1100))",
                "false Found too many nested data structures (1001) at character 1001",
            ),
            ("json.encode_max_depth(5)", "5"),
            ("json.encode {{{{{ 'x' }}}}}", "[[[[[\"x\"]]]]]"),
            (
                "pcall(json.encode, {{{{{{ 'x' }}}}}})",
                "false Cannot serialise, excessive nesting (6)",
            ),
            (
                "(function() local t = {} t[1] = t return select(2, pcall(json.encode, t)) end)()",
                "Cannot serialise, excessive nesting (6)",
            ),
            (
                "json.encode_max_depth(2147483647), json.decode_max_depth(2147483647)",
                "2147483647 2147483647",
            ),
            (
                "(select(2, pcall(json.decode, ('['):rep(100000))):sub(1, 38))",
                "Found too many nested data structures ",
            ),
            (
                "(function() local t = {} for i = 1, 1e5 do t = { t } end return (select(2, pcall(json.encode, t)):sub(1, 36)) end)()",
                "Cannot serialise, excessive nesting ",
            ),
        ],
    );
}

#[test]
fn options() {
    check(
        BEFORE,
        &[
            (
                "json.decode '0x6.ffp1', json.decode '[ 0123, 00.33 ]'[1], json.decode '[+Inf]'[1], json.decode '-nan' ~= 0",
                "13.9921875 123 inf true",
            ),
            (
                "pcall(json.decode, 'Infrared')",
                "false Expected the end but found invalid token at character 4",
            ),
            (
                "pcall(json.decode, 'Noodle')",
                "false Expected value but found invalid token at character 1",
            ),
            ("json.decode_invalid_numbers(false)", "false"),
            (
                "pcall(json.decode, '0x6')",
                "false Expected value but found invalid number at character 1",
            ),
            (
                "pcall(json.decode, '[ 0123 ]')",
                "false Expected value but found invalid number at character 3",
            ),
            (
                "pcall(json.decode, '[ +Inf ]')",
                "false Expected value but found invalid token at character 3",
            ),
            ("json.decode_invalid_numbers('on')", "true"),
            ("json.encode_invalid_numbers('null'), json.encode(inf)", "null null"),
            (
                "json.encode_invalid_numbers(true), json.encode(inf), json.encode(-inf), json.encode(inf * 0)",
                "true Infinity -Infinity NaN",
            ),
            ("json.encode_invalid_numbers('off')", "false"),
            ("json.encode_sparse_array(true, 2, 3)", "true 2 3"),
            (
                "json.encode { [4] = 'x', [1] = 'y' }, json.encode { [5] = 'x' }",
                "[\"y\",null,null,\"x\"] {\"5\":\"x\"}",
            ),
            ("json.encode_sparse_array(false)", "false 2 3"),
            (
                "json.encode_number_precision(3), json.encode(1 / 3), json.encode_number_precision(14)",
                "3 0.333 14",
            ),
            (
                "json.encode_keep_buffer(), json.encode_empty_table_as_object(false), json.encode {}",
                "true false []",
            ),
            ("json.encode_empty_table_as_object(true), json.encode {}", "true {}"),
            ("json.encode_escape_forward_slash(false), json.encode '/'", "false \"/\""),
            (
                "json.decode_array_with_array_mt(true), getmetatable(json.decode '[]') == json.array_mt, json.encode(json.decode '[]')",
                "true true []",
            ),
            ("json.encode_skip_unsupported_value_types(true)", "true"),
            (
                "json.encode(print) == '', json.encode { f = print, v = 1 }, json.encode { 1, print, 2 }, json.encode { print, 2 }",
                "true {\"v\":1} [1,2] [2]",
            ),
            (
                "json.decode_allow_comment(true), #json.decode '{//comment\\n}', json.decode '\"// /* */\"//x'",
                "true 0 // /* */",
            ),
            ("json.decode '/*first*//*second*/[{\"a\" /* x */: 1}]'[1].a", "1"),
            (
                "pcall(json.decode, '{}/*Unclosed')",
                "false Expected the end but found unclosed multi-line comment at character 13",
            ),
            (
                "pcall(json.decode, '{\"a\":1/*x*/0}')",
                "false Expected comma or object end but found T_INTEGER at character 12",
            ),
            (
                "json.encode_indent('  '), (json.encode { a = { 1, {} } }:gsub('\\n', '~'))",
                "   {~  \"a\": [~    1,~    {}~  ]~}",
            ),
            (
                "pcall(json.encode_number_precision, 0)",
                "false bad argument #1 to '?' (expected integer between 1 and 16)",
            ),
            (
                "pcall(json.encode_number_precision, 'five')",
                "false bad argument #1 to '?' (number expected, got string)",
            ),
            (
                "pcall(json.encode_keep_buffer, nil, true)",
                "false bad argument #2 to '?' (found too many arguments)",
            ),
            (
                "pcall(json.encode_invalid_numbers, 'x')",
                "false bad argument #1 to '?' (invalid option 'x')",
            ),
            // Another instance has options of its own, and the same null and metatables.
            (
                "json.new().encode_indent() == '', json.new().null == json.null, json.new().array_mt == json.array_mt",
                "true true true",
            ),
            ("require 'cjson' == json, require 'cjson.safe' ~= json", "true true"),
        ],
    );
}

#[test]
fn safe() {
    let got = said(
        "local json = require 'cjson.safe'
         say(json.decode '{', json.decode '[1]'[1])
         say(json.encode(print))
         say(json.decode(nil))
         say(pcall(json.decode))
         say(json.new().decode '')
         say(json.encode { 1 })
         say(json.decode_max_depth(2))",
    );
    let want = "nil 1
nil Cannot serialise function: type not supported
nil bad argument #1 to '?' (string expected, got nil)
false bad argument #1 to 'decode' (expected 1 argument)
nil Expected value but found T_END at character 1
[1]
2";
    assert_eq!(got, want);
}
