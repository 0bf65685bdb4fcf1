use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::task::Waker;

use super::*;
use crate::exchange::{Peer, Request};
use crate::{Body, Frame, Side};

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
        self.1.map(|said| said.map_err(|()| Fault::new(FaultKind::Error, "aside")))
    }
}

struct Nobody;

impl Observer for Nobody {
    fn enter(&self, _: usize, _: Phase) {}
    fn leave(&self, _: usize, _: Phase, _: &Exchange, _: Option<&Fault>) {}
}

fn exchange() -> Exchange {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let peer = Peer::new(address, 1, "web");
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

/// Answers as a body comes, and is interrupted before it has said that it has.
struct Halting(bool);

impl Filter for Halting {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        if call.chunk.is_none() {
            return Poll::Ready(Ok(Verdict::Continue));
        }
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Ok(Verdict::Reply));
        }
        call.exchange.reply(422, "no".into());
        Poll::Pending
    }
}

#[test]
fn an_answer_that_takes_its_time_is_the_answer() {
    let mut cx = Context::from_waker(Waker::noop());
    for (origin, stopped, status) in
        [(None, Passed::Replied, 422), (Some(Origin::Upstream), Passed::Closed, 200)]
    {
        let phases = Phases::NONE.with(Phase::RequestBody);
        let filter = Box::new(Halting(false));
        let link = Link { name: Arc::from("slow"), phases, on_error: OnError::Close, filter };
        let (mut chain, mut exchange) = (Chain::new(vec![link]), exchange());
        exchange.request.body = Body::full("abc".into());
        let begun = chain.poll(&mut cx, Phase::Request, &mut exchange, None, &Nobody);
        assert_eq!(begun, Poll::Ready(Passed::Through));
        exchange.response.origin = origin;
        exchange.response.head.status = 200;
        let mut body = Filtered::default();
        let first = body.poll_data(&mut cx, &mut exchange, &mut chain, &Nobody);
        assert_eq!(first, Poll::Pending);
        let ended = body.poll_data(&mut cx, &mut exchange, &mut chain, &Nobody);
        assert_eq!(ended, Poll::Ready(Err(Stopped::By(stopped))));
        assert_eq!(exchange.response.head.status, status);
    }
}

/// Stands before a target: what passes becomes upper case, a `!` is answered.
struct Judge;

impl Filter for Judge {
    fn poll(&mut self, _: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        let Some(chunk) = call.chunk else { return Poll::Ready(Ok(Verdict::Continue)) };
        if chunk.data.contains(&b'!') {
            call.exchange.reply(422, "no".into());
            return Poll::Ready(Ok(Verdict::Reply));
        }
        chunk.data = chunk.data.to_ascii_uppercase().into();
        Poll::Ready(Ok(Verdict::Continue))
    }
}

/// Takes the request's body frame by frame, and answers with it: at its end, or as it comes.
struct Taker(Vec<u8>, bool);

impl Filter for Taker {
    fn poll(&mut self, cx: &mut Context<'_>, call: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        if self.1 {
            call.exchange.begin_reply(200);
            return Poll::Ready(Ok(Verdict::Stream { length: None }));
        }
        while let Some(frame) = ready!(call.exchange.request.body.poll_frame(cx)) {
            if let Ok(Frame::Data(data)) = frame {
                self.0.extend_from_slice(&data);
            }
        }
        call.exchange.reply(200, std::mem::take(&mut self.0).into());
        Poll::Ready(Ok(Verdict::Reply))
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        pull: Pull<'_>,
    ) -> Poll<Result<Option<Frame>, Fault>> {
        match ready!(pull.exchange.request.body.poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Ok(Some(frame))),
            Some(Err(_)) => Poll::Ready(Err(Fault::new(FaultKind::Error, "broken"))),
            None => Poll::Ready(Ok(None)),
        }
    }
}

