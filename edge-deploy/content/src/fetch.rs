//! A blob from a source, bounded by what its release says of it.

use std::io::{self, Read as _};
use std::time::Duration;

use pilotlight_fleet::plan::Digest;

use crate::{Error, Source};

/// A source that sends less in a while than this is not there: a connection that trickles would hold a node for ever.
const LEAST: u64 = 1024;
const WHILE: Duration = Duration::from_secs(60);

/// Whether a source sends fast enough.
#[derive(Debug)]
pub struct Pace {
    since: Duration,
    came: u64,
}

impl Pace {
    /// It begins to send.
    pub fn new(now: Duration) -> Pace {
        Pace { since: now, came: 0 }
    }

    /// So many bytes came. False if it is too slow.
    pub fn is_fine(&mut self, bytes: usize, now: Duration) -> bool {
        self.came += bytes as u64;
        let took = now.saturating_sub(self.since);
        if took < WHILE {
            return true;
        }
        let enough = self.came >= LEAST * took.as_secs();
        *self = Pace::new(now);
        enough
    }
}

/// Reads a blob from byte `from` on; `take` gets its parts in order. No more is read than the blob has.
/// `pace` hears how many bytes came, may wait, and says whether to go on.
///
/// What was taken is not verified: bytes of several sources may make one blob, so who keeps them does that when all
/// are there.
pub fn blob(
    source: &dyn Source,
    (digest, size): (&Digest, u64),
    from: u64,
    pace: &mut dyn FnMut(usize) -> bool,
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
        if !pace(read) {
            return Err(Error::Unreachable(format!(
                "{}: {digest} comes too slowly",
                source.name()
            )));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_trickles_is_left() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(5 * second);
        // A slow link is one that moves.
        assert!((6..200).all(|at| pace.is_fine(2000, at * second)));
        let trickled = (200..400).find(|at| !pace.is_fine(10, *at * second));
        assert!(trickled.is_some_and(|at| at < 330), "{trickled:?}");
    }
}
