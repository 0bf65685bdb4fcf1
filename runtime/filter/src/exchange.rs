//! One request and its response, whatever protocol carries them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pilotlight_abi::Value;

use crate::body::Body;
use crate::fields::Fields;
use crate::flow::Flow;
use crate::handshake::Handshake;
use crate::head::{RequestHead, ResponseHead};
use crate::host::Socket;

/// The subject of every filter.
pub struct Exchange {
    /// Unique in the process for its life. Handles that scripts keep are checked against it.
    pub serial: u64,
    /// The request id, taken from the client or made by the gateway.
    pub id: Box<str>,
    /// The request; filters change it before it goes to the upstream.
    pub request: Request,
    /// The response; meaningful once `origin` is set.
    pub response: Response,
    /// The route's name.
    pub route: Arc<str>,
    /// The upstream's name; assignable by filters until an endpoint is picked.
    pub upstream: Option<Arc<str>>,
    /// The client.
    pub peer: Rc<Peer>,
    /// Values that filters leave for each other and for the log, by name (`lua.*`, `wasm.*`, ...).
    pub properties: Vec<(Box<str>, Value)>,
    /// Fields that filters add to the access log.
    pub log: Vec<(Box<str>, Value)>,
    /// With [`Verdict::Reroute`](crate::Verdict::Reroute): the name of the route; `None`: it is looked
    /// for by the request's path.
    pub reroute: Option<Box<str>>,
    /// Internal redirects so far.
    pub reroutes: u8,
    /// The exchange that made this request by [`Services::subrequest`](crate::Services::subrequest);
    /// `None`: a client did.
    pub parent: Option<Parent>,
    /// Subrequests that are under way for the client's request, once there was one.
    pub family: Option<Rc<Cell<u32>>>,
    /// Set in the upstream phase: the server to go to, instead of one that the upstream's balance
    /// picks. The phase runs anew for each try, with none.
    pub pick: Option<Box<Pick>>,
    /// In the upstream phase: how the try before went wrong; `None`: this is the first.
    pub failure: Option<Failure>,
    /// The request's target as the client sent it, where something has changed it since.
    pub original: Option<Box<[u8]>>,
    /// What the route's pattern captured: 0 is the whole, where there is a pattern.
    pub captures: Vec<Box<[u8]>>,
    /// Response fields that filters set before there was a response: they go out with it, whoever
    /// writes it.
    pub early: Option<Box<Fields>>,
    /// A filter wants the client's connection itself: the host grants it while the filter waits.
    pub takeover: Option<Rc<Takeover>>,
    /// What a client is shown, as HTML, of the failure of the filter that has just failed.
    pub page: Option<Box<str>>,
    /// The filter that has just failed had no room for it: the client may try again.
    pub busy: bool,
    /// The server that was asked last.
    pub server: Option<Box<Server>>,
    /// The route is to be looked for again, by the request as it is by then; the chain stays.
    pub rematch: bool,
    /// A filter is to be asked when the exchange is polled, whatever it waits for.
    pub aside: bool,
    /// What engines keep for the exchange as long as it lives.
    pub kept: Vec<Box<dyn Any>>,
    /// In the phases of a TLS handshake: that. In the upstream phase a filter may leave one for the
    /// try that follows, which then has a connection of its own.
    pub handshake: Option<Box<Handshake>>,
    /// Of a connection without HTTP: that. The request and the response are empty then.
    pub flow: Option<Box<Flow>>,
    /// Where the filter that has just run stood when it had held its worker for long; who reports that
    /// takes it.
    pub stall: Cell<Option<Box<str>>>,
    /// Figures for the log phase.
    pub stats: Stats,
}

/// A request: its head here, its body on the way.
#[derive(Default)]
pub struct Request {
    /// Method, target and fields.
    pub head: RequestHead,
    /// The body, with its trailers; in a trailers phase they stand in it.
    pub body: Body,
    /// The protocol that the client wants to switch to ("websocket"), when it is one we tunnel.
    pub upgrade: Option<Box<str>>,
}

/// A response: its head here, its body on the way.
#[derive(Default)]
pub struct Response {
    /// Status and fields.
    pub head: ResponseHead,
    /// The body, with its trailers; in a trailers phase they stand in it.
    pub body: Body,
    /// Who wrote it; `None` while there is none.
    pub origin: Option<Origin>,
    /// Its body is the usual page for its status: an error page of the route may take its place.
    pub stock: bool,
    /// A filter wants it to go out without a date.
    pub dateless: bool,
}

/// Who made a subrequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Its serial.
    pub serial: u64,
    /// How many subrequests stand in each other, this one included.
    pub depth: u8,
}

/// A server that a filter picked. What is not said is as the upstream's settings have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pick {
    /// An address or a name, without brackets; `unix:` and a path for a socket.
    pub host: Box<str>,
    /// Its port.
    pub port: u16,
    /// Whether it is reached by TLS; `None`: as the upstream's first endpoint.
    pub tls: Option<bool>,
    /// The name that its certificate must hold.
    pub server_name: Option<Box<str>>,
    /// To connect, with TLS.
    pub connect: Option<Duration>,
    /// Between two reads of the response, its head included.
    pub read: Option<Duration>,
    /// Tries that may follow when this one fails, beside those of the route's `retry`.
    pub more_tries: u32,
}

