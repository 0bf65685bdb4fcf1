//! HTTP/3 by quinn and the h3 crate, and QUIC streams as they are for what that crate won't send.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::{Code, StreamError};
use h3_quinn::OpenStreams;
use quinn::crypto::rustls::QuicClientConfig;
use tokio::sync::Notify;

use super::message::{Answer, Piece, Request, head, map, texts};
use super::{certificate, soon};

type Up = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;
type Down = RequestStream<h3_quinn::RecvStream, Bytes>;

/// A QUIC connection that has negotiated HTTP/3.
pub async fn quic(address: SocketAddr, name: &str) -> (quinn::Endpoint, quinn::Connection) {
    let tls = certificate::client(&[b"h3"]);
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(config, address, name).unwrap();
    let connection = soon("a QUIC handshake", connecting).await.unwrap();
    (endpoint, connection)
}

/// A connection.
pub struct Client {
    send: SendRequest<OpenStreams, Bytes>,
    _endpoint: quinn::Endpoint,
}

impl Client {
    pub async fn connect(address: SocketAddr, name: &str) -> Client {
        let (endpoint, connection) = quic(address, name).await;
        let over = h3_quinn::Connection::new(connection);
        let (mut driver, send) = soon("h3 settings", h3::client::new(over)).await.unwrap();
        tokio::spawn(async move { driver.wait_idle().await });
        Client { send, _endpoint: endpoint }
    }

    pub async fn send(&mut self, request: &Request) -> Answer {
        let mut answer = Answer::default();
        if let Err(error) = self.exchange(request, &mut answer).await {
            answer.broken = Some(error.to_string());
        }
        // The h3 crate leaves this check to its user.
        let length = answer.field("content-length").and_then(|l| l.parse::<usize>().ok());
        let bodiless = request.method == "HEAD" || matches!(answer.status, 204 | 304);
        if length.is_some_and(|l| l != answer.body.len()) && !bodiless && answer.broken.is_none() {
            answer.broken = Some("the body is not as long as content-length says".into());
        }
        answer
    }

    async fn exchange(
        &mut self,
        request: &Request,
        answer: &mut Answer,
    ) -> Result<(), StreamError> {
        let stream = self.send.send_request(head(request, "https")).await?;
        let (mut up, mut down) = stream.split();
        let go = Notify::new();
        let writing = async {
            if request.expects {
                go.notified().await;
            }
            write_body(&mut up, request).await
        };
        tokio::pin!(writing);
        {
            let reading = read(&mut down, &go, answer);
            tokio::pin!(reading);
            let mut written = false;
            loop {
                tokio::select! {
                    biased;
                    read = &mut reading => return read,
                    stays = &mut writing, if !written => {
                        written = true;
                        if matches!(stays, Ok(false)) {
                            break;
                        }
                    }
                }
            }
        }
        answer.broken = Some("the client left".into());
        Ok(())
    }
}

async fn read(down: &mut Down, go: &Notify, answer: &mut Answer) -> Result<(), StreamError> {
    loop {
        let head = down.recv_response().await?;
        let (status, fields) = (head.status().as_u16(), texts(head.headers()));
        if status >= 200 {
            (answer.status, answer.fields) = (status, fields);
            break;
        }
        if status == 100 {
            go.notify_one();
        }
        answer.interim.push((status, fields));
    }
    while let Some(mut data) = down.recv_data().await? {
        while data.has_remaining() {
            let piece = data.chunk();
            answer.body.extend_from_slice(piece);
            let length = piece.len();
            data.advance(length);
        }
    }
    if let Some(trailers) = down.recv_trailers().await? {
        answer.trailers = texts(&trailers);
    }
    Ok(())
}

/// False: the request leaves off in the middle.
async fn write_body(up: &mut Up, request: &Request) -> Result<bool, StreamError> {
    for piece in &request.body {
        match piece {
            Piece::Pause(time) => tokio::time::sleep(*time).await,
            Piece::Leave => {
                up.stop_stream(Code::H3_REQUEST_CANCELLED);
                return Ok(false);
            }
            Piece::Data(data) => up.send_data(data.clone()).await?,
        }
    }
    if !request.trailers.is_empty() {
        up.send_trailers(map(&request.trailers)).await?;
    }
    up.finish().await?;
    Ok(true)
}
