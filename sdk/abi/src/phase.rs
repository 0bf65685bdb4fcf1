//! The moments of an exchange at which a filter may act.

/// One moment of an exchange. Request phases run in chain order, response phases in reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// A connection was accepted; no request yet.
    Connect,
    /// The request's head is here.
    Request,
    /// A chunk of the request's body passes.
    RequestBody,
    /// The request's trailers are here.
    RequestTrailers,
    /// An endpoint is about to be picked.
    Upstream,
    /// The response's head is here.
    Response,
    /// A chunk of the response's body passes.
    ResponseBody,
    /// The response's trailers are here.
    ResponseTrailers,
    /// The exchange is over; runs once, always.
    Log,
    /// The first message of a client's TLS handshake is here.
    ClientHello,
    /// A client offers a TLS session to go on with.
    SessionFetch,
    /// The certificate that a client sees is about to be chosen.
    Certificate,
    /// A TLS session was made that a client may come back with.
    SessionStore,
    /// A TLS handshake with an endpoint begins.
    UpstreamCertificate,
    /// An endpoint has shown its certificate.
    UpstreamVerify,
}

impl Phase {
    /// Every phase of an exchange, in the order in which it meets them: what any filter may have.
    pub const ALL: [Phase; 9] = [
        Phase::Connect,
        Phase::Request,
        Phase::RequestBody,
        Phase::RequestTrailers,
        Phase::Upstream,
        Phase::Response,
        Phase::ResponseBody,
        Phase::ResponseTrailers,
        Phase::Log,
    ];

    /// The phases of TLS handshakes, for the filters that know what to do there.
    pub const HANDSHAKES: [Phase; 6] = [
        Phase::ClientHello,
        Phase::SessionFetch,
        Phase::Certificate,
        Phase::SessionStore,
        Phase::UpstreamCertificate,
        Phase::UpstreamVerify,
    ];

    /// How many there are.
    pub const COUNT: usize = Phase::ALL.len() + Phase::HANDSHAKES.len();

    /// The name in scripts, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Request => "request",
            Phase::RequestBody => "request_body",
            Phase::RequestTrailers => "request_trailers",
            Phase::Upstream => "upstream",
            Phase::Response => "response",
            Phase::ResponseBody => "response_body",
            Phase::ResponseTrailers => "response_trailers",
            Phase::Log => "log",
            Phase::ClientHello => "client_hello",
            Phase::SessionFetch => "session_fetch",
            Phase::Certificate => "certificate",
            Phase::SessionStore => "session_store",
            Phase::UpstreamCertificate => "upstream_certificate",
            Phase::UpstreamVerify => "upstream_verify",
        }
    }

    /// True for the phases of a handshake with a client.
    pub const fn is_of_client(self) -> bool {
        matches!(
            self,
            Phase::ClientHello | Phase::SessionFetch | Phase::Certificate | Phase::SessionStore
        )
    }

    /// True for the phases that walk the chain backwards.
    pub const fn is_response(self) -> bool {
        matches!(self, Phase::Response | Phase::ResponseBody | Phase::ResponseTrailers)
    }
}

/// A set of phases: what a filter wants to be called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases(u16);

impl Phases {
    /// No phase.
    pub const NONE: Phases = Phases(0);

    /// The set as a number, for [`Phases::from_bits`] of the same build.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The set that a number stands for.
    pub const fn from_bits(bits: u16) -> Phases {
        Phases(bits)
    }

    /// This set and `phase`.
    pub const fn with(self, phase: Phase) -> Phases {
        Phases(self.0 | 1 << phase as u16)
    }

    /// Whether `phase` is in the set.
    pub const fn has(self, phase: Phase) -> bool {
        self.0 & (1 << phase as u16) != 0
    }

    /// The phases of either set.
    pub const fn union(self, other: Phases) -> Phases {
        Phases(self.0 | other.0)
    }

    /// The phases that `other` has not.
    pub const fn without(self, other: Phases) -> Phases {
        Phases(self.0 & !other.0)
    }
}

impl FromIterator<Phase> for Phases {
    fn from_iter<I: IntoIterator<Item = Phase>>(phases: I) -> Phases {
        phases.into_iter().fold(Phases::NONE, Phases::with)
    }
}
