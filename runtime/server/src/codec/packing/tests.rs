#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn numbers_of_rfc_7541_appendix_c_1() {
    let table: [(u32, u64, &[u8]); 4] =
        [(5, 10, &[10]), (5, 1337, &[31, 154, 10]), (8, 42, &[42]), (7, 127, &[127, 0])];
    for (prefix, value, packed) in table {
        let mut out = Vec::new();
        number(&mut out, 0, prefix, value);
        assert_eq!(out, packed);
        assert_eq!(Reader(packed).number(prefix), Ok(value));
    }
}

#[test]
fn numbers_without_an_end_or_past_all_use_are_refused() {
    let table: [&[u8]; 4] = [&[], &[0x7f], &[0x7f, 0x80], &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 1]];
    for packed in table {
        assert_eq!(Reader(packed).number(7), Err(BadCode), "{packed:x?}");
    }
}

#[test]
fn names_are_written_in_lower_case() {
    let mut out = vec![b'X'];
    name(&mut out, 0x20, 3, b"X-Y");
    assert_eq!(out, b"X\x23x-y");
}

#[test]
fn huffman_strings_of_rfc_7541_appendix_c() {
    let table: [(&[u8], &str); 5] = [
        (
            &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff],
            "www.example.com",
        ),
        (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
        (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
        (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf], "custom-value"),
        (
            &[
                0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b,
                0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
            ],
            "Mon, 21 Oct 2013 20:13:21 GMT",
        ),
    ];
    for (coded, plain) in table {
        let mut out = Vec::new();
        huffman::decode(coded, &mut out).unwrap();
        assert_eq!(out, plain.as_bytes());
    }
}

#[test]
fn huffman_padding_is_checked() {
    let table: [&[u8]; 5] = [
        // Padding of zeros, of a whole byte, of more than that; the end-of-string code; a cut code.
        &[0b0001_1000],
        &[0xff],
        &[0x07, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0xfe],
    ];
    for coded in table {
        assert_eq!(huffman::decode(coded, &mut Vec::new()), Err(BadCode), "{coded:x?}");
    }
    // '0' is five zeros, then three ones of padding.
    let mut out = Vec::new();
    huffman::decode(&[0b0000_0111], &mut out).unwrap();
    assert_eq!(out, b"0");
}