/// Where a filter finds the connection that it wants.
#[derive(Default)]
pub struct Takeover(RefCell<Option<Option<Taken>>>);

/// A client's connection that a filter has taken over: what it speaks is the filter's affair.
pub struct Taken {
    /// The connection.
    pub socket: Box<dyn Socket>,
    /// What was read of it already.
    pub early: Bytes,
}

impl Takeover {
    /// Hands it over; `None`: the protocol has no connection of the exchange's own.
    pub fn grant(&self, taken: Option<Taken>) {
        self.0.replace(Some(taken));
    }

    /// What was granted; `None` while nothing was decided.
    pub fn take(&self) -> Option<Option<Taken>> {
        self.0.take()
    }
}

/// How a try at an upstream went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// The server's answer was refused for its status; else there was none.
    pub answered: bool,
    /// That status, or the one that stands for what happened: 502, 504.
    pub status: u16,
}

/// Who wrote a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The upstream.
    Upstream,
    /// A filter or a route's script.
    Filter,
    /// The gateway: an error, a redirect, a file, a fixed answer.
    Gateway,
}

impl Origin {
    /// As scripts see it in `res.from`.
    pub const fn name(self) -> &'static str {
        match self {
            Origin::Upstream => "upstream",
            Origin::Filter => "filter",
            Origin::Gateway => "gateway",
        }
    }
}

/// The other side of a connection; shared by its exchanges.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client's address, by the PROXY protocol where it is on. Unspecified for Unix sockets.
    pub address: IpAddr,
    /// The same as text.
    pub text: Box<str>,
    /// The client's port; 0 for Unix sockets.
    pub port: u16,
    /// Where it connected to.
    pub local: Option<SocketAddr>,
    /// Of a TLS connection; boxed, since others need no room for it.
    pub tls: Option<Box<TlsInfo>>,
    /// The listener's name.
    pub listener: Arc<str>,
    /// Its number among the connections of this worker.
    pub number: u64,
    /// Requests that came over it so far, the one at hand included.
    pub requests: Cell<u64>,
    /// What filters of its handshake have left for its requests.
    pub heirlooms: Heirlooms,
}

impl Peer {
    /// A client of which no more is known.
    pub fn new(address: IpAddr, port: u16, listener: impl Into<Arc<str>>) -> Peer {
        Peer {
            address,
            text: address.to_string().into(),
            port,
            local: None,
            tls: None,
            listener: listener.into(),
            number: 0,
            requests: Cell::default(),
            heirlooms: Heirlooms::default(),
        }
    }
}

/// Values of engines that a connection holds.
#[derive(Clone, Default)]
pub struct Heirlooms(pub Vec<Rc<dyn Any>>);

impl fmt::Debug for Heirlooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heirlooms({})", self.0.len())
    }
}

/// What is known of a TLS connection.
#[derive(Debug, Clone, Default)]
pub struct TlsInfo {
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The name the client asked for (SNI).
    pub server_name: Option<Box<str>>,
    /// The protocol agreed on: "http/1.1", "h2", "h3".
    pub alpn: Option<Box<str>>,
    /// The client's certificate, verified.
    pub client: Option<Identity>,
    /// A certificate that is not to be trusted, and why; a filter had asked for any.
    pub distrusted: Option<Box<(Identity, Box<str>)>>,
    /// The client's random bytes, where filters took part in the handshake.
    pub random: Option<Box<[u8; 32]>>,
    /// What the client was shown.
    pub shown: Option<Arc<dyn Certificates>>,
}

/// Whom a certificate is for.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The subject, RFC 4514 form.
    pub subject: Box<str>,
    /// Subject alternative names: DNS names, addresses and URIs.
    pub san: Vec<Box<str>>,
    /// SHA-256 of the certificate, lower-case hex.
    pub fingerprint: Box<str>,
    /// Of a client's: it and what was sent with it, DER.
    pub chain: Vec<Box<[u8]>>,
}

/// What one side of a connection shows. It is read when a filter asks.
pub trait Certificates: fmt::Debug {
    /// Whom it names to a client that asked for a server's name, or for none.
    fn identity(&self, server_name: Option<&str>) -> Option<Identity>;
}

/// A server that was asked.
pub struct Server {
    /// Its address or path.
    pub address: Rc<str>,
    /// The connection to it, once there was one.
    pub link: Option<Rc<Link>>,
    /// Why it did not answer, in the words of RFC 9209; else empty.
    pub failure: &'static str,
}

/// A connection to a server.
pub struct Link {
    /// Our end of it; `None` for Unix sockets.
    pub local: Option<SocketAddr>,
    /// The version of TLS, "1.2" or "1.3"; `None` in clear text.
    pub tls: Option<&'static str>,
    /// What the server has shown.
    pub shown: Option<Box<dyn Certificates>>,
}

