use super::*;

/// A hello as a client writes it, in records of `size` bytes.
fn hello(extensions: &[(u16, &[u8])], session: &[u8], size: usize) -> Vec<u8> {
    let mut list = Vec::new();
    for (kind, content) in extensions {
        list.extend(kind.to_be_bytes());
        list.extend((content.len() as u16).to_be_bytes());
        list.extend(*content);
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.push(session.len() as u8);
    body.extend(session);
    body.extend([0, 4, 0x13, 0x01, 0xc0, 0x2b, 1, 0]);
    body.extend((list.len() as u16).to_be_bytes());
    body.extend(list);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut records = Vec::new();
    for part in message.chunks(size) {
        records.extend([22, 3, 1]);
        records.extend((part.len() as u16).to_be_bytes());
        records.extend(part);
    }
    records
}

const NAME: &[u8] = b"\x00\x09\x00\x00\x06a.test";
const BOTH: &[u8] = b"\x04\x03\x04\x03\x03";
const PSK: &[u8] = b"\x00\x08\x00\x02id\x00\x00\x00\x00";

#[test]
fn reads_what_a_client_says() {
    let bytes = hello(&[(0, NAME), (43, BOTH), (41, PSK)], b"old", 4096);
    let read = Hello::read(&bytes).unwrap();
    assert_eq!((read.random, &*read.session), ([7; 32], &b"old"[..]));
    assert_eq!(read.suites, [0x1301, 0xc02b]);
    assert_eq!(read.server_name(), Some("a.test"));
    assert_eq!(read.versions(), [0x0304, 0x0303]);
    assert_eq!(read.extension(99), None);
}

/// A message may lie in several records.
#[test]
fn records_are_put_together() {
    let whole = hello(&[(0, NAME), (43, BOTH)], b"", 4096);
    for size in [1, 3, 40] {
        let cut = hello(&[(0, NAME), (43, BOTH)], b"", size);
        assert_eq!(Hello::read(&cut), Hello::read(&whole));
    }
}

#[test]
fn what_is_cut_off_or_something_else_is_none() {
    let whole = hello(&[(0, NAME), (43, BOTH)], b"", 4096);
    for end in 0..whole.len() {
        assert_eq!(Hello::read(&whole[..end]), None, "{end}");
    }
    assert_eq!(Hello::read(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n"), None);
}

/// Which session is meant depends on the version that will be spoken.
#[test]
fn the_session_is_that_of_the_version() {
    let of = |extensions: &[(u16, &[u8])], versions: Versions| {
        let hello = Hello::read(&hello(extensions, b"old", 4096)).unwrap();
        let handshake = Handshake { hello, versions, ..Handshake::default() };
        (handshake.version(), handshake.offered().map(<[u8]>::to_vec))
    };
    let (all, only12) = (Versions::default(), Versions { tls12: true, tls13: false });
    let only13 = Versions { tls12: false, tls13: true };
    assert_eq!(of(&[(43, BOTH), (41, PSK)], all), (Some(0x0304), Some(b"id".to_vec())));
    // The old session's number is only there for the looks of it.
    assert_eq!(of(&[(43, BOTH)], all), (Some(0x0304), None));
    assert_eq!(of(&[(43, BOTH), (41, PSK)], only12), (Some(0x0303), Some(b"old".to_vec())));
    assert_eq!(of(&[], all), (Some(0x0303), Some(b"old".to_vec())));
    assert_eq!(of(&[], only13), (None, None));
}
