//! The mirror: answers of a hostile or broken upstream. A client must see an error or a broken message,
//! never one that is whole, and the next exchange must not see any of it.

use super::{GOOD, Stage};
use crate::support::message::{ALL, ask};
use crate::support::upstream::Step;
use crate::support::{Request, Script, run};

pub struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    method: &'static str,
    allowed: Allowed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// 502.
    Error,
    /// Or a message that breaks off.
    Broken,
    /// A whole message with this body: what surrounds it is ignored.
    Body(&'static str),
}

fn row(name: &'static str, text: &str) -> Row {
    Row { name, bytes: text.into(), method: "GET", allowed: Allowed::Error }
}

fn body(name: &'static str, head: &str, bytes: &[u8]) -> Row {
    let bytes = [format!("HTTP/1.1 200 OK\r\n{head}\r\n").as_bytes(), bytes].concat();
    Row { name, bytes, method: "GET", allowed: Allowed::Broken }
}

fn chunked(name: &'static str, bytes: &[u8]) -> Row {
    body(name, "transfer-encoding: chunked\r\n", bytes)
}

pub fn rows() -> Vec<Row> {
    let fields: String = (0..2000).map(|n| format!("x-{n}: 1\r\n")).collect();
    let ok = "HTTP/1.1 200 OK\r\n";
    let mut rows = vec![
        row(
            "cl_te",
            &format!(
                "{ok}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
            ),
        ),
        row(
            "te_cl",
            &format!(
                "{ok}transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
            ),
        ),
        row("cl_differ", &format!("{ok}content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef")),
        row("cl_list", &format!("{ok}content-length: 5, 6\r\n\r\nabcdef")),
        row("cl_sign", &format!("{ok}content-length: +5\r\n\r\nabcde")),
        row("cl_minus", &format!("{ok}content-length: -1\r\n\r\nabcde")),
        row("cl_hex", &format!("{ok}content-length: 0x5\r\n\r\nabcde")),
        row("cl_empty", &format!("{ok}content-length:\r\n\r\nabcde")),
        row("cl_huge", &format!("{ok}content-length: 18446744073709551621\r\n\r\nabcde")),
        row("te_gzip", &format!("{ok}transfer-encoding: gzip\r\n\r\nabcde")),
        row(
            "te_list",
            &format!("{ok}transfer-encoding: gzip, chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"),
        ),
        row(
            "te_twice",
            &format!(
                "{ok}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        ),
        row(
            "te_http10",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        ),
        row("version", "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n"),
        row("version_lower", "http/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        row("version_none", "200 OK\r\ncontent-length: 0\r\n\r\n"),
        row("status_short", "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n"),
        row("status_long", "HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n"),
        row("status_letters", "HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n"),
        row("status_zero", "HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n"),
        row("status_900", "HTTP/1.1 900 OK\r\ncontent-length: 0\r\n\r\n"),
        row("status_sign", "HTTP/1.1 +20 OK\r\ncontent-length: 0\r\n\r\n"),
        row("reason_control", "HTTP/1.1 200 O\x01K\r\ncontent-length: 0\r\n\r\n"),
        row("two_spaces", "HTTP/1.1  200 OK\r\ncontent-length: 0\r\n\r\n"),
        row("bare_feeds", "HTTP/1.1 200 OK\ncontent-length: 5\n\nabcde"),
        row("bare_feed_field", &format!("{ok}x-a: 1\ncontent-length: 5\r\n\r\nabcde")),
        row("fold", &format!("{ok}x-a: 1\r\n 2\r\ncontent-length: 0\r\n\r\n")),
        row("space_colon", &format!("{ok}content-length : 5\r\n\r\nabcde")),
        row("no_colon", &format!("{ok}x-a\r\ncontent-length: 0\r\n\r\n")),
        row("value_nul", &format!("{ok}x-a: \0\r\ncontent-length: 0\r\n\r\n")),
        row("value_return", &format!("{ok}x-a: 1\rset-cookie: b=c\r\ncontent-length: 0\r\n\r\n")),
        row("many_fields", &format!("{ok}{fields}content-length: 0\r\n\r\n")),
        row(
            "large_field",
            &format!("{ok}x-a: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(200_000)),
        ),
        row("garbage", "\x16\x03\x01\x02\x00\x01\r\n\r\n"),
        row("a_request", "GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"),
        row(
            "switch",
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        ),
        row("switch_bare", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        row("interim_storm", &"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".repeat(50)),
        row("interim_only", "HTTP/1.1 103 Early Hints\r\n\r\n"),
        row(
            "interim_bad",
            "HTTP/1.1 103 Early Hints\r\nx : y\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
        row("half_head", "HTTP/1.1 200 OK\r\ncontent-le"),
        row("half_line", "HTTP/1.1 2"),
        row("nothing", ""),
        body("length_short", "content-length: 10\r\n", b"abcde"),
        chunked("size_letter", b"g\r\nabcde\r\n0\r\n\r\n"),
        chunked("size_sign", b"+5\r\nabcde\r\n0\r\n\r\n"),
        chunked("size_overflow", b"10000000000000005\r\nabcde\r\n0\r\n\r\n"),
        chunked("size_feed", b"5\nabcde\r\n0\r\n\r\n"),
        chunked("data_long", b"4\r\nabcde\r\n0\r\n\r\n"),
        chunked("data_feed", b"5\r\nabcde\n0\r\n\r\n"),
        chunked("no_last", b"5\r\nabcde\r\n"),
        chunked("half_last", b"5\r\nabcde\r\n0\r\n"),
        chunked("no_chunk", b""),
        chunked("trailer_bad", b"5\r\nabcde\r\n0\r\nx : y\r\n\r\n"),
        chunked("trailer_nul", b"5\r\nabcde\r\n0\r\nx: \0\r\n\r\n"),
    ];
    rows.push(Row {
        allowed: Allowed::Body("abcde"),
        ..body(
            "tail",
            "content-length: 5\r\n",
            b"abcdeHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        )
    });
    rows.push(Row {
        allowed: Allowed::Body(""),
        ..row("body_on_204", "HTTP/1.1 204 No Content\r\n\r\npoison")
    });
    rows.push(Row {
        allowed: Allowed::Body(""),
        ..row("body_on_304", "HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\npoison")
    });
    rows.push(Row {
        allowed: Allowed::Body(""),
        method: "HEAD",
        ..body("body_on_head", "content-length: 6\r\n", b"poison")
    });
    rows
}

#[test]
fn answers_of_hostile_upstreams() {
    run(async {
        let mut stage = Stage::new().await;
        let rows = rows();
        for row in &rows {
            for protocol in ALL {
                let name = format!("{} over {}", row.name, protocol.name());
                let hostile = Script::raw(row.bytes.clone()).then(Step::Close);
                stage.upstream.reset(vec![hostile, Script::ok("good")]);
                // What is not idempotent is not tried a second time.
                let method = if row.method == "GET" { "PATCH" } else { row.method };
                let answer = ask(protocol, &stage.gateway, &Request::new(method, "/hostile")).await;
                let fits = match row.allowed {
                    Allowed::Error => answer.is(502),
                    Allowed::Broken => answer.broken.is_some() || answer.is(502),
                    Allowed::Body(body) => answer.broken.is_none() && answer.text() == body,
                };
                if !fits {
                    stage.fail(&name, &format!("{answer}"));
                }
                let good = ask(protocol, &stage.gateway, &Request::get(GOOD)).await;
                if !good.is(200) || good.text() != "good" {
                    stage.fail(&name, &format!("the next answer: {good}"));
                }
            }
        }
        stage.end(rows.len());
    });
}
