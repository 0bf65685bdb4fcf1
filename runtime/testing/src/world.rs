//! What programs under test find around them: nothing out there, and stand-ins for it.

mod fetch;
mod metric;
mod talk;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pilotlight_abi::Value;
use pilotlight_core::shared::{Dict, Timed};
use pilotlight_filter::Realm;
use pilotlight_filter::host::{
    Called, Connect, Datagram, Fetch, FetchError, Fetched, Level, LogLine, Metric, Module,
    NewMetric, Remote, Services, Shared, Socket, Talk, Wait,
};

pub(crate) use self::fetch::StandIn;
use self::fetch::{Questions, answered};
use self::metric::Series;
use crate::clock::Clock;
use crate::host::Host;
use crate::values::map;

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

    fn talk(&self, request: Fetch) -> Wait<Result<Box<dyn Talk>, FetchError>> {
        let pieces: Box<dyn Talk> = Box::new(talk::talk(self.0.clone(), request));
        Box::pin(std::future::ready(Ok(pieces)))
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

    fn exported(&self, name: &str, argument: &[u8]) -> Option<Called> {
        let realms = self.0.realms.borrow().clone();
        realms.iter().find_map(|realm| realm.exported(name, argument))
    }

    fn metric(&self, new: &NewMetric<'_>) -> Result<Arc<dyn Metric>, &'static str> {
        let mut all = self.0.series.borrow_mut();
        let name = (new.name.to_owned(), new.labels.to_vec());
        let series = all.entry(name).or_insert_with(|| Arc::new(Series::new(new.kind)));
        match series.is(new.kind) {
            true => Ok(series.clone()),
            false => Err("a metric of this name is of another kind"),
        }
    }
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
