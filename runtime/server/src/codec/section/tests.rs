#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const BOUNDS: Bounds = Bounds { bytes: 32 * 1024, fields: 100, uri: 8 * 1024 };
const GOOD: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/x?y=1")];

fn read(lines: &[(&str, &str)]) -> Result<Head, BadHead> {
    let mut all = Lines::new(Version::Http3, BOUNDS, RequestHead::default());
    for (name, value) in lines {
        all.line(name.as_bytes(), value.as_bytes())?;
    }
    all.finish(true, true)
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    GOOD.iter().copied().chain(more.iter().copied()).collect()
}

fn without<'a>(name: &str, instead: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = GOOD.iter().copied().filter(|(n, _)| *n != name);
    kept.chain(instead.iter().copied()).collect()
}

#[test]
fn a_good_request_keeps_its_parts() {
    let head = read(&with(&[("x-a", "1"), ("te", "trailers"), ("content-length", "0")])).unwrap();
    assert_eq!(head.head.method(), Method::Get);
    assert_eq!(head.head.authority(), b"a.test");
    assert_eq!(head.head.path(), b"/x");
    assert_eq!(head.head.query(), Some(&b"y=1"[..]));
    assert_eq!(head.head.scheme, Scheme::Https);
    assert_eq!(head.head.fields.get(b"x-a"), Some(&b"1"[..]));
    assert_eq!(head.head.fields.known(Name::Te), Some(&b"trailers"[..]));
    assert_eq!(head.length, Some(0));
}

#[test]
fn an_expectation_ends_here() {
    let head = read(&with(&[("expect", "100-Continue")])).unwrap();
    assert!(head.expects && head.head.fields.is_empty());
}

#[test]
fn cookie_crumbs_become_one_field() {
    let head = read(&with(&[("cookie", "a=1"), ("x-b", "2"), ("cookie", "c=3")])).unwrap();
    let all: Vec<_> = head.head.fields.all_known(Name::Cookie).collect();
    assert_eq!(all, [&b"a=1; c=3"[..]]);
}

#[test]
fn names_with_an_underscore_are_dropped() {
    let head = read(&with(&[("content_length", "5"), ("x_y", "1")])).unwrap();
    assert!(head.head.fields.is_empty());
}

#[test]
fn host_stands_in_for_authority_and_may_repeat_it() {
    let head = read(&without(":authority", &[("host", "b.test:8443")])).unwrap();
    assert_eq!(head.head.authority(), b"b.test:8443");
    assert!(read(&with(&[("host", "A.test")])).is_ok());
    assert!(read(&with(&[("host", "a.test:443")])).is_ok());
}

