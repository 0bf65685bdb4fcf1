//! What programs under test find around them: nothing out there, and stand-ins for it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_abi::Value;
use pilotlight_core::shared::{Dict, Timed};
use pilotlight_filter::Realm;
use pilotlight_filter::host::{
    Connect, Datagram, Fetch, FetchError, Fetched, Level, LogLine, Metric, MetricKind, Module,
    NewMetric, Remote, Services, Shared, Socket, Wait,
};

use crate::clock::Clock;
use crate::host::Host;
use crate::values::{bytes, map};

/// The name by which a test file's scripts reach their host; that of the program that runs it, too.
pub(crate) const HOST: &str = "pilotlight.test";
/// Bytes of a dictionary that no manifest says anything of.
const DICTIONARY: u64 = 1 << 20;
/// A fetch that says nothing of it.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// The world of one test.
pub(crate) struct World {
    pub(crate) clock: Clock,
    /// Something has happened that others may wait for.
    stirred: Cell<bool>,
    tasks: RefCell<Vec<Wait<()>>>,
    /// Lines of the programs under test, and those of the test itself.
    pub(crate) lines: RefCell<Vec<Value>>,
    pub(crate) said: RefCell<Vec<String>>,
    /// Why the test fails, whatever it says itself.
    pub(crate) complaints: RefCell<Vec<String>>,
    stand_ins: RefCell<Vec<(String, StandIn)>>,
    pub(crate) fetches: RefCell<Vec<Value>>,
    questions: Questions,
    /// Sizes of dictionaries, where a manifest names some.
    sizes: Option<BTreeMap<String, u64>>,
    dictionaries: RefCell<BTreeMap<String, Arc<dyn Shared>>>,
    series: RefCell<BTreeMap<SeriesName, Arc<Series>>>,
    seed: Cell<u64>,
    pub(crate) host: RefCell<Option<Rc<Host>>>,
    pub(crate) realms: RefCell<Vec<Rc<dyn Realm>>>,
}

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
struct Questions {
    asked: RefCell<VecDeque<Value>>,
    open: RefCell<BTreeMap<i64, Option<StandIn>>>,
    last: Cell<i64>,
}

type SeriesName = (String, Vec<(String, String)>);

impl World {
    pub(crate) fn new(sizes: Option<BTreeMap<String, u64>>) -> Rc<World> {
        Rc::new(World {
            clock: Clock::default(),
            stirred: Cell::new(false),
            tasks: RefCell::default(),
            lines: RefCell::default(),
            said: RefCell::default(),
            complaints: RefCell::default(),
            stand_ins: RefCell::default(),
            fetches: RefCell::default(),
            questions: Questions::default(),
            sizes,
            dictionaries: RefCell::default(),
            series: RefCell::default(),
            seed: Cell::new(0x9e37_79b9_7f4a_7c15),
            host: RefCell::default(),
            realms: RefCell::default(),
        })
    }

    /// Whether something has happened since the last look.
    pub(crate) fn take_stir(&self) -> bool {
        self.stirred.take()
    }

    /// Polls each task that programs run beside exchanges.
    pub(crate) fn poll_tasks(&self, cx: &mut Context<'_>) {
        let mut tasks = self.tasks.take();
        let before = tasks.len();
        tasks.retain_mut(|task| task.as_mut().poll(cx).is_pending());
        self.stirred.set(self.stirred.get() || tasks.len() != before);
        self.tasks.borrow_mut().splice(0..0, tasks);
    }

    /// Lets go of all that holds on to the world in turn.
    pub(crate) fn end(&self) {
        drop((self.tasks.take(), self.host.take(), self.realms.take()));
    }

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

    /// A series' value; a histogram's is its count and sum.
    pub(crate) fn metric(&self, name: &str, labels: &[(String, String)]) -> Value {
        let all = self.series.borrow();
        all.get(&(name.to_owned(), labels.to_vec())).map_or(Value::Nil, |series| series.value())
    }
}

/// The world as the programs' services: what takes time needs a hold on it.
pub(crate) struct Around(pub(crate) Rc<World>);

impl Services for Around {
    fn log(&self, line: &LogLine<'_>) {
        if line.filter == HOST {
            self.0.said.borrow_mut().push(line.message.to_owned());
            return;
        }
        let fields = line.fields.iter().map(|(name, value)| (name.to_string(), value.clone()));
        self.0.lines.borrow_mut().push(map([
            ("level", level(line.level).into()),
            ("filter", line.filter.into()),
            ("message", line.message.into()),
            ("fields", Value::Map(fields.collect())),
        ]));
    }

