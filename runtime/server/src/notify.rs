//! What the service manager is told (sd_notify(3)), where there is one.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::clock;

/// The shortest time between two signs of life: a quiet gateway wakes once a second at most.
const SIGN_LEAST: Duration = Duration::from_secs(1);

/// Tells the service manager something.
pub(crate) fn notify(state: &str) {
    if let Some(socket) = manager() {
        let mut text = state.to_owned();
        if state == "RELOADING=1" {
            text = format!("{state}\nMONOTONIC_USEC={}", clock::monotonic() / 1000);
        }
        drop(socket.send(text.as_bytes()));
    }
}

/// Another process serves in our place.
pub(crate) fn succeeded_by(pid: libc::pid_t) {
    notify(&format!("MAINPID={pid}\nREADY=1"));
}

/// What the manager has given to the process before this one is ours, which is to be the service's main
/// one. Called before there are threads.
#[expect(clippy::disallowed_methods, reason = "there are no threads yet")]
pub(crate) fn inherit() {
    let elder = std::os::unix::process::parent_id().to_string();
    for name in ["LISTEN_PID", "WATCHDOG_PID"] {
        if var(name).is_some_and(|pid| pid == elder) {
            // SAFETY: nobody else reads or writes the environment yet.
            unsafe { std::env::set_var(name, std::process::id().to_string()) };
        }
    }
}

/// The manager's mailbox: a path, or a name without one.
fn manager() -> Option<UnixDatagram> {
    let path = var("NOTIFY_SOCKET")?;
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.connect_addr(&address.ok()?).ok()?;
    Some(socket)
}

/// How often the service manager wants a sign of life; `None`: it wants none.
pub(crate) fn watchdog() -> Option<Duration> {
    let ours = var("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let micros: u64 = var("WATCHDOG_USEC").filter(|_| ours)?.parse().ok()?;
    // Half of it, as it asks for.
    (micros > 0).then(|| (Duration::from_micros(micros) / 2).max(SIGN_LEAST))
}

/// While it is parked the gateway gives no sign of life: the manager must not wait for one.
pub(crate) fn watch(on: bool) {
    if let Some(micros) = var("WATCHDOG_USEC") {
        notify(&format!("WATCHDOG_USEC={}", if on { &micros } else { "0" }));
    }
}

/// Whether the manager keeps one more descriptor for us than so many: it says nothing when its store is
/// full.
pub(crate) fn stores(held: usize) -> bool {
    var("FDSTORE").and_then(|most| most.parse().ok()).is_some_and(|most: usize| most > held)
}

/// Gives the manager a descriptor to keep. What it had under the name is gone before.
pub(crate) fn store(fd: &OwnedFd, name: &str) -> bool {
    forget(name);
    let text = format!("FDSTORE=1\nFDNAME={name}");
    manager().is_some_and(|socket| send_with(&socket, text.as_bytes(), fd))
}

/// The manager need not keep it any more.
pub(crate) fn forget(name: &str) {
    notify(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
}

/// Sends a text and a descriptor.
fn send_with(socket: &UnixDatagram, text: &[u8], fd: &OwnedFd) -> bool {
    const SPACE: usize = 64;
    #[repr(align(16))]
    struct Control([u8; SPACE]);
    let mut control = Control([0; SPACE]);
    // SAFETY: the message's parts live until it is sent; a header and a descriptor fit into `SPACE`.
    unsafe {
        let mut part =
            libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<libc::c_int>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<libc::c_int>() as u32) as _;
        libc::CMSG_DATA(header).cast::<libc::c_int>().write_unaligned(fd.as_raw_fd());
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) >= 0
    }
}

#[allow(clippy::disallowed_methods)]
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
