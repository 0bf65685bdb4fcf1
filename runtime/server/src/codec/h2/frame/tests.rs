#![allow(clippy::unwrap_used)]

use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_header(&mut out, payload.len(), kind, flags, stream);
    out.extend_from_slice(payload);
    out
}

/// Kind, stream, payload, and whether it ends the stream.
type Seen = (u8, u32, Vec<u8>, bool);

/// What is understood of bytes that come `step` at a time: DATA joined, other frames whole.
fn read(bytes: &[u8], step: usize) -> Result<Vec<Seen>, Fault> {
    let (mut parser, mut input, mut out) = (Parser::default(), BytesMut::new(), Vec::new());
    for part in bytes.chunks(step) {
        input.extend_from_slice(part);
        while let Some(piece) = parser.next(&mut input)? {
            match piece {
                Piece::Data(header, _) => out.push((DATA, header.stream, Vec::new(), false)),
                Piece::Part { bytes, ends, .. } => {
                    let last = out.last_mut().unwrap();
                    last.2.extend_from_slice(&bytes);
                    last.3 |= ends;
                }
                Piece::Whole(header) => {
                    let payload = input[HEADER..HEADER + header.length].to_vec();
                    input.advance(HEADER + header.length);
                    out.push((header.kind, header.stream, payload, header.has(END_STREAM)));
                }
            }
        }
    }
    Ok(out)
}

#[test]
fn frames_are_found_however_they_are_cut() {
    let traffic = [
        frame(SETTINGS, 0, 0, &[0; 6]),
        frame(HEADERS, END_HEADERS, 1, &[0x82; 40]),
        frame(DATA, 0, 1, b"some bytes"),
        frame(DATA, PADDED, 1, b"\x03more\0\0\0"),
        frame(DATA, 0, 1, b""),
        frame(DATA, PADDED | END_STREAM, 1, b"\x02\0\0"),
        frame(0xfa, 0, 0, b"what"),
        frame(PING, 0, 0, &[7; 8]),
        frame(DATA, END_STREAM, 0x8000_0003, b"end"),
    ]
    .concat();
    let wanted = read(&traffic, traffic.len()).unwrap();
    assert_eq!(wanted.len(), 9);
    assert_eq!(wanted[3], (DATA, 1, b"more".to_vec(), false));
    assert_eq!(wanted[5], (DATA, 1, Vec::new(), true));
    assert_eq!(wanted[8], (DATA, 3, b"end".to_vec(), true));
    for step in [1, 2, 7, 9, 10, 11, 50] {
        assert_eq!(read(&traffic, step).unwrap(), wanted, "step {step}");
    }
}

#[test]
fn frames_that_end_the_connection() {
    let table = [
        ("a frame larger than ours", frame(PING, 0, 0, &[0; PAYLOAD_MAX + 1]), Code::FRAME_SIZE),
        ("DATA as large", frame(DATA, 0, 1, &[0; PAYLOAD_MAX + 1]), Code::FRAME_SIZE),
        ("no room for the padding's length", frame(DATA, PADDED, 1, b""), Code::FRAME_SIZE),
        ("more padding than payload", frame(DATA, PADDED, 1, &[1]), Code::PROTOCOL),
    ];
    for (name, bytes, code) in table {
        assert_eq!(read(&bytes, 5), Err(Fault::Connection(code)), "{name}");
    }
}

#[test]
fn fragments_lose_padding_and_priority() {
    let header = |flags| Header { length: 0, kind: HEADERS, flags, stream: 5 };
    type Row = (u8, &'static [u8], Result<(&'static [u8], bool), Fault>);
    let short = Err(Fault::Connection(Code::FRAME_SIZE));
    let table: [Row; 8] = [
        (0, b"abc", Ok((b"abc", false))),
        (PADDED, b"\x02abc\0\0", Ok((b"abc", false))),
        (PRIORITIZED, b"\0\0\0\x01\x10abc", Ok((b"abc", false))),
        (PRIORITIZED, b"\x80\0\0\x05\x10abc", Ok((b"abc", true))),
        (PADDED | PRIORITIZED, b"\x01\0\0\0\x01\x10abc\0", Ok((b"abc", false))),
        (PADDED, b"", short),
        (PRIORITIZED, b"\0\0", short),
        (PADDED, b"\x04abc", Err(Fault::Connection(Code::PROTOCOL))),
    ];
    for (flags, payload, wanted) in table {
        assert_eq!(fragment(header(flags), payload), wanted, "{flags:x} {payload:x?}");
    }
}

#[test]
fn settings_have_limits() {
    let row = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    let end = |code| Err(Fault::Connection(code));
    let none = Settings::default();
    let table = [
        (Vec::new(), Ok(none)),
        (row(3, 7), Ok(Settings { streams: Some(7), ..none })),
        ([row(4, 1), row(4, 2)].concat(), Ok(Settings { window: Some(2), ..none })),
        (row(4, 0x7fff_ffff), Ok(Settings { window: Some(0x7fff_ffff), ..none })),
        (row(4, 0x8000_0000), end(Code::FLOW_CONTROL)),
        (row(2, 1), Ok(none)),
        (row(2, 2), end(Code::PROTOCOL)),
        (row(5, 16_384), Ok(none)),
        (row(5, 16_383), end(Code::PROTOCOL)),
        (row(5, 1 << 24), end(Code::PROTOCOL)),
        (row(0xfafa, 9), Ok(none)),
        (vec![0; 5], end(Code::FRAME_SIZE)),
    ];
    for (payload, wanted) in table {
        assert_eq!(Settings::of(&payload, true), wanted, "{payload:x?}");
    }
    // Section 8.4: a server takes no pushes.
    assert_eq!(Settings::of(&row(2, 1), false), end(Code::PROTOCOL));
    let mut offer = Vec::new();
    Offer { streams: None, window: 9, list: 8 }.put(&mut offer);
    assert_eq!(Settings::of(&offer[HEADER..], true).unwrap().window, Some(9));
}

#[test]
fn a_long_block_goes_on_in_continuation() {
    for length in [0, 1, PAYLOAD_MAX, PAYLOAD_MAX + 1, 3 * PAYLOAD_MAX] {
        let block: Vec<u8> = (0..length).map(|at| at as u8).collect();
        let mut out = [&b"before"[..], &[0; HEADER], &block].concat();
        close_block(&mut out, 6, 7, END_STREAM);
        let mut joined = Vec::new();
        let (mut rest, mut first) = (BytesMut::from(&out[6..]), true);
        while let Some(Piece::Whole(header)) = Parser::default().next(&mut rest).unwrap() {
            assert_eq!(header.kind, if first { HEADERS } else { CONTINUATION });
            assert_eq!((header.stream, header.has(END_STREAM)), (7, first));
            joined.extend_from_slice(&rest[HEADER..HEADER + header.length]);
            rest.advance(HEADER + header.length);
            assert_eq!(header.has(END_HEADERS), rest.is_empty());
            first = false;
        }
        assert_eq!(joined, block);
    }
}
