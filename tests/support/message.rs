//! Messages as a test thinks of them, whatever protocol carries them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{Gateway, h1, h2, h3};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Clear text.
    H1,
    /// Over TLS.
    H2,
    H3,
}

pub const ALL: [Protocol; 3] = [Protocol::H1, Protocol::H2, Protocol::H3];

impl Protocol {
    /// As `Via` and the log have it.
    pub fn version(self) -> &'static str {
        match self {
            Protocol::H1 => "1.1",
            Protocol::H2 => "2",
            Protocol::H3 => "3",
        }
    }

    pub fn scheme(self) -> &'static str {
        if self == Protocol::H1 { "http" } else { "https" }
    }

    pub fn name(self) -> &'static str {
        ["h1", "h2", "h3"][self as usize]
    }
}

/// What is sent as a body, step by step.
#[derive(Debug, Clone)]
pub enum Piece {
    Data(Bytes),
    Pause(Duration),
    /// The client leaves here: a reset, or a closed connection.
    Leave,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub authority: String,
    pub fields: Vec<(String, String)>,
    pub body: Vec<Piece>,
    /// Says `content-length`; without it HTTP/1 is chunked.
    pub sized: bool,
    /// Waits for a 100 before the body.
    pub expects: bool,
    pub trailers: Vec<(String, String)>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Request {
        Request {
            method: method.into(),
            target: target.into(),
            authority: "a.test".into(),
            fields: Vec::new(),
            body: Vec::new(),
            sized: true,
            expects: false,
            trailers: Vec::new(),
        }
    }

    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    pub fn host(mut self, host: &str) -> Request {
        self.authority = host.into();
        self
    }

    pub fn field(mut self, name: &str, value: &str) -> Request {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, bytes: impl Into<Bytes>) -> Request {
        self.body.push(Piece::Data(bytes.into()));
        self
    }

    /// Bytes of the body.
    pub fn length(&self) -> usize {
        let size = |p: &Piece| if let Piece::Data(data) = p { data.len() } else { 0 };
        self.body.iter().map(size).sum()
    }
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// 1xx responses: status and fields.
    pub interim: Vec<(u16, Vec<(String, String)>)>,
    /// 0: no final head came.
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// Why the message is not whole, as its protocol tells it; `None`: it is whole.
    pub broken: Option<String>,
    /// It says (HTTP/1), or the peer showed, that the connection ends here.
    pub closed: bool,
}

impl Answer {
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.fields.iter().filter(same).map(|(_, v)| v.as_str()).collect()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A whole message with this status.
    pub fn is(&self, status: u16) -> bool {
        self.status == status && self.broken.is_none()
    }

    #[track_caller]
    pub fn assert(&self, status: u16) -> &Answer {
        assert!(self.is(status), "expected a whole {status}, got {self}");
        self
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (status, fields) in &self.interim {
            writeln!(f, "(interim {status} {fields:?})")?;
        }
        for (name, value) in &self.fields {
            writeln!(f, "{name}: {value}")?;
        }
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        writeln!(f, "\n{} ({} bytes)", text.escape_debug(), self.body.len())?;
        for (name, value) in &self.trailers {
            writeln!(f, "(trailer) {name}: {value}")?;
        }
        match &self.broken {
            Some(why) => write!(f, "(broken: {why})"),
            None => Ok(()),
        }
    }
}

/// A client's connection, in any protocol.
pub enum Client {
    H1(h1::Client),
    H2(h2::Client),
    H3(h3::Client),
}

impl Client {
    /// Connects; `name` is the server name where there is TLS.
    pub async fn connect(protocol: Protocol, gateway: &Gateway, name: &str) -> Client {
        match protocol {
            Protocol::H1 => Client::H1(h1::Client::connect(gateway.clear).await),
            Protocol::H2 => Client::H2(h2::Client::tls(gateway.tls, name).await),
            Protocol::H3 => Client::H3(h3::Client::connect(gateway.tls, name).await),
        }
    }

    pub async fn send(&mut self, request: &Request) -> Answer {
        let what = format!("{} {}", request.method, request.target);
        match self {
            Client::H1(client) => super::soon(&what, client.send(request)).await,
            Client::H2(client) => super::soon(&what, client.send(request)).await,
            Client::H3(client) => super::soon(&what, client.send(request)).await,
        }
    }
}

/// One request on a connection of its own.
pub async fn ask(protocol: Protocol, gateway: &Gateway, request: &Request) -> Answer {
    let name = request.authority.split(':').next().unwrap();
    Client::connect(protocol, gateway, name).await.send(request).await
}

/// The fields of an `http::HeaderMap`, as text.
pub fn texts(map: &http::HeaderMap) -> Vec<(String, String)> {
    let text = |v: &http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    map.iter().map(|(n, v)| (n.to_string(), text(v))).collect()
}

/// The other way.
pub fn map(fields: &[(String, String)]) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
        map.append(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// The head as the `http` crate has it.
pub fn head(request: &Request, scheme: &str) -> http::Request<()> {
    let uri = format!("{scheme}://{}{}", request.authority, request.target);
    let mut head = http::Request::new(());
    *head.method_mut() = request.method.parse().unwrap();
    *head.uri_mut() = uri.parse().unwrap();
    *head.headers_mut() = map(&request.fields);
    if request.sized && !request.body.is_empty() && !head.headers().contains_key("content-length") {
        head.headers_mut().insert("content-length", request.length().into());
    }
    if request.expects {
        head.headers_mut().insert("expect", http::HeaderValue::from_static("100-continue"));
    }
    head
}
