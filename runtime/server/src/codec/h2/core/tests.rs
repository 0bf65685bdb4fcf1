#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use pilotlight_filter::exchange::Request;
use pilotlight_filter::{Fields, Frame, Peer, RequestHead};

use super::super::frame::{CONTINUATION, END_HEADERS, END_STREAM, WINDOW_UPDATE};
use super::super::frame::{DATA, GOAWAY, HEADER, HEADERS, PING, Piece, RST_STREAM, SETTINGS};
use super::super::hpack;
use super::*;
use crate::codec::Length;

mod whole;

const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 20, uri: 1024 };
/// `GET http://a/`, and what a response of 200 is.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'a'];
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x01, 1, b'a'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put_header(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

fn word(kind: u8, stream: u32, word: u32) -> Vec<u8> {
    frame(kind, 0, stream, &word.to_be_bytes())
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, GET)
}

fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, POST)
}

fn settings(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn server() -> Core {
    let peer = Rc::new(Peer::new(IpAddr::from([127, 0, 0, 1]), 1, "l"));
    let spare = Box::new(move || Box::new(Exchange::new(0, peer.clone(), Request::default())));
    let server = Server::new(3, false, Clock::new(), spare);
    let mut core = Core::server(server, BOUNDS, (65_536, 131_072));
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    core.receive(&mut BytesMut::from(&hello[..])).unwrap();
    said(&mut core);
    core
}

fn client() -> Core {
    Core::client(Box::new(Vec::new), BOUNDS, (65_536, 131_072))
}

/// What a connection has written: kind, flags, stream, payload.
type Said = (u8, u8, u32, Vec<u8>);

fn written(core: &mut Core) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        core.schedule();
        if core.wire.pending() == 0 {
            return all;
        }
        let part = core.wire.gather(|slices| slices.iter().map(|s| s.to_vec()).collect::<Vec<_>>());
        let part = part.concat();
        core.wire.advance(part.len());
        all.extend_from_slice(&part);
    }
}

fn said(core: &mut Core) -> Vec<Said> {
    let (mut input, mut out) = (BytesMut::from(&written(core)[..]), Vec::new());
    let mut parser = Parser::default();
    if input.starts_with(PREFACE) {
        input.advance(PREFACE.len());
    }
    while let Some(piece) = parser.next(&mut input).unwrap() {
        match piece {
            Piece::Data(header, _) => out.push((DATA, header.flags, header.stream, Vec::new())),
            Piece::Part { bytes, .. } => out.last_mut().unwrap().3.extend_from_slice(&bytes),
            Piece::Whole(header) => {
                let payload = input[HEADER..HEADER + header.length].to_vec();
                input.advance(HEADER + header.length);
                out.push((header.kind, header.flags, header.stream, payload));
            }
        }
    }
    out
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Fine,
    /// The stream that was reset.
    Reset(u32, Code),
    End(Code),
}

fn give(core: &mut Core, bytes: &[u8]) -> Outcome {
    if let Err(code) = core.receive(&mut BytesMut::from(bytes)) {
        return Outcome::End(code);
    }
    let reset = said(core).into_iter().find(|(kind, ..)| *kind == RST_STREAM);
    reset.map_or(Outcome::Fine, |(_, _, stream, code)| {
        Outcome::Reset(stream, Code(u32::from_be_bytes(code.try_into().unwrap())))
    })
}

fn answer(core: &mut Core, stream: u32) {
    let head = ResponseHead { status: 200, ..ResponseHead::default() };
    core.response(stream, &head, Length::Unknown);
    core.finish(stream, None);
}

/// Rows of frames, each on a connection of its own.
fn table(rows: &[(&str, Vec<Vec<u8>>, Outcome)]) {
    for (name, frames, wanted) in rows {
        assert_eq!(&give(&mut server(), &frames.concat()), wanted, "{name}");
        // The same, byte by byte.
        let (mut core, mut input) = (server(), BytesMut::new());
        let ended = frames.concat().iter().find_map(|byte| {
            input.extend_from_slice(&[*byte]);
            core.receive(&mut input).err()
        });
        let outcome = ended.map_or_else(|| give(&mut core, &[]), Outcome::End);
        assert_eq!(&outcome, wanted, "{name}, byte by byte");
    }
}

