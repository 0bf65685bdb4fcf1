use std::future::poll_fn;

use pilotlight_filter::host::socket::TlsFiles;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use super::*;

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn to(to: Remote) -> Connect {
    Connect { to, from: None, transparent: false }
}

async fn open(connect_to: Connect) -> io::Result<Box<dyn Socket>> {
    connect(connect_to, Arc::default()).await
}

async fn read(socket: &mut Box<dyn Socket>, most: usize) -> io::Result<String> {
    let mut buffer = Vec::new();
    poll_fn(|cx| socket.poll_read(cx, &mut buffer, most)).await?;
    Ok(String::from_utf8(buffer).unwrap())
}

async fn write(socket: &mut Box<dyn Socket>, text: &str) -> io::Result<usize> {
    let taken = poll_fn(|cx| socket.poll_write(cx, text.as_bytes())).await?;
    poll_fn(|cx| socket.poll_flush(cx)).await?;
    Ok(taken)
}

/// A folder that goes with its test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("pilotlight-socket-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn bytes_both_ways_over_tcp_and_unix() {
    block(async {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = Folder::new("stream");
        let path = folder.0.join("s");
        let unix = UnixListener::bind(&path).unwrap();
        let mut tcp_end = open(to(Remote::Inet(tcp.local_addr().unwrap()))).await.unwrap();
        let mut unix_end = open(to(Remote::Unix(path))).await.unwrap();
        let (mut a, _) = tcp.accept().await.unwrap();
        let (mut b, _) = unix.accept().await.unwrap();
        a.write_all(b"hello").await.unwrap();
        b.write_all(b"hello").await.unwrap();
        for end in [&mut tcp_end, &mut unix_end] {
            assert_eq!(read(end, 2).await.unwrap(), "he");
            assert_eq!(read(end, 100).await.unwrap(), "llo");
            assert_eq!(write(end, "bye").await.unwrap(), 3);
            assert!(end.descriptor().unwrap() > 2);
        }
        let mut got = [[0; 3]; 2];
        a.read_exact(&mut got[0]).await.unwrap();
        b.read_exact(&mut got[1]).await.unwrap();
        assert_eq!(got, [*b"bye"; 2]);
        drop((a, b));
        assert_eq!(read(&mut tcp_end, 9).await.unwrap(), "");
        assert_eq!(read(&mut unix_end, 9).await.unwrap(), "");
    });
}

#[test]
fn what_can_not_be_reached() {
    block(async {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let refused = open(to(Remote::Inet(unused))).await.map(drop).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ECONNREFUSED));
        let none = open(to(Remote::Unix("/nowhere/s".into()))).await.map(drop).unwrap_err();
        assert_eq!(none.raw_os_error(), Some(libc::ENOENT));
        let foreign =
            Connect { from: Some("192.0.2.1:0".parse().unwrap()), ..to(Remote::Inet(unused)) };
        let foreign = open(foreign).await.map(drop).unwrap_err();
        assert_eq!(foreign.raw_os_error(), Some(libc::EADDRNOTAVAIL));
    });
}

#[test]
fn an_address_to_come_from() {
    block(async {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wanted = Connect {
            from: Some("127.0.0.9:0".parse().unwrap()),
            ..to(Remote::Inet(tcp.local_addr().unwrap()))
        };
        let _end = open(wanted).await.unwrap();
        let (_, from) = tcp.accept().await.unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.9");
    });
}

#[test]
fn options() {
    block(async {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let end = open(to(Remote::Inet(tcp.local_addr().unwrap()))).await.unwrap();
        assert_eq!(end.option(SocketOption::NoDelay).unwrap(), 1, "as nginx has it");
        for (option, value) in [
            (SocketOption::KeepAlive, 1),
            (SocketOption::ReuseAddress, 1),
            (SocketOption::NoDelay, 0),
            (SocketOption::KeepAliveInterval, 7),
            (SocketOption::KeepAliveCount, 3),
        ] {
            end.set_option(option, value).unwrap();
            assert_eq!(end.option(option).unwrap(), value, "{option:?}");
        }
        for option in [SocketOption::SendBuffer, SocketOption::ReceiveBuffer] {
            end.set_option(option, 32_768).unwrap();
            assert!(end.option(option).unwrap() >= 32_768);
        }
        assert!(end.set_option(SocketOption::SendBuffer, -1).is_err());
    });
}

#[test]
fn tls_goes_on_where_clear_text_was() {
    block(async {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut end = open(to(Remote::Inet(tcp.local_addr().unwrap()))).await.unwrap();
        let (mut peer, _) = tcp.accept().await.unwrap();
        write(&mut end, "STARTTLS\n").await.unwrap();
        assert!(end.peer_certificates().is_empty());
        let mut line = [0; 9];
        peer.read_exact(&mut line).await.unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let shown = made.cert.der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let serve = async {
            let mut tls =
                tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(peer).await.unwrap();
            tls.write_all(b"secret").await.unwrap();
            tls.flush().await.unwrap();
            let mut got = [0; 4];
            tls.read_exact(&mut got).await.unwrap();
            got
        };
        let ask = async {
            let tls = StartTls { files: TlsFiles::default(), ..StartTls::default() };
            let mut end =
                end.start_tls(tls).await.map_err(|failure| failure.message).unwrap().socket;
            assert_eq!(read(&mut end, 100).await.unwrap(), "secret");
            assert!(end.peer_certificates() == [shown.to_vec()]);
            write(&mut end, "mine").await.unwrap();
            assert_eq!(end.option(SocketOption::NoDelay).unwrap(), 1);
            let again = end.start_tls(StartTls::default()).await.map(drop).unwrap_err();
            assert_eq!(again.message, "handshake failed");
        };
        let (got, ()) = tokio::join!(serve, ask);
        assert_eq!(&got, b"mine");
    });
}

#[test]
fn datagrams_over_udp_and_unix() {
    block(async {
        let folder = Folder::new("datagram");
        let path = folder.0.join("d");
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let unix = UnixDatagram::bind(&path).unwrap();
        let mut a = datagram(&Remote::Inet(udp.local_addr().unwrap()), None).unwrap();
        let mut b = datagram(&Remote::Unix(path), None).unwrap();
        assert_eq!(poll_fn(|cx| a.poll_send(cx, b"one")).await.unwrap(), 3);
        assert_eq!(poll_fn(|cx| b.poll_send(cx, b"two")).await.unwrap(), 3);
        let mut got = [0; 9];
        let (_, from) = udp.recv_from(&mut got).await.unwrap();
        udp.send_to(b"answer", from).await.unwrap();
        let (_, from) = unix.recv_from(&mut got).await.unwrap();
        // It has no path, but an address all the same.
        assert!(from.as_pathname().is_none());
        let from: std::os::unix::net::SocketAddr = from.into();
        let plain = SockRef::from(&unix);
        let name = std::os::linux::net::SocketAddrExt::as_abstract_name(&from).unwrap().to_vec();
        let address =
            SockAddr::unix(std::str::from_utf8(&[&[0], &name[..]].concat()).unwrap()).unwrap();
        plain.send_to(b"answer", &address).unwrap();
        for end in [&mut a, &mut b] {
            let mut buffer = b"> ".to_vec();
            poll_fn(|cx| end.poll_receive(cx, &mut buffer, 3)).await.unwrap();
            assert_eq!(buffer, b"> ans", "what is behind is lost");
        }
        let nobody = datagram(&Remote::Unix("/nowhere/d".into()), None).map(drop).unwrap_err();
        assert_eq!(nobody.raw_os_error(), Some(libc::ENOENT));
    });
}
