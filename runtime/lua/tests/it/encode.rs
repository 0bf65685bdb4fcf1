//! `ngx`'s text: base64, URIs, arguments, SQL, digests, dates.

use crate::said::check;

#[test]
fn base64() {
    check(
        "",
        &[
            ("ngx.encode_base64('hello')", "aGVsbG8="),
            ("ngx.encode_base64('hello', true)", "aGVsbG8"),
            ("ngx.encode_base64('w', false)", "dw=="),
            ("'<' .. ngx.encode_base64(nil) .. ngx.encode_base64('') .. '>'", "<>"),
            ("ngx.encode_base64(32)", "MzI="),
            ("ngx.decode_base64('aGVsbG8=')", "hello"),
            ("ngx.decode_base64('aGVsbG8')", "hello"),
            ("#ngx.decode_base64('')", "0"),
            ("ngx.decode_base64('^*~')", "nil"),
            ("ngx.decode_base64mime('aGVs\\r\\nbG8=')", "hello"),
            ("ngx.decode_base64('aGVs\\r\\nbG8=')", "nil"),
            ("pcall(ngx.decode_base64, 32)", "false string argument only"),
            ("pcall(ngx.decode_base64)", "false string argument only"),
            (
                "pcall(ngx.encode_base64, 'w', 0)",
                "false bad no_padding: boolean expected, got number",
            ),
            ("require 'ngx.base64'.encode_base64url('\\251\\255')", "-_8"),
            ("require 'ngx.base64'.decode_base64url('-_8') == '\\251\\255'", "true"),
            ("require 'ngx.base64'.decode_base64url('+/8')", "nil invalid input"),
            ("require 'ngx.base64'.decode_base64url(nil)", "nil must provide a string"),
            ("require 'ngx.base64'.encode_base64url({})", "nil must provide a string"),
        ],
    );
}

#[test]
fn uris() {
    check(
        "",
        &[
            ("ngx.escape_uri('a 你')", "a%20%E4%BD%A0"),
            (
                "ngx.escape_uri('\"a/b={}:<>;&[]\\\\^')",
                "%22a%2Fb%3D%7B%7D%3A%3C%3E%3B%26%5B%5D%5C%5E",
            ),
            ("ngx.escape_uri(\"-_.!~*'()\")", "-_.!~*'()"),
            ("ngx.escape_uri(nil) .. ngx.escape_uri(32)", "32"),
            ("ngx.escape_uri('http://a/?t=b@ :', 0)", "http://a/%3Ft=b@%20:"),
            ("ngx.escape_uri('http://a/?t=b@ :', 6)", "http://a/?t=b@%20:"),
            ("pcall(ngx.escape_uri, 'a', -1)", "false \"type\" -1 out of range"),
            ("pcall(ngx.escape_uri, 'a', 10)", "false \"type\" 10 out of range"),
            ("pcall(ngx.escape_uri, 'a', true)", "false \"type\" is not a number"),
            ("ngx.unescape_uri('a%20%e4%bd%a0+b')", "a 你 b"),
            ("ngx.unescape_uri('%ua%%20%au')", "%ua% %au"),
            ("ngx.unescape_uri(32) .. ngx.unescape_uri(nil) .. ngx.unescape_uri('%')", "32%"),
        ],
    );
}

