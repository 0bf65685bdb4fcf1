//! Messages, good and bad: what is generated is often nearly one.

use proptest::prelude::*;

fn pick(list: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(list).prop_map(|text| text.as_bytes().to_vec())
}

/// Something at a random place of something else.
fn spoiled(
    text: impl Strategy<Value = Vec<u8>>,
    by: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = Vec<u8>> {
    (text, by, any::<prop::sample::Index>()).prop_map(|(mut text, by, at)| {
        let at = at.index(text.len() + 1);
        text.splice(at..at, by);
        text
    })
}

/// A field line, without its end.
pub(crate) fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = || {
        pick(&[
            "Host: a",
            "Host: b",
            "Content-Length: 1",
            "content-length: 01",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Connection: keep-alive, x-a",
            "Expect: 100-continue",
            "X-A: 1",
            "x_b: 2",
            "X-C:",
            "X-D:\t\t3 \t",
            "X-E : 4",
            " X-F: 5",
            "\tfold",
            "X-G",
            ":",
            "X-H: a\tb",
            "Cookie: a=b; c=d",
        ])
    };
    let noise = || prop::collection::vec(any::<u8>(), 0..12);
    prop_oneof![6 => known(), 1 => spoiled(known(), noise()), 1 => noise()]
}

/// The first line of a request or a response, without its end.
pub(crate) fn first_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => request_line(), 4 => status_line(), 1 => prop::collection::vec(any::<u8>(), 0..20)]
}

pub(crate) fn request_line() -> impl Strategy<Value = Vec<u8>> {
    pick(&[
        "GET / HTTP/1.1",
        "GET /one HTTP/1.1",
        "POST /a?b HTTP/1.1",
        "PUT /a/b?c=d&e HTTP/1.1",
        "HEAD /h HTTP/1.1",
        "GET http://a/ HTTP/1.1",
        "GET http://a HTTP/1.1",
        "GET http://b/x?y HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /x HTTP/1.0",
        "PURGE /~x/%20 HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\" HTTP/1.1",
        "GET /#f HTTP/1.1",
        "GET /{x}|\\^` HTTP/1.1",
        "get|x / HTTP/1.1",
        "CONNECT a:80 HTTP/1.1",
    ])
}

pub(crate) fn status_line() -> impl Strategy<Value = Vec<u8>> {
    pick(&[
        "HTTP/1.1 200 OK",
        "HTTP/1.1 200 ",
        "HTTP/1.1 404 Not Found",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 204",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 100 Continue",
        "HTTP/1.1 103 Early Hints",
        "HTTP/1.0 301 Moved",
        "HTTP/1.0 200 OK",
        "HTTP/1.1 200  ",
        "HTTP/1.1 200 Gr\u{fc}n",
        "HTTP/1.1 99 x",
        "HTTP/1.1 600 x",
        "HTTP/1.1 2000 x",
        "HTTP/2 200 x",
    ])
}

/// The end of a line.
pub(crate) fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r")]
}

/// A chunked body: sizes, extensions and ends as peers write them, and as they must not.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let chunk = prop_oneof![
        12 => pick(&["1\r\na\r\n", "3\r\nabc\r\n", "00a\r\n0123456789\r\n", "A;x=y\r\n0123456789\r\n"]),
        1 => pick(&[
            "2 \r\nab\r\n", "2\nab\r\n", "2\r\nab\n", "2\r\nabc\r\n", "2\r\na\r\n", "+2\r\nab\r\n",
            "0x2\r\nab\r\n", "\r\n", "2;\nx\r\nab\r\n", "2;x=\"\r\"\r\nab\r\n", "-1\r\n",
            "FFFFFFFFFFFFFFFFF\r\n", "8000000000000000\r\n", "2;\u{0}\r\nab\r\n", "2\t\r\nab\r\n",
        ]),
    ];
    let last = prop_oneof![
        8 => pick(&["0\r\n", "000\r\n", "0;x\r\n"]),
        1 => pick(&["0\n", "0 \r\n", "\r\n", ""]),
    ];
    let trailers = prop_oneof![
        6 => pick(&["\r\n"]),
        3 => pick(&["X-T: 1\r\n\r\n", "x-t: 1\r\nX-U:2 \r\n\r\n", "Host: b\r\n\r\n", "Content-Length: 5\r\n\r\n"]),
        1 => pick(&["X-T : 1\r\n\r\n", "X-T: 1\n\r\n", "X-T\r\n\r\n", " x\r\n\r\n", "\n"]),
    ];
    (prop::collection::vec(chunk, 0..3), last, trailers)
        .prop_map(|(chunks, last, trailers)| [chunks.concat(), last, trailers].concat())
}

/// The lines that frame a body, and a body that mostly fits.
fn framed() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let with = |lines: &'static str| move |body: Vec<u8>| (lines.as_bytes().to_vec(), body);
    prop_oneof![
        4 => pick(&[""]).prop_map(with("")),
        3 => pick(&["abc"]).prop_map(with("Content-Length: 3\r\n")),
        1 => pick(&[""]).prop_map(with("Content-Length: 0\r\n")),
        4 => chunks().prop_map(with("Transfer-Encoding: chunked\r\n")),
        1 => (pick(&[
            "Content-Length: 3\r\nContent-Length: 3\r\n",
            "Content-Length: 3, 3\r\n",
            "Content-Length: +3\r\n",
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, gzip\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        ]), pick(&["abc", "3\r\nabc\r\n0\r\n\r\n"])),
    ]
}

/// A message with this kind of first line.
fn message(first: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let odd = prop_oneof![3 => Just(None), 1 => (line(), line_end()).prop_map(Some)];
    let fields =
        pick(&["", "X-A: 1\r\n", "X-A: 1\r\nx-a: 2\r\nX-B:\t x \r\n", "Connection: close\r\n"]);
    let host =
        prop_oneof![8 => pick(&["Host: a\r\n"]), 1 => pick(&["", "Host: a:x\r\n", "Host:\r\n"])];
    (first, host, fields, odd, framed()).prop_map(|(first, host, fields, odd, (framing, body))| {
        let odd = odd.map(|(line, end)| [&line, end.as_bytes()].concat()).unwrap_or_default();
        [&first[..], b"\r\n", &host, &fields, &odd, &framing, b"\r\n", &body].concat()
    })
}

/// Now and then, a byte that readers fall out over.
fn shaken(messages: impl Strategy<Value = Vec<u8>> + Clone) -> impl Strategy<Value = Vec<u8>> {
    let byte =
        pick(&["\r", "\n", "\0", " ", "\t", ":", ",", ";", "0", "a", "\r\n", "\r\n\r\n", "\u{e9}"]);
    prop_oneof![5 => messages.clone(), 1 => spoiled(messages, byte)]
}

/// Messages one behind the other, and where the first read ends.
fn several(
    first: impl Strategy<Value = Vec<u8>> + Clone + 'static,
    most: usize,
) -> impl Strategy<Value = (Vec<u8>, usize)> {
    let all = prop::collection::vec(message(first), 1..=most).prop_map(|all| all.concat()).boxed();
    (shaken(all), any::<prop::sample::Index>()).prop_map(|(bytes, cut)| {
        let cut = cut.index(bytes.len().max(1));
        (bytes, cut)
    })
}

pub(crate) fn requests() -> impl Strategy<Value = (Vec<u8>, usize)> {
    several(request_line().boxed(), 3)
}

pub(crate) fn responses() -> impl Strategy<Value = (Vec<u8>, usize)> {
    several(status_line().boxed(), 2)
}
