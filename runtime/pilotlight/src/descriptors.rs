//! Room for descriptors, made before there are threads.

/// Connections of a busy gateway, in 128 KiB of the kernel's memory.
const ROOM: libc::c_int = 16 * 1024;

/// Lets the kernel make the process's table of descriptors as large as it will get. It doubles the
/// table as descriptors come, and where threads share it, the one that opens a descriptor waits each
/// time until no CPU looks at the old one: 5 to 10 ms in which a worker serves nobody.
pub(crate) fn make_room() {
    // SAFETY: fills `limit`; the descriptors are this function's own and closed again. Where
    // anything is refused, the table grows as it goes.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let last = limit.rlim_cur.min(ROOM as libc::rlim_t) as libc::c_int - 1;
        let own = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        let high = libc::fcntl(own, libc::F_DUPFD_CLOEXEC, last);
        libc::close(high);
        libc::close(own);
    }
}
