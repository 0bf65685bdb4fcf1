#![allow(clippy::unwrap_used, clippy::panic)]

use std::rc::Rc;

use pilotlight_config::manifest::Cidr;
use pilotlight_filter::exchange::{Peer, Request};
use pilotlight_filter::head::Scheme;
use pilotlight_filter::{Origin, ResponseHead};

use super::*;

fn settings() -> Forwarded {
    Forwarded {
        via: Some("edge".into()),
        x_forwarded: true,
        forwarded: true,
        trust: vec![Cidr { address: "10.0.0.0".parse().unwrap(), prefix: 8 }],
        request_id: "x-request-id".into(),
    }
}

fn exchange(peer: &str, fields: &[(&str, &str)]) -> Exchange {
    let peer = Peer { text: "192.0.2.7".into(), ..Peer::new(peer.parse().unwrap(), 1, "web") };
    let mut head = RequestHead::default();
    head.scheme = Scheme::Https;
    head.set_authority(b"h.example").unwrap();
    for (name, value) in fields {
        head.fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    let mut exchange = Exchange::new(1, Rc::new(peer), Request { head, ..Request::default() });
    exchange.id = "id-1".into();
    exchange
}

fn get(exchange: &Exchange, name: &str) -> Vec<String> {
    let values = exchange.request.head.fields.all(name.as_bytes());
    values.map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}

/// RFC 9110 section 7.6.1.
#[test]
fn what_ends_at_this_hop_is_taken_away() {
    let mut fields = Fields::default();
    for (name, value) in [
        ("connection", "close, X-Mine"),
        ("Connection", "authorization, x-forwarded-for , content-length"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip, Trailers"),
        ("x-mine", "1"),
        ("x-yours", "2"),
        ("authorization", "secret"),
        ("x-forwarded-for", "1.1.1.1"),
        ("content-length", "5"),
    ] {
        fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    strip_hop_by_hop(&mut fields);
    let left: Vec<_> =
        fields.iter().map(|(_, name, _)| std::str::from_utf8(name).unwrap().to_owned()).collect();
    // A client can't have us drop what protects the upstream or says where it came from.
    assert_eq!(left, ["x-yours", "authorization", "x-forwarded-for", "content-length", "te"]);
    assert_eq!(fields.known(Name::Te), Some(&b"trailers"[..]));
}

#[test]
fn a_stranger_says_nothing_of_earlier_hops() {
    let claims = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=1.1.1.1"),
    ];
    let mut exchange = exchange("192.0.2.7", &claims);
    request(&mut exchange, &settings(), "192.0.2.7");
    assert_eq!(get(&exchange, "x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(get(&exchange, "x-forwarded-proto"), ["https"]);
    assert_eq!(get(&exchange, "x-forwarded-host"), ["h.example"]);
    assert_eq!(get(&exchange, "forwarded"), ["for=192.0.2.7;host=\"h.example\";proto=https"]);
    assert_eq!(get(&exchange, "via"), ["1.1 edge"]);
    assert_eq!(get(&exchange, "x-request-id"), ["id-1"]);
}

#[test]
fn a_trusted_peer_is_believed_and_extended() {
    let claims = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
        ("forwarded", "for=1.1.1.1"),
        ("via", "1.0 a"),
        ("via", "2 b"),
    ];
    let mut exchange = exchange("10.1.2.3", &claims);
    request(&mut exchange, &settings(), "10.1.2.3");
    assert_eq!(get(&exchange, "x-forwarded-for"), ["1.1.1.1, 10.1.2.3"]);
    assert_eq!(get(&exchange, "x-forwarded-proto"), ["http"]);
    assert_eq!(get(&exchange, "x-forwarded-host"), ["shop.example"]);
    let wanted = "for=1.1.1.1, for=10.1.2.3;host=\"h.example\";proto=https";
    assert_eq!(get(&exchange, "forwarded"), [wanted]);
    assert_eq!(get(&exchange, "via"), ["1.0 a, 2 b, 1.1 edge"]);
}

#[test]
fn an_address_of_version_6_is_quoted() {
    let mut exchange = exchange("2001:db8::1", &[]);
    request(&mut exchange, &settings(), "2001:db8::1");
    assert!(get(&exchange, "forwarded")[0].starts_with("for=\"[2001:db8::1]\";"));
    assert_eq!(get(&exchange, "x-forwarded-for"), ["2001:db8::1"]);
}

#[test]
fn nothing_is_added_that_was_turned_off() {
    let off = Forwarded { via: None, x_forwarded: false, forwarded: false, ..settings() };
    let mut exchange = exchange("192.0.2.7", &[]);
    request(&mut exchange, &off, "192.0.2.7");
    let names: Vec<_> = exchange.request.head.fields.iter().map(|(_, n, _)| n.to_vec()).collect();
    assert_eq!(names, [b"x-request-id".to_vec()]);
}

#[test]
fn ids_come_from_trusted_peers_only() {
    let ask = |peer: &str, id: &str| {
        request_id(&exchange(peer, &[("x-request-id", id)]), &settings(), || 7).into_string()
    };
    let own = "07000000000000000700000000000000";
    assert_eq!(ask("10.0.0.1", "abc-1"), "abc-1");
    assert_eq!(ask("192.0.2.7", "abc-1"), own);
    for id in ["", "a b", "a\"b", "a,b", &"a".repeat(129)] {
        assert_eq!(ask("10.0.0.1", id), own, "{id}");
    }
}

#[test]
fn a_response_tells_of_this_hop() {
    let mut exchange = exchange("192.0.2.7", &[]);
    exchange.response.head = ResponseHead { status: 200, ..ResponseHead::default() };
    exchange.response.origin = Some(Origin::Gateway);
    response(&mut exchange, &settings(), Some("h3=\":443\""));
    let fields = &exchange.response.head.fields;
    assert_eq!(
        (fields.known(Name::Via), fields.known(Name::AltSvc)),
        (None, Some(&b"h3=\":443\""[..]))
    );
    exchange.response.origin = Some(Origin::Upstream);
    response(&mut exchange, &settings(), Some("other"));
    let fields = &exchange.response.head.fields;
    assert_eq!(fields.known(Name::Via), Some(&b"1.1 edge"[..]));
    assert_eq!(fields.all_known(Name::AltSvc).count(), 1, "an upstream's own stays");
}
