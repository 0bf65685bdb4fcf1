//! Messages as tests write and read them.

/// Fields of a message, in order; names are found in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// All values of a name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let own = self.0.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        own.map(|(_, value)| value.as_str()).collect()
    }
}

/// A client's request.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) headers: Vec<(String, String)>,
    pub(super) chunks: Vec<Vec<u8>>,
    pub(super) trailers: Vec<(String, String)>,
}

impl Request {
    /// A request for `path` at `example.test`.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Request {
        let pseudo = [
            (":method", method),
            (":path", path),
            (":authority", "example.test"),
            (":scheme", "http"),
        ];
        let headers = pseudo.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Request { headers, chunks: Vec::new(), trailers: Vec::new() }
    }

    /// A GET.
    #[must_use]
    pub fn get(path: &str) -> Request {
        Request::new("GET", path)
    }

    /// A POST of this body.
    #[must_use]
    pub fn post(path: &str, body: impl AsRef<[u8]>) -> Request {
        Request::new("POST", path).chunk(body)
    }

    /// Adds a header; one of the pseudo-headers is replaced.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Request {
        match self.headers.iter_mut().find(|(own, _)| own == name && name.starts_with(':')) {
            Some((_, own)) => value.clone_into(own),
            None => self.headers.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Adds a part of the body, which arrives by itself.
    #[must_use]
    pub fn chunk(mut self, body: impl AsRef<[u8]>) -> Request {
        self.chunks.push(body.as_ref().to_vec());
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Request {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What an upstream answers.
#[derive(Clone, Debug)]
pub struct Response {
    pub(super) headers: Vec<(String, String)>,
    pub(super) chunks: Vec<Vec<u8>>,
    pub(super) trailers: Vec<(String, String)>,
}

impl Response {
    /// One without a body.
    #[must_use]
    pub fn new(status: u16) -> Response {
        let headers = vec![(":status".to_owned(), status.to_string())];
        Response { headers, chunks: Vec::new(), trailers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a part of the body, which arrives by itself.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Response {
        self.chunks.push(body.as_ref().to_vec());
        self
    }

    /// Adds a trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Response {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The request as it went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// With the pseudo-headers.
    pub headers: Headers,
    /// All of the body.
    pub body: Vec<u8>,
    /// After the body.
    pub trailers: Headers,
}

/// What became of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of the response; 0 when the filter broke the exchange off.
    pub status: u16,
    /// Of the response.
    pub headers: Headers,
    /// All of the response's body.
    pub body: Vec<u8>,
    /// After the response's body.
    pub trailers: Headers,
    /// The body's chunks as they came out.
    pub chunks: Vec<Vec<u8>>,
    /// The request, when it went on to the upstream.
    pub request: Option<Sent>,
    /// Whether the filter answered itself.
    pub answered: bool,
}

impl Outcome {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