#[test]
fn section_3_4_preface() {
    let fresh = || {
        let mut core = server();
        (core.greeted, core.settled) = (false, false);
        core
    };
    assert_eq!(give(&mut fresh(), b"PRI * HTTP/2.1"), Outcome::End(Code::PROTOCOL));
    assert_eq!(give(&mut fresh(), b"GET / HTTP/1.1\r\n"), Outcome::End(Code::PROTOCOL));
    assert_eq!(give(&mut fresh(), &PREFACE[..10]), Outcome::Fine);
    let early = [PREFACE, &get(1)].concat();
    assert_eq!(give(&mut fresh(), &early), Outcome::End(Code::PROTOCOL));
    let ack = [PREFACE, &frame(SETTINGS, 1, 0, &[])].concat();
    assert_eq!(give(&mut fresh(), &ack), Outcome::End(Code::PROTOCOL));
}

#[test]
fn section_4_3_the_block_is_decoded_whatever_becomes_of_it() {
    let mut core = server();
    // A refused stream's block adds an entry to the table, which a later one uses.
    let adds = [GET, &[0x40, 1, b'x', 1, b'y']].concat();
    let late = frame(HEADERS, END_HEADERS | END_STREAM, 7, &adds);
    let many = [post(1), post(3), post(5), late].concat();
    assert_eq!(give(&mut core, &many), Outcome::Reset(7, Code::REFUSED));
    answer(&mut core, 1);
    assert_eq!(give(&mut core, &frame(DATA, END_STREAM, 1, b"")), Outcome::Fine);
    let uses = [GET, &[0xbe]].concat();
    assert_eq!(give(&mut core, &frame(HEADERS, 5, 9, &uses)), Outcome::Fine);
    let last = core.arrived().pop().unwrap();
    assert_eq!(last.exchange.request.head.fields.get(b"x"), Some(&b"y"[..]));
}

#[test]
fn section_5_1_frames_and_states() {
    let closed = Code::STREAM_CLOSED;
    table(&[
        ("idle: DATA", vec![frame(DATA, 0, 1, b"x")], Outcome::End(Code::PROTOCOL)),
        ("idle: RST_STREAM", vec![word(RST_STREAM, 1, 8)], Outcome::End(Code::PROTOCOL)),
        ("idle: WINDOW_UPDATE", vec![word(WINDOW_UPDATE, 1, 1)], Outcome::End(Code::PROTOCOL)),
        ("idle: PRIORITY", vec![frame(2, 0, 1, &[0; 5])], Outcome::Fine),
        ("half closed: DATA", vec![get(1), frame(DATA, 0, 1, b"x")], Outcome::Reset(1, closed)),
        ("half closed: HEADERS", vec![get(1), get(1)], Outcome::Reset(1, closed)),
        ("half closed: WINDOW_UPDATE", vec![get(1), word(WINDOW_UPDATE, 1, 1)], Outcome::Fine),
        ("half closed: RST_STREAM", vec![get(1), word(RST_STREAM, 1, 8)], Outcome::Fine),
        (
            "reset by the peer: DATA",
            vec![post(1), word(RST_STREAM, 1, 8), frame(DATA, 0, 1, b"x")],
            Outcome::Reset(1, closed),
        ),
        (
            "reset by the peer: HEADERS",
            vec![post(1), word(RST_STREAM, 1, 8), get(1)],
            Outcome::End(closed),
        ),
        ("depends on itself", vec![frame(2, 0, 3, &[0, 0, 0, 3, 1])], Outcome::End(Code::PROTOCOL)),
    ]);
    // Closed by both sides.
    for (late, wanted) in [
        (frame(DATA, 0, 1, b"x"), Outcome::Reset(1, closed)),
        (get(1), Outcome::End(closed)),
        (word(WINDOW_UPDATE, 1, 1), Outcome::Fine),
        (word(RST_STREAM, 1, 8), Outcome::Fine),
    ] {
        let mut core = server();
        give(&mut core, &get(1));
        answer(&mut core, 1);
        assert_eq!(give(&mut core, &late), wanted);
    }
    // Reset by us: what was on its way is nobody's fault.
    for late in [frame(DATA, 0, 1, b"x"), frame(HEADERS, 5, 1, GET), word(RST_STREAM, 1, 8)] {
        let mut core = server();
        give(&mut core, &post(1));
        core.reset(1, Code::CANCEL, Failure::Dropped);
        said(&mut core);
        assert_eq!(give(&mut core, &late), Outcome::Fine);
    }
}