/// A client's body: pieces, each after a look in vain.
struct Slow(Vec<&'static str>, bool);

impl crate::Source for Slow {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.1 = !self.1;
        match self.1 {
            true => Poll::Pending,
            false if self.0.is_empty() => Poll::Ready(None),
            false => Poll::Ready(Some(Ok(Frame::Data(self.0.remove(0).into())))),
        }
    }
}

fn judged(streams: bool, pieces: &[&'static str]) -> (Chain, Exchange) {
    let link = |filter: Box<dyn Filter>, phases: &[Phase]| Link {
        name: Arc::from("part"),
        phases: phases.iter().copied().collect(),
        on_error: OnError::Close,
        filter,
    };
    let judge = link(Box::new(Judge), &[Phase::Request, Phase::RequestBody]);
    let taker = link(Box::new(Taker(Vec::new(), streams)), &[Phase::Request]);
    let mut exchange = exchange();
    exchange.request.body = Body::stream(Box::new(Slow(pieces.to_vec(), false)), None);
    (Chain::new(vec![judge, taker]).with_target(Some(1)), exchange)
}

#[test]
fn the_routes_script_takes_the_body_as_the_filters_have_made_it() {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut chain, mut exchange) = judged(false, &["ab", "c"]);
    let mut looks = 1;
    while chain.poll(&mut cx, Phase::Request, &mut exchange, None, &Nobody).is_pending() {
        looks += 1;
    }
    assert_eq!(exchange.response.body.whole(), Some(&b"ABC"[..]));
    assert_eq!((looks, chain.received(&exchange)), (4, 3), "it comes as it is asked for");

    let (mut chain, mut exchange) = judged(false, &["ab", "!"]);
    let passed = loop {
        let polled = chain.poll(&mut cx, Phase::Request, &mut exchange, None, &Nobody);
        if let Poll::Ready(passed) = polled {
            break passed;
        }
    };
    assert_eq!((passed, exchange.response.head.status), (Passed::Replied, 422));
}

#[test]
fn an_answer_under_way_is_made_of_filtered_frames_and_broken_off_by_a_late_refusal() {
    let mut cx = Context::from_waker(Waker::noop());
    for (pieces, end) in [(["ab", "c"], None), (["ab", "!"], Some(BodyError::Filter))] {
        let (mut chain, mut exchange) = judged(true, &pieces);
        let passed = chain.poll(&mut cx, Phase::Request, &mut exchange, None, &Nobody);
        assert_eq!(passed, Poll::Ready(Passed::Replied));
        let (mut seen, mut broken) = (Vec::new(), None);
        loop {
            match exchange.response.body.poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(Frame::Data(data)))) => seen.extend_from_slice(&data),
                Poll::Ready(Some(Err(error))) => broken = Some(error),
                Poll::Ready(_) => break,
                Poll::Pending => drop(chain.feed(&mut cx, &mut exchange, true, &Nobody)),
            }
            if broken.is_some() {
                break;
            }
        }
        assert!(seen.starts_with(b"AB"));
        assert_eq!((broken, exchange.response.head.status), (end, 200));
    }
}

#[test]
fn another_chain_has_the_body_as_it_came_unless_some_was_taken() {
    let mut cx = Context::from_waker(Waker::noop());
    let (mut chain, mut exchange) = judged(true, &["ab"]);
    let _ = chain.poll(&mut cx, Phase::Request, &mut exchange, None, &Nobody);
    chain.give_back(&mut exchange);
    assert!(exchange.request.body.poll_frame(&mut cx).is_pending());
    let Poll::Ready(Some(Ok(Frame::Data(data)))) = exchange.request.body.poll_frame(&mut cx) else {
        panic!("the client's own")
    };
    assert_eq!(data, "ab");

    let (mut chain, mut exchange) = judged(false, &["ab", "c"]);
    for _ in 0..2 {
        let _ = chain.poll(&mut cx, Phase::Request, &mut exchange, None, &Nobody);
    }
    chain.give_back(&mut exchange);
    assert!(exchange.request.body.is_done());
}

