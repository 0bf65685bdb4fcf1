//! HTTP/3 frames by hand, on QUIC streams (RFC 9114, RFC 9204).

use quinn::{ReadError, VarInt, WriteError};

use super::Stage;
use super::h2::{digits, number};
use super::sections::{self, Line};
use crate::support::h3::quic;
use crate::support::message::Protocol;
use crate::support::{run, soon};

const DATA: u64 = 0;
const HEADERS: u64 = 1;
const SETTINGS: u64 = 4;
const GOAWAY: u64 = 7;
const MAX_PUSH_ID: u64 = 13;

/// RFC 9000 section 16.
fn varint(out: &mut Vec<u8>, value: u64) {
    match value {
        0..64 => out.push(value as u8),
        64..16_384 => out.extend((value as u16 | 0x4000).to_be_bytes()),
        _ => out.extend((value as u32 | 0x8000_0000).to_be_bytes()),
    }
}

fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, kind);
    varint(&mut out, payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

/// Literals with literal names, no Huffman, no dynamic table (RFC 9204 section 4.5.6).
fn qpack(lines: &[Line]) -> Vec<u8> {
    let mut block = vec![0, 0];
    for (name, value) in lines {
        number(&mut block, 3, 0x20, name.len());
        block.extend_from_slice(name);
        number(&mut block, 7, 0, value.len());
        block.extend_from_slice(value);
    }
    block
}

fn headers(lines: &[Line]) -> Vec<u8> {
    frame(HEADERS, &qpack(lines))
}

#[derive(Debug)]
enum End {
    Status(u16),
    /// The stream was reset, or the gateway stopped reading it.
    Reset(u64),
    /// The connection ended, with the code of the application.
    Closed(u64),
    /// The stream ended without a response.
    Nothing,
}

impl End {
    fn refuses(&self) -> bool {
        match self {
            End::Status(status) => matches!(status, 400..=499 | 501 | 505),
            // H3_NO_ERROR is no refusal.
            End::Reset(code) | End::Closed(code) => *code != 0x100,
            End::Nothing => false,
        }
    }
}

/// What is written where.
pub struct Row {
    name: &'static str,
    /// On a request stream, then finished.
    request: Vec<u8>,
    /// On a control stream of ours, behind its type and SETTINGS unless `bare`.
    control: Vec<u8>,
    bare: bool,
    /// Further unidirectional streams, with their type; finished when the flag is set.
    others: Vec<(Vec<u8>, bool)>,
}

fn request(name: &'static str, frames: &[Vec<u8>]) -> Row {
    Row { name, request: frames.concat(), control: Vec::new(), bare: false, others: Vec::new() }
}

fn control(name: &'static str, frames: &[Vec<u8>]) -> Row {
    Row { control: frames.concat(), ..request(name, &[]) }
}

fn bare(name: &'static str, bytes: Vec<u8>) -> Row {
    Row { control: bytes, bare: true, ..request(name, &[]) }
}

fn other(name: &'static str, bytes: &[u8], ends: bool) -> Row {
    Row { others: vec![(bytes.to_vec(), ends)], ..request(name, &[]) }
}

pub fn rows() -> Vec<Row> {
    let good = sections::good();
    let head = || headers(&good);
    let block = qpack(&good);
    let settings = frame(SETTINGS, &[]);
    vec![
        request("data_first", &[frame(DATA, b"x"), head()]),
        request("settings_on_request", &[frame(SETTINGS, &[]), head()]),
        request("goaway_on_request", &[frame(GOAWAY, &[0]), head()]),
        request("max_push_on_request", &[frame(MAX_PUSH_ID, &[0]), head()]),
        request("cancel_push_on_request", &[frame(3, &[0]), head()]),
        request("push_promise", &[frame(5, &[0, 0, 0]), head()]),
        request("h2_priority", &[frame(2, &[0; 5]), head()]),
        request("h2_ping", &[frame(6, &[0; 8]), head()]),
        request("h2_window_update", &[frame(8, &[0; 4]), head()]),
        request("h2_continuation", &[frame(9, &block), head()]),
        request(
            "data_behind_trailers",
            &[head(), frame(DATA, b"x"), headers(&[]), frame(DATA, b"y")],
        ),
        request("third_head", &[head(), headers(&[]), headers(&[])]),
        request("cut_frame", &[frame(HEADERS, &block)[..20].to_vec()]),
        request("cut_data", &[head(), frame(DATA, b"abcde")[..4].to_vec()]),
        request("cut_type", &[vec![0x40]]),
        request("nothing", &[Vec::new()]),
        request("no_head", &[frame(0x21, b"reserved")]),
        request("qpack_empty", &[frame(HEADERS, &[])]),
        request("qpack_insert_count", &[frame(HEADERS, &[&[2, 0], &block[2..]].concat())]),
        request("qpack_dynamic", &[frame(HEADERS, &[0, 0, 0x80])]),
        request("qpack_post_base", &[frame(HEADERS, &[0, 0, 0x10])]),
        request("qpack_dynamic_name", &[frame(HEADERS, &[0, 0, 0x40, 0])]),
        request("qpack_static_far", &[frame(HEADERS, &[0, 0, 0xff, 0x40])]),
        request("qpack_cut", &[frame(HEADERS, &block[..block.len() - 1])]),
        request("qpack_number", &[frame(HEADERS, &[&[0, 0], &[0xff; 12][..]].concat())]),
        request("qpack_huffman_eos", &[frame(HEADERS, &[0, 0, 0x2c, 0xff, 0xff, 0xff, 0xff, 0])]),
        request("head_too_large", &[frame(HEADERS, &vec![0x20; 200_000])]),
        bare("control_no_settings", frame(GOAWAY, &[0])),
        bare("control_data_first", frame(DATA, b"x")),
        control("settings_twice", std::slice::from_ref(&settings)),
        control("control_data", &[frame(DATA, b"x")]),
        control("control_headers", &[head()]),
        control("control_push_promise", &[frame(5, &[0, 0, 0])]),
        control("control_h2_ping", &[frame(6, &[0; 8])]),
        bare("settings_h2_id", frame(SETTINGS, &[2, 0])),
        bare("settings_h2_window", frame(SETTINGS, &[4, 0])),
        bare("settings_same_twice", frame(SETTINGS, &[6, 1, 6, 2])),
        bare("settings_cut", frame(SETTINGS, &[6])),
        bare("settings_too_large", frame(SETTINGS, &[0x21; 20_000])),
        other("control_twice", &[&[0], &settings[..]].concat(), false),
        other("push_stream", &[1, 0], false),
        other("encoder_dynamic", &[2, 0x3f, 0xe1, 0x1f], false),
        other("encoder_insert", &[2, 0xc0, 1, b'x'], false),
        other("decoder_ack", &[3, 0x84], false),
        other("decoder_increment", &[3, 0x3f, 0x10], false),
        other("encoder_ends", &[2], true),
    ]
}

#[test]
fn field_sections_over_http_3() {
    run(async {
        let mut stage = Stage::new().await;
        let rows = sections::rows();
        for row in &rows {
            let mut bytes = headers(&row.lines);
            if let Some(body) = row.body {
                bytes.extend(frame(DATA, body));
            }
            if !row.trailers.is_empty() {
                bytes.extend(headers(&row.trailers));
            }
            let sent = request(row.name, &[bytes]);
            check(&mut stage, &sent, row.body.is_some()).await;
        }
        stage.end(rows.len());
    });
}

#[test]
fn frames_of_http_3() {
    run(async {
        let mut stage = Stage::new().await;
        let rows = rows();
        for row in &rows {
            check(&mut stage, row, true).await;
        }
        stage.end(rows.len());
    });
}

async fn check(stage: &mut Stage, row: &Row, whole: bool) {
    let before = stage.leaked(whole).len();
    let end = soon(row.name, exchange(stage, row)).await;
    if !end.refuses() {
        stage.fail(row.name, &format!("{end:?}"));
    }
    stage.after(Protocol::H3, row.name, before, whole).await;
}

async fn exchange(stage: &Stage, row: &Row) -> End {
    let (_endpoint, connection) = quic(stage.gateway.tls, "a.test").await;
    let mut control = connection.open_uni().await.unwrap();
    let mut bytes = vec![0];
    if !row.bare {
        bytes.extend(frame(SETTINGS, &[]));
    }
    bytes.extend_from_slice(&row.control);
    let _ = control.write_all(&bytes).await;
    let mut held = Vec::new();
    for (bytes, ends) in &row.others {
        let mut stream = connection.open_uni().await.unwrap();
        let _ = stream.write_all(bytes).await;
        if *ends {
            let _ = stream.finish();
        }
        held.push(stream);
    }
    if row.request.is_empty() && row.name != "nothing" {
        // The connection itself has to end.
        return closed(&connection.closed().await);
    }
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let wrote = send.write_all(&row.request).await;
    let _ = send.finish();
    let mut answer = Vec::new();
    let end = loop {
        match recv.read_chunk(65_536, true).await {
            Ok(Some(chunk)) => answer.extend_from_slice(&chunk.bytes),
            Ok(None) => {
                break if answer.is_empty() { End::Nothing } else { End::Status(status(&answer)) };
            }
            Err(ReadError::Reset(code)) => break End::Reset(code.into_inner()),
            Err(ReadError::ConnectionLost(error)) => break closed(&error),
            Err(error) => panic!("{}: {error}", row.name),
        }
    };
    match (end, wrote) {
        (End::Nothing, Err(WriteError::Stopped(code))) => End::Reset(VarInt::into_inner(code)),
        (end, _) => end,
    }
}

fn closed(error: &quinn::ConnectionError) -> End {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            End::Closed(close.error_code.into_inner())
        }
        other => panic!("{other}"),
    }
}

/// `:status` of the first HEADERS frame; it comes first in its section.
fn status(answer: &[u8]) -> u16 {
    let [1, length, rest @ ..] = answer else { panic!("no HEADERS frame: {answer:x?}") };
    let section = &rest[usize::from(*length >= 0x40)..];
    match section.get(2..).unwrap_or_default() {
        // Indexed in the static table.
        [0xff, more, ..] => [100, 204, 206, 302, 400, 403, 421, 425, 500][usize::from(*more)],
        [index @ 0xd8..=0xdc, ..] => [103, 200, 304, 404, 503][usize::from(index - 0xd8)],
        // A literal whose name is one of the table's.
        [0x5f | 0x7f, _, 3, text @ ..] => std::str::from_utf8(&text[..3]).unwrap().parse().unwrap(),
        [0x50..=0x5f, 3, text @ ..] => std::str::from_utf8(&text[..3]).unwrap().parse().unwrap(),
        [0x5f | 0x7f, _, length, text @ ..] => digits(&text[..usize::from(length & 0x7f)]),
        other => panic!("no status: {other:x?}"),
    }
}
