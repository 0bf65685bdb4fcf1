//! Connections without HTTP: what goes in comes out, both ways, whoever ends first.

mod filters;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::gateway::Setup;
use crate::support::{Certificate, Gateway, Request, certificate, free_address, h1, run, soon};

/// An upstream that answers each piece with itself, and the end with "bye".
pub async fn echo() -> SocketAddr {
    serve(|mut stream| async move {
        let mut piece = vec![0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            if stream.write_all(&piece[..read]).await.is_err() {
                return;
            }
        }
        let _ = stream.write_all(b"bye").await;
        let _ = stream.shutdown().await;
    })
    .await
}

/// An upstream that does with each connection as told.
pub async fn serve<F: Future<Output = ()> + Send + 'static>(
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(each(stream));
        }
    });
    address
}

/// A gateway with a listener "raw" at `at`; `keys` are more of the listener's, `rest` what follows.
pub async fn start(at: SocketAddr, keys: &str, endpoints: &[SocketAddr], rest: &str) -> Gateway {
    setup(at, keys, endpoints, rest).start().await
}

pub fn setup(at: SocketAddr, keys: &str, endpoints: &[SocketAddr], rest: &str) -> Setup {
    let endpoints: Vec<String> = endpoints.iter().map(|e| format!("\"tcp://{e}\"")).collect();
    let endpoints = endpoints.join(", ");
    let mut setup = Setup::new(format!(
        "[[listeners]]\nname = \"raw\"\naddress = \"{at}\"\nprotocols = [\"tcp\"]\nupstream = \"echo\"\n{keys}\n\
         [[routes]]\nrespond = {{ body = \"http\" }}\n\
         [upstreams.echo]\nendpoints = [{endpoints}]\n{rest}\n"
    ));
    setup.gateway = "admin = \"unix:admin.sock\"".into();
    setup
}

pub async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &str) {
    soon("a write", stream.write_all(bytes.as_bytes())).await.unwrap();
    soon("a flush", stream.flush()).await.unwrap();
}

/// Reads just so much.
pub async fn hear(stream: &mut (impl AsyncRead + Unpin), bytes: &str) {
    let mut read = vec![0; bytes.len()];
    soon(bytes, stream.read_exact(&mut read)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read), bytes);
}

/// Reads to the end; an error is told.
pub async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, String> {
    let mut read = Vec::new();
    match soon("an end", stream.read_to_end(&mut read)).await {
        Ok(_) => Ok(String::from_utf8_lossy(&read).into_owned()),
        Err(error) => Err(error.kind().to_string()),
    }
}

pub async fn connect(at: SocketAddr) -> TcpStream {
    soon("a connection", TcpStream::connect(at)).await.unwrap()
}

/// Connects, and is reset: that may be there as soon as the connection.
async fn refused(at: SocketAddr) {
    let end = match soon("a connection", TcpStream::connect(at)).await {
        Ok(mut stream) => rest(&mut stream).await.unwrap_err(),
        Err(error) => error.kind().to_string(),
    };
    assert_eq!(end, "connection reset");
}

async fn metrics(gateway: &Gateway) -> String {
    let socket = gateway.folder.path().join("admin.sock");
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    rest(&mut stream).await.unwrap()
}

#[test]
fn bytes_go_both_ways_and_each_side_may_end_first() {
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let gateway = start(at, "", &[upstream], "").await;
        let mut client = connect(at).await;
        say(&mut client, "one").await;
        hear(&mut client, "one").await;
        let figures = metrics(&gateway).await;
        let open = "pilotlight_connections{listener=\"raw\",protocol=\"tcp\"} 1";
        assert!(figures.contains(open), "{figures}");
        say(&mut client, "two").await;
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await.unwrap(), "twobye");
        drop(client);
        let line = gateway
            .logged(&[
                "\"protocol\":\"tcp\"",
                "\"received\":6",
                "\"sent\":9",
                "\"upstream\":\"echo\"",
            ])
            .await
            .unwrap();
        assert!(line.contains(&format!("\"endpoint\":\"{upstream}\"")), "{line}");
        assert!(!line.contains("\"error\""), "{line}");
        let figures = metrics(&gateway).await;
        for part in [
            "pilotlight_tcp_bytes_total{listener=\"raw\",direction=\"received\"} 6",
            "pilotlight_tcp_bytes_total{listener=\"raw\",direction=\"sent\"} 9",
            "pilotlight_tcp_connections_total{listener=\"raw\",upstream=\"echo\",error=\"\"} 1",
        ] {
            assert!(figures.contains(part), "no {part} in {figures}");
        }
        // It is counted a moment longer than it is written of.
        let open = "pilotlight_connections{listener=\"raw\",protocol=\"tcp\"} 0";
        let closed = async { while !metrics(&gateway).await.contains(open) {} };
        soon("the connection's end in the figures", closed).await;
    });
}

