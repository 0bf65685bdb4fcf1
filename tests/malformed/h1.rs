//! HTTP/1 requests, byte for byte (RFC 9112).

use super::Stage;
use crate::support::message::Protocol;
use crate::support::{h1, run};

/// What may come of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Refused by its head: nothing of it goes up.
    Head,
    /// Refused by its path: the message itself is sound, so that the connection may live.
    Path,
    /// Its head is good: it may go up, but never as a whole message.
    Body,
}

pub struct Row {
    pub name: String,
    bytes: Vec<u8>,
    outcome: Outcome,
}

/// A head of a POST with these lines.
fn head(name: &str, lines: &str) -> Row {
    let bytes = format!("POST /{name} HTTP/1.1\r\n{lines}\r\n").into_bytes();
    Row { name: name.into(), bytes, outcome: Outcome::Head }
}

/// These lines beside a good Host, with a body that a lenient reader finds one way or the other.
fn lines(name: &str, lines: &str) -> Row {
    let mut row = head(name, &format!("host: a.test\r\n{lines}"));
    row.bytes.extend_from_slice(b"5\r\nabcde\r\n0\r\n\r\n");
    row
}

/// The whole request.
fn raw(name: &str, bytes: &[u8]) -> Row {
    Row { name: name.into(), bytes: bytes.to_vec(), outcome: Outcome::Head }
}

/// A request line, with a good Host behind it.
fn line(name: &str, line: &str) -> Row {
    raw(name, format!("{line}\r\nhost: a.test\r\n\r\n").as_bytes())
}

/// A request line whose path has no one meaning.
fn path(name: &str, text: &str) -> Row {
    Row { outcome: Outcome::Path, ..line(name, text) }
}

/// A chunked body.
fn chunks(name: &str, body: &[u8]) -> Row {
    let head =
        format!("POST /{name} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n");
    Row { name: name.into(), bytes: [head.as_bytes(), body].concat(), outcome: Outcome::Body }
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(framing());
    rows.extend(request_lines());
    rows.extend(fields());
    rows.extend(hosts());
    rows.extend(bodies());
    rows
}