#[test]
fn malformed_heads_are_stream_errors() {
    let table: Vec<(&str, Vec<(&str, &str)>)> = vec![
        ("no :method", without(":method", &[])),
        ("no :scheme", without(":scheme", &[])),
        ("no :path", without(":path", &[])),
        ("no authority at all", without(":authority", &[])),
        ("empty :method", without(":method", &[(":method", "")])),
        ("space in :method", without(":method", &[(":method", "GE T")])),
        ("twice :method", with(&[(":method", "GET")])),
        ("twice :path", with(&[(":path", "/")])),
        ("twice :authority", with(&[(":authority", "a.test")])),
        ("twice :scheme", with(&[(":scheme", "https")])),
        ("late pseudo", {
            let mut lines = vec![("x-a", "1")];
            lines.extend(GOOD);
            lines
        }),
        (":status in a request", with(&[(":status", "200")])),
        (":protocol", with(&[(":protocol", "websocket")])),
        ("unknown pseudo", with(&[(":x", "1")])),
        ("bare colon", with(&[(":", "1")])),
        ("other scheme", without(":scheme", &[(":scheme", "ftp")])),
        ("scheme with a line end", without(":scheme", &[(":scheme", "https\r\nx: y")])),
        ("empty :path", without(":path", &[(":path", "")])),
        ("relative :path", without(":path", &[(":path", "x")])),
        ("absolute :path", without(":path", &[(":path", "http://a.test/")])),
        ("* for GET", without(":path", &[(":path", "*")])),
        ("space in :path", without(":path", &[(":path", "/a b")])),
        ("fragment", without(":path", &[(":path", "/a#b")])),
        ("backslash", without(":path", &[(":path", "/a\\b")])),
        ("CR in :path", without(":path", &[(":path", "/a\r\nx: y")])),
        ("NUL in :path", without(":path", &[(":path", "/a\0")])),
        ("high byte in :path", without(":path", &[(":path", "/é")])),
        ("userinfo", without(":authority", &[(":authority", "u@a.test")])),
        ("empty :authority", without(":authority", &[(":authority", "")])),
        ("path in :authority", without(":authority", &[(":authority", "a.test/x")])),
        ("comma in :authority", without(":authority", &[(":authority", "a.test, b.test")])),
        ("port 65536", without(":authority", &[(":authority", "a.test:65536")])),
        ("host disagrees", with(&[("host", "b.test")])),
        ("host port disagrees", with(&[("host", "a.test:8443")])),
        ("two hosts", with(&[("host", "a.test"), ("host", "a.test")])),
        ("empty host", with(&[("host", "")])),
        ("host with userinfo", without(":authority", &[("host", "u@a.test")])),
        ("connection", with(&[("connection", "close")])),
        ("keep-alive", with(&[("keep-alive", "1")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("upgrade", with(&[("upgrade", "h2c")])),
        ("te", with(&[("te", "gzip")])),
        ("te list", with(&[("te", "trailers, gzip")])),
        ("upper case", with(&[("X-A", "1")])),
        ("empty name", with(&[("", "1")])),
        ("space in a name", with(&[("x a", "1")])),
        ("colon in a name", with(&[("x:a", "1")])),
        ("line end in a name", with(&[("x\r\n", "1")])),
        ("line end in a value", with(&[("x", "1\r\ny: 2")])),
        ("bare LF in a value", with(&[("x", "1\n")])),
        ("NUL in a value", with(&[("x", "a\0b")])),
        ("control in a value", with(&[("x", "a\x01b")])),
        ("DEL in a value", with(&[("x", "a\x7fb")])),
        ("leading space", with(&[("x", " a")])),
        ("trailing tab", with(&[("x", "a\t")])),
        ("signed length", with(&[("content-length", "+1")])),
        ("empty length", with(&[("content-length", "")])),
        ("list length", with(&[("content-length", "0, 0")])),
        ("hex length", with(&[("content-length", "0x1")])),
        ("2^63", with(&[("content-length", "9223372036854775808")])),
        ("2^64+3", with(&[("content-length", "18446744073709551619")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "0")])),
        ("length without a body", with(&[("content-length", "1")])),
    ];
    for (name, lines) in table {
        match read(&lines) {
            Ok(_) => panic!("{name}: accepted"),
            Err(refused) => assert_eq!(refused.status, 400, "{name}: {}", refused.detail),
        }
    }
}

#[test]
fn other_refusals_can_be_answered() {
    let long = format!("/{}", "a".repeat(9000));
    let many: Vec<(String, String)> = (0..101).map(|i| (format!("x-{i}"), "1".into())).collect();
    let many: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let crumbs = vec![("cookie", "a"); 101];
    let big = "v".repeat(40_000);
    let table = [
        (501, vec![(":method", "CONNECT"), (":authority", "a.test:443")]),
        (501, without(":method", &[(":method", "CONNECT")])),
        (414, without(":path", &[(":path", long.as_str())])),
        (431, with(&many)),
        (431, with(&crumbs)),
        (431, with(&[("x", big.as_str())])),
        (417, with(&[("expect", "200-maybe")])),
    ];
    for (status, lines) in table {
        assert_eq!(read(&lines).err().map(|bad| bad.status), Some(status), "{:?}", lines[0]);
    }
}

fn answer(lines: &[(&str, &str)]) -> Result<Answer, BadHead> {
    let mut all = Answer::new(Version::Http2, BOUNDS, ResponseHead::default());
    for (name, value) in lines {
        all.line(name.as_bytes(), value.as_bytes())?;
    }
    Ok(all)
}

#[test]
fn responses_come_through_their_own_gate() {
    let good = answer(&[(":status", "204"), ("x-a", "1"), ("content-length", "7")]).unwrap();
    assert_eq!((good.head.status, good.length, good.head.fields.len()), (204, Some(7), 2));
    let big = "v".repeat(40_000);
    let table: [(u16, &[(&str, &str)]); 10] = [
        (400, &[(":status", "20")]),
        (400, &[(":status", "2000")]),
        (400, &[(":status", "+20")]),
        (400, &[(":status", "099")]),
        (400, &[(":status", "200"), (":status", "200")]),
        (400, &[("x-a", "1"), (":status", "200")]),
        (400, &[(":path", "/")]),
        (400, &[(":status", "200"), ("connection", "close")]),
        (400, &[(":status", "200"), ("content-length", "1"), ("content-length", "1")]),
        (431, &[(":status", "200"), ("x", &big)]),
    ];
    for (status, lines) in table {
        assert_eq!(answer(lines).err().map(|bad| bad.status), Some(status), "{:?}", lines[0]);
    }
}

#[test]
fn what_ends_at_this_hop_is_not_sent() {
    let mut list = Fields::default();
    for (name, value) in
        [("Connection", "x"), ("TE", "gzip"), ("Host", "a"), ("X-B", "1"), ("Content-Length", "7")]
    {
        list.push_checked(name.as_bytes(), value.as_bytes());
    }
    let names = |keeps| outgoing(&list, keeps).map(|(_, n, _)| n.to_vec()).collect::<Vec<_>>();
    assert_eq!(names(false), [b"X-B"]);
    assert_eq!(names(true), [&b"X-B"[..], b"Content-Length"]);
}

#[test]
fn trailers_carry_no_framing_or_credentials() {
    let mut trailers = Trailers::new(BOUNDS);
    for name in ["grpc-status", "content-length", "host", "authorization", "cookie"] {
        trailers.line(name.as_bytes(), b"0").unwrap();
    }
    let names: Vec<_> = trailers.list.iter().map(|(_, n, _)| n.to_vec()).collect();
    assert_eq!(names, [b"grpc-status"]);
    for name in ["connection", ":path", ":status", "X-A"] {
        assert_eq!(trailers.line(name.as_bytes(), b"0").err().map(|bad| bad.status), Some(400));
    }
    let long = "v".repeat(40_000);
    assert_eq!(trailers.line(b"x", long.as_bytes()).err().map(|bad| bad.status), Some(431));
}