    fn logs(&self, level: Level) -> bool {
        level <= Level::Debug
    }

    fn now(&self) -> f64 {
        self.0.clock.wall()
    }

    fn monotonic(&self) -> f64 {
        self.0.clock.elapsed().as_secs_f64()
    }

    /// The same bytes in each run (xorshift).
    fn random(&self, buffer: &mut [u8]) {
        let mut state = self.0.seed.get();
        for byte in buffer {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *byte = (state >> 32) as u8;
        }
        self.0.seed.set(state);
    }

    fn sleep(&self, duration: Duration) -> Wait<()> {
        Box::pin(self.0.clock.sleep(duration))
    }

    fn spawn(&self, task: Wait<()>) {
        self.0.tasks.borrow_mut().push(task);
        self.0.stirred.set(true);
    }

    fn fetch(&self, request: Fetch) -> Wait<Result<Fetched, FetchError>> {
        let world = self.0.clone();
        let timeout = request.timeout.unwrap_or(FETCH_TIME);
        Box::pin(async move {
            let late = world.clock.sleep(timeout);
            let mut work = std::pin::pin!(answered(&world, request));
            poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Pending if late.is_over() => {
                    Poll::Ready(Err(FetchError("timeout".to_owned())))
                }
                polled => polled,
            })
            .await
        })
    }

    fn connect(&self, connect: Connect) -> Wait<io::Result<Box<dyn Socket>>> {
        let message = format!("tests have no network: {:?}", connect.to);
        Box::pin(std::future::ready(Err(io::Error::new(io::ErrorKind::ConnectionRefused, message))))
    }

    fn datagram(&self, to: &Remote, _: Option<SocketAddr>) -> io::Result<Box<dyn Datagram>> {
        let message = format!("tests have no network: {to:?}");
        Err(io::Error::new(io::ErrorKind::ConnectionRefused, message))
    }

    fn shared(&self, name: &str) -> Option<Arc<dyn Shared>> {
        let size = match &self.0.sizes {
            Some(sizes) => *sizes.get(name)?,
            None => DICTIONARY,
        };
        let mut all = self.0.dictionaries.borrow_mut();
        let clock = self.0.clock.clone();
        let make = || -> Arc<dyn Shared> {
            Arc::new(Timed::new(Dict::new(size), move || clock.elapsed().as_secs_f64()))
        };
        Some(all.entry(name.to_owned()).or_insert_with(make).clone())
    }

    fn module(&self, name: &str) -> Option<Rc<dyn Module>> {
        if name == HOST {
            return self.0.host.borrow().clone().map(|host| host as Rc<dyn Module>);
        }
        let realms = self.0.realms.borrow().clone();
        realms.iter().find_map(|realm| realm.module(name))
    }

    fn metric(&self, new: &NewMetric<'_>) -> Result<Arc<dyn Metric>, &'static str> {
        let mut all = self.0.series.borrow_mut();
        let name = (new.name.to_owned(), new.labels.to_vec());
        let series = all.entry(name).or_insert_with(|| Arc::new(Series::new(new.kind)));
        match series.kind == new.kind {
            true => Ok(series.clone()),
            false => Err("a metric of this name is of another kind"),
        }
    }
}

/// The stand-in's answer to a fetch. One without a stand-in fails the test.
async fn answered(world: &Rc<World>, request: Fetch) -> Result<Fetched, FetchError> {
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

const fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

/// A series of metrics: how often something was put in, and what it comes to.
struct Series {
    kind: MetricKind,
    counted: Mutex<(u64, f64)>,
}

impl Series {
    fn new(kind: MetricKind) -> Series {
        Series { kind, counted: Mutex::new((0, 0.0)) }
    }

    fn change(&self, kinds: &[MetricKind], change: impl FnOnce(f64) -> f64) {
        if kinds.contains(&self.kind) {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            *counted = (counted.0 + 1, change(counted.1));
        }
    }

    fn value(&self) -> Value {
        let (count, sum) = *self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        match self.kind {
            MetricKind::Histogram => {
                map([("count", Value::Int(count as i64)), ("sum", Value::Float(sum))])
            }
            MetricKind::Counter | MetricKind::Gauge => Value::Float(sum),
        }
    }
}

impl Metric for Series {
    fn add(&self, by: f64) {
        self.change(&[MetricKind::Counter, MetricKind::Gauge], |sum| sum + by);
    }

    fn set(&self, to: f64) {
        self.change(&[MetricKind::Gauge], |_| to);
    }

    fn observe(&self, value: f64) {
        self.change(&[MetricKind::Histogram], |sum| sum + value);
    }
}