/// RFC 9112 section 6: how long a message is.
fn framing() -> Vec<Row> {
    let lengths = [
        "+5",
        "-5",
        "5 5",
        "5,5",
        "5, 6",
        "5;",
        "0x5",
        "5.0",
        "5e0",
        "",
        "\"5\"",
        "'5'",
        "five",
        "٥",
        "9223372036854775808",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999",
        "5\u{b}",
        "5\x0c",
        "5\u{a0}",
    ];
    let mut rows: Vec<Row> = lengths
        .iter()
        .map(|value| {
            lines(
                &format!("cl_value_{}", value.escape_debug()),
                &format!("content-length: {value}\r\n"),
            )
        })
        .collect();
    let codings = [
        "identity",
        "gzip",
        "chunked, chunked",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, identity",
        "identity, chunked",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "'chunked'",
        "chunked;q=1",
        "chunked\u{b}",
        "\u{b}chunked",
        "chu nked",
        ",chunked",
        "chunked,",
        "",
        "chunked\x0c",
        "x",
        "chunked chunked",
    ];
    rows.extend(codings.iter().map(|value| {
        lines(
            &format!("te_value_{}", value.escape_debug()),
            &format!("transfer-encoding: {value}\r\n"),
        )
    }));
    rows.extend([
        lines("cl_te", "content-length: 5\r\ntransfer-encoding: chunked\r\n"),
        lines("te_cl", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
        lines("te_cl_zero", "transfer-encoding: chunked\r\ncontent-length: 0\r\n"),
        lines("te_cl_case", "Transfer-Encoding: Chunked\r\nContent-Length: 5\r\n"),
        lines("te_te", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        lines("te_te_other", "transfer-encoding: chunked\r\ntransfer-encoding: x\r\n"),
        lines("te_identity_te", "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n"),
        lines("cl_cl_differ", "content-length: 5\r\ncontent-length: 6\r\n"),
        lines("cl_cl_case", "content-length: 5\r\nCONTENT-LENGTH: 0\r\n"),
        lines("te_space_colon", "transfer-encoding : chunked\r\n"),
        lines("te_tab_colon", "transfer-encoding\t: chunked\r\n"),
        lines("cl_space_colon", "content-length : 5\r\n"),
        lines("te_fold", "transfer-encoding:\r\n chunked\r\n"),
        lines("te_fold_tab", "x: y\r\n\ttransfer-encoding: chunked\r\n"),
        lines("cl_fold", "content-length: 5\r\n 0\r\n"),
        raw("te_http10", b"POST /te_http10 HTTP/1.0\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        raw(
            "te_http10_keep",
            b"POST /x HTTP/1.0\r\nhost: a.test\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        lines("expect_other", "expect: 200-ok\r\ncontent-length: 0\r\n"),
        lines("expect_list", "expect: 100-continue, x\r\ncontent-length: 0\r\n"),
    ]);
    rows
}

/// RFC 9112 section 3.
fn request_lines() -> Vec<Row> {
    vec![
        line("no_version", "GET /no_version"),
        line("two_spaces_first", "GET  / HTTP/1.1"),
        line("two_spaces_last", "GET /  HTTP/1.1"),
        line("tab_first", "GET\t/ HTTP/1.1"),
        line("tab_last", "GET /\tHTTP/1.1"),
        line("trailing_space", "GET / HTTP/1.1 "),
        line("leading_space", " GET / HTTP/1.1"),
        line("leading_tab", "\tGET / HTTP/1.1"),
        line("method_colon", "GE:T / HTTP/1.1"),
        line("method_brace", "G{ET / HTTP/1.1"),
        line("method_control", "G\x01ET / HTTP/1.1"),
        line("method_none", "/ HTTP/1.1"),
        line("method_long", &format!("{} / HTTP/1.1", "A".repeat(100))),
        line("version_lower", "GET / http/1.1"),
        line("version_2", "GET / HTTP/2.0"),
        line("version_09", "GET / HTTP/0.9"),
        line("version_12", "GET / HTTP/1.2"),
        line("version_digits", "GET / HTTP/1.11"),
        line("version_none", "GET / HTTP/"),
        line("version_letters", "GET / HTTP/a.b"),
        line("version_comma", "GET / HTTP/1,1"),
        line("version_other", "GET / ICAP/1.0"),
        line("target_relative", "GET x HTTP/1.1"),
        line("target_fragment", "GET /a#b HTTP/1.1"),
        line("target_control", "GET /a\x01b HTTP/1.1"),
        line("target_delete", "GET /a\x7fb HTTP/1.1"),
        line("target_star", "GET * HTTP/1.1"),
        line("target_star_path", "OPTIONS *x HTTP/1.1"),
        line("target_scheme", "GET ftp://a.test/ HTTP/1.1"),
        line("target_scheme_file", "GET file:///etc/passwd HTTP/1.1"),
        line("target_empty_authority", "GET http:///x HTTP/1.1"),
        line("target_userinfo", "GET http://u:p@a.test/ HTTP/1.1"),
        line("target_other_host", "GET http://b.test/ HTTP/1.1"),
        line("target_other_port", "GET http://a.test:81/ HTTP/1.1"),
        line("target_no_slashes", "GET http:a.test/ HTTP/1.1"),
        line("target_space", "GET /a b HTTP/1.1"),
        path("target_nul_escape", "GET /a%00b HTTP/1.1"),
        path("target_bad_escape", "GET /a%zzb HTTP/1.1"),
        path("target_short_escape", "GET /a%2 HTTP/1.1"),
        path("target_line_escape", "GET /a%0d%0ahost:%20b HTTP/1.1"),
        path("target_above_root", "GET /../x HTTP/1.1"),
        path("target_above_root_escape", "GET /%2e%2e/x HTTP/1.1"),
        line("target_backslash", "GET /a\\..\\b HTTP/1.1"),
        path("target_dot_parameter", "GET /a/..;/b HTTP/1.1"),
        line("target_long", &format!("GET /{} HTTP/1.1", "a".repeat(9000))),
        line("connect", "CONNECT a.test:443 HTTP/1.1"),
        line("connect_path", "CONNECT / HTTP/1.1"),
        line("h2_preface", "PRI * HTTP/2.0"),
        raw("line_bare_feed", b"GET / HTTP/1.1\nhost: a.test\r\n\r\n"),
        raw("line_bare_return", b"GET / HTTP/1.1\rhost: a.test\r\n\r\n"),
        raw("line_nul", b"GET /\0 HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        raw("line_high", b"GET /\xff HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        raw("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        raw("http09", b"GET /\r\n\r\n"),
    ]
}

/// RFC 9112 section 5, RFC 9110 section 5.
fn fields() -> Vec<Row> {
    let many: String = (0..2000).map(|n| format!("x-{n}: 1\r\n")).collect();
    vec![
        lines("fold", "x-a: 1\r\n 2\r\n"),
        lines("fold_tab", "x-a: 1\r\n\t2\r\n"),
        lines("space_before_colon", "x-a : 1\r\n"),
        lines("tab_before_colon", "x-a\t: 1\r\n"),
        lines("no_colon", "x-a\r\n"),
        lines("no_name", ": 1\r\n"),
        lines("space_name", " x-a: 1\r\n"),
        lines("name_space", "x a: 1\r\n"),
        lines("name_brace", "x{a}: 1\r\n"),
        lines("name_slash", "x/a: 1\r\n"),
        lines("name_quote", "\"x\": 1\r\n"),
        lines("name_at", "x@a: 1\r\n"),
        lines("name_control", "x\x01a: 1\r\n"),
        lines("name_high", "x\u{e9}: 1\r\n"),
        lines("value_nul", "x-a: 1\x002\r\n"),
        lines("value_control", "x-a: 1\x012\r\n"),
        lines("value_delete", "x-a: 1\x7f2\r\n"),
        lines("value_bell", "x-a: \x07\r\n"),
        lines("value_escape", "x-a: \x1b[0m\r\n"),
        lines("value_return", "x-a: 1\r2\r\n"),
        lines("value_return_end", "x-a: 1\r\r\n"),
        lines("many", &many),
        lines("large", &format!("x-a: {}\r\n", "a".repeat(100_000))),
        raw("first_fold", b"GET / HTTP/1.1\r\n host: a.test\r\n\r\n"),
        raw("first_blank", b"GET / HTTP/1.1\r\n \r\nhost: a.test\r\n\r\n"),
        raw("bare_feed_field", b"GET / HTTP/1.1\r\nhost: a.test\nx: y\r\n\r\n"),
        raw(
            "bare_feed_end",
            b"GET / HTTP/1.1\r\nhost: a.test\r\n\nGET /second HTTP/1.1\r\nhost: a.test\r\n\r\n",
        ),
        raw("bare_feeds", b"GET / HTTP/1.1\nhost: a.test\n\n"),
        raw("return_only_end", b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\rGET / HTTP/1.1\r\n\r\n"),
        raw("feed_return", b"GET / HTTP/1.1\n\rhost: a.test\n\r\n\r"),
    ]
}

/// RFC 9112 section 3.2: exactly one Host, and a good one.
fn hosts() -> Vec<Row> {
    let bad = [
        "a.test b.test",
        "a.test, b.test",
        "a.test/path",
        "u@a.test",
        "u:p@a.test",
        "a.test:port",
        "a.test:80:80",
        "a.test:99999",
        "a.test:-1",
        "a.test?x",
        "a.test#x",
        "a.test\\x",
        "[::1",
        "::1]",
        "[zz]",
        "http://a.test",
        "a\u{b}test",
        "<a.test>",
        "\"a.test\"",
    ];
    let mut rows: Vec<Row> = bad
        .iter()
        .map(|value| head(&format!("host_{}", value.escape_debug()), &format!("host: {value}\r\n")))
        .collect();
    for row in &mut rows {
        // The name is no part of the target: it may hold what a target may not.
        let text = String::from_utf8(row.bytes.clone()).unwrap();
        row.bytes =
            format!("GET /host HTTP/1.1\r\n{}", text.split_once("\r\n").unwrap().1).into_bytes();
    }
    rows.extend([
        head("host_none", ""),
        head("host_twice", "host: a.test\r\nhost: a.test\r\n"),
        head("host_differ", "host: a.test\r\nhost: b.test\r\n"),
        head("host_case", "host: a.test\r\nHOST: b.test\r\n"),
        head("host_space_colon", "host : a.test\r\n"),
        head("host_fold", "host:\r\n a.test\r\n"),
        raw("host_absolute_none", b"GET http://a.test/ HTTP/1.1\r\n\r\n"),
    ]);
    rows
}

/// RFC 9112 section 7.1: the chunked coding. The head may have gone up when the body turns out bad.
fn bodies() -> Vec<Row> {
    let long = [b"5;".as_slice(), &[b'a'; 70_000], b"\r\nabcde\r\n0\r\n\r\n"].concat();
    let trailers = [b"0\r\n".as_slice(), &b"x: y\r\n".repeat(20_000), b"\r\n"].concat();
    vec![
        chunks("size_empty", b"\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_letter", b"g\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_sign", b"+5\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_minus", b"-5\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_prefix", b"0x5\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_space", b" 5\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_space_behind", b"5 \r\nabcde\r\n0\r\n\r\n"),
        chunks("size_tab", b"5\t\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_overflow", b"10000000000000005\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_max", b"ffffffffffffffff\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_many_zeros", &[&[b'0'; 40][..], b"5\r\nabcde\r\n0\r\n\r\n"].concat()),
        chunks("size_bare_feed", b"5\nabcde\r\n0\r\n\r\n"),
        chunks("size_bare_return", b"5\rabcde\r\n0\r\n\r\n"),
        chunks("size_underscore", b"1_0\r\nabcdefghijklmnop\r\n0\r\n\r\n"),
        chunks("size_comma", b"5,5\r\nabcde\r\n0\r\n\r\n"),
        chunks("size_dot", b"5.\r\nabcde\r\n0\r\n\r\n"),
        chunks("extension_control", b"5;a=\x01\r\nabcde\r\n0\r\n\r\n"),
        chunks("extension_nul", b"5;\0\r\nabcde\r\n0\r\n\r\n"),
        chunks("extension_feed", b"5;a\nabcde\r\n0\r\n\r\n"),
        chunks("extension_return", b"5;a\rb\r\nabcde\r\n0\r\n\r\n"),
        chunks("extension_long", &long),
        chunks("data_short", b"6\r\nabcde\r\n0\r\n\r\n"),
        chunks("data_long", b"4\r\nabcde\r\n0\r\n\r\n"),
        chunks("data_bare_feed", b"5\r\nabcde\n0\r\n\r\n"),
        chunks("data_no_end", b"5\r\nabcde0\r\n\r\n"),
        chunks("data_other_end", b"5\r\nabcdeXX0\r\n\r\n"),
        chunks("last_bare_feed", b"5\r\nabcde\r\n0\n\n"),
        chunks("last_junk", b"5\r\nabcde\r\n0\r\njunk\r\n\r\n"),
        chunks("trailer_space_colon", b"0\r\nx : y\r\n\r\n"),
        chunks("trailer_fold", b"0\r\nx: y\r\n z\r\n\r\n"),
        chunks("trailer_nul", b"0\r\nx: \0\r\n\r\n"),
        chunks("trailer_feed", b"0\r\nx: y\n\r\n"),
        chunks("trailer_return", b"0\r\nx: y\rz\r\n\r\n"),
        chunks("trailer_no_name", b"0\r\n: y\r\n\r\n"),
        chunks("trailer_flood", &trailers),
        chunks("unfinished", b"5\r\nabcde\r\n"),
        chunks("unfinished_size", b"5\r\nabcde\r\n0"),
        chunks("unfinished_end", b"5\r\nabcde\r\n0\r\n"),
        Row {
            name: "length_short".into(),
            bytes:
                b"POST /length_short HTTP/1.1\r\nhost: a.test\r\ncontent-length: 10\r\n\r\nabcde"
                    .to_vec(),
            outcome: Outcome::Body,
        },
    ]
}

#[test]
fn requests_of_http_1() {
    run(async {
        let mut stage = Stage::new().await;
        let rows = rows();
        for row in &rows {
            check(&mut stage, row).await;
        }
        stage.end(rows.len());
    });
}

async fn check(stage: &mut Stage, row: &Row) {
    let whole = row.outcome == Outcome::Body;
    let before = stage.leaked(whole).len();
    let mut client = h1::Client::connect(stage.gateway.clear).await;
    client.write(&row.bytes).await;
    client.finish().await;
    let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
    // One answer that refuses, or none at all; never a second one.
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|a| a.get(..3)).unwrap_or("none");
    let refused = matches!(status.as_bytes(), [b'4', ..] | b"501" | b"505");
    let silent = status == "none" && answer.is_empty() && whole;
    // An unfinished message may also be taken for an upstream's trouble by the time it ends.
    if !refused && !silent {
        stage.fail(&row.name, &format!("answered: {}", answer.escape_debug()));
    }
    if answer.matches("HTTP/1.1 ").count() > 1 {
        stage.fail(&row.name, &format!("two answers: {}", answer.escape_debug()));
    }
    if refused
        && row.outcome != Outcome::Path
        && !answer.to_ascii_lowercase().contains("connection: close")
    {
        stage.fail(&row.name, "the connection is not closed");
    }
    stage.after(Protocol::H1, &row.name, before, whole).await;
}
