//! Doors for the fuzz targets (`fuzz/`) to parsers that are private otherwise. Bytes in, what was
//! understood out; nothing here runs in a gateway.

use crate::crypto::certificate::{self, Certificate};
use crate::crypto::key::Key;
use pilotlight_filter::host::resp::{Reader, Reply};

/// What Redis said: its replies as text, and why it was not heard to the end.
pub type Said = (Vec<String>, Option<&'static str>);

/// Replies of a server that arrive in `pieces`.
pub fn replies<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Said {
    let (mut reader, mut buffer, mut said) = (Reader::default(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match reader.read(&buffer) {
                Ok((used, reply)) => {
                    buffer.drain(..used);
                    match reply {
                        Some(Reply::Value(value)) => said.push(format!("{value:?}")),
                        Some(Reply::Refused(why)) => said.push(why),
                        None => break,
                    }
                }
                Err(why) => return (said, Some(why)),
            }
        }
    }
    (said, None)
}

/// A key's numbers, its public half as DER, its private one where it has it.
pub type Numbers = (Vec<Vec<u8>>, Vec<u8>, Option<Vec<u8>>);

/// The numbers of a key in PEM or DER, and the same key written anew: public, and private where it is.
pub fn key(text: &[u8]) -> Option<Numbers> {
    let key = Key::read(text).ok()?;
    Some((key.numbers(), key.spki(), key.pkcs8()))
}

/// Whether a text holds a certificate whose parts can be told.
pub fn certificate(text: &[u8]) -> bool {
    let Some(der) = certificate::der(text) else { return false };
    let Some(certificate) = Certificate::read(&der) else { return false };
    certificate.signature().is_some()
}
