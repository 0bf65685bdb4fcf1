//! What programs under test fetch, and what stands in for it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use pilotlight_abi::Value;
use pilotlight_filter::host::{Fetch, FetchError, Fetched};

use super::World;
use crate::values::{bytes, map};

/// What is answered to a fetch.
#[derive(Clone)]
pub(crate) enum StandIn {
    /// This, after so long.
    Response(Result<Fetched, FetchError>, Duration),
    /// What the test's function says.
    Function,
}

/// Fetches that functions of the test answer.
#[derive(Default)]
pub(super) struct Questions {
    asked: RefCell<VecDeque<Value>>,
    open: RefCell<BTreeMap<i64, Option<StandIn>>>,
    last: Cell<i64>,
}

impl World {
    /// What is answered to fetches of `url`; one that ends in `*` stands for all that begin so. The
    /// last word about a URL counts.
    pub(crate) fn stand_in(&self, url: &str, answer: StandIn) {
        let mut all = self.stand_ins.borrow_mut();
        all.retain(|(known, _)| known != url);
        all.insert(0, (url.to_owned(), answer));
    }

    fn stand_in_of(&self, url: &str) -> Option<(String, StandIn)> {
        let stand_ins = self.stand_ins.borrow();
        let begins =
            |known: &str| known.strip_suffix('*').is_some_and(|start| url.starts_with(start));
        let exact = stand_ins.iter().find(|(known, _)| known == url);
        exact.or_else(|| stand_ins.iter().find(|(known, _)| begins(known))).cloned()
    }

    /// The next fetch that a function of the test must answer.
    pub(crate) fn question(&self) -> Option<Value> {
        self.questions.asked.borrow_mut().pop_front()
    }

    /// A function's answer.
    pub(crate) fn answer(&self, id: i64, answer: StandIn) {
        if let Some(slot) = self.questions.open.borrow_mut().get_mut(&id) {
            *slot = Some(answer);
            self.stirred.set(true);
        }
    }

    fn ask(&self, stand_in: String, request: Value) -> i64 {
        let id = self.questions.last.get() + 1;
        self.questions.last.set(id);
        self.questions.open.borrow_mut().insert(id, None);
        let question = map([
            ("kind", "fetch".into()),
            ("id", Value::Int(id)),
            ("url", bytes(stand_in.as_bytes())),
            ("request", request),
        ]);
        self.questions.asked.borrow_mut().push_back(question);
        self.stirred.set(true);
        id
    }
}

/// The stand-in's answer to a fetch. One without a stand-in fails the test.
pub(super) async fn answered(world: &Rc<World>, request: Fetch) -> Result<Fetched, FetchError> {
    let method = if request.method.is_empty() { "GET" } else { &request.method };
    let told = told(&request, method);
    world.fetches.borrow_mut().push(told.clone());
    let Some((name, stand_in)) = world.stand_in_of(&request.url) else {
        let what = format!("{method} {}", request.url);
        let complaint =
            format!("{what} was fetched, and nothing stands in for it: t.fetch(url, response)");
        world.complaints.borrow_mut().push(complaint);
        return Err(FetchError("nothing stands in for this URL".into()));
    };
    let (response, delay) = match stand_in {
        StandIn::Response(response, delay) => (response, delay),
        StandIn::Function => match reply(world, world.ask(name, told)).await {
            StandIn::Response(response, delay) => (response, delay),
            StandIn::Function => return Err(FetchError("a function answered a function".into())),
        },
    };
    world.clock.sleep(delay).await;
    response
}

async fn reply(world: &Rc<World>, id: i64) -> StandIn {
    poll_fn(|_| {
        let mut open = world.questions.open.borrow_mut();
        match open.get_mut(&id).and_then(Option::take) {
            Some(answer) => {
                open.remove(&id);
                Poll::Ready(answer)
            }
            None => Poll::Pending,
        }
    })
    .await
}

fn told(request: &Fetch, method: &str) -> Value {
    let header = |(name, value): &(String, Vec<u8>)| {
        Value::List(vec![bytes(name.to_ascii_lowercase().as_bytes()), bytes(value)])
    };
    map([
        ("method", method.into()),
        ("url", bytes(request.url.as_bytes())),
        ("headers", Value::List(request.headers.iter().map(header).collect())),
        ("body", bytes(&request.body)),
        ("upstream", request.upstream.as_deref().map_or(Value::Nil, Value::from)),
    ])
}