/// Bytes of a connection: those behind "!" are held until a "." has come, "x" ends it, "?" fails.
#[derive(Default)]
struct Sieve {
    name: &'static str,
    held: Vec<u8>,
}

impl Filter for Sieve {
    fn poll(&mut self, _: &mut Context<'_>, _: Call<'_>) -> Poll<Result<Verdict, Fault>> {
        Poll::Ready(Ok(Verdict::Continue))
    }

    fn flow(
        &mut self,
        _: &mut Context<'_>,
        exchange: &mut Exchange,
        from: Side,
        chunk: &mut Chunk,
    ) -> Poll<Result<Verdict, Fault>> {
        self.held.extend_from_slice(&std::mem::take(&mut chunk.data));
        if self.held.ends_with(b"?") {
            chunk.data = std::mem::take(&mut self.held).into();
            return Poll::Ready(Err(Fault::new(FaultKind::Error, "it failed")));
        }
        if self.held.ends_with(b"x") {
            return Poll::Ready(Ok(Verdict::Close));
        }
        if self.held.starts_with(b"!") && !self.held.contains(&b'.') {
            exchange.flow.as_mut().unwrap().full[from as usize] |= self.held.len() > 8;
            return Poll::Pending;
        }
        if !self.held.is_empty() {
            self.held.extend_from_slice(self.name.as_bytes());
        }
        chunk.data = std::mem::take(&mut self.held).into();
        Poll::Ready(Ok(Verdict::Continue))
    }
}

#[test]
fn bytes_of_connections_pass_in_order_and_back_in_reverse() {
    let sieves = |on_error| {
        let link = |name| Link {
            name: Arc::from(name),
            phases: Phases::NONE.with(Phase::Log),
            on_error,
            filter: Box::new(Sieve { name, held: Vec::new() }) as _,
        };
        Chain::new(vec![link("a"), link("b")])
    };
    let mut cx = Context::from_waker(Waker::noop());
    let mut exchange = exchange();
    exchange.flow = Some(Box::default());
    let mut pass = |chain: &mut Chain, from, text: &'static str| {
        let mut chunk = Chunk { data: text.into(), last: false };
        let passed = chain.flow(&mut cx, &mut exchange, from, &mut chunk, &Nobody);
        let full = exchange.flow.as_ref().unwrap().full[from as usize];
        (passed, String::from_utf8(chunk.data.to_vec()).unwrap(), full)
    };
    let (client, upstream) = (Side::Client, Side::Upstream);
    let through = |text: &str| (Poll::Ready(Passed::Through), text.to_owned(), false);

    let mut chain = sieves(OnError::Close);
    // Held before it was ever open: nothing goes further, and nothing is read past the limit.
    assert_eq!(pass(&mut chain, client, "!hold"), (Poll::Pending, String::new(), false));
    assert_eq!(pass(&mut chain, client, " more"), (Poll::Pending, String::new(), true));
    assert_eq!(pass(&mut chain, client, "."), through("!hold more.ab"));
    let mut chain = sieves(OnError::Open);
    assert_eq!(pass(&mut chain, client, "as it is?"), through("as it is?"));
    let mut chain = sieves(OnError::Close);
    assert_eq!(pass(&mut chain, client, ""), through(""));
    assert_eq!(pass(&mut chain, client, "to "), through("to ab"));
    assert_eq!(pass(&mut chain, upstream, "fro "), through("fro ba"));
    // Once open a filter that holds does not keep others from being asked.
    assert_eq!(pass(&mut chain, upstream, "!"), through(""));
    assert_eq!(pass(&mut chain, upstream, "."), through("!.ba"));
    assert_eq!(pass(&mut chain, client, "x").0, Poll::Ready(Passed::Closed));
    let mut chain = sieves(OnError::Close);
    assert_eq!(pass(&mut chain, client, "?").0, Poll::Ready(Passed::Failed));
}
