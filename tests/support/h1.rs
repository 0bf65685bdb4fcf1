//! HTTP/1 as bytes, and a strict reader of responses: it says whole only where the framing does.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::message::{Answer, Piece, Request};
use super::{certificate, soon};

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

/// A connection.
pub struct Client {
    stream: Box<dyn Both>,
    /// What was read ahead.
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        let stream = soon("a connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream: Box::new(stream), buffer: Vec::new() }
    }

    pub async fn tls(address: SocketAddr, name: &str) -> Client {
        let stream = tls(address, name, &[b"http/1.1"]).await.unwrap();
        Client { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Bytes as they are.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // The peer may have refused and closed already; what it said is read all the same.
        let _ = self.stream.write_all(bytes.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// Says that nothing more will come.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// All that comes until the peer closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        let read = async {
            let mut all = std::mem::take(&mut self.buffer);
            let mut piece = [0; 16384];
            while let Ok(more @ 1..) = self.stream.read(&mut piece).await {
                all.extend_from_slice(&piece[..more]);
            }
            all
        };
        soon("the end of a connection", read).await
    }

    /// Whether the peer closes within a moment, without a further byte.
    pub async fn is_closed(&mut self) -> bool {
        let mut byte = [0; 1];
        let read = tokio::time::timeout(Duration::from_secs(3), self.stream.read(&mut byte)).await;
        self.buffer.is_empty() && matches!(read, Ok(Ok(0) | Err(_)))
    }

    pub async fn send(&mut self, request: &Request) -> Answer {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        if !request.fields.iter().any(|(n, _)| n.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("host: {}\r\n", request.authority));
        }
        for (name, value) in &request.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has_length = request.fields.iter().any(|(n, _)| n == "content-length");
        let chunked = !request.sized || !request.trailers.is_empty();
        if chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        } else if !request.body.is_empty() && !has_length {
            head.push_str(&format!("content-length: {}\r\n", request.length()));
        }
        if request.expects {
            head.push_str("expect: 100-continue\r\n");
        }
        head.push_str("\r\n");
        self.write(&head).await;

        let mut answer = Answer::default();
        let is_head = request.method == "HEAD";
        let go = Notify::new();
        let (mut reading, mut writing) = tokio::io::split(&mut self.stream);
        let writing = async {
            if request.expects {
                go.notified().await;
            }
            write_body(&mut writing, request, chunked).await
        };
        tokio::pin!(writing);
        let mut reader = Reader { stream: &mut reading, buffer: &mut self.buffer };
        let (mut written, mut left) = (false, false);
        {
            let reading = reader.answer(&mut answer, is_head, &go);
            tokio::pin!(reading);
            loop {
                // An answer may come before the request's end: both at once.
                tokio::select! {
                    biased;
                    () = &mut reading => break,
                    stays = &mut writing, if !written => {
                        written = true;
                        if !stays {
                            left = true;
                            break;
                        }
                    }
                }
            }
        }
        if left {
            answer.broken = Some("the client left".into());
        }
        answer
    }

    /// The next response; a request was written before.
    pub async fn answer(&mut self, is_head: bool) -> Answer {
        let mut answer = Answer::default();
        let mut reader = Reader { stream: &mut self.stream, buffer: &mut self.buffer };
        soon("an answer", reader.answer(&mut answer, is_head, &Notify::new())).await;
        answer
    }

    /// The transport itself, with what was read ahead.
    pub async fn read_some(&mut self) -> Vec<u8> {
        if !self.buffer.is_empty() {
            return std::mem::take(&mut self.buffer);
        }
        let mut piece = [0; 16384];
        let read = soon("bytes", self.stream.read(&mut piece)).await.unwrap_or(0);
        piece[..read].to_vec()
    }
}

/// A TLS connection.
pub async fn tls(
    address: SocketAddr,
    name: &str,
    alpn: &[&[u8]],
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let tcp = soon("a connection", TcpStream::connect(address)).await?;
    tcp.set_nodelay(true)?;
    let connector =
        tokio_rustls::TlsConnector::from(std::sync::Arc::new(certificate::client(alpn)));
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    soon("a TLS handshake", connector.connect(name, tcp)).await
}

