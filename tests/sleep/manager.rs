//! Under a service manager that holds the sockets: the process leaves, and is started when something
//! comes. The manager here is a stand-in with the same protocol.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use socket2::Socket;

use super::{FILTER, ROUTES, Running, plain};
use crate::support::gateway::binary;
use crate::support::{Certificate, Folder, Request, h3, run, soon};

/// What a manager does: sockets, a mailbox, a store.
struct Manager {
    folder: Folder,
    tcp: Socket,
    udp: Socket,
    mailbox: UnixDatagram,
    stored: Option<OwnedFd>,
}

fn socket(kind: socket2::Type, port: u16) -> Socket {
    let socket = Socket::new(socket2::Domain::IPV4, kind, None).unwrap();
    let address: std::net::SocketAddr = ([127, 0, 0, 1], port).into();
    socket.bind(&address.into()).unwrap();
    if kind == socket2::Type::STREAM {
        socket.listen(128).unwrap();
    }
    socket
}

impl Manager {
    fn new(manifest: &str) -> Manager {
        let folder = Folder::new();
        let certificate = Certificate::common();
        folder.write("edge.pem", &certificate.pem);
        folder.write("edge.key", &certificate.key);
        folder.write("f.lua", FILTER);
        folder.write("pilotlight.toml", manifest);
        let tcp = socket(socket2::Type::STREAM, 0);
        let udp = socket(socket2::Type::DGRAM, 0);
        let mailbox = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        mailbox.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Manager { folder, tcp, udp, mailbox, stored: None }
    }

    /// `store`: how many descriptors it keeps; `others`: how many it has already.
    fn start(&self, store: usize, others: usize) -> Running {
        let mut fds: Vec<RawFd> = vec![self.tcp.as_raw_fd(), self.udp.as_raw_fd()];
        let mut names = "clear:tls".to_owned();
        if let Some(stored) = &self.stored {
            fds.push(stored.as_raw_fd());
            names.push_str(":pilotlight-state");
        }
        for _ in 0..others {
            fds.push(self.mailbox.as_raw_fd());
            names.push_str(":other");
        }
        // The pid is known to the child only: a shell sets it.
        let script = "export LISTEN_PID=$$; exec \"$0\" run";
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(binary()).current_dir(self.folder.path());
        command.env("LISTEN_FDS", fds.len().to_string()).env("LISTEN_FDNAMES", names);
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        if store > 0 {
            command.env("FDSTORE", store.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: dup and dup2 only, between fork and exec; first out of the way of each other.
        unsafe {
            command.pre_exec(move || {
                let high: Vec<RawFd> =
                    fds.iter().map(|fd| libc::fcntl(*fd, libc::F_DUPFD, 100)).collect();
                for (to, from) in (3..).zip(high) {
                    libc::dup2(from, to);
                    libc::close(from);
                }
                Ok(())
            });
        }
        Running(command.spawn().unwrap())
    }

    /// Reads the mailbox until it holds this; descriptors go into the store.
    fn told(&mut self, wanted: &str) {
        loop {
            let (text, fd) = receive(&self.mailbox);
            if let Some(fd) = fd {
                assert!(text.contains("FDNAME=pilotlight-state"), "{text}");
                self.stored = Some(fd);
            }
            if text.lines().any(|line| line == wanted) {
                return;
            }
        }
    }
}

fn receive(mailbox: &UnixDatagram) -> (String, Option<OwnedFd>) {
    let (mut bytes, mut control) = ([0u8; 4096], [0u64; 8]);
    // SAFETY: the message's parts live through the call; the control data are as the kernel wrote them.
    unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        let count = libc::recvmsg(mailbox.as_raw_fd(), &raw mut message, 0);
        assert!(count >= 0, "the gateway says nothing");
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let fd = (!header.is_null()).then(|| {
            OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned())
        });
        (String::from_utf8_lossy(&bytes[..count as usize]).into_owned(), fd)
    }
}

fn manifest() -> String {
    format!(
        "[gateway]\nworkers = 2\nidle = {{ sleep = \"200ms\" }}\n\
         [[listeners]]\nname = \"clear\"\naddress = \"systemd:clear\"\n\
         [[listeners]]\nname = \"tls\"\naddress = \"systemd:tls\"\nprotocols = [\"http3\"]\n\
         tls = {{ certificate = \"edge.pem\", key = \"edge.key\" }}\n{ROUTES}"
    )
}

#[test]
fn it_leaves_and_comes_back_with_what_it_knew() {
    // A store; none; one that is full, which the manager would not say.
    for (store, others) in [(4, 0), (0, 0), (2, 2)] {
        let stores = store > others;
        let counting = "local d = gateway.shared('seen')\nreturn { request = function()\n\
            return { body = tostring(d:incr('n', 1, 0)) } end }";
        let mut manager = Manager::new(&(manifest() + "[shared.seen]\nsize = \"1MiB\"\n"));
        manager.folder.write("f.lua", counting);
        let clear = manager.tcp.local_addr().unwrap().as_socket().unwrap();
        let tls = manager.udp.local_addr().unwrap().as_socket().unwrap();
        for round in 0..3 {
            // What comes while nobody runs waits in the manager's sockets.
            run(async {
                let asked = async {
                    let plain = plain(clear, "/").await.assert(200).text();
                    assert_eq!(plain, (round * 2 + 1).to_string());
                    let mut client = h3::Client::connect(tls, "a.test").await;
                    let answer = client.send(&Request::get("/")).await;
                    assert_eq!(answer.assert(200).text(), (round * 2 + 2).to_string());
                    // The manager knows the port, and clients of TCP hear of it.
                    let there = format!("h3=\":{}\"; ma=3600", tls.port());
                    assert_eq!(answer.field("alt-svc"), Some(there.as_str()));
                    drop(client);
                    // Its farewell is sent by this loop.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                };
                let child = async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    manager.start(store, others)
                };
                let (mut child, ()) = tokio::join!(child, asked);
                manager.told("READY=1");
                manager.told("STOPPING=1");
                if stores {
                    manager.told("FDSTORE=1");
                }
                let left = tokio::task::spawn_blocking(move || child.0.wait().unwrap());
                assert!(soon("its end", left).await.unwrap().success());
            });
        }
        let file = manager.folder.path().join("cache/state");
        assert_eq!((manager.stored.is_some(), file.exists()), (stores, !stores));
    }
}

#[test]
fn an_upgrade_names_its_new_main_process() {
    let mut manager = Manager::new(&manifest().replace("200ms", "60s"));
    let clear = manager.tcp.local_addr().unwrap().as_socket().unwrap();
    let tls = manager.udp.local_addr().unwrap().as_socket().unwrap();
    let mut child = manager.start(0, 0);
    manager.told("READY=1");
    // SAFETY: no memory is involved.
    let kill = |pid: u32, signal| unsafe { libc::kill(pid as i32, signal) };
    kill(child.0.id(), libc::SIGUSR2);
    manager.told("RELOADING=1");
    let (text, _) = receive(&manager.mailbox);
    let heir: u32 =
        text.strip_prefix("MAINPID=").unwrap().split('\n').next().unwrap().parse().unwrap();
    assert!(text.ends_with("\nREADY=1"), "{text}");
    assert!(child.0.wait().unwrap().success());
    // It has the manager's sockets, and a name of its own there.
    run(async {
        plain(clear, "/").await.assert(200);
        h3::Client::connect(tls, "a.test").await.send(&Request::get("/")).await.assert(200);
    });
    kill(heir, libc::SIGTERM);
    manager.told("STOPPING=1");
}
