#![allow(clippy::unwrap_used, clippy::panic)]

use pilotlight_filter::Version;
use proptest::prelude::*;

use super::*;
use crate::codec::h1::head::{self, Bounds};

/// All that waits, as the wire would see it.
fn queued(writer: &Writer) -> Vec<u8> {
    let pieces = writer.queue.iter().map(|piece| match piece {
        Piece::Own(from, to) => &writer.own[*from..*to],
        Piece::Shared(bytes) => bytes,
    });
    let all = pieces.collect::<Vec<_>>().concat();
    assert_eq!(all.len(), writer.queued());
    all
}

fn text(writer: &Writer) -> String {
    String::from_utf8(queued(writer)).unwrap()
}

fn request(method: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::default();
    head.set_method(method.as_bytes()).unwrap();
    head.set_path(b"/a").unwrap();
    head.set_authority(b"h.example").unwrap();
    for (name, value) in fields {
        head.fields.add(name.as_bytes(), value.as_bytes()).unwrap();
    }
    head
}

fn response(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead { status, ..ResponseHead::default() };
    for (name, value) in fields {
        head.fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    head
}

#[test]
fn a_request_says_how_long_it_is() {
    for (method, length, framing) in [
        ("GET", Length::None, ""),
        ("GET", Length::Exact(0), ""),
        ("POST", Length::Exact(0), "Content-Length: 0\r\n"),
        ("GET", Length::Exact(5), "Content-Length: 5\r\n"),
        ("POST", Length::Unknown, "Transfer-Encoding: chunked\r\n"),
    ] {
        let mut writer = Writer::default();
        writer.request(&request(method, &[("x-a", "1")]), length, None);
        let wanted = format!("{method} /a HTTP/1.1\r\nhost: h.example\r\nx-a: 1\r\n{framing}\r\n");
        assert_eq!(text(&writer), wanted);
    }
    let mut writer = Writer::default();
    let mut head = request("GET", &[]);
    head.set_query(Some(b"b=c")).unwrap();
    writer.request(&head, Length::None, Some("websocket"));
    let wanted = "GET /a?b=c HTTP/1.1\r\nhost: h.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    assert_eq!(text(&writer), wanted);
}

/// The writer decides the framing; what a head says of it is of the message that came in.
#[test]
fn framing_of_the_message_that_came_in_stays_here() {
    let mut writer = Writer::default();
    let fields = [("transfer-encoding", "chunked"), ("connection", "x-b"), ("content-length", "9")];
    writer.response(&response(200, &fields), Length::Exact(2), true, None);
    assert_eq!(text(&writer), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");

    // The answer to a HEAD keeps the length it would have had.
    let mut writer = Writer::default();
    writer.response(&response(200, &fields), Length::None, true, Some("close"));
    let wanted = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nConnection: close\r\n\r\n";
    assert_eq!(text(&writer), wanted);
}

#[test]
fn a_body_of_unknown_length_is_chunked_where_it_can_be() {
    let mut trailers = Fields::default();
    for (name, value) in [("x-sum", "1"), ("content-length", "1"), ("set-cookie", "x")] {
        trailers.push_checked(name.as_bytes(), value.as_bytes());
    }
    for (chunks, wanted) in [
        (
            true,
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nx-sum: 1\r\n\r\n",
        ),
        (false, "\r\nabc0123456789abcdef"),
    ] {
        let mut writer = Writer::default();
        writer.response(&response(200, &[]), Length::Unknown, chunks, None);
        for chunk in ["abc", "", "0123456789abcdef"] {
            writer.data(Bytes::from_static(chunk.as_bytes()));
        }
        writer.finish(Some(&trailers));
        assert_eq!(text(&writer), format!("HTTP/1.1 200 OK\r\n{wanted}"));
    }
}

#[test]
fn sizes_are_written_in_hexadecimal() {
    for number in [0, 1, 9, 15, 16, 255, 256, 0xdead_beef, usize::MAX] {
        let mut out = Vec::new();
        hex(&mut out, number);
        assert_eq!(out, format!("{number:x}").into_bytes());
    }
}

proptest! {
    /// However much each write takes, the same bytes go out in the same order.
    #[test]
    fn partial_writes_lose_nothing(
        chunks in prop::collection::vec("[a-z]{0,40}", 0..10),
        steps in prop::collection::vec(1_usize..50, 1..200),
    ) {
        let mut writer = Writer::default();
        writer.response(&response(200, &[("x-a", "1")]), Length::Unknown, true, None);
        chunks.iter().for_each(|chunk| writer.data(Bytes::from(chunk.clone())));
        writer.finish(None);
        let all = queued(&writer);
        let mut sent = Vec::new();
        for step in steps {
            let step = step.min(writer.queued());
            sent.extend_from_slice(&queued(&writer)[..step]);
            writer.advance(step);
        }
        sent.extend(queued(&writer));
        prop_assert_eq!(sent, all);
    }

    /// What we write we read: same fields, one framing.
    #[test]
    fn requests_come_back(fields in prop::collection::vec(("x-[a-z]{1,8}", "[!-~]([ -~]{0,10}[!-~])?"), 0..8), length in any::<Option<u32>>()) {
        let pairs: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let length = length.map_or(Length::Unknown, |n| Length::Exact(n.into()));
        let mut writer = Writer::default();
        writer.request(&request("POST", &pairs), length, None);
        let mut read = RequestHead::default();
        read.fields.adopt(queued(&writer));
        let framing = head::request(&mut read, Bounds { bytes: 8192, fields: 32, uri: 64 }).unwrap();
        prop_assert_eq!(read.version, Version::Http11);
        prop_assert_eq!(framing.chunked, length == Length::Unknown);
        prop_assert_eq!(framing.length.map(Length::Exact), (length != Length::Unknown).then_some(length));
        let ours: Vec<_> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        let theirs: Vec<_> = read.fields.iter().map(|(_, n, v)| (n, v)).take(ours.len()).collect();
        prop_assert_eq!(ours, theirs);
    }
}