#[test]
fn section_5_1_1_stream_identifiers() {
    table(&[
        ("even", vec![get(2)], Outcome::End(Code::PROTOCOL)),
        ("smaller than the last", vec![get(5), get(3)], Outcome::End(Code::PROTOCOL)),
        ("on 0", vec![get(0)], Outcome::End(Code::PROTOCOL)),
        ("DATA on 0", vec![frame(DATA, 0, 0, b"x")], Outcome::End(Code::PROTOCOL)),
        ("skipped ones are fine", vec![get(1), get(9)], Outcome::Fine),
    ]);
}

#[test]
fn section_5_1_2_concurrency() {
    let four = [post(1), post(3), post(5), post(7)];
    table(&[("one too many", four.to_vec(), Outcome::Reset(7, Code::REFUSED))]);
}

#[test]
fn section_6_8_goaway() {
    // A server leaves in two steps.
    let mut core = server();
    give(&mut core, &post(1));
    core.leave();
    let words = said(&mut core);
    assert_eq!((words[0].0, &words[0].3[..4]), (GOAWAY, &[0x7f, 0xff, 0xff, 0xff][..]));
    let ping = words[1].clone();
    assert_eq!(ping.0, PING);
    // What is on its way meanwhile is served.
    assert_eq!(give(&mut core, &post(3)), Outcome::Fine);
    core.receive(&mut BytesMut::from(&frame(PING, 1, 0, &ping.3)[..])).unwrap();
    let words = said(&mut core);
    assert_eq!((words[0].0, &words[0].3[..]), (GOAWAY, &[0, 0, 0, 3, 0, 0, 0, 0][..]));
    assert_eq!(give(&mut core, &post(5)), Outcome::Reset(5, Code::REFUSED));
    assert_eq!(core.arrived().len(), 2);

    // A client's streams past the last one were not taken.
    let mut core = client();
    let hello = frame(SETTINGS, 0, 0, &[]);
    let (one, three) =
        (core.open_with(|out| out.extend(GET)), core.open_with(|out| out.extend(GET)));
    assert_eq!((one, three), (1, 3));
    give(&mut core, &[hello, frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])].concat());
    assert!(!core.has_place());
    let cx = Context::from_waker(Waker::noop());
    core.streams.get_mut(&1).unwrap().holders += 1;
    assert_eq!(core.poll_failed(1, &cx), Poll::Pending);
    assert!(!core.streams.contains_key(&3));
}

#[test]
fn section_6_9_windows() {
    let full = |stream| frame(DATA, 0, stream, &[0; 16_384]);
    let most = 0x7fff_ffff;
    table(&[
        ("a stream's room", [vec![post(1)], vec![full(1); 4]].concat(), Outcome::Fine),
        (
            "past a stream's room",
            [vec![post(1)], vec![full(1); 5]].concat(),
            Outcome::Reset(1, Code::FLOW_CONTROL),
        ),
        (
            "past the connection's room",
            [vec![post(1), post(3), post(5)], vec![full(1); 4], vec![full(3); 4], vec![full(5)]]
                .concat(),
            Outcome::End(Code::FLOW_CONTROL),
        ),
        ("nothing more", vec![word(WINDOW_UPDATE, 0, 0)], Outcome::End(Code::PROTOCOL)),
        (
            "nothing more for a stream",
            vec![post(1), word(WINDOW_UPDATE, 1, 0)],
            Outcome::Reset(1, Code::PROTOCOL),
        ),
        ("too much", vec![word(WINDOW_UPDATE, 0, most)], Outcome::End(Code::FLOW_CONTROL)),
        (
            "too much for a stream",
            vec![post(1), word(WINDOW_UPDATE, 1, most)],
            Outcome::Reset(1, Code::FLOW_CONTROL),
        ),
        (
            "too much by a setting",
            vec![post(1), word(WINDOW_UPDATE, 1, most - 65_535), settings(4, 65_536)],
            Outcome::End(Code::FLOW_CONTROL),
        ),
    ]);
}

