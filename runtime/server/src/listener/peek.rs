//! What a connection begins with, looked at before anybody reads from it.

use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use crate::proxy_protocol::{self, Parsed};
use crate::stream::Plain;

/// HTTP/2 by prior knowledge (RFC 9113 section 3.3): looks at the first bytes without taking them.
pub(super) async fn has_preface(plain: &Plain) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut seen = [0; 24];
    loop {
        let count = peek(plain, &mut seen).await?;
        if count == 0 || seen[..count] != PREFACE[..count] {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Reads the PROXY header, and not a byte more.
pub(super) async fn proxy_header(plain: &Plain) -> io::Result<proxy_protocol::Header> {
    let mut seen = [0; proxy_protocol::MAX];
    let mut last = 0;
    loop {
        let count = peek(plain, &mut seen).await?;
        match proxy_protocol::parse(&seen[..count]) {
            Parsed::Header(header) => {
                take(plain, &mut seen[..header.length])?;
                return Ok(header);
            }
            Parsed::Bad => return Err(ErrorKind::InvalidData.into()),
            Parsed::Partial if count == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            Parsed::Partial => {
                if count == last {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                last = count;
            }
        }
    }
}

pub(super) async fn peek(plain: &Plain, buffer: &mut [u8]) -> io::Result<usize> {
    let look = |fd: SockRef<'_>, buffer: &mut [u8]| {
        // SAFETY: `u8` is a valid `MaybeUninit<u8>`, and `peek` writes initialised bytes only.
        let room =
            unsafe { &mut *(std::ptr::from_mut(buffer) as *mut [std::mem::MaybeUninit<u8>]) };
        fd.peek(room)
    };
    match plain {
        Plain::Tcp(s) => {
            s.async_io(tokio::io::Interest::READABLE, || look(SockRef::from(s), buffer)).await
        }
        Plain::Unix(s) => {
            s.async_io(tokio::io::Interest::READABLE, || look(SockRef::from(s), buffer)).await
        }
    }
}

/// Takes bytes that `peek` has seen.
pub(super) fn take(plain: &Plain, buffer: &mut [u8]) -> io::Result<()> {
    let fd = match plain {
        Plain::Tcp(s) => TcpStream::as_raw_fd(s),
        Plain::Unix(s) => UnixStream::as_raw_fd(s),
    };
    // SAFETY: the descriptor is open while `plain` lives, and the buffer is writable for its length.
    let count =
        unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_WAITALL) };
    if count == buffer.len() as isize { Ok(()) } else { Err(io::Error::last_os_error()) }
}
