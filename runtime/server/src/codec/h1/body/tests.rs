#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

/// What a decoder made of a whole message.
#[derive(Debug, PartialEq, Default)]
struct Got {
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
    ended: bool,
    rest: usize,
}

fn chunked() -> Decoder {
    Decoder::Chunked(Chunked::Size)
}

fn counted(bytes: u64) -> Framing {
    let mut framing = Framing::default();
    framing.length = Some(bytes);
    framing
}

/// Feeds `text` in pieces of `size`.
fn feed(mut decoder: Decoder, text: &[u8], size: usize) -> Result<Got, BodyError> {
    let (mut got, mut buffer) = (Got::default(), BytesMut::new());
    for piece in text.chunks(size) {
        buffer.extend_from_slice(piece);
        while !got.ended {
            match decoder.decode(&mut buffer)? {
                Decoded::Frame(Frame::Data(data)) => {
                    assert!(!data.is_empty());
                    got.body.extend_from_slice(&data);
                }
                Decoded::Frame(Frame::Trailers(fields)) => {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    got.trailers.extend(fields.iter().map(|(_, n, v)| (text(n), text(v))));
                }
                Decoded::End => got.ended = true,
                Decoded::More => break,
            }
        }
    }
    got.rest = buffer.len();
    Ok(got)
}

#[test]
fn chunks_are_joined_and_what_follows_is_left() {
    let text = b"5\r\nhello\r\n00A\r\n 0123456789\r\n".to_vec();
    assert!(feed(chunked(), &text, 64).is_err(), "eleven bytes in a chunk of ten");
    let text = b"5\r\nhello\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\nGET";
    let got = feed(chunked(), text, 64).unwrap();
    assert_eq!(got.body, b"hello0123456789");
    assert_eq!((got.ended, got.rest), (true, 3));
}

/// RFC 9112 section 7.1: sizes and extensions.
#[test]
fn bad_chunks_are_refused() {
    for text in [
        "\r\n",
        "x\r\n",
        " 5\r\nhello",
        "5 \r\nhello",
        "+5\r\nhello",
        "-5\r\n",
        "0x5\r\nhello",
        "5\nhello",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a=\0\r\nhello",
        "5,5\r\nhello",
        "5\r;\n",
        "8000000000000000\r\n",
        "FFFFFFFFFFFFFFFF\r\n",
        "00000000000000005\r\nhello",
        "0\r\nx\r\n\r\n",
        "0\r\n x: 1\r\n\r\n",
        "0\r\nx : 1\r\n\r\n",
        "0\r\nx: \0\r\n\r\n",
    ] {
        for size in [1, 3, 64] {
            assert!(feed(chunked(), text.as_bytes(), size).is_err(), "{text:?} by {size}");
        }
    }
    // Not told at once, but never the end of a message.
    assert!(!feed(chunked(), b"0\r\n\nGET", 64).unwrap().ended);
    let long = format!("5;{}", "a".repeat(SIZE_LINE_MAX + 2));
    assert!(feed(chunked(), long.as_bytes(), 7).is_err());
    let endless = format!("0\r\nx: {}", "a".repeat(TRAILERS.bytes + 1));
    assert!(feed(chunked(), endless.as_bytes(), 1000).is_err());
}

/// RFC 9110 section 6.5.1: what must not be in trailers is dropped.
#[test]
fn trailers_hold_no_framing_and_no_credentials() {
    let text =
        b"0\r\nx-sum: 1\r\nContent-Length: 5\r\nauthorization: x\r\nhost: x\r\nset-cookie: x\r\n\
        transfer-encoding: chunked\r\nx_y: 1\r\ngrpc-status: 0\r\n\r\n";
    // A second framing is refused outright.
    assert!(feed(chunked(), text, 64).is_err());
    let text =
        b"0\r\nx-sum: 1\r\nContent-Length: 5\r\nauthorization: x\r\nhost: x\r\nset-cookie: x\r\n\
        connection: close\r\nx_y: 1\r\ngrpc-status: 0\r\n\r\n";
    let got = feed(chunked(), text, 64).unwrap();
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    assert_eq!(got.trailers, [pair("x-sum", "1"), pair("grpc-status", "0")]);
    assert!(got.ended);
}

#[test]
fn a_counted_body_ends_with_its_last_byte() {
    let decoder = Decoder::new(&counted(5), true);
    assert_eq!(decoder.appetite(3), 3);
    assert_eq!(decoder.appetite(64), 5);
    let got = feed(decoder, b"helloGET", 64).unwrap();
    assert_eq!((&got.body[..], got.ended, got.rest), (&b"hello"[..], true, 3));
    assert!(Decoder::new(&counted(0), true).is_done());
    assert!(Decoder::new(&Framing::default(), false).is_done());
}

#[test]
fn only_a_body_without_a_length_may_end_with_the_connection() {
    assert!(matches!(Decoder::UntilClose.close(), Ok(Decoded::End)));
    assert!(matches!(Decoder::Counted(1).close(), Err(BodyError::Incomplete)));
    for text in ["", "5", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "0\r\n", "0\r\nx: 1\r\n"] {
        let mut decoder = chunked();
        let mut buffer = BytesMut::from(text.as_bytes());
        while !matches!(decoder.decode(&mut buffer), Ok(Decoded::More)) {}
        assert!(matches!(decoder.close(), Err(BodyError::Incomplete)), "{text:?}");
    }
}

/// Pieces of chunked bodies, good and bad.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "5\r\nhello\r\n",
        "A;x=y\r\n0123456789\r\n",
        "1\r\n\n\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "\r\n",
        "x-sum: 1\r\n",
        "Content-Length: 1\r\n",
        "0;",
        "5",
        "\n",
        "\r",
        "zz",
        "ffffffffffffffff\r\n",
        "03\r\nabc\r\n",
    ]);
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    /// However a message is cut into reads, it means the same.
    #[test]
    fn cuts_mean_nothing(text in text(), size in 1_usize..12) {
        let whole = feed(chunked(), &text, text.len().max(1));
        let cut = feed(chunked(), &text, size);
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => prop_assert_eq!(whole, cut),
            (whole, cut) => prop_assert_eq!(whole.is_err(), cut.is_err()),
        }
    }

    /// Sizes mean the same to httparse.
    #[test]
    fn sizes_mean_the_same_to_httparse(line in "[0-9a-fA-FxX+ ;=\t]{0,20}") {
        let text = format!("{line}\r\n");
        let ours = size_line(&mut BytesMut::from(text.as_bytes()));
        if let Ok(Some(size)) = ours {
            let theirs = httparse::parse_chunk_size(text.as_bytes());
            prop_assert_eq!(theirs, Ok(httparse::Status::Complete((text.len(), size))));
        }
    }
}
