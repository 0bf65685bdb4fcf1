//! A blob from a source, bounded by what its release says of it.

use std::io::{self, Read as _};

use pilotlight_fleet::plan::Digest;

use crate::{Error, Source};

/// Reads a blob from byte `from` on; `take` gets its parts in order. No more is read than the blob has.
/// `pace` hears how many bytes came, and may wait.
///
/// What was taken is not verified: bytes of several sources may make one blob, so who keeps them does that when all
/// are there.
pub fn blob(
    source: &dyn Source,
    (digest, size): (&Digest, u64),
    from: u64,
    pace: &mut dyn FnMut(usize),
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Error> {
    if from >= size {
        return Ok(());
    }
    let body = source.blob(digest, from)?;
    // A source that knows no ranges begins at the beginning.
    let mut skip = from.saturating_sub(body.from);
    let mut left = size - from;
    // One more byte shows that it does not end.
    let mut content = body.content.take(skip + left + 1);
    let mut buffer = vec![0; 32 << 10];
    loop {
        let read = match content.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Error::Unreachable(format!("{}: {digest}: {error}", source.name())));
            }
        };
        if read == 0 {
            return match left {
                0 => Ok(()),
                _ => Err(Error::Unreachable(format!(
                    "{}: {digest} ended {left} bytes early",
                    source.name()
                ))),
            };
        }
        pace(read);
        let skipped = usize::try_from(skip).map_or(read, |skip| skip.min(read));
        skip -= skipped as u64;
        let bytes = &buffer[skipped..read];
        if bytes.len() as u64 > left {
            return Err(Error::Refused(format!(
                "{}: {digest} is longer than {size} bytes",
                source.name()
            )));
        }
        left -= bytes.len() as u64;
        if !bytes.is_empty() {
            take(bytes).map_err(|error| Error::Refused(format!("cannot be kept: {error}")))?;
        }
    }
}