/// False: the request leaves off in the middle.
async fn write_body(to: &mut (impl AsyncWrite + Unpin), request: &Request, chunked: bool) -> bool {
    for piece in &request.body {
        match piece {
            Piece::Pause(time) => tokio::time::sleep(*time).await,
            Piece::Leave => return false,
            Piece::Data(data) if chunked => {
                let _ = to.write_all(format!("{:x}\r\n", data.len()).as_bytes()).await;
                let _ = to.write_all(data).await;
                let _ = to.write_all(b"\r\n").await;
            }
            Piece::Data(data) => drop(to.write_all(data).await),
        }
        let _ = to.flush().await;
    }
    if chunked {
        let mut end = "0\r\n".to_owned();
        for (name, value) in &request.trailers {
            end.push_str(&format!("{name}: {value}\r\n"));
        }
        end.push_str("\r\n");
        let _ = to.write_all(end.as_bytes()).await;
        let _ = to.flush().await;
    }
    true
}

struct Reader<'a, S> {
    stream: &'a mut S,
    buffer: &'a mut Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<'_, S> {
    async fn answer(&mut self, answer: &mut Answer, is_head: bool, go: &Notify) {
        loop {
            if let Err(why) = self.head(answer).await {
                answer.broken = Some(why);
                return;
            }
            if answer.status >= 200 || answer.status == 101 {
                return self.rest(answer, is_head).await;
            }
            if answer.status == 100 {
                go.notify_one();
            }
            answer.interim.push((answer.status, std::mem::take(&mut answer.fields)));
            answer.status = 0;
        }
    }

    async fn fill(&mut self) -> Result<(), String> {
        match self.stream.read_buf(self.buffer).await {
            Ok(0) => Err("closed".into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.kind().to_string()),
        }
    }

    /// A line without its CRLF.
    async fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").ok_or("a bare line feed")?;
                return Ok(String::from_utf8_lossy(line).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn head(&mut self, answer: &mut Answer) -> Result<(), String> {
        let line = self.line().await?;
        let digits = line.strip_prefix("HTTP/1.1 ").ok_or(format!("not a status line: {line}"))?;
        let status = digits.get(..3).and_then(|d| d.parse().ok()).ok_or("no status")?;
        answer.fields = self.fields().await?;
        answer.status = status;
        Ok(())
    }

    async fn fields(&mut self) -> Result<Vec<(String, String)>, String> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    async fn rest(&mut self, answer: &mut Answer, is_head: bool) {
        answer.closed = answer.all("connection").iter().any(|v| v.eq_ignore_ascii_case("close"));
        if answer.status == 101 {
            return;
        }
        if let Err(why) = self.body(answer, is_head).await {
            answer.broken = Some(why);
        }
    }

    async fn body(&mut self, answer: &mut Answer, is_head: bool) -> Result<(), String> {
        let lengths = answer.all("content-length");
        let length = lengths.first().map(|l| l.parse::<usize>().unwrap());
        let chunked = !answer.all("transfer-encoding").is_empty();
        if lengths.len() > 1 || chunked && length.is_some() {
            return Err("ambiguous framing".into());
        }
        if is_head || matches!(answer.status, 204 | 304) {
            return if chunked { Err("chunked without a body".into()) } else { Ok(()) };
        }
        if let Some(length) = length {
            return self.take(length, &mut answer.body).await;
        }
        if !chunked {
            answer.closed = true;
            while self.fill().await.is_ok() {}
            answer.body.append(self.buffer);
            return Ok(());
        }
        loop {
            let line = self.line().await?;
            let size =
                usize::from_str_radix(&line, 16).map_err(|_| format!("chunk size {line:?}"))?;
            if size == 0 {
                answer.trailers = self.fields().await?;
                return Ok(());
            }
            self.take(size, &mut answer.body).await?;
            if !self.line().await?.is_empty() {
                return Err("no line end behind a chunk".into());
            }
        }
    }

    async fn take(&mut self, mut length: usize, body: &mut Vec<u8>) -> Result<(), String> {
        loop {
            let more = length.min(self.buffer.len());
            body.extend(self.buffer.drain(..more));
            length -= more;
            if length == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }
}
