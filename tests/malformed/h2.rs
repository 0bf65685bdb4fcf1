//! HTTP/2 frames by hand (RFC 9113): no library stands between a row and the wire.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Stage;
use super::sections::{self, Line};
use crate::support::message::Protocol;
use crate::support::{run, soon};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// HPACK literals that are not indexed, without Huffman.
pub fn hpack(lines: &[Line]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        block.push(0);
        for text in [name, value] {
            number(&mut block, 7, 0, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// RFC 7541 section 5.1, behind a first byte's own bits.
pub fn number(out: &mut Vec<u8>, prefix: u32, bits: u8, mut value: usize) {
    let full = (1usize << prefix) - 1;
    if value < full {
        return out.push(bits | value as u8);
    }
    out.push(bits | full as u8);
    value -= full;
    while value >= 128 {
        out.push(value as u8 & 127 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

/// HEADERS, in as many frames as it takes.
fn headers(lines: &[Line], stream: u32, ends: bool) -> Vec<u8> {
    let block = hpack(lines);
    let end = if ends { END_STREAM } else { 0 };
    let pieces: Vec<&[u8]> = block.chunks(16_000).collect();
    let mut out = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let last = if index + 1 == pieces.len() { END_HEADERS } else { 0 };
        let (kind, flags) = if index == 0 { (HEADERS, last | end) } else { (CONTINUATION, last) };
        out.extend(frame(kind, flags, stream, piece));
    }
    out
}

/// What came of a stream, or of the whole connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Status(u16),
    Reset(u32),
    Goaway(u32),
    Closed,
}

impl End {
    fn refuses(self) -> bool {
        match self {
            End::Status(status) => matches!(status, 400..=499 | 501 | 505),
            // NO_ERROR is no refusal.
            End::Reset(code) | End::Goaway(code) => code != 0,
            End::Closed => true,
        }
    }
}

/// A connection in clear text, with its preface sent.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn connect(stage: &Stage) -> Raw {
        let stream = soon("a connection", TcpStream::connect(stage.gateway.clear)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Raw(stream);
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        raw.write(&frame(SETTINGS, 0, 0, &[])).await;
        raw
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    async fn frame(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4], stream, payload))
    }

    /// Reads until a stream, or the connection, has its end.
    pub async fn end(&mut self, stream: u32) -> End {
        let word = |p: &[u8], at: usize| u32::from_be_bytes(p[at..at + 4].try_into().unwrap());
        let read = async {
            loop {
                match self.frame().await {
                    None => return End::Closed,
                    Some((HEADERS, _, id, block)) if id == stream => {
                        return End::Status(status(&block));
                    }
                    Some((RST_STREAM, _, id, p)) if id == stream => return End::Reset(word(&p, 0)),
                    Some((GOAWAY, _, _, p)) => return End::Goaway(word(&p, 4)),
                    Some(_) => {}
                }
            }
        };
        soon("the end of a stream", read).await
    }
}

/// `:status`, which comes first: indexed, or a literal with a name of the static table.
fn status(block: &[u8]) -> u16 {
    let skip = usize::from(block.first().is_some_and(|b| b & 0xe0 == 0x20));
    match &block[skip..] {
        [indexed @ 0x88..=0x8e, ..] => {
            [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]
        }
        [0x48 | 0x08 | 0x18, 0x03, digits @ ..] => {
            std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap()
        }
        [0x48 | 0x08 | 0x18, length, coded @ ..] => digits(&coded[..usize::from(length & 0x7f)]),
        other => panic!("no status: {other:x?}"),
    }
}

/// Three digits in the Huffman code of RFC 7541, appendix B.
pub fn digits(coded: &[u8]) -> u16 {
    let bits: String = coded.iter().map(|b| format!("{b:08b}")).collect();
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let five = u16::from_str_radix(&bits[at..at + 5], 2).unwrap();
        if five <= 2 {
            (number, at) = (number * 10 + five, at + 5);
        } else {
            let six = u16::from_str_radix(&bits[at..at + 6], 2).unwrap();
            (number, at) = (number * 10 + six - 0b011001 + 3, at + 6);
        }
    }
    number
}

/// Bytes behind the preface, and the stream on which they are to end.
pub struct Row {
    name: &'static str,
    bytes: Vec<u8>,
}

