use simple_dns::ResourceRecord;
use simple_dns::rdata::{A, AAAA, CNAME, SRV};

use super::*;

/// A server's answer to `question`, changed as a test wants it.
fn answer(question: &[u8], change: impl FnOnce(&mut Packet<'static>)) -> Vec<u8> {
    let asked = Packet::parse(question).unwrap();
    let mut reply = Packet::new_reply(asked.id());
    reply.questions.extend(asked.questions.into_iter().map(Question::into_owned));
    change(&mut reply);
    reply.build_bytes_vec().unwrap()
}

fn record(name: &'static str, ttl: u32, data: RData<'static>) -> ResourceRecord<'static> {
    ResourceRecord::new(Name::new_unchecked(name), CLASS::IN, ttl, data)
}

fn a(name: &'static str, ttl: u32, last: u8) -> ResourceRecord<'static> {
    record(name, ttl, RData::A(A { address: u32::from(Ipv4Addr::new(192, 0, 2, last)) }))
}

fn alias(name: &'static str, ttl: u32, to: &'static str) -> ResourceRecord<'static> {
    record(name, ttl, RData::CNAME(CNAME(Name::new_unchecked(to))))
}

fn v4(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn heard(change: impl FnOnce(&mut Packet<'static>)) -> Heard {
    let asked = question(7, "www.example.com", Kind::V4).unwrap();
    hear(&answer(&asked, change), 7, "www.example.com", Kind::V4)
}

#[test]
fn addresses_of_a_name_and_of_what_it_stands_for() {
    let seconds = Duration::from_secs;
    for (records, want) in [
        (vec![a("www.example.com", 60, 1), a("WWW.Example.COM", 30, 2)], (vec![v4(1), v4(2)], 30)),
        (
            vec![
                a("c.example", 90, 3),
                alias("b.example", 20, "c.example"),
                alias("www.example.com", 60, "b.example"),
            ],
            (vec![v4(3)], 20),
        ),
        // What nobody asked for.
        (vec![a("other.example", 60, 9), a("www.example.com", 60, 1)], (vec![v4(1)], 60)),
        (vec![record("www.example.com", 5, RData::AAAA(AAAA { address: 1 }))], (vec![], 0)),
        (vec![alias("www.example.com", 60, "gone.example")], (vec![], 0)),
        (vec![], (vec![], 0)),
    ] {
        let got = heard(|packet| packet.answers = records);
        assert_eq!(got, Heard::Addresses(want.0, seconds(want.1)));
    }
    let circle =
        [alias("www.example.com", 1, "b.example"), alias("b.example", 1, "www.example.com")];
    let got = heard(|packet| packet.answers = circle.to_vec());
    assert_eq!(got, Heard::Refused(Refusal::SERVER));
}

#[test]
fn six_is_not_four() {
    let asked = question(1, "x.example", Kind::V6).unwrap();
    let message = answer(&asked, |packet| {
        packet.answers =
            vec![a("x.example", 9, 1), record("x.example", 9, RData::AAAA(AAAA { address: 1 }))];
    });
    let one = Heard::Addresses(vec!["::1".parse().unwrap()], Duration::from_secs(9));
    assert_eq!(hear(&message, 1, "x.example", Kind::V6), one);
    assert_eq!(hear(&message, 1, "x.example", Kind::V4), Heard::Other, "another question's");
}

#[test]
fn refusals() {
    for (code, words) in [
        (RCODE::FormatError, "1: Format error"),
        (RCODE::ServerFailure, "2: Server failure"),
        (RCODE::NameError, "3: Host not found"),
        (RCODE::NotImplemented, "4: Unimplemented"),
        (RCODE::Refused, "5: Operation refused"),
        (RCODE::NOTZONE, "2: Server failure"),
    ] {
        let Heard::Refused(refusal) = heard(|packet| *packet.rcode_mut() = code) else { panic!() };
        assert_eq!(refusal.to_string(), words);
    }
}

#[test]
fn what_is_no_answer() {
    let asked = question(7, "www.example.com", Kind::V4).unwrap();
    let reply = answer(&asked, |packet| packet.answers = vec![a("www.example.com", 60, 1)]);
    let heard = |message: &[u8], id, name| hear(message, id, name, Kind::V4);
    assert_eq!(heard(&reply, 8, "www.example.com"), Heard::Other);
    assert_eq!(heard(&reply, 7, "other.example"), Heard::Other);
    assert_eq!(heard(&asked, 7, "www.example.com"), Heard::Other, "a question");
    let mut short = reply.clone();
    short[2] |= 2;
    assert_eq!(heard(&short, 7, "www.example.com"), Heard::Truncated);
    for cut in 0..reply.len() {
        let got = heard(&reply[..cut], 7, "www.example.com");
        assert!(matches!(got, Heard::Other | Heard::Refused(_)), "{cut}: {got:?}");
    }
}

#[test]
fn names_that_are_none() {
    let long = "a".repeat(64);
    for name in ["", ".", "a..b", ".a", "a\\.b", &long, &format!("{}a", "a.".repeat(130))] {
        assert_eq!(question(1, name, Kind::V4), Err(Refusal::FORMAT), "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_makes_it_panic(
        at in 0..200_usize, byte: u8, more in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
    ) {
        let asked = question(7, "www.example.com", Kind::V4).unwrap();
        let mut reply = answer(&asked, |packet| {
            packet.answers = vec![alias("www.example.com", 60, "b.example"), a("b.example", 60, 1)];
        });
        let at = at % reply.len();
        reply[at] = byte;
        hear(&reply, 7, "www.example.com", Kind::V4);
        hear(&more, u16::from_be_bytes([more.first().copied().unwrap_or(0), 0]), "a", Kind::V6);
    }
}

#[test]
fn servers_of_a_service() {
    let srv = |port| {
        RData::SRV(SRV { priority: 1, weight: 2, port, target: Name::new_unchecked("a.example") })
    };
    let asked = question(7, "_http._tcp.example", Kind::Srv).unwrap();
    let records = vec![record("_http._tcp.example", 9, srv(80)), a("_http._tcp.example", 5, 1)];
    let message = answer(&asked, |packet| packet.answers = records);
    let server = Server { priority: 1, weight: 2, port: 80, name: "a.example".into() };
    let heard = hear(&message, 7, "_http._tcp.example", Kind::Srv);
    assert_eq!(heard, Heard::Servers(vec![server], Duration::from_secs(9)));
    assert_eq!(hear(&message, 7, "_http._tcp.example", Kind::V4), Heard::Other);
}