#[test]
fn section_6_9_2_a_setting_moves_the_windows_of_open_streams() {
    let mut core = server();
    give(&mut core, &[settings(4, 10), get(1)].concat());
    let head = ResponseHead { status: 200, ..ResponseHead::default() };
    core.response(1, &head, Length::Unknown);
    core.send(1, Bytes::from_static(&[b'x'; 40]));
    let sizes = |core: &mut Core| -> Vec<usize> {
        said(core).iter().filter(|(kind, ..)| *kind == DATA).map(|(.., p)| p.len()).collect()
    };
    assert_eq!(sizes(&mut core), [10]);
    // Ten are out already: five less means a window of -5.
    core.receive(&mut BytesMut::from(&settings(4, 5)[..])).unwrap();
    core.receive(&mut BytesMut::from(&word(WINDOW_UPDATE, 1, 5)[..])).unwrap();
    assert_eq!(sizes(&mut core), [0; 0]);
    core.receive(&mut BytesMut::from(&settings(4, 20)[..])).unwrap();
    assert_eq!(sizes(&mut core), [15]);
    core.receive(&mut BytesMut::from(&word(WINDOW_UPDATE, 1, 100)[..])).unwrap();
    assert_eq!(sizes(&mut core), [15]);
}

#[test]
fn section_6_10_continuation() {
    let open = frame(HEADERS, END_STREAM, 1, &GET[..2]);
    let rest = frame(CONTINUATION, END_HEADERS, 1, &GET[2..]);
    let empty = frame(CONTINUATION, 0, 1, &[]);
    let full = frame(CONTINUATION, 0, 1, &[0x82; 16_384]);
    let end = |code| Outcome::End(code);
    table(&[
        ("in two", vec![open.clone(), rest.clone()], Outcome::Fine),
        ("in three", vec![open.clone(), empty.clone(), rest.clone()], Outcome::Fine),
        ("alone", vec![rest.clone()], end(Code::PROTOCOL)),
        ("behind a whole block", vec![get(1), rest.clone()], end(Code::PROTOCOL)),
        ("PING between", vec![open.clone(), frame(PING, 0, 0, &[0; 8])], end(Code::PROTOCOL)),
        ("DATA between", vec![open.clone(), frame(DATA, 0, 1, b"")], end(Code::PROTOCOL)),
        ("HEADERS between", vec![open.clone(), get(3)], end(Code::PROTOCOL)),
        ("another stream's", vec![open.clone(), frame(9, 4, 3, &GET[2..])], end(Code::PROTOCOL)),
        ("many", [vec![open.clone()], vec![empty; 9]].concat(), end(Code::CALM)),
        ("large", vec![open, full.clone(), full], end(Code::CALM)),
    ]);
}

#[test]
fn section_8_1_1_a_body_is_as_long_as_its_head_says() {
    let sized = |stream| frame(HEADERS, 4, stream, &[POST, &[0x0f, 13, 1, b'5']].concat());
    let data = |flags, bytes: &[u8]| frame(DATA, flags, 1, bytes);
    let trailers = frame(HEADERS, 5, 1, &[0, 1, b't', 1, b'1']);
    let wrong = || Outcome::Reset(1, Code::PROTOCOL);
    table(&[
        ("as said", vec![sized(1), data(0, b"abc"), data(1, b"de")], Outcome::Fine),
        ("with trailers", vec![sized(1), data(0, b"abcde"), trailers.clone()], Outcome::Fine),
        ("longer", vec![sized(1), data(0, b"abcdef")], wrong()),
        ("shorter", vec![sized(1), data(1, b"abc")], wrong()),
        ("shorter, with trailers", vec![sized(1), data(0, b"abc"), trailers], wrong()),
        (
            "trailers that do not end it",
            vec![post(1), frame(HEADERS, 4, 1, &[0, 1, b't', 1, b'1'])],
            wrong(),
        ),
        ("a pseudo-header in them", vec![post(1), frame(HEADERS, 5, 1, &[0x84])], wrong()),
    ]);
}
