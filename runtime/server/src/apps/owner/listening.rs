//! Sockets that listen at a port, as the kernel tells (sock_diag(7), linux/inet_diag.h).

use std::io::{self, Read, Write};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// `NETLINK_SOCK_DIAG`.
const SOCK_DIAG: i32 = 4;
/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const ASKS_FOR_ALL: u16 = 0x301;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `TCP_LISTEN` among the states that are asked for.
const LISTEN: u32 = 1 << 10;
/// Of a message's head.
const HEAD: usize = 16;
/// A request: its head and `inet_diag_req_v2`.
const REQUEST: usize = HEAD + 56;
/// Where an answer has the port and the inode: in `inet_diag_msg`, behind its head.
const PORT: usize = HEAD + 4;
const INODE: usize = HEAD + 68;
/// The kernel sends no more at a time.
const ANSWERS: usize = 32 << 10;
/// It answers at once, or not at all.
const PATIENCE: Duration = Duration::from_millis(100);

/// Their inodes.
///
/// # Errors
/// A kernel without sock_diag, or one that forbids it.
pub(super) fn inodes(port: u16) -> io::Result<Vec<u32>> {
    let protocol = Some(Protocol::from(SOCK_DIAG));
    let mut kernel = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, protocol)?;
    kernel.set_read_timeout(Some(PATIENCE))?;
    let mut found = Vec::new();
    let mut answers = vec![0; ANSWERS];
    for family in [libc::AF_INET, libc::AF_INET6] {
        kernel.write_all(&request(family as u8, port))?;
        loop {
            let length = kernel.read(&mut answers)?;
            if read(&answers[..length], port, &mut found)? {
                break;
            }
        }
    }
    Ok(found)
}

fn request(family: u8, port: u16) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    bytes[..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&ASKS_FOR_ALL.to_ne_bytes());
    (bytes[HEAD], bytes[HEAD + 1]) = (family, libc::IPPROTO_TCP as u8);
    bytes[HEAD + 4..HEAD + 8].copy_from_slice(&LISTEN.to_ne_bytes());
    bytes[HEAD + 8..HEAD + 10].copy_from_slice(&port.to_be_bytes());
    bytes
}

/// Takes what comes at a time; whether that was the last.
fn read(mut answers: &[u8], port: u16, found: &mut Vec<u32>) -> io::Result<bool> {
    let short = || io::Error::from(io::ErrorKind::InvalidData);
    while !answers.is_empty() {
        let length = answers.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes) as usize);
        let length = length.filter(|length| (HEAD..=answers.len()).contains(length));
        let message = &answers[..length.ok_or_else(short)?];
        match u16::from_ne_bytes([message[4], message[5]]) {
            DONE => return Ok(true),
            ERROR => return Err(io::Error::from(io::ErrorKind::Unsupported)),
            _ => {}
        }
        let inode = message.get(INODE..).and_then(|rest| rest.first_chunk()).ok_or_else(short)?;
        if message[PORT..PORT + 2] == port.to_be_bytes() {
            found.push(u32::from_ne_bytes(*inode));
        }
        answers = answers.get(message.len().next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn who_listens_is_found_and_nobody_else() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let at = listener.local_addr().unwrap();
            let _client = TcpStream::connect(at).unwrap();
            let file = std::os::fd::OwnedFd::from(listener);
            let inode = std::fs::File::from(file.try_clone().unwrap()).metadata().unwrap().ino();
            assert_eq!(inodes(at.port()).unwrap(), [inode as u32]);
            drop(file);
            assert!(inodes(at.port()).unwrap().is_empty());
        }
    }
}
