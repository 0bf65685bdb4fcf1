//! Functions that filters call by name: those of Envoy that are in use.

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use pilotlight_abi::limit::BODY_COLLECT;

use super::abi::Status;
use super::properties;
use crate::host::Host;

/// zlib's own default.
const LEVEL: u8 = 6;

/// Calls one.
pub(crate) fn call(host: &mut Host, name: &[u8], argument: &[u8]) -> Result<Vec<u8>, Status> {
    match name {
        b"compress" if argument.len() as u64 <= BODY_COLLECT => {
            Ok(compress_to_vec_zlib(argument, LEVEL))
        }
        b"compress" => Err(Status::BadArgument),
        b"uncompress" => decompress_to_vec_zlib_with_limit(argument, BODY_COLLECT as usize)
            .map_err(|_| Status::SerializationFailure),
        b"clear_route_cache" => {
            host.with(|exchange| exchange.rematch = true).ok_or(Status::BadArgument)?;
            Ok(Vec::new())
        }
        b"set_envoy_filter_state" => {
            let (path, value) = (text(argument, 1), text(argument, 2));
            let (path, value) = path.zip(value).ok_or(Status::BadArgument)?;
            match host.with(|exchange| properties::set(exchange, path, value)) {
                Some(true) => Ok(Vec::new()),
                _ => Err(Status::BadArgument),
            }
        }
        // A property needs no declaration here.
        b"declare_property" => match text(argument, 1) {
            Some(_) => Ok(Vec::new()),
            None => Err(Status::BadArgument),
        },
        _ => Err(Status::NotFound),
    }
}

/// The field of a protobuf message that is text.
pub(crate) fn text(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => drop(varint(&mut message)?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (text, rest) = message.split_at_checked(length)?;
                if key >> 3 == wanted {
                    return Some(text);
                }
                message = rest;
            }
            _ => return None,
        }
    }
    None
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn texts_of_a_message() {
        let message = b"\x0a\x02ab\x18\x96\x01\x12\x03xyz";
        assert_eq!(text(message, 1), Some(&b"ab"[..]));
        assert_eq!(text(message, 2), Some(&b"xyz"[..]));
        assert_eq!(text(message, 4), None);
        for cut in 0..message.len() {
            let _ = text(&message[..cut], 9);
        }
        assert_eq!(text(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1), None);
    }
}
