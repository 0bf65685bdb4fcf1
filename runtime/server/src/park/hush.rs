//! What may wake: connections that have something to say, datagrams that can open one.

use std::ffi::c_int;

use super::plan::Kind;

/// Seconds that the kernel keeps connections to itself which say nothing.
const SILENT: c_int = 9;
/// RFC 9000 section 14.1: a client's first datagrams are at least so long; and the header of UDP.
const INITIAL: u32 = 1200 + 8;

const fn op(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Lets datagrams through that may begin a QUIC connection (RFC 9000 section 17.2): a long header, the
/// fixed bit, the length. The filter sees the header of UDP first.
static OPENS_QUIC: [libc::sock_filter; 7] = [
    op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 8),
    op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, 0xc0),
    op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 3, 0xc0),
    op(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0, 0),
    op(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 0, 1, INITIAL),
    op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
];

/// Before sleep. What the kernel refuses only means that more may wake it.
pub(crate) fn hush(fd: c_int, kind: Kind) {
    match kind {
        Kind::Datagram => {
            let program = libc::sock_fprog {
                len: OPENS_QUIC.len() as u16,
                filter: OPENS_QUIC.as_ptr().cast_mut(),
            };
            set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program);
        }
        Kind::Stream => set(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &SILENT),
        Kind::Admin | Kind::Passage => {}
    }
}

/// After it.
pub(crate) fn rouse(fd: c_int, kind: Kind) {
    let none: c_int = 0;
    match kind {
        Kind::Datagram => set(fd, libc::SOL_SOCKET, libc::SO_DETACH_FILTER, &none),
        Kind::Stream => set(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, &none),
        Kind::Admin | Kind::Passage => {}
    }
}

fn set<T>(fd: c_int, level: c_int, name: c_int, value: &T) {
    // SAFETY: the option reads a `T` of this size; the kernel copies a filter's program.
    unsafe {
        let length = size_of::<T>() as libc::socklen_t;
        libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), length);
    }
}
