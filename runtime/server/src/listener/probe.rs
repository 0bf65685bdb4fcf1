//! Probes of the gateway's health: answered before anything is counted, as the parked form does.

use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::park;
use crate::stream::Plain;

use super::peek;

/// What a probe is told, and it is over.
pub(crate) const WELL: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 3\r\ncache-control: no-store\r\nconnection: close\r\n\r\nok\n";

/// Bytes of a request that are looked at.
const LOOK: usize = 2048;

/// Whether the connection was a probe's; then it is answered and has ended. Only its first request is
/// looked at, and only when it came whole.
pub(super) async fn answered(plain: &Plain, path: &str) -> bool {
    let mut seen = [0; LOOK];
    let Ok(count) = peek::peek(plain, &mut seen).await else { return true };
    let request = &seen[..count];
    if count == 0 || !park::answers(request, path.as_bytes()) {
        return count == 0;
    }
    let _ = peek::take(plain, &mut seen[..count]);
    let _ = tell(plain);
    true
}

fn tell(plain: &Plain) -> io::Result<()> {
    let fd = match plain {
        Plain::Tcp(stream) => stream.as_fd(),
        Plain::Unix(stream) => stream.as_fd(),
    };
    // A fresh connection's buffer has room for it.
    let mut stream = std::net::TcpStream::from(fd.try_clone_to_owned()?);
    stream.write_all(WELL)?;
    stream.shutdown(std::net::Shutdown::Write)
}
