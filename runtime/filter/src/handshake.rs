//! A TLS handshake, as the filters see it that take part in it.

use std::any::Any;
use std::cell::OnceCell;
use std::rc::Rc;

/// A certificate and its issuers, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateChain(pub Vec<Vec<u8>>);

/// A private key.
pub struct PrivateKey {
    /// DER: PKCS #8, PKCS #1 or SEC 1.
    pub der: Vec<u8>,
    /// What whoever signs with it has made of it: that takes longer than a handshake may.
    pub ready: OnceCell<Box<dyn Any>>,
}

impl PrivateKey {
    /// A key that nobody has used.
    pub fn new(der: Vec<u8>) -> PrivateKey {
        PrivateKey { der, ready: OnceCell::new() }
    }
}

/// A handshake under way. With a client it begins as the listener has it, with an endpoint as its
/// upstream does; filters change it.
#[derive(Default)]
pub struct Handshake {
    /// What the client has said. Of a handshake with an endpoint there is nothing in it.
    pub hello: Hello,
    /// What we show.
    pub credentials: Credentials,
    /// The versions that are spoken.
    pub versions: Versions,
    /// Numbers of the cipher suites that we have.
    pub suites: Vec<u16>,
    /// Whether the other side must show a certificate, or what that must be.
    pub trust: Option<Trust>,
    /// The session that was there before, or that this handshake makes.
    pub session: Session,
    /// The client can't go on with this connection's session.
    pub no_session: bool,
    /// Chain of the endpoint, and what is wrong with it.
    pub shown: Vec<Vec<u8>>,
    /// The version that is spoken with the endpoint, once that is known.
    pub spoken: Option<u16>,
    /// OpenSSL's number of what is wrong with what the endpoint has shown; 0: nothing.
    pub flaw: u32,
    /// What the requests of the connection are to find.
    pub heirlooms: Vec<Rc<dyn Any>>,
}

/// Which versions may be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// TLS 1.2.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
}

impl Default for Versions {
    fn default() -> Versions {
        Versions { tls12: true, tls13: true }
    }
}

/// What is shown in a handshake.
#[derive(Default)]
pub struct Credentials {
    /// Nothing of what the manifest names is shown.
    pub cleared: bool,
    /// Certificates of filters; each has its key among the keys.
    pub chains: Vec<Rc<CertificateChain>>,
    /// Private keys.
    pub keys: Vec<Rc<PrivateKey>>,
    /// An OCSP response to staple.
    pub staple: Option<Vec<u8>>,
}

/// Whose certificates are taken.
#[derive(Clone, Default)]
pub struct Trust {
    /// Whether an endpoint's certificate matters; `None`: as its upstream has it.
    pub verify: Option<bool>,
    /// Whose names a client is told.
    pub named: Option<Rc<CertificateChain>>,
    /// Who is trusted.
    pub issuers: Option<Rc<CertificateChain>>,
    /// Certificates between a peer's and a trusted one.
    pub depth: Option<u32>,
}

/// A TLS session, as far as filters keep it.
#[derive(Debug, Default)]
pub struct Session {
    /// The number of the one that the client offers, or that was made.
    pub id: Vec<u8>,
    /// All that it takes to go on with it: secret.
    pub value: Option<Vec<u8>>,
}

/// A client's first message (RFC 8446 section 4.1.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// Its random bytes.
    pub random: [u8; 32],
    /// The session of TLS 1.2 to go on with, or something to hide behind.
    pub session: Vec<u8>,
    /// Numbers of cipher suites, the best first.
    pub suites: Vec<u16>,
    /// Extensions by number, in order.
    pub extensions: Vec<(u16, Vec<u8>)>,
}

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const SUPPORTED_VERSIONS: u16 = 43;
const PRE_SHARED_KEY: u16 = 41;
/// Content type of records that carry handshakes.
const HANDSHAKE: u8 = 22;

impl Hello {
    /// Reads records as they came; `None` when they begin with something else, or too little of it.
    pub fn read(mut records: &[u8]) -> Option<Hello> {
        let mut message = Vec::new();
        while !records.is_empty() {
            let (head, rest) = records.split_at_checked(5)?;
            let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
            if head[0] != HANDSHAKE {
                return None;
            }
            let (body, rest) = rest.split_at_checked(length)?;
            message.extend_from_slice(body);
            if let Some(hello) = Hello::of_message(&message) {
                return Some(hello);
            }
            records = rest;
        }
        None
    }

    fn of_message(message: &[u8]) -> Option<Hello> {
        let mut outer = Bytes(message);
        if outer.number(1)? != usize::from(CLIENT_HELLO) {
            return None;
        }
        let mut body = Bytes(outer.list(3)?);
        body.take(2)?;
        let random = body.take(32)?.try_into().ok()?;
        let session = body.list(1)?.to_vec();
        let suites = body.list(2)?.chunks_exact(2);
        let suites = suites.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        body.list(1)?;
        let mut extensions = Vec::new();
        let mut list = Bytes(if body.0.is_empty() { &[] } else { body.list(2)? });
        while !list.0.is_empty() {
            let kind = list.number(2)? as u16;
            extensions.push((kind, list.list(2)?.to_vec()));
        }
        Some(Hello { random, session, suites, extensions })
    }

    /// An extension's content.
    pub fn extension(&self, kind: u16) -> Option<&[u8]> {
        self.extensions.iter().find(|(known, _)| *known == kind).map(|(_, content)| &**content)
    }

    /// The name that is asked for.
    pub fn server_name(&self) -> Option<&str> {
        let mut names = Bytes(Bytes(self.extension(SERVER_NAME)?).list(2)?);
        while !names.0.is_empty() {
            let (kind, name) = (names.number(1)?, names.list(2)?);
            if kind == 0 {
                return std::str::from_utf8(name).ok();
            }
        }
        None
    }

    /// The versions that the client speaks, the best first; none when it does not say.
    pub fn versions(&self) -> Vec<u16> {
        let list = self.extension(SUPPORTED_VERSIONS).and_then(|content| Bytes(content).list(1));
        let pairs = list.unwrap_or_default().chunks_exact(2);
        pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    /// The ticket of TLS 1.3 that is offered first.
    fn ticket(&self) -> Option<&[u8]> {
        let mut identities = Bytes(Bytes(self.extension(PRE_SHARED_KEY)?).list(2)?);
        identities.list(2)
    }
}

/// The versions as they stand in messages.
const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

impl Handshake {
    /// The version that comes of it, if any does.
    pub fn version(&self) -> Option<u16> {
        let spoken = self.hello.versions();
        if self.versions.tls13 && spoken.contains(&TLS13) {
            return Some(TLS13);
        }
        let tls12 = spoken.is_empty() || spoken.contains(&TLS12);
        (self.versions.tls12 && tls12).then_some(TLS12)
    }

    /// The session that the client wants to go on with.
    pub fn offered(&self) -> Option<&[u8]> {
        match self.version()? {
            TLS13 => self.hello.ticket(),
            _ => Some(&*self.hello.session).filter(|id| !id.is_empty()),
        }
    }
}

/// What is left of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        Some(self.take(width)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Bytes behind their count.
    fn list(&mut self, width: usize) -> Option<&'a [u8]> {
        let count = self.number(width)?;
        self.take(count)
    }
}

#[cfg(test)]
mod tests;
