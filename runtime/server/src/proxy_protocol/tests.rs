#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

fn addresses(source: &str, target: &str) -> Option<(SocketAddr, SocketAddr)> {
    Some((source.parse().unwrap(), target.parse().unwrap()))
}

fn v2(version: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[version, family], &length, payload].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb];

#[test]
fn version_1_names_client_and_target() {
    for (line, expected) in [
        (
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
            addresses("192.0.2.1:56324", "192.0.2.2:443"),
        ),
        ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", addresses("[2001:db8::1]:0", "[::1]:65535")),
        ("PROXY UNKNOWN\r\n", None),
        ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    ] {
        let header = Header { addresses: expected, length: line.len() };
        assert_eq!(
            parse(format!("{line}GET / HTTP/1.1").as_bytes()),
            Parsed::Header(header),
            "{line}"
        );
        for cut in 0..line.len() {
            assert_eq!(parse(&line.as_bytes()[..cut]), Parsed::Partial, "{line} to {cut}");
        }
    }
}

#[test]
fn version_1_is_taken_literally() {
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 443\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 443\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY \r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "GET / HTTP/1.1\r\n",
        "\r\nPROXY",
    ] {
        assert_eq!(parse(line.as_bytes()), Parsed::Bad, "{line:?}");
    }
    let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 100]].concat();
    assert_eq!(parse(&endless), Parsed::Bad);
}

#[test]
fn version_2_names_client_and_target() {
    let v6: Vec<u8> = [[0; 15].as_slice(), &[1], &[0; 15], &[2], &[0, 80, 1, 187]].concat();
    let with_extension = [&V4[..], &[4, 0, 1, 7]].concat();
    for (bytes, expected) in [
        (v2(0x21, 0x11, &V4), addresses("192.0.2.1:56324", "192.0.2.2:443")),
        (v2(0x21, 0x11, &with_extension), addresses("192.0.2.1:56324", "192.0.2.2:443")),
        (v2(0x21, 0x21, &v6), addresses("[::1]:80", "[::2]:443")),
        (v2(0x21, 0x31, &[0; 216]), None),
        (v2(0x21, 0x00, &[]), None),
        (v2(0x20, 0x11, &V4), None),
        (v2(0x20, 0xff, &[]), None),
    ] {
        let header = Header { addresses: expected, length: bytes.len() };
        assert_eq!(parse(&[&bytes[..], b"GET"].concat()), Parsed::Header(header));
        for cut in 0..bytes.len() {
            assert_eq!(parse(&bytes[..cut]), Parsed::Partial);
        }
    }
}

#[test]
fn version_2_is_bounded() {
    assert_eq!(parse(&v2(0x11, 0x11, &V4)), Parsed::Bad, "version 1 in binary");
    assert_eq!(parse(&v2(0x22, 0x11, &V4)), Parsed::Bad, "an unknown command");
    assert_eq!(parse(&v2(0x21, 0x12, &V4)), Parsed::Bad, "datagrams");
    assert_eq!(parse(&v2(0x21, 0x11, &V4[..11])), Parsed::Bad, "too short");
    assert_eq!(parse(&v2(0x21, 0x21, &V4)), Parsed::Bad, "too short for its family");
    let long = v2(0x21, 0x11, &[0; MAX]);
    assert_eq!(parse(&long[..16]), Parsed::Bad, "told by the first bytes");
}

proptest! {
    #[test]
    fn any_bytes_are_one_of_three(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE]),
        rest in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let bytes = [start, &rest].concat();
        match parse(&bytes) {
            Parsed::Header(header) => {
                prop_assert!(header.length <= bytes.len());
                prop_assert_eq!(parse(&bytes[..header.length]), Parsed::Header(header));
            }
            Parsed::Partial => prop_assert!(bytes.len() < MAX),
            Parsed::Bad => {}
        }
    }
}
