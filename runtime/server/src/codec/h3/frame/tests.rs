#![allow(clippy::unwrap_used)]

use super::*;

const REQUEST: Role = Role::Request { section: 32 * 1024 };

fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, kind);
    put_number(&mut out, payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

fn begun(kind: u64, length: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, kind);
    put_number(&mut out, length);
    out
}

/// All pieces of `bytes`, given `step` at a time, adjacent data joined.
fn read(role: Role, bytes: &[u8], step: usize) -> Result<(Vec<Piece>, bool), Code> {
    let mut parser = Parser::new(role, Rc::new(Load::new()));
    let mut pieces: Vec<Piece> = Vec::new();
    for part in bytes.chunks(step) {
        let mut part = Bytes::copy_from_slice(part);
        while let Some(piece) = parser.next(&mut part)? {
            match (pieces.last_mut(), piece) {
                (Some(Piece::Data(before)), Piece::Data(more)) => {
                    *before = [&before[..], &more].concat().into();
                }
                (_, piece) => pieces.push(piece),
            }
        }
    }
    Ok((pieces, parser.is_between()))
}

#[test]
fn numbers_of_rfc_9000_appendix_a_1() {
    let table: [(&[u8], u64); 5] = [
        (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
        (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
        (&[0x7b, 0xbd], 15_293),
        (&[0x25], 37),
        (&[0x40, 0x25], 37),
    ];
    for (bytes, value) in table {
        assert_eq!(Number::default().take(&mut &bytes[..]), Some(value));
        assert_eq!(Number::default().take(&mut &bytes[..bytes.len() - 1]), None);
    }
    for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1] {
        let mut out = Vec::new();
        put_number(&mut out, value);
        assert_eq!(Number::default().take(&mut &out[..]), Some(value));
    }
}

#[test]
fn a_request_is_read_however_it_is_cut() {
    let bytes = [
        frame(HEADERS, b"section"),
        frame(0x21, b"grease"),
        frame(DATA, b"one"),
        frame(DATA, b""),
        frame(DATA, b"two"),
        frame(HEADERS, b"trailers"),
    ]
    .concat();
    let wanted = vec![
        Piece::Whole(HEADERS, Bytes::from_static(b"section")),
        Piece::Data(Bytes::from_static(b"onetwo")),
        Piece::Whole(HEADERS, Bytes::from_static(b"trailers")),
    ];
    for step in [1, 2, 3, 5, 8, 1000] {
        let (pieces, whole) = read(REQUEST, &bytes, step).unwrap();
        assert_eq!(pieces, wanted, "step {step}");
        assert!(whole);
    }
    let (_, whole) = read(REQUEST, &bytes[..bytes.len() - 1], 1000).unwrap();
    assert!(!whole, "a cut frame");
}

#[test]
fn frames_stand_only_where_they_may() {
    let unexpected = Err(Code::FrameUnexpected);
    let request = [CANCEL_PUSH, SETTINGS, PUSH_PROMISE, GOAWAY, MAX_PUSH_ID, 0x2, 0x6, 0x8, 0x9];
    for kind in request {
        assert_eq!(read(REQUEST, &frame(kind, b""), 1), unexpected, "request, {kind:#x}");
    }
    for kind in [DATA, HEADERS, PUSH_PROMISE, 0x2, 0x6, 0x8, 0x9] {
        assert_eq!(read(Role::Control, &frame(kind, b""), 1), unexpected, "control, {kind:#x}");
    }
}

#[test]
fn lengths_are_refused_before_their_bytes_come() {
    let table = [
        (REQUEST, begun(0x21, 64 * 1024), Code::ExcessiveLoad),
        (REQUEST, begun(0x21, (1 << 62) - 1), Code::ExcessiveLoad),
        (Role::Control, begun(SETTINGS, 4097), Code::ExcessiveLoad),
        (Role::Control, begun(GOAWAY, 9), Code::FrameError),
        (Role::Control, begun(0x21, 1 << 20), Code::ExcessiveLoad),
    ];
    for (role, bytes, code) in table {
        assert_eq!(read(role, &bytes, 1), Err(code), "{bytes:x?}");
    }
    // DATA may be of any size: it is never stored.
    assert!(read(REQUEST, &begun(DATA, (1 << 62) - 1), 1).is_ok());
}

#[test]
fn floods_of_nothing_end() {
    for kind in [DATA, 0x21] {
        let flood = frame(kind, b"").repeat(5000);
        assert_eq!(read(REQUEST, &flood, 1000), Err(Code::ExcessiveLoad), "{kind:#x}");
    }
    // As many with requests between them are fine.
    let load = Rc::new(Load::new());
    for _ in 0..10_000 {
        let mut parser = Parser::new(REQUEST, load.clone());
        let mut bytes = Bytes::from([frame(0x21, b"x"), frame(HEADERS, b"y")].concat());
        assert!(matches!(parser.next(&mut bytes), Ok(Some(Piece::Whole(..)))));
        load.earn();
    }
}

#[test]
fn sections_under_way_are_bounded_over_all_streams() {
    let load = Rc::new(Load::new());
    let start = [begun(HEADERS, 30_000), vec![0; 29_000]].concat();
    let mut parsers: Vec<Parser> = Vec::new();
    let mut refused = None;
    for _ in 0..100 {
        let mut parser = Parser::new(REQUEST, load.clone());
        let next = parser.next(&mut Bytes::from(start.clone()));
        parsers.push(parser);
        if let Err(code) = next {
            refused = Some(code);
            break;
        }
    }
    assert_eq!(refused, Some(Code::ExcessiveLoad));
    assert!(parsers.len() * 29_000 <= HELD_MAX + 30_000);
}

#[test]
fn what_was_held_is_given_back() {
    let load = Rc::new(Load::new());
    let bytes = frame(HEADERS, &[7; 1000]);
    let mut parser = Parser::new(REQUEST, load.clone());
    assert_eq!(parser.next(&mut Bytes::copy_from_slice(&bytes[..500])), Ok(None));
    assert!(load.held.get() > 0);
    let whole = parser.next(&mut Bytes::copy_from_slice(&bytes[500..])).unwrap();
    assert_eq!(whole, Some(Piece::Whole(HEADERS, Bytes::from(vec![7; 1000]))));
    assert_eq!(load.held.get(), 0);
    assert_eq!(parser.next(&mut Bytes::copy_from_slice(&bytes[..500])), Ok(None));
    drop(parser);
    assert_eq!(load.held.get(), 0);
}

#[test]
fn a_section_over_its_limit_is_told_and_not_gathered() {
    let load = Rc::new(Load::new());
    for length in [32 * 1024 + 1, (1 << 62) - 1] {
        let mut parser = Parser::new(REQUEST, load.clone());
        let mut bytes = Bytes::from(begun(HEADERS, length));
        assert_eq!(parser.next(&mut bytes), Ok(Some(Piece::TooLarge)));
        assert_eq!(parser.next(&mut Bytes::from_static(b"more")), Ok(None));
        assert_eq!(load.held.get(), 0);
    }
}
