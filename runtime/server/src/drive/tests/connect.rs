//! Connections that a listener's filters let in, or not.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use pilotlight_abi::Phase;
use pilotlight_filter::{Call, Fault, FaultKind, Filter, Verdict};

use super::cast::role;
use super::rig::{Cue, Part, backstage, give, told};
use crate::drive::connect;

pub(super) fn part(name: &str) -> Option<Part> {
    match name {
        "turns_away" => role(&[Phase::Connect], |_| Box::new(TurnsAway)),
        "stumbles" => role(&[Phase::Connect], |_| Box::new(Stumbles)),
        "looks" => role(&[Phase::Connect], |_| Box::new(Looks(Cue::new("looked")))),
        _ => None,
    }
}

struct TurnsAway;

impl Filter for TurnsAway {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        call.exchange.reply(403, Bytes::new());
        Poll::Ready(Ok(Verdict::Reply))
    }
}

struct Stumbles;

impl Filter for Stumbles {
    fn poll(&mut self, _: &mut Context<'_>, _: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        Poll::Ready(Err(Fault::new(FaultKind::Error, "on purpose")))
    }
}

/// Takes its time.
struct Looks(Cue);

impl Filter for Looks {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        assert!(call.exchange.peer.address.is_loopback());
        ready!(self.0.poll(cx));
        Poll::Ready(Ok(Verdict::Continue))
    }
}

/// Whether a connection may stay where these filters stand at the door.
fn stays(filters: &str) -> bool {
    let routes = format!("filters = [{filters}]\n[[routes]]\nrespond = {{ status = 200 }}\n");
    backstage(&routes, async |inlet| {
        give("looked");
        connect(&inlet).await
    })
}

#[test]
fn a_connection_stays_when_every_filter_lets_it() {
    assert!(stays("\"looks\", \"notes\""));
    assert_eq!(told(), ["connect  "]);
}

#[test]
fn a_filter_sends_a_connection_away() {
    assert!(!stays("\"turns_away\", \"notes\""));
    assert!(told().is_empty());
}

#[test]
fn a_filter_that_fails_lets_nobody_in() {
    assert!(!stays("\"stumbles\""));
}

#[test]
fn a_filter_that_takes_too_long_lets_nobody_in() {
    let slow = "timeouts = { handshake = \"20ms\" }\nfilters = [\"looks\"]\n[[routes]]\nrespond = { status = 200 }\n";
    assert!(!backstage(slow, async |inlet| connect(&inlet).await));
}

#[test]
fn a_listener_without_filters_has_an_open_door() {
    let open = "[[routes]]\nrespond = { status = 200 }\n";
    assert!(backstage(open, async |inlet| connect(&inlet).await));
}