/// Figures of an exchange, for its log phase. Times are seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Wall clock when the request's head had arrived, seconds since 1970.
    pub started: f64,
    /// From then to the last byte of the response.
    pub duration: f64,
    /// From the request's being sent upstream to the response's head; 0 without an upstream.
    pub upstream: f64,
    /// From the first try's beginning to a connection; 0 when one was there.
    pub connect: f64,
    /// The status that the upstream answered with; 0: it did not.
    pub upstream_status: u16,
    /// Body bytes from the client.
    pub received: u64,
    /// Body bytes to the client.
    pub sent: u64,
    /// Bytes of the response's head, where filters might ask.
    pub head: u64,
    /// Tries beyond the first.
    pub retries: u32,
}

impl Exchange {
    /// An exchange at its beginning.
    pub fn new(serial: u64, peer: Rc<Peer>, request: Request) -> Exchange {
        Exchange {
            serial,
            id: Box::default(),
            request,
            response: Response::default(),
            route: Arc::from(""),
            upstream: None,
            peer,
            properties: Vec::new(),
            log: Vec::new(),
            reroute: None,
            reroutes: 0,
            parent: None,
            family: None,
            pick: None,
            failure: None,
            original: None,
            captures: Vec::new(),
            early: None,
            takeover: None,
            page: None,
            busy: false,
            server: None,
            rematch: false,
            aside: false,
            kept: Vec::new(),
            handshake: None,
            flow: None,
            stall: Cell::new(None),
            stats: Stats::default(),
        }
    }

    /// Makes it ready for another request, keeping the memory of its heads.
    pub fn renew(&mut self, serial: u64) {
        let (request, response) = (&mut self.request, &mut self.response);
        (request.body, response.body) = (Body::empty(), Body::empty());
        (request.upgrade, response.origin) = (None, None);
        response.dateless = false;
        request.head.fields.clear();
        response.head.fields.clear();
        (response.head.status, response.head.reason) = (0, None);
        self.serial = serial;
        self.upstream = None;
        self.properties.clear();
        self.log.clear();
        (self.reroute, self.reroutes) = (None, 0);
        (self.family, self.pick, self.failure) = (None, None, None);
        (self.original, self.early, self.page, self.server) = (None, None, None, None);
        (self.takeover, self.aside, self.rematch) = (None, false, false);
        self.captures.clear();
        self.kept.clear();
        (self.handshake, self.flow) = (None, None);
        self.stall.set(None);
        self.stats = Stats::default();
    }

    /// Begins a response of a filter's own: what was there before is dropped.
    pub fn reply(&mut self, status: u16, body: Bytes) -> &mut ResponseHead {
        self.response.head.fields.clear();
        (self.response.head.status, self.response.head.reason) = (status, None);
        self.response.head.version = self.request.head.version;
        self.response.body = Body::full(body);
        (self.response.origin, self.response.stock) = (Some(Origin::Filter), false);
        self.response.dateless = false;
        &mut self.response.head
    }

    /// Begins a response of a filter's own with the fields that were set before; its body is empty.
    pub fn begin_reply(&mut self, status: u16) {
        let early = self.early.take();
        self.reply(status, Bytes::new());
        if let Some(early) = early {
            self.response.head.fields = *early;
        }
    }

    /// The response's fields: before there is a response, those that will go out with it.
    pub fn response_fields(&self) -> Option<&Fields> {
        match self.response.origin {
            None => self.early.as_deref(),
            Some(_) => Some(&self.response.head.fields),
        }
    }

    /// The same, to be changed.
    pub fn response_fields_mut(&mut self) -> &mut Fields {
        match self.response.origin {
            None => self.early.get_or_insert_default(),
            Some(_) => &mut self.response.head.fields,
        }
    }

    /// Fields that were set before there was a response go into it; those of one name are replaced.
    pub fn merge_early(&mut self) {
        let Some(early) = self.early.take() else { return };
        for (_, name, _) in early.iter() {
            self.response.head.fields.remove(name);
        }
        for (_, name, value) in early.iter() {
            self.response.head.fields.push_checked(name, value);
        }
    }

    /// Remembers the request's target, which is about to be changed.
    pub fn keep_target(&mut self) {
        if self.original.is_none() {
            let head = &self.request.head;
            let mut target = head.path().to_vec();
            if let Some(query) = head.query() {
                target.push(b'?');
                target.extend_from_slice(query);
            }
            self.original = Some(target.into());
        }
    }

    /// A property by name.
    pub fn property(&self, name: &str) -> Option<&Value> {
        self.properties.iter().find(|(key, _)| &**key == name).map(|(_, value)| value)
    }

    /// Sets a property; `Nil` takes it away. At most [`PROPERTIES_MAX`]; false past that.
    pub fn set_property(&mut self, name: &str, value: Value) -> bool {
        self.properties.retain(|(key, _)| &**key != name);
        if value == Value::Nil {
            return true;
        }
        let room = self.properties.len() < PROPERTIES_MAX;
        if room {
            self.properties.push((name.into(), value));
        }
        room
    }
}

/// Properties of one exchange.
pub const PROPERTIES_MAX: usize = 256;
