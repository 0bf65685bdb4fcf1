//! Functions that filters call by name: those of Envoy that are in use, and what scripts export.

mod exported;
pub(crate) mod message;
mod signature;

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;
use pilotlight_abi::limit::BODY_COLLECT;

use self::message::text;
use super::abi::Status;
use super::{calls, properties};
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
        b"clear_route_cache" => calls::clear_route_cache(&mut [], host, []).map(|()| Vec::new()),
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
        b"sign" => signature::sign(argument),
        b"verify_signature" => signature::verify(argument),
        _ => exported::call(host, name, argument),
    }
}