pub fn rows() -> Vec<Row> {
    let good = sections::good();
    let row = |name, frames: &[Vec<u8>]| Row { name, bytes: frames.concat() };
    let head = |ends| headers(&good, 1, ends);
    let block = hpack(&good);
    let unfinished = frame(HEADERS, END_STREAM, 1, &block);
    vec![
        row("data_first", &[frame(DATA, END_STREAM, 1, b"x")]),
        row("data_on_0", &[frame(DATA, END_STREAM, 0, b"x")]),
        row("headers_on_0", &[headers(&good, 0, true)]),
        row("even_stream", &[headers(&good, 2, true)]),
        row(
            "push_promise",
            &[frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &block[..]].concat())],
        ),
        row("continuation_first", &[frame(CONTINUATION, END_HEADERS, 1, &block)]),
        row("between_headers", &[unfinished.clone(), frame(PING, 0, 0, &[0; 8])]),
        row("other_stream_between", &[unfinished.clone(), headers(&good, 3, true)]),
        row("continuation_elsewhere", &[unfinished, frame(CONTINUATION, END_HEADERS, 3, &[])]),
        row(
            "padding_too_long",
            &[frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &[200, 0, 0])],
        ),
        row("data_padding_too_long", &[head(false), frame(DATA, END_STREAM | PADDED, 1, &[9, 0])]),
        row("priority_short", &[frame(HEADERS, END_STREAM | END_HEADERS | 0x20, 1, &[0, 0])]),
        row("frame_too_large", &[frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0; 20_000])]),
        row("settings_on_stream", &[frame(SETTINGS, 0, 1, &[])]),
        row("settings_odd", &[frame(SETTINGS, 0, 0, &[0; 5])]),
        row("settings_ack_body", &[frame(SETTINGS, 1, 0, &[0; 6])]),
        row("settings_push_2", &[frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])]),
        row("settings_window", &[frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff])]),
        row("settings_frame_size", &[frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])]),
        row("ping_short", &[frame(PING, 0, 0, &[0; 7])]),
        row("ping_on_stream", &[frame(PING, 0, 1, &[0; 8])]),
        row("window_zero", &[frame(WINDOW_UPDATE, 0, 0, &[0; 4])]),
        row("window_overflow", &[frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])]),
        row("window_idle", &[frame(WINDOW_UPDATE, 0, 5, &[0, 0, 0, 1])]),
        row("reset_idle", &[frame(RST_STREAM, 0, 1, &[0; 4])]),
        row("reset_short", &[head(false), frame(RST_STREAM, 0, 1, &[0; 3])]),
        row("goaway_on_stream", &[frame(GOAWAY, 0, 1, &[0; 8])]),
        row("hpack_index_0", &[frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x80])]),
        row("hpack_index_far", &[frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff, 0x80, 0x7f])]),
        row("hpack_cut", &[frame(HEADERS, END_STREAM | END_HEADERS, 1, &block[..block.len() - 1])]),
        row("hpack_number", &[frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 12])]),
        row(
            "hpack_huffman_eos",
            &[frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0])],
        ),
        row(
            "hpack_table_size",
            &[frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x3f, 0xe1, 0xff, 0x7f])],
        ),
        row("second_head_no_end", &[head(false), headers(&[], 1, false), headers(&good, 1, false)]),
    ]
}

#[test]
fn field_sections_over_http_2() {
    run(async {
        let mut stage = Stage::new().await;
        let rows = sections::rows();
        for row in &rows {
            let mut bytes = headers(&row.lines, 1, row.body.is_none());
            if let Some(body) = row.body {
                let ends = if row.trailers.is_empty() { END_STREAM } else { 0 };
                bytes.extend(frame(DATA, ends, 1, body));
            }
            if !row.trailers.is_empty() {
                bytes.extend(headers(&row.trailers, 1, true));
            }
            check(&mut stage, row.name, &bytes, row.body.is_some()).await;
        }
        stage.end(rows.len());
    });
}

#[test]
fn frames_of_http_2() {
    run(async {
        let mut stage = Stage::new().await;
        let rows = rows();
        for row in &rows {
            check(&mut stage, row.name, &row.bytes, true).await;
        }
        stage.end(rows.len());
    });
}

async fn check(stage: &mut Stage, name: &str, bytes: &[u8], whole: bool) {
    let before = stage.leaked(whole).len();
    let mut raw = Raw::connect(stage).await;
    raw.write(bytes).await;
    let end = raw.end(1).await;
    if !end.refuses() {
        stage.fail(name, &format!("{end:?}"));
    }
    stage.after(Protocol::H2, name, before, whole).await;
}
