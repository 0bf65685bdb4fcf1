use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::task::Waker;

use super::*;
use crate::exchange::{Peer, Request};
use crate::{Body, Frame};

/// Says what it is told to.
struct Part(Verdict, Option<Result<Verdict, ()>>);

impl Filter for Part {
    fn poll(&mut self, _: &mut Context<'_>, _: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        Poll::Ready(Ok(self.0))
    }

    fn aside(
        &mut self,
        _: &mut Context<'_>,
        exchange: &mut Exchange,
    ) -> Option<Result<Verdict, Fault>> {
        if self.1 == Some(Ok(Verdict::Reply)) {
            exchange.reply(401, "no".into());
        }
        self.1.map(|said| said.map_err(|()| Fault::new(crate::FaultKind::Error, "aside")))
    }
}

struct Nobody;

impl Observer for Nobody {
    fn enter(&self, _: usize, _: Phase) {}
    fn leave(&self, _: usize, _: Phase, _: &Exchange, _: Option<&Fault>) {}
}

fn exchange() -> Exchange {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let peer = Peer {
        address,
        text: "127.0.0.1".into(),
        port: 1,
        local: None,
        tls: None,
        listener: Arc::from("web"),
        number: 0,
        requests: Default::default(),
        heirlooms: Default::default(),
    };
    Exchange::new(1, Rc::new(peer), Request::default())
}

fn chain(parts: Vec<(Part, OnError)>) -> Chain {
    let phases: Phases = [Phase::Request, Phase::RequestBody].into_iter().collect();
    let link = |(part, on_error)| Link {
        name: Arc::from("part"),
        phases,
        on_error,
        filter: Box::new(part) as _,
    };
    Chain::new(parts.into_iter().map(link).collect())
}

#[test]
fn a_filter_is_dismissed_from_a_phase() {
    let body = Phases::NONE.with(Phase::RequestBody);
    let part = Part(Verdict::Dismiss(body), None);
    let mut chain = chain(vec![(part, OnError::Close)]);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(chain.wants(Phase::RequestBody));
    let passed = chain.poll(&mut cx, Phase::Request, &mut exchange(), None, &Nobody);
    assert_eq!(passed, Poll::Ready(Passed::Through));
    assert!(!chain.wants(Phase::RequestBody) && chain.wants(Phase::Request));
}

#[test]
fn what_comes_aside_is_heard_by_those_that_have_begun() {
    let part = |aside| Part(Verdict::Continue, Some(aside));
    let mut cx = Context::from_waker(Waker::noop());
    let mut heard = |parts: Vec<(Part, OnError)>| {
        let (mut chain, mut exchange) = (chain(parts), exchange());
        assert_eq!(chain.aside(&mut cx, &mut exchange, &Nobody), None, "none has begun");
        let _ = chain.poll(&mut cx, Phase::Request, &mut exchange, None, &Nobody);
        let first = chain.aside(&mut cx, &mut exchange, &Nobody);
        (first, chain.aside(&mut cx, &mut exchange, &Nobody), exchange.response.head.status)
    };
    let go_on = || (part(Ok(Verdict::Continue)), OnError::Close);
    assert_eq!(heard(vec![(Part(Verdict::Continue, None), OnError::Close)]), (None, None, 0));
    assert_eq!(heard(vec![go_on(), go_on()]), (None, None, 0));
    let replies = (part(Ok(Verdict::Reply)), OnError::Close);
    assert_eq!(heard(vec![go_on(), replies]).0, Some(Passed::Replied));
    assert_eq!(heard(vec![(part(Err(())), OnError::Close)]).0, Some(Passed::Failed));
    // It is out of the chain from then on.
    assert_eq!(heard(vec![(part(Err(())), OnError::Open)]), (None, None, 0));
    assert_eq!(heard(vec![(part(Ok(Verdict::Close)), OnError::Close)]).0, Some(Passed::Closed));
}

#[test]
fn a_body_that_was_taken_is_put_back() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut body = Body::full("abc".into());
    let Poll::Ready(Some(Ok(Frame::Data(data)))) = body.poll_frame(&mut cx) else {
        panic!("a frame")
    };
    assert!(body.is_at_rest() && !body.is_untouched());
    body.restore([&data[..], b"d"].concat().into());
    assert_eq!((body.length(), body.is_untouched(), body.is_done()), (Some(4), true, false));
    body.restore(Default::default());
    assert_eq!(body.length(), Some(4));
    assert_eq!(body.whole(), Some(&b"abcd"[..]));
}
