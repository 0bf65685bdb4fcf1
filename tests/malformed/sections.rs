//! Field sections that HTTP/2 and HTTP/3 refuse alike (RFC 9113 section 8, RFC 9114 section 4).

use std::borrow::Cow;

pub type Line = (Cow<'static, [u8]>, Cow<'static, [u8]>);

pub struct Row {
    pub name: &'static str,
    pub lines: Vec<Line>,
    /// Sent as DATA; `None`: the head ends the stream.
    pub body: Option<&'static [u8]>,
    /// Sent behind the body.
    pub trailers: Vec<Line>,
}

fn line(name: &'static [u8], value: &'static [u8]) -> Line {
    (Cow::Borrowed(name), Cow::Borrowed(value))
}

const METHOD: (&[u8], &[u8]) = (b":method", b"GET");
const SCHEME: (&[u8], &[u8]) = (b":scheme", b"https");
const AUTHORITY: (&[u8], &[u8]) = (b":authority", b"a.test");
const PATH: (&[u8], &[u8]) = (b":path", b"/bad");

pub fn good() -> Vec<Line> {
    [METHOD, SCHEME, AUTHORITY, PATH].map(|(n, v)| line(n, v)).to_vec()
}

fn row(name: &'static str, lines: Vec<Line>) -> Row {
    Row { name, lines, body: None, trailers: Vec::new() }
}

/// Good pseudo-headers, and then this.
fn with(name: &'static str, field: &'static [u8], value: &'static [u8]) -> Row {
    let mut lines = good();
    lines.push(line(field, value));
    row(name, lines)
}

/// One pseudo-header says something else.
fn instead(name: &'static str, pseudo: &'static [u8], value: &'static [u8]) -> Row {
    let mut lines = good();
    for (n, v) in &mut lines {
        if **n == *pseudo {
            *v = Cow::Borrowed(value);
        }
    }
    row(name, lines)
}

fn without(name: &'static str, pseudo: &[u8]) -> Row {
    let mut lines = good();
    lines.retain(|(n, _)| **n != *pseudo);
    row(name, lines)
}

fn body(name: &'static str, length: &'static [u8], body: &'static [u8]) -> Row {
    let mut row = with(name, b"content-length", length);
    row.lines[0].1 = Cow::Borrowed(b"POST");
    row.body = Some(body);
    row
}

fn trailer(name: &'static str, field: &'static [u8], value: &'static [u8]) -> Row {
    let mut row = row(name, good());
    row.lines[0].1 = Cow::Borrowed(b"POST");
    row.body = Some(b"abcde");
    row.trailers = vec![line(field, value)];
    row
}

pub fn rows() -> Vec<Row> {
    let mut rows = pseudo();
    rows.extend(fields());
    rows.extend(lengths());
    rows
}

fn pseudo() -> Vec<Row> {
    let swapped = |name, from: usize| {
        let mut lines = good();
        lines.insert(from, line(b"x-a", b"1"));
        row(name, lines)
    };
    let twice = |name, (n, v): (&'static [u8], &'static [u8])| {
        let mut lines = good();
        lines.push(line(n, v));
        row(name, lines)
    };
    vec![
        without("method_missing", b":method"),
        without("scheme_missing", b":scheme"),
        without("path_missing", b":path"),
        without("authority_missing", b":authority"),
        row("none", vec![line(b"x-a", b"1")]),
        twice("method_twice", METHOD),
        twice("scheme_twice", SCHEME),
        twice("authority_twice", AUTHORITY),
        twice("path_twice", PATH),
        twice("path_differs", (b":path", b"/other")),
        swapped("field_first", 0),
        swapped("field_between", 2),
        with("unknown", b":unknown", b"x"),
        with("status", b":status", b"200"),
        with("protocol_without_connect", b":protocol", b"websocket"),
        with("only_a_colon", b":", b"x"),
        with("upper_case_pseudo", b":Path", b"/x"),
        instead("method_empty", b":method", b""),
        instead("method_space", b":method", b"GET /"),
        instead("method_line", b":method", b"GET / HTTP/1.1\r\nhost: b\r\n\r\nGET"),
        instead("method_nul", b":method", b"GE\0T"),
        instead("path_empty", b":path", b""),
        instead("path_relative", b":path", b"x"),
        instead("path_absolute", b":path", b"https://a.test/x"),
        instead("path_star", b":path", b"*"),
        instead("path_space", b":path", b"/a b"),
        instead("path_line", b":path", b"/ HTTP/1.1\r\nhost: b.test\r\n\r\nGET /x"),
        instead("path_feed", b":path", b"/a\nb"),
        instead("path_nul", b":path", b"/a\0b"),
        instead("path_control", b":path", b"/a\x01b"),
        instead("path_fragment", b":path", b"/a#b"),
        instead("path_nul_escape", b":path", b"/a%00b"),
        instead("path_bad_escape", b":path", b"/a%zz"),
        instead("path_above_root", b":path", b"/../x"),
        instead("path_backslash", b":path", b"/a\\..\\b"),
        instead("scheme_empty", b":scheme", b""),
        instead("scheme_other", b":scheme", b"ftp"),
        instead("scheme_line", b":scheme", b"http\r\nx: y"),
        instead("scheme_url", b":scheme", b"https://b.test/x?"),
        instead("authority_empty", b":authority", b""),
        instead("authority_userinfo", b":authority", b"u:p@a.test"),
        instead("authority_path", b":authority", b"a.test/x"),
        instead("authority_space", b":authority", b"a.test b.test"),
        instead("authority_list", b":authority", b"a.test, b.test"),
        instead("authority_port", b":authority", b"a.test:port"),
        instead("authority_line", b":authority", b"a.test\r\nx: y"),
        instead("authority_query", b":authority", b"a.test?x"),
        with("host_differs", b"host", b"b.test"),
        with("host_port_differs", b"host", b"a.test:81"),
        with("host_malformed", b"host", b"a.test/x"),
    ]
}

