//! Connections over their life: floods, turns, both roles face to face.

use super::*;

#[test]
fn floods_end_the_connection() {
    let calm = || Outcome::End(Code::CALM);
    let resets: Vec<Vec<u8>> =
        (0..30).flat_map(|n| [get(2 * n + 1), word(3, 2 * n + 1, 8)]).collect();
    let provoked: Vec<Vec<u8>> =
        (0..300).flat_map(|n| [post(2 * n + 1), word(WINDOW_UPDATE, 2 * n + 1, 0)]).collect();
    for (name, frames) in [
        ("PING", vec![frame(PING, 0, 0, &[0; 8]); 200]),
        ("SETTINGS", vec![frame(SETTINGS, 0, 0, &[]); 50]),
        ("PRIORITY", vec![frame(2, 0, 1, &[0; 5]); 200]),
        ("unknown", vec![frame(0xfa, 0, 0, &[]); 200]),
        ("empty DATA", [vec![post(1)], vec![frame(DATA, 0, 1, b""); 200]].concat()),
        ("resets of what nobody has seen", resets),
        ("resets that we are made to send", provoked),
    ] {
        let mut core = server();
        assert_eq!(give(&mut core, &frames.concat()), calm(), "{name}");
    }
}

#[test]
fn streams_take_turns() {
    let mut core = server();
    give(&mut core, &[settings(4, 1 << 20), word(WINDOW_UPDATE, 0, 1 << 20)].concat());
    give(&mut core, &[get(1), get(3), get(5)].concat());
    for stream in [1, 3, 5] {
        let head = ResponseHead { status: 200, ..ResponseHead::default() };
        core.response(stream, &head, Length::Unknown);
        core.send(stream, vec![0; if stream == 5 { 100 } else { 40_000 }].into());
        core.finish(stream, None);
    }
    let order: Vec<(u32, usize, u8)> = said(&mut core)
        .iter()
        .filter(|(kind, ..)| *kind == DATA)
        .map(|(_, flags, stream, payload)| (*stream, payload.len(), *flags))
        .collect();
    let (most, rest) = (16_384, 40_000 - 2 * 16_384);
    let wanted = [
        (1, most, 0),
        (3, most, 0),
        (5, 100, END_STREAM),
        (1, most, 0),
        (3, most, 0),
        (1, rest, END_STREAM),
        (3, rest, END_STREAM),
    ];
    assert_eq!(order, wanted);
}

/// Both roles, mouth to ear: head, body and trailers both ways, with an interim response.
#[test]
fn a_client_and_a_server_understand_each_other() {
    let (mut client, mut server) = (client(), server());
    (server.greeted, server.settled) = (false, false);
    let mut cx = Context::from_waker(Waker::noop());
    let mut head = RequestHead::default();
    head.set_method(b"POST").unwrap();
    head.set_authority(b"a.test").unwrap();
    head.set_path(b"/p").unwrap();
    let id = client.open_with(|out| hpack::request(out, &head, false, Length::Exact(3000)));
    client.streams.get_mut(&id).unwrap().holders += 1;
    let mut trailers = Fields::default();
    trailers.push_checked(b"x-t", b"1");
    client.send(id, vec![b'q'; 3000].into());
    client.finish(id, Some(&trailers));
    server.receive(&mut BytesMut::from(&written(&mut client)[..])).unwrap();

    let arrived = server.arrived().pop().unwrap();
    assert_eq!(arrived.exchange.request.head.path(), b"/p");
    assert_eq!(arrived.head.ok().unwrap().length, Some(3000));
    server.streams.get_mut(&id).unwrap().holders += 1;
    let mut body = 0;
    loop {
        match server.poll_frame(id, &mut cx) {
            Poll::Ready(Some(Ok(Frame::Data(bytes)))) => body += bytes.len(),
            Poll::Ready(Some(Ok(Frame::Trailers(list)))) => {
                assert_eq!(list.get(b"x-t"), Some(&b"1"[..]));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(body, 3000);
    for status in [103, 200] {
        let head = ResponseHead { status, ..ResponseHead::default() };
        server.response(id, &head, Length::Unknown);
    }
    server.send(id, Bytes::from_static(b"answer"));
    server.finish(id, Some(&trailers));
    let bytes = [frame(SETTINGS, 0, 0, &[]), written(&mut server)].concat();
    client.receive(&mut BytesMut::from(&bytes[..])).unwrap();
    assert_eq!((client.open, server.open), (0, 0));

    let mut head = ResponseHead::default();
    for status in [103, 200] {
        assert!(matches!(client.poll_head(id, &mut cx, &mut head), Poll::Ready(Ok(None))));
        assert_eq!(head.status, status);
    }
    let polled = client.poll_frame(id, &mut cx);
    assert!(matches!(polled, Poll::Ready(Some(Ok(Frame::Data(bytes)))) if bytes == "answer"));
    assert!(matches!(client.poll_frame(id, &mut cx), Poll::Ready(Some(Ok(Frame::Trailers(_))))));
    assert!(matches!(client.poll_frame(id, &mut cx), Poll::Ready(None)));
}

/// What came before a connection's end is delivered; the rest is missed.
#[test]
fn a_body_that_is_cut_is_never_whole() {
    let mut core = client();
    let mut cx = Context::from_waker(Waker::noop());
    let id = core.open_with(|out| out.extend(GET));
    core.streams.get_mut(&id).unwrap().holders += 1;
    let bytes = [
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &[0x88]),
        frame(DATA, 0, 1, b"some"),
    ];
    assert_eq!(give(&mut core, &bytes.concat()), Outcome::Fine);
    core.fail(Failure::Lost);
    let polled = core.poll_frame(id, &mut cx);
    assert!(matches!(polled, Poll::Ready(Some(Ok(Frame::Data(bytes)))) if bytes == "some"));
    assert!(matches!(core.poll_frame(id, &mut cx), Poll::Ready(Some(Err(_)))));
}

#[test]
fn nothing_is_held_for_streams_that_are_over() {
    let mut core = server();
    for stream in (1..2001).step_by(2) {
        assert_eq!(give(&mut core, &get(stream)), Outcome::Fine);
        core.arrived();
        answer(&mut core, stream);
        said(&mut core);
    }
    assert!(core.is_idle() && core.open == 0 && core.ready.is_empty());
    assert_eq!(core.closed.len(), CLOSED_MAX);
}
