//! Ids for the header names that the gateway itself looks at, so that finding one is comparing a byte.

macro_rules! names {
    ($($id:ident = $text:literal),* $(,)?) => {
        /// A known header name, or `Other`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            /// Any name not in the table.
            Other,
            $(#[doc = $text] $id),*
        }

        impl Name {
            const TABLE: &'static [(&'static str, Name)] = &[$(($text, Name::$id)),*];

            /// The name in lower case; empty for `Other`.
            pub const fn text(self) -> &'static str {
                match self {
                    Name::Other => "",
                    $(Name::$id => $text),*
                }
            }
        }
    };
}

names! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AltSvc = "alt-svc",
    Authorization = "authorization",
    CacheControl = "cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    EarlyData = "early-data",
    Etag = "etag",
    Expect = "expect",
    Forwarded = "forwarded",
    Host = "host",
    Http2Settings = "http2-settings",
    KeepAlive = "keep-alive",
    Location = "location",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    ProxyStatus = "proxy-status",
    Range = "range",
    RetryAfter = "retry-after",
    SecWebsocketAccept = "sec-websocket-accept",
    SecWebsocketKey = "sec-websocket-key",
    Server = "server",
    SetCookie = "set-cookie",
    Te = "te",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedProto = "x-forwarded-proto",
    XRequestId = "x-request-id",
}

const BUCKETS: usize = 256;

/// First entry of `Name::TABLE` for a hash; a second one sits in `NEXT`.
const FIRST: [u8; BUCKETS] = buckets().0;
const NEXT: [u8; 64] = buckets().1;

const fn hash(length: usize, first: u8, last: u8) -> usize {
    let (first, last) = ((first | 0x20) as usize, (last | 0x20) as usize);
    (length.wrapping_mul(37) ^ first.wrapping_mul(11) ^ last.wrapping_mul(101)) & (BUCKETS - 1)
}

const fn buckets() -> ([u8; BUCKETS], [u8; 64]) {
    let (mut first, mut next) = ([0xff; BUCKETS], [0xff; 64]);
    let mut i = 0;
    while i < Name::TABLE.len() {
        let text = Name::TABLE[i].0.as_bytes();
        let slot = hash(text.len(), text[0], text[text.len() - 1]);
        next[i] = first[slot];
        first[slot] = i as u8;
        i += 1;
    }
    (first, next)
}

/// Whether `name` is `text` but for the case of letters; `text` has lower-case letters, digits and
/// hyphens. Eight bytes at a time, the last ones perhaps twice.
#[inline]
fn same(name: &[u8], text: &[u8]) -> bool {
    if name.len() != text.len() {
        return false;
    }
    if let (Some(name_end), Some(text_end)) = (name.last_chunk::<8>(), text.last_chunk::<8>()) {
        let alike = |a: &[u8; 8], b: &[u8; 8]| {
            let (a, b) = (u64::from_le_bytes(*a), u64::from_le_bytes(*b));
            // Of letters alone, the bit that is their case does not count.
            (a ^ b) & !((b & (u64::MAX / 255 * 0x40)) >> 1) == 0
        };
        let (names, texts) = (name.as_chunks::<8>().0, text.as_chunks::<8>().0);
        return alike(name_end, text_end) && names.iter().zip(texts).all(|(a, b)| alike(a, b));
    }
    name.iter().zip(text).all(|(a, b)| (a ^ b) & !((b & 0x40) >> 1) == 0)
}

impl Name {
    /// The id of `name`, in any case.
    #[inline]
    pub fn of(name: &[u8]) -> Name {
        let (Some(first), Some(last)) = (name.first(), name.last()) else {
            return Name::Other;
        };
        let mut entry = FIRST[hash(name.len(), *first, *last)];
        while let Some((text, id)) = Name::TABLE.get(entry as usize) {
            if same(name, text.as_bytes()) {
                return *id;
            }
            entry = NEXT[entry as usize];
        }
        Name::Other
    }

    /// Fields that mean something to one hop only (RFC 9110 section 7.6.1, and their old kin).
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::Te
                | Name::TransferEncoding
                | Name::Upgrade
                | Name::Http2Settings
        )
    }

    /// Fields that `Connection` may not nominate away: dropping them would change who asks for what.
    pub const fn is_protected(self) -> bool {
        matches!(
            self,
            Name::Host
                | Name::Authorization
                | Name::Cookie
                | Name::ContentLength
                | Name::ContentType
                | Name::ContentEncoding
                | Name::Forwarded
                | Name::XForwardedFor
                | Name::XForwardedHost
                | Name::XForwardedProto
        )
    }

    /// Fields that frame a message: scripts can't write them, trailers can't carry them.
    pub const fn is_framing(self) -> bool {
        matches!(self, Name::ContentLength | Name::TransferEncoding)
    }
}

#[cfg(test)]
mod tests;
