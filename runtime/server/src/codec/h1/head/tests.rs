#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::codec::h1::differential::messages::{first_line, line, line_end};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 8, uri: 64 };

fn read(text: &[u8]) -> Result<(RequestHead, Framing), BadHead> {
    let mut head = RequestHead::default();
    head.fields.adopt(text.to_vec());
    request(&mut head, BOUNDS).map(|framing| (head, framing))
}

fn read_response(text: &[u8]) -> Result<(ResponseHead, Framing), BadHead> {
    let mut head = ResponseHead::default();
    head.fields.adopt(text.to_vec());
    response(&mut head, BOUNDS).map(|framing| (head, framing))
}

/// A request with these field lines behind a Host.
fn with(lines: &str) -> Result<(RequestHead, Framing), BadHead> {
    read(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").as_bytes())
}

#[test]
fn a_request_is_taken_apart() {
    let text = b"POST /a/b?c=d HTTP/1.1\r\nHost: a.example:80\r\nX-A:\t 1 2 \t\r\nx-a:\r\nContent-Length: 3\r\n\r\n";
    let (head, framing) = read(text).unwrap();
    assert_eq!(head.method_text(), b"POST");
    assert_eq!((head.path(), head.query()), (&b"/a/b"[..], Some(&b"c=d"[..])));
    assert_eq!(head.authority(), b"a.example:80");
    assert_eq!(head.fields.all(b"x-A").collect::<Vec<_>>(), [&b"1 2"[..], b""]);
    assert_eq!((framing.length, framing.chunked), (Some(3), false));
    assert!(head.fields.known(Name::Host).is_none(), "it is the authority now");
}

#[test]
fn the_target_has_four_forms() {
    for (line, authority, path, query) in [
        ("GET / HTTP/1.1\r\nHost: h", "h", "/", None),
        ("GET http://h/a?b HTTP/1.1\r\nHost: h", "h", "/a", Some("b")),
        ("GET HTTP://h:80/a HTTP/1.1\r\nHost: H", "h:80", "/a", None),
        ("GET https://h HTTP/1.1\r\nHost: h:443", "h", "/", None),
        ("GET http://h?q HTTP/1.1\r\nHost: h", "h", "/", Some("q")),
        ("OPTIONS * HTTP/1.1\r\nHost: h", "h", "*", None),
        ("GET /a?b?c HTTP/1.0", "", "/a", Some("b?c")),
    ] {
        let (head, _) = read(format!("{line}\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(head.authority(), authority.as_bytes(), "{line}");
        assert_eq!(head.path(), path.as_bytes(), "{line}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{line}");
    }
}

/// Request lines and targets: RFC 9112 section 3.
#[test]
fn bad_request_lines_are_refused() {
    for (line, status) in [
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET /\tHTTP/1.1", 400),
        ("GET HTTP/1.1", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/1.1.", 400),
        ("GET / HTTP/01.1", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.2", 505),
        ("GET /", 400),
        ("G(T / HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET a HTTP/1.1", 400),
        ("GET ftp://h/ HTTP/1.1", 400),
        ("GET http:/// HTTP/1.1", 400),
        ("GET http://u@h/ HTTP/1.1", 400),
        ("GET http://other/ HTTP/1.1", 400),
        ("GET http://h:81/ HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET /\u{7f} HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("CONNECT h:443 HTTP/1.1", 501),
    ] {
        let text = format!("{line}\r\nHost: h\r\n\r\n");
        let bad = read(text.as_bytes()).err().map(|bad| bad.status);
        assert_eq!(bad, Some(status), "{line:?}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(64));
    assert_eq!(read(long.as_bytes()).unwrap_err().status, 414);
}

/// Field lines: RFC 9112 sections 2.2, 5.1 and 5.2.
#[test]
fn bad_field_lines_are_refused() {
    for lines in [
        "x-a : 1\r\n",
        "x-a\r\n",
        ": 1\r\n",
        " x-a: 1\r\n",
        "x-a: 1\r\n 2\r\n",
        "x-a: 1\r\n\t2\r\n",
        "x a: 1\r\n",
        "x-a: 1\n",
        "x-a: 1\r2\r\n",
        "x-a: \0\r\n",
        "x-a: \u{7f}\r\n",
        "x-a: \u{1}\r\n",
        "x\u{e9}: 1\r\n",
        "x-a: 1\n\r\n",
    ] {
        let bad = with(lines).err().map(|bad| bad.status);
        assert_eq!(bad, Some(400), "{lines:?}");
    }
    let many = "x: 1\r\n".repeat(8);
    assert_eq!(with(&many).unwrap_err().status, 431);
}

/// Host: RFC 9112 section 3.2.
#[test]
fn a_request_has_one_host() {
    for (lines, good) in [
        ("Host: a\r\n", true),
        ("Host: [::1]:80\r\n", true),
        ("Host:\r\n", true),
        ("", false),
        ("Host: a\r\nHost: a\r\n", false),
        ("Host: a, b\r\n", false),
        ("Host: a b\r\n", false),
        ("Host: a/b\r\n", false),
        ("Host: u@a\r\n", false),
        ("Host: a:x\r\n", false),
        ("Host: a:99999\r\n", false),
    ] {
        let text = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        assert_eq!(read(text.as_bytes()).is_ok(), good, "{lines:?}");
    }
}

/// Message length: RFC 9112 sections 6.1 to 6.3.
#[test]
fn framing_is_never_ambiguous() {
    for (lines, status) in [
        ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
        ("Content-Length: 1, 1\r\n", 400),
        ("Content-Length: +1\r\n", 400),
        ("Content-Length: -1\r\n", 400),
        ("Content-Length: 0x1\r\n", 400),
        ("Content-Length: 1 1\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 9223372036854775808\r\n", 400),
        ("Content-Length: 99999999999999999999\r\n", 400),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n", 501),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: identity\r\n", 501),
        ("Transfer-Encoding: chunked;q=1\r\n", 501),
        ("Transfer-Encoding:\r\n", 501),
        ("Transfer-Encoding: \u{b}chunked\r\n", 400),
        ("Expect: 200-ok\r\n", 417),
    ] {
        let bad = with(lines).err().map(|bad| bad.status);
        assert_eq!(bad, Some(status), "{lines:?}");
    }
    assert_eq!(with("Content-Length: 0007\r\n").unwrap().1.length, Some(7));
    assert!(with("Transfer-Encoding:\t Chunked \r\n").unwrap().1.chunked);
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(read(old).unwrap_err().status, 400);
}

#[test]
fn what_the_connection_is_told() {
    let (_, framing) = with("Connection: Keep-Alive, Upgrade\r\nExpect: 100-Continue\r\n").unwrap();
    assert!(framing.keep_alive && framing.upgrade && framing.expects && framing.hop);
    assert!(!framing.close);
    assert!(with("Connection: x, ,close\r\n").unwrap().1.close);
    assert!(with("X_A: 1\r\n").unwrap().1.underscore);
    assert_eq!(with("Accept: */*\r\n").unwrap().1, Framing { hosts: 1, ..Framing::default() });
}

#[test]
fn responses_are_read_by_the_same_rules() {
    let (head, framing) = read_response(b"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n").unwrap();
    assert_eq!((head.status, framing.length), (204, Some(0)));
    assert_eq!(read_response(b"HTTP/1.0 404\r\n\r\n").unwrap().0.status, 404);
    assert_eq!(read_response(b"HTTP/1.1 200 Gr\xfc\xdf\r\n\r\n").unwrap().0.status, 200);
    for line in [
        "HTTP/1.1 20",
        "HTTP/1.1 2000",
        "HTTP/1.1 600 x",
        "HTTP/1.1 099 x",
        "HTTP/1.1  200 x",
        "HTTP/2 200 x",
        "http/1.1 200 x",
        "HTTP/1.1 200\tx",
        "HTTP/1.1 200 \u{1}",
        "200 OK",
        "",
    ] {
        assert!(read_response(format!("{line}\r\n\r\n").as_bytes()).is_err(), "{line:?}");
    }
    assert!(read_response(b"HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    assert!(
        read_response(b"HTTP/1.1 200 x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n").is_err()
    );
}

#[test]
fn the_end_is_found_wherever_reads_are_cut() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    for seen in 0..text.len() {
        for from in 0..=seen {
            let found = find_end(&text[..seen], from);
            let expected = (seen >= 27 && from <= 27).then_some(27);
            // Looking from behind the end finds nothing; the codec never does.
            if from <= 26 {
                assert_eq!(found, expected, "{from} of {seen}");
            }
        }
    }
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec((line(), line_end()), 0..7);
    (first_line(), lines).prop_map(|(first, lines)| {
        let mut text = [&first[..], b"\r\n"].concat();
        for (line, end) in lines {
            text.extend_from_slice(&line);
            text.extend_from_slice(end.as_bytes());
        }
        text.extend_from_slice(b"\r\n");
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

    /// What we take, httparse takes for the same: we are the stricter one, never the other one.
    #[test]
    fn requests_mean_the_same_to_httparse(text in message()) {
        let Some(size) = find_end(&text, 0) else { return Ok(()) };
        let Ok((head, framing)) = read(&text[..size]) else { return Ok(()) };
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut theirs = httparse::Request::new(&mut fields);
        prop_assert_eq!(theirs.parse(&text), Ok(httparse::Status::Complete(size)));
        prop_assert_eq!(theirs.method.map(str::as_bytes), Some(head.method_text()));
        let minor = u8::from(head.version == Version::Http11);
        prop_assert_eq!(theirs.version, Some(minor));
        let is_host = |f: &&httparse::Header<'_>| f.name.eq_ignore_ascii_case("host");
        let hosts: Vec<_> = theirs.headers.iter().filter(is_host).collect();
        prop_assert_eq!(hosts.len(), usize::from(framing.hosts));
        let theirs: Vec<_> = theirs.headers.iter().filter(|f| !is_host(f)).map(|f| (f.name.as_bytes(), f.value)).collect();
        let ours: Vec<_> = head.fields.iter().map(|(_, name, value)| (name, value)).collect();
        prop_assert_eq!(ours, theirs);
        prop_assert!(framing.length.is_none() || !framing.chunked);
    }

    #[test]
    fn responses_mean_the_same_to_httparse(text in message()) {
        let Some(size) = find_end(&text, 0) else { return Ok(()) };
        let Ok((head, framing)) = read_response(&text[..size]) else { return Ok(()) };
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut theirs = httparse::Response::new(&mut fields);
        prop_assert_eq!(theirs.parse(&text), Ok(httparse::Status::Complete(size)));
        prop_assert_eq!(theirs.code, Some(head.status));
        let theirs: Vec<_> = theirs.headers.iter().map(|f| (f.name.as_bytes(), f.value)).collect();
        let ours: Vec<_> = head.fields.iter().map(|(_, name, value)| (name, value)).collect();
        prop_assert_eq!(ours, theirs);
        prop_assert!(framing.length.is_none() || !framing.chunked);
    }
}