#[test]
fn an_upstream_may_speak_first_and_end_first() {
    run(async {
        let upstream = serve(|mut stream| async move {
            let _ = stream.write_all(b"220 ready\r\n").await;
            let _ = stream.shutdown().await;
            let mut read = String::new();
            let _ = stream.read_to_string(&mut read).await;
            assert_eq!(read, "still here");
        })
        .await;
        let at = free_address();
        let gateway = start(at, "", &[upstream], "").await;
        let mut client = connect(at).await;
        assert_eq!(rest(&mut client).await.unwrap(), "220 ready\r\n");
        say(&mut client, "still here").await;
        drop(client);
        gateway.logged(&["\"received\":10", "\"sent\":11"]).await.unwrap();
    });
}

#[test]
fn much_comes_through_whole_with_backpressure() {
    const MUCH: usize = 20 << 20;
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let _gateway = start(at, "", &[upstream], "").await;
        let (mut from, mut to) = connect(at).await.into_split();
        let bytes: Vec<u8> = (0..MUCH).map(|at| ((at * 31) >> 8) as u8).collect();
        let sent = bytes.clone();
        tokio::spawn(async move {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let mut read = Vec::new();
        soon("all of it", from.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read.len(), MUCH + 3);
        assert!(read[..MUCH] == bytes[..]);
    });
}

#[test]
fn an_upstream_that_refuses_is_passed_over_or_told() {
    run(async {
        let (at, dead, alive) = (free_address(), free_address(), echo().await);
        let gateway = start(at, "", &[dead, alive], "").await;
        for _ in 0..2 {
            let mut client = connect(at).await;
            say(&mut client, "x").await;
            hear(&mut client, "x").await;
        }
        gateway.logged(&["\"protocol\":\"tcp\"", "\"retries\":1"]).await.unwrap();

        let at = free_address();
        let gateway = start(at, "", &[dead], "").await;
        // An end would look as if all had gone well.
        refused(at).await;
        gateway.logged(&["\"error\":\"connection_refused\"", "\"sent\":0"]).await.unwrap();
    });
}

#[test]
fn who_breaks_off_breaks_the_other_side_off() {
    run(async {
        let upstream = serve(|mut stream| async move {
            let mut first = [0];
            let _ = stream.read_exact(&mut first).await;
            let _ = stream.set_zero_linger();
        })
        .await;
        let at = free_address();
        let gateway = start(at, "", &[upstream], "").await;
        let mut client = connect(at).await;
        say(&mut client, "x").await;
        assert_eq!(rest(&mut client).await.unwrap_err(), "connection reset");
        gateway.logged(&["\"error\":\"connection_terminated\""]).await.unwrap();
    });
}

#[test]
fn a_connection_without_movement_ends() {
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let gateway = start(at, "timeouts = { idle = \"300ms\" }", &[upstream], "").await;
        let mut client = connect(at).await;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            say(&mut client, "x").await;
            hear(&mut client, "x").await;
        }
        assert_eq!(rest(&mut client).await.unwrap_err(), "connection reset");
        gateway.logged(&["\"received\":4", "\"error\":\"connection_read_timeout\""]).await.unwrap();
    });
}

