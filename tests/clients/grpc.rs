//! gRPC through the gateway: an h2 upstream of our own, called over HTTP/2 and HTTP/3.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use tokio::net::TcpListener;

use crate::support::gateway::Setup;
use crate::support::h2::put;
use crate::support::message::{Client, Piece, Protocol};
use crate::support::{Answer, Gateway, Request, run};

/// A message with its five bytes in front.
fn message(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(payload.len() as u32);
    out.put_slice(payload);
    out.freeze()
}

/// Serves `/s/unary`, `/s/stream`, `/s/echo` and `/s/fail` until the test's loop ends.
pub async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            });
        }
    });
    address
}

async fn answer(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let head = http::Response::builder().header("content-type", "application/grpc");
    let field =
        |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap_or("").to_owned());
    let sound = field("te").as_deref() == Some("trailers")
        && field("content-type").as_deref() == Some("application/grpc");
    let path = request.uri().path().to_owned();
    if path == "/s/fail" || !sound {
        // Trailers-only: the status stands in a head that ends the stream.
        let status = if sound { "5" } else { "3" };
        let head = head.header("grpc-status", status).body(()).unwrap();
        respond.send_response(head, true)?;
        return Ok(());
    }
    let mut body = request.into_body();
    let mut stream = respond.send_response(head.body(()).unwrap(), false)?;
    match path.as_str() {
        "/s/echo" => {
            while let Some(data) = body.data().await {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                put(&mut stream, data, false).await?;
            }
        }
        "/s/stream" => {
            for number in 0..20 {
                put(&mut stream, message(format!("part {number}").as_bytes()), false).await?;
            }
        }
        _ => {
            let mut given = Vec::new();
            while let Some(data) = body.data().await {
                let data = data?;
                body.flow_control().release_capacity(data.len())?;
                given.extend_from_slice(&data);
            }
            put(&mut stream, message(&[b"got ", &given[5..]].concat()), false).await?;
        }
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    trailers.insert("grpc-message", http::HeaderValue::from_static("fine"));
    stream.send_trailers(trailers)
}

async fn gateway() -> Gateway {
    let rest = format!(
        "[[routes]]\nupstream = \"app\"\n[upstreams.app]\nendpoints = [\"http://{}\"]\nprotocol = \"http2\"\n",
        server().await
    );
    Setup::new(rest).start().await
}

fn call(path: &str, messages: &[&[u8]]) -> Request {
    let mut request = Request::new("POST", path)
        .field("content-type", "application/grpc")
        .field("te", "trailers");
    request.sized = false;
    for (index, payload) in messages.iter().enumerate() {
        if index > 0 {
            request.body.push(Piece::Pause(std::time::Duration::from_millis(5)));
        }
        request.body.push(Piece::Data(message(payload)));
    }
    request
}

#[track_caller]
fn fine(answer: &Answer) -> &Answer {
    answer.assert(200);
    assert_eq!(answer.field("content-type"), Some("application/grpc"));
    let status = answer.trailers.iter().find(|(n, _)| n == "grpc-status");
    assert_eq!(status.map(|(_, v)| v.as_str()), Some("0"), "{answer}");
    answer
}

const LATER: [Protocol; 2] = [Protocol::H2, Protocol::H3];

#[test]
fn unary_calls() {
    run(async {
        let gateway = gateway().await;
        for protocol in LATER {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            for _ in 0..3 {
                let answer = client.send(&call("/s/unary", &[b"this"])).await;
                assert_eq!(fine(&answer).body, message(b"got this"));
            }
        }
    });
}

#[test]
fn streams_of_the_server_and_of_both() {
    run(async {
        let gateway = gateway().await;
        for protocol in LATER {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            let answer = client.send(&call("/s/stream", &[b""])).await;
            let wanted: Vec<u8> =
                (0..20).flat_map(|n| message(format!("part {n}").as_bytes())).collect();
            assert_eq!(fine(&answer).body, wanted);
            let parts: [&[u8]; 3] = [b"one", b"two", &[b'x'; 200_000]];
            let answer = client.send(&call("/s/echo", &parts)).await;
            let wanted: Vec<u8> = parts.iter().flat_map(|p| message(p)).collect();
            assert!(fine(&answer).body == wanted);
        }
    });
}

#[test]
fn a_status_without_a_body() {
    run(async {
        let gateway = gateway().await;
        for protocol in LATER {
            let mut client = Client::connect(protocol, &gateway, "a.test").await;
            let answer = client.send(&call("/s/fail", &[b"x"])).await;
            assert_eq!(answer.assert(200).field("grpc-status"), Some("5"));
            assert!(answer.body.is_empty());
        }
    });
}