#[test]
fn arguments() {
    check(
        "",
        &[
            ("ngx.encode_args { a = 'b c' }", "a=b%20c"),
            ("ngx.encode_args { a = { 9, 2 } }", "a=9&a=2"),
            ("ngx.encode_args { ['a b'] = { 32, true, false } }", "a%20b=32&a%20b"),
            (
                "ngx.encode_args { a = true } .. ngx.encode_args { a = false } .. ngx.encode_args {}",
                "a",
            ),
            (
                "pcall(ngx.encode_args, { a = print })",
                "false attempt to use function as query arg value",
            ),
            (
                "pcall(ngx.encode_args, { a = { {} } })",
                "false attempt to use table as query arg value",
            ),
            (
                "pcall(ngx.encode_args, { 'a' })",
                "false attempt to use a non-string key in the \"args\" option table",
            ),
            (
                "pcall(ngx.encode_args, true)",
                "false bad argument #1 to '?' (table expected, got boolean)",
            ),
            (
                "pcall(function() ngx.encode_args(5) end)",
                "false access.lua:16: bad argument #1 to 'encode_args' (table expected, got number)",
            ),
            ("pcall(ngx.encode_args)", "false expecting 1 argument but seen 0"),
            ("ngx.decode_args('a=bar&b=foo').b", "foo"),
            ("table.concat(ngx.decode_args('a=1&b&a=2&a=3').a, '+')", "1+2+3"),
            ("ngx.decode_args('a&=x&b=').a, ngx.decode_args('b=').b == ''", "true true"),
            ("ngx.decode_args('f+f=a%20b%zz')['f f']", "a b%zz"),
            ("select(2, ngx.decode_args('a=1&b=2', 1))", "truncated"),
            ("select('#', ngx.decode_args('a=1&b=2', 2))", "1"),
            ("select('#', ngx.decode_args('&a=1&&=2&', 2))", "1"),
            ("select(2, ngx.decode_args('a=1&=2&=3', 2))", "truncated"),
            ("ngx.decode_args('a=1&b=2', -1).b", "2"),
            ("next(ngx.decode_args(''))", "nil"),
            (
                "pcall(ngx.decode_args, nil)",
                "false bad argument #1 to '?' (string expected, got nil)",
            ),
            (
                "pcall(ngx.decode_args, 'a', 'x')",
                "false bad argument #2 to '?' (number expected, got string)",
            ),
            ("pcall(ngx.decode_args)", "false expecting 1 or 2 arguments but seen 0"),
        ],
    );
}

#[test]
fn sql() {
    check(
        "",
        &[
            ("ngx.quote_sql_str('')", "''"),
            ("ngx.quote_sql_str(\"it's\\0\\t\\26\")", "'it\\'s\\0\\t\\Z'"),
            ("ngx.quote_sql_str(5)", "'5'"),
            (
                "pcall(ngx.quote_sql_str, nil)",
                "false bad argument #1 to '?' (string expected, got nil)",
            ),
            ("pcall(ngx.quote_sql_str)", "false expecting one argument"),
        ],
    );
}

#[test]
fn digests() {
    check(
        "",
        &[
            ("ngx.md5('hello')", "5d41402abc4b2a76b9719d911017c592"),
            ("ngx.md5(nil) == ngx.md5('')", "true"),
            ("ngx.encode_base64(ngx.md5_bin(45))", "bINJzHJgrmLjsTloMag5jw=="),
            ("ngx.encode_base64(ngx.sha1_bin('hello'))", "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
            ("ngx.crc32_short('hello, world')", "4289425978"),
            ("ngx.crc32_long('hello, world')", "4289425978"),
            ("ngx.crc32_long('')", "0"),
            (
                "ngx.encode_base64(ngx.hmac_sha1('thisisverysecretstuff', 'some string we want to sign'))",
                "R/pvxzHC4NLtj7S+kXFg/NePTmk=",
            ),
            ("pcall(ngx.hmac_sha1, 'a')", "false expecting 2 arguments, but got 1"),
            (
                "pcall(ngx.hmac_sha1, 'a', nil)",
                "false bad argument #2 to '?' (string expected, got nil)",
            ),
        ],
    );
}

#[test]
fn dates() {
    check(
        "",
        &[
            ("ngx.http_time(1290079655)", "Thu, 18 Nov 2010 11:27:35 GMT"),
            ("ngx.cookie_time(1290079655)", "Thu, 18-Nov-10 11:27:35 GMT"),
            ("ngx.parse_http_time('Thu, 18 Nov 2010 11:27:35 GMT')", "1290079655"),
            ("ngx.parse_http_time('abc')", "nil"),
            ("pcall(ngx.http_time, 'x')", "false number argument only"),
            ("pcall(ngx.cookie_time, nil)", "false number argument only"),
            ("pcall(ngx.parse_http_time, 5)", "false string argument only"),
            ("ngx.utctime()", "1970-01-01 00:00:00"),
            ("#ngx.localtime(), #ngx.today()", "19 10"),
            ("ngx.time(), ngx.now(), ngx.update_time()", "0 0"),
        ],
    );
}