#[test]
fn the_breaker_and_the_listener_bound_connections() {
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let breaker = "breaker = { max_connections = 1 }\ntimeouts = { connect = \"300ms\" }";
        let gateway = start(at, "limits = { connections = 2 }", &[upstream], breaker).await;
        let mut first = connect(at).await;
        say(&mut first, "x").await;
        hear(&mut first, "x").await;
        // The second waits for a connection for as long as it may.
        let mut second = connect(at).await;
        // The third finds the listener full.
        let mut third = connect(at).await;
        assert!(rest(&mut third).await.is_ok_and(|said| said.is_empty()));
        assert_eq!(rest(&mut second).await.unwrap_err(), "connection reset");
        gateway.logged(&["\"error\":\"connection_limit_reached\""]).await.unwrap();
        // One that waits is served when another has gone.
        let mut waits = connect(at).await;
        say(&mut waits, "y").await;
        drop(first);
        hear(&mut waits, "y").await;
    });
}

#[test]
fn tls_ends_here_and_begins_here() {
    run(async {
        let (at, again, upstream) = (free_address(), free_address(), echo().await);
        let rest_of = format!(
            "[[listeners]]\nname = \"again\"\naddress = \"{again}\"\nprotocols = [\"tcp\"]\nupstream = \"secure\"\n\
             [upstreams.secure]\nendpoints = [\"tls://{at}\"]\n\
             tls = {{ ca = \"ca.pem\", server_name = \"a.test\" }}\n"
        );
        let keys = "tls = { certificate = \"edge.pem\", key = \"edge.key\" }";
        let setup = setup(at, keys, &[upstream], &rest_of);
        let gateway = setup.file("ca.pem", certificate::authority_pem()).start().await;
        let mut client = h1::tls(at, "a.test", &[]).await.unwrap();
        say(&mut client, "secret").await;
        hear(&mut client, "secret").await;
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await.unwrap(), "bye");
        let mut plain = connect(again).await;
        say(&mut plain, "twice").await;
        hear(&mut plain, "twice").await;
        plain.shutdown().await.unwrap();
        assert_eq!(rest(&mut plain).await.unwrap(), "bye");
        gateway.logged(&["\"listener\":\"again\"", "\"received\":5", "\"sent\":8"]).await.unwrap();
        assert!(!Certificate::common().pem.is_empty());
    });
}

#[test]
fn a_proxy_header_tells_who_the_client_is() {
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let gateway = start(at, "proxy_protocol = true", &[upstream], "").await;
        let mut client = connect(at).await;
        say(&mut client, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\nhello").await;
        hear(&mut client, "hello").await;
        drop(client);
        gateway.logged(&["\"client\":\"192.0.2.7\"", "\"received\":5"]).await.unwrap();
    });
}

#[test]
fn a_reload_leaves_open_connections_alone() {
    run(async {
        let (at, old, new) = (free_address(), echo().await, free_address());
        let mut gateway = start(at, "", &[old], "").await;
        let mut client = connect(at).await;
        say(&mut client, "before").await;
        hear(&mut client, "before").await;
        let setup = setup(at, "", &[new], "");
        gateway.folder.write("pilotlight.toml", setup.manifest(gateway.clear, gateway.tls));
        gateway.signal(libc::SIGHUP);
        gateway.logged(&["\"message\":\"reloaded\""]).await.unwrap();
        // New ones go where the new manifest says, which is nowhere.
        refused(at).await;
        say(&mut client, "after").await;
        hear(&mut client, "after").await;
        // A drain waits for it, until its limit.
        gateway.signal(libc::SIGTERM);
        gateway.logged(&["\"message\":\"draining\""]).await.unwrap();
        say(&mut client, "still").await;
        hear(&mut client, "still").await;
        assert!(gateway.is_alive());
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await.unwrap(), "bye");
        assert!(gateway.left().await.success());
    });
}

#[test]
fn requests_do_not_go_to_upstreams_without_http() {
    run(async {
        let (at, upstream) = (free_address(), echo().await);
        let mut setup = setup(at, "", &[upstream], "[filters.ask]\nlua = \"ask.lua\"\n");
        setup.rest = setup.rest.replace("respond", "filters = [\"ask\"]\nrespond");
        let script = "return { request = function(req)\n\
            local answer, err = gateway.fetch { url = 'http://a/', upstream = 'echo' }\n\
            return { status = 200, body = tostring(answer and answer.status) .. ' ' .. tostring(err) } end }";
        let gateway = setup.file("ask.lua", script).start().await;
        let mut client = h1::Client::connect(gateway.clear).await;
        let answer = client.send(&Request::get("/")).await;
        assert_eq!(answer.text(), "nil http_protocol_error");
    });
}
