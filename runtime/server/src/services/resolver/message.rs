//! Questions to name servers and their answers (RFC 1035).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};

/// Names that stand for one another.
const ALIASES_MAX: usize = 16;
/// The octet of the flags that says an answer is cut short, and its bit.
const TRUNCATED: (usize, u8) = (2, 0x02);

/// Kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    V4,
    V6,
    /// Servers of a service.
    Srv,
}

/// Why there is no address: nginx's number and words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal(u32, &'static str);

impl Refusal {
    pub(super) const FORMAT: Refusal = Refusal(1, "Format error");
    pub(super) const SERVER: Refusal = Refusal(2, "Server failure");
    pub(super) const NAME: Refusal = Refusal(3, "Host not found");
    const KIND: Refusal = Refusal(4, "Unimplemented");
    const POLICY: Refusal = Refusal(5, "Operation refused");
    pub(super) const TIMEOUT: Refusal = Refusal(110, "Operation timed out");

    /// Whether another server would say the same.
    pub(super) fn is_final(self) -> bool {
        self == Refusal::NAME || self == Refusal::FORMAT
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

/// A server of a service (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    pub(crate) name: String,
}

/// What a server's message is to a question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The addresses, none perhaps, and how long they hold.
    Addresses(Vec<IpAddr>, Duration),
    /// The same of servers.
    Servers(Vec<Server>, Duration),
    Refused(Refusal),
    /// The rest is to be had by TCP.
    Truncated,
    /// Not an answer to it.
    Other,
}

/// A question's message.
///
/// # Errors
/// When the name can't be one.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Result<Vec<u8>, Refusal> {
    if name.is_empty() || name.split('.').any(str::is_empty) || name.contains('\\') {
        return Err(Refusal::FORMAT);
    }
    let name = Name::new(name).map_err(|_| Refusal::FORMAT)?;
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(name, wanted(kind).into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().map_err(|_| Refusal::FORMAT)
}

fn wanted(kind: Kind) -> TYPE {
    match kind {
        Kind::V4 => TYPE::A,
        Kind::V6 => TYPE::AAAA,
        Kind::Srv => TYPE::SRV,
    }
}

/// Reads a server's message.
pub(crate) fn hear(message: &[u8], id: u16, name: &str, kind: Kind) -> Heard {
    if message.get(..2) != Some(&id.to_be_bytes()) {
        return Heard::Other;
    }
    let (octet, bit) = TRUNCATED;
    if message.get(octet).is_some_and(|flags| flags & bit != 0) {
        return Heard::Truncated;
    }
    let (Ok(packet), Ok(name)) = (Packet::parse(message), Name::new(name)) else {
        return Heard::Refused(Refusal::SERVER);
    };
    let [asked] = &packet.questions[..] else { return Heard::Other };
    let same = asked.qname == name && asked.qtype == wanted(kind).into();
    if !same || !packet.has_flags(PacketFlag::RESPONSE) {
        return Heard::Other;
    }
    match packet.rcode() {
        RCODE::NoError if kind == Kind::Srv => {
            let server = |data: &RData<'_>| match data {
                RData::SRV(srv) => Some(Server {
                    priority: srv.priority,
                    weight: srv.weight,
                    port: srv.port,
                    name: srv.target.to_string(),
                }),
                _ => None,
            };
            heard(records(&packet, name, &server), Heard::Servers)
        }
        RCODE::NoError => {
            let address = |data: &RData<'_>| match (data, kind) {
                (RData::A(a), Kind::V4) => Some(IpAddr::V4(Ipv4Addr::from(a.address))),
                (RData::AAAA(a), Kind::V6) => Some(IpAddr::V6(Ipv6Addr::from(a.address))),
                _ => None,
            };
            heard(records(&packet, name, &address), Heard::Addresses)
        }
        RCODE::NameError => Heard::Refused(Refusal::NAME),
        RCODE::FormatError => Heard::Refused(Refusal::FORMAT),
        RCODE::NotImplemented => Heard::Refused(Refusal::KIND),
        RCODE::Refused => Heard::Refused(Refusal::POLICY),
        _ => Heard::Refused(Refusal::SERVER),
    }
}

fn heard<T>(found: Option<(Vec<T>, Duration)>, make: fn(Vec<T>, Duration) -> Heard) -> Heard {
    found.map_or(Heard::Refused(Refusal::SERVER), |(found, ttl)| make(found, ttl))
}

/// What is wanted of the records of a name and of what it stands for.
fn records<'a, T>(
    packet: &Packet<'a>,
    name: Name<'a>,
    wanted: &dyn Fn(&RData<'a>) -> Option<T>,
) -> Option<(Vec<T>, Duration)> {
    let mut name = name;
    let mut ttl = u32::MAX;
    for _ in 0..ALIASES_MAX {
        let own = packet.answers.iter().filter(|record| record.name == name);
        let mut found = Vec::new();
        let mut alias = None;
        for record in own {
            match (wanted(&record.rdata), &record.rdata) {
                (Some(one), _) => found.push(one),
                (None, RData::CNAME(target)) => alias = Some(target.0.clone()),
                _ => continue,
            }
            ttl = ttl.min(record.ttl);
        }
        match alias.filter(|_| found.is_empty()) {
            Some(target) => name = target,
            None if found.is_empty() => return Some((found, Duration::ZERO)),
            None => return Some((found, Duration::from_secs(u64::from(ttl)))),
        }
    }
    None
}

#[cfg(test)]
mod tests;
