//! HTTP/2 by the h2 crate: over TLS, and in clear text by prior knowledge.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::message::{Answer, Piece, Request, head, map, texts};
use super::soon;

/// A connection.
#[derive(Clone)]
pub struct Client {
    pub send: SendRequest<Bytes>,
    scheme: &'static str,
}

impl Client {
    pub async fn clear(address: SocketAddr) -> Client {
        let stream = soon("a connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::over(stream, "http").await
    }

    pub async fn tls(address: SocketAddr, name: &str) -> Client {
        let stream = super::h1::tls(address, name, &[b"h2"]).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Client::over(stream, "https").await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        scheme: &'static str,
    ) -> Client {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 22);
        let made = builder.enable_push(false).handshake(stream);
        let (send, connection) = soon("an h2 handshake", made).await.unwrap();
        // It ends with the test's loop, or with the last handle.
        tokio::spawn(connection);
        Client { send, scheme }
    }

    pub async fn send(&mut self, request: &Request) -> Answer {
        let mut answer = Answer::default();
        if let Err(error) = self.exchange(request, &mut answer).await {
            answer.broken = Some(error.to_string());
        }
        answer
    }

    async fn exchange(&mut self, request: &Request, answer: &mut Answer) -> Result<(), h2::Error> {
        let mut ready = self.send.clone().ready().await?;
        let ends = request.body.is_empty() && request.trailers.is_empty();
        let (response, mut stream) = ready.send_request(head(request, self.scheme), ends)?;
        let go = Notify::new();
        let writing = async {
            if request.expects {
                go.notified().await;
            }
            if ends { Ok(true) } else { write_body(&mut stream, request).await }
        };
        tokio::pin!(writing);
        let reading = read(response, &go, answer);
        tokio::pin!(reading);
        let mut written = false;
        loop {
            // An answer may come before the request's end: both at once.
            tokio::select! {
                biased;
                read = &mut reading => return read,
                stays = &mut writing, if !written => {
                    written = true;
                    // An error shows on the response, too.
                    if matches!(stays, Ok(false)) {
                        return Err(Reason::CANCEL.into());
                    }
                }
            }
        }
    }
}

async fn read(
    mut response: ResponseFuture,
    go: &Notify,
    answer: &mut Answer,
) -> Result<(), h2::Error> {
    let head = poll_fn(|cx| poll_head(cx, &mut response, go, answer)).await?;
    answer.status = head.status().as_u16();
    answer.fields = texts(head.headers());
    let mut body = head.into_body();
    while let Some(data) = body.data().await {
        let data = data?;
        answer.body.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
    }
    if let Some(trailers) = body.trailers().await? {
        answer.trailers = texts(&trailers);
    }
    Ok(())
}

fn poll_head(
    cx: &mut Context<'_>,
    response: &mut ResponseFuture,
    go: &Notify,
    answer: &mut Answer,
) -> Poll<Result<http::Response<RecvStream>, h2::Error>> {
    while let Poll::Ready(Some(Ok(interim))) = response.poll_informational(cx) {
        if interim.status() == 100 {
            go.notify_one();
        }
        answer.interim.push((interim.status().as_u16(), texts(interim.headers())));
    }
    std::pin::Pin::new(response).poll(cx)
}

/// False: the request leaves off in the middle.
async fn write_body(stream: &mut SendStream<Bytes>, request: &Request) -> Result<bool, h2::Error> {
    let last = request.body.len();
    for (index, piece) in request.body.iter().enumerate() {
        match piece {
            Piece::Pause(time) => tokio::time::sleep(*time).await,
            Piece::Leave => {
                stream.send_reset(Reason::CANCEL);
                return Ok(false);
            }
            Piece::Data(data) => {
                let ends = index + 1 == last && request.trailers.is_empty();
                put(stream, data.clone(), ends).await?;
            }
        }
    }
    if !request.trailers.is_empty() {
        stream.send_trailers(map(&request.trailers))?;
    } else if !matches!(request.body.last(), Some(Piece::Data(_))) {
        stream.send_data(Bytes::new(), true)?;
    }
    Ok(true)
}

/// Sends bytes as the window allows.
pub async fn put(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    ends: bool,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(Reason::STREAM_CLOSED.into()),
        };
        let now = data.split_to(room.min(data.len()));
        stream.send_data(now, ends && data.is_empty())?;
    }
    Ok(())
}