fn fields() -> Vec<Row> {
    let mut hosts = with("host_twice", b"host", b"a.test");
    hosts.lines.push(line(b"host", b"a.test"));
    let mut many = good();
    many.extend(
        (0..2000)
            .map(|n| (Cow::Owned(format!("x-{n}").into_bytes()), Cow::Borrowed(b"1".as_slice()))),
    );
    vec![
        hosts,
        row("many", many),
        with("connection", b"connection", b"close"),
        with("connection_names", b"connection", b"x-a"),
        with("keep_alive", b"keep-alive", b"timeout=5"),
        with("proxy_connection", b"proxy-connection", b"close"),
        with("transfer_encoding", b"transfer-encoding", b"chunked"),
        with("transfer_encoding_identity", b"transfer-encoding", b"identity"),
        with("upgrade", b"upgrade", b"websocket"),
        with("te_gzip", b"te", b"gzip"),
        with("te_list", b"te", b"trailers, gzip"),
        with("upper_case", b"X-A", b"1"),
        with("upper_case_one", b"x-aB", b"1"),
        with("name_empty", b"", b"1"),
        with("name_space", b"x a", b"1"),
        with("name_colon", b"x:a", b"1"),
        with("name_line", b"x-a: 1\r\nx-b", b"1"),
        with("name_feed", b"x-a\n", b"1"),
        with("name_nul", b"x\0a", b"1"),
        with("name_control", b"x\x01a", b"1"),
        with("name_delete", b"x\x7fa", b"1"),
        with("name_high", b"x\xffa", b"1"),
        with("name_brace", b"x{a}", b"1"),
        with("value_line", b"x-a", b"1\r\nx-b: 2"),
        with("value_feed", b"x-a", b"1\nx-b: 2"),
        with("value_return", b"x-a", b"1\rx-b: 2"),
        with("value_nul", b"x-a", b"1\x002"),
        with("value_control", b"x-a", b"1\x012"),
        with("value_delete", b"x-a", b"1\x7f2"),
        with("expect_other", b"expect", b"200-ok"),
    ]
}

fn lengths() -> Vec<Row> {
    let mut twice = body("length_twice", b"5", b"abcde");
    twice.lines.push(line(b"content-length", b"5"));
    let mut differ = body("length_differs", b"5", b"abcde");
    differ.lines.push(line(b"content-length", b"6"));
    vec![
        twice,
        differ,
        with("length_without_body", b"content-length", b"5"),
        body("length_too_short", b"3", b"abcde"),
        body("length_too_long", b"8", b"abcde"),
        body("length_zero", b"0", b"abcde"),
        body("length_sign", b"+5", b"abcde"),
        body("length_minus", b"-5", b"abcde"),
        body("length_hex", b"0x5", b"abcde"),
        body("length_list", b"5, 5", b"abcde"),
        body("length_empty", b"", b"abcde"),
        body("length_space", b"5 5", b"abcde"),
        body("length_huge", b"18446744073709551621", b"abcde"),
        trailer("trailer_pseudo", b":path", b"/x"),
        trailer("trailer_status", b":status", b"200"),
        trailer("trailer_upper", b"X-A", b"1"),
        trailer("trailer_connection", b"connection", b"close"),
        trailer("trailer_encoding", b"transfer-encoding", b"chunked"),
        trailer("trailer_line", b"x-a", b"1\r\nx-b: 2"),
        trailer("trailer_nul", b"x-a", b"\0"),
        trailer("trailer_name", b"x a", b"1"),
    ]
}
