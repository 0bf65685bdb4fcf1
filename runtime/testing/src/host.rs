//! What `require "pilotlight.test"` stands on: functions that the test file's VM calls as it would
//! call a module's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use pilotlight_abi::Value;
use pilotlight_filter::host::{Called, FetchError, Fetched, Module};

use crate::Bench;
use crate::outcome::Ended;
use crate::request;
use crate::subject::{Home, Subject};
use crate::turn::{Door, Turn};
use crate::values::{Said, Table, bytes, map};
use crate::world::{StandIn, World};

/// How long by the test's clock an exchange may wait.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a run of the test file is for.
#[derive(Clone)]
pub(crate) struct Task {
    /// As messages call it.
    pub(crate) file: String,
    pub(crate) text: Vec<u8>,
    /// The test that is run; `None`: which are there?
    pub(crate) test: Option<String>,
}

/// What a test file has told.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) listed: RefCell<Vec<String>>,
    pub(crate) ended: RefCell<Option<Ended>>,
}

/// An exchange under way.
struct Running {
    door: Rc<Door>,
    drive: Pin<Box<dyn Future<Output = Value>>>,
    /// When it has waited for too long.
    patience: Duration,
    /// Lines and fetches that are older.
    lines: usize,
    fetches: usize,
}

/// The host of one test.
pub(crate) struct Host {
    functions: Vec<Box<str>>,
    world: Weak<World>,
    bench: Rc<Bench>,
    home: Rc<Home>,
    task: Task,
    notes: Rc<Notes>,
    subjects: RefCell<Vec<Subject>>,
    running: RefCell<BTreeMap<i64, Running>>,
    serial: Cell<i64>,
}

/// A function: its name, and what it does.
type Function = (&'static str, fn(&Host, &Rc<World>, &[Value]) -> Called);

const FUNCTIONS: [Function; 11] = [
    ("task", |host, _, _| done(Ok(host.task()))),
    ("listed", |host, _, given| done(host.listed(given))),
    ("report", |host, _, given| done(host.report(given))),
    ("filter", |host, world, given| done(host.filter(world, given))),
    ("begin", |host, world, given| done(host.begin(world, given))),
    ("step", |_, world, given| step(world, number(given, 0))),
    ("respond", |host, _, given| done(host.respond(given))),
    ("stand_in", |_, world, given| done(stand_in(world, given))),
    ("answer", |_, world, given| done(answer(world, given))),
    ("wait", |_, world, given| wait(world, given)),
    ("metric", |_, world, given| done(metric(world, given))),
];

fn done(result: Said<Value>) -> Called {
    Called::Done(result.map_err(|message| Value::from(&*message)))
}

/// A number that the library passed.
fn number(given: &[Value], index: usize) -> i64 {
    match given.get(index) {
        Some(Value::Int(whole)) => *whole,
        _ => 0,
    }
}

fn text(given: &[Value], index: usize) -> String {
    match given.get(index) {
        Some(Value::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

impl Host {
    pub(crate) fn new(
        world: &Rc<World>,
        bench: &Rc<Bench>,
        home: &Rc<Home>,
        task: Task,
        notes: &Rc<Notes>,
    ) -> Rc<Host> {
        Rc::new(Host {
            functions: FUNCTIONS.iter().map(|function| function.0.into()).collect(),
            world: Rc::downgrade(world),
            bench: bench.clone(),
            home: home.clone(),
            task,
            notes: notes.clone(),
            subjects: RefCell::default(),
            running: RefCell::default(),
            serial: Cell::new(0),
        })
    }

    /// Lets go of filters and exchanges.
    pub(crate) fn end(&self) {
        drop((self.running.take(), self.subjects.take()));
    }

    fn task(&self) -> Value {
        let Task { file, text, test } = &self.task;
        map([
            ("file", bytes(file.as_bytes())),
            ("text", bytes(text)),
            ("test", test.as_deref().map_or(Value::Nil, Value::from)),
        ])
    }

    /// `listed(names)`
    fn listed(&self, given: &[Value]) -> Said<Value> {
        if let Some(Value::List(names)) = given.first() {
            *self.notes.listed.borrow_mut() =
                (0..names.len()).map(|index| text(names, index)).collect();
        }
        Ok(Value::Bool(true))
    }

    /// `report(how, message, trace)`
    fn report(&self, given: &[Value]) -> Said<Value> {
        let message = text(given, 1);
        let ended = match text(given, 0).as_str() {
            "ok" => Ended::Passed,
            "failed" => Ended::Failed { message, trace: text(given, 2) },
            _ => Ended::Broken { message, trace: text(given, 2) },
        };
        self.notes.ended.replace(Some(ended));
        Ok(Value::Bool(true))
    }

    /// `filter(description)`: its number.
    fn filter(&self, world: &Rc<World>, given: &[Value]) -> Said<Value> {
        let table = Table::of(given.first(), "a filter")?;
        let subject = self.home.load(&self.bench, world, table)?;
        let mut subjects = self.subjects.borrow_mut();
        subjects.push(subject);
        Ok(Value::Int(subjects.len() as i64))
    }

    /// `begin(filter, request)`: the exchange's number.
    fn begin(&self, world: &Rc<World>, given: &[Value]) -> Said<Value> {
        let id = self.serial.get() + 1;
        self.serial.set(id);
        let table = Table::of(given.get(1), "a request")?;
        let exchange = request::exchange(table, id as u64)?;
        let subjects = self.subjects.borrow();
        let subject = usize::try_from(number(given, 0) - 1).ok();
        let subject = subject.and_then(|at| subjects.get(at)).ok_or("no such filter")?;
        let door = Rc::<Door>::default();
        let (clock, chain, target) = (world.clock.clone(), subject.chain(), subject.target);
        let turn = Turn { door: door.clone(), clock, chain, exchange, target };
        let running = Running {
            door,
            drive: Box::pin(turn.drive()),
            patience: world.clock.elapsed() + PATIENCE,
            lines: world.lines.borrow().len(),
            fetches: world.fetches.borrow().len(),
        };
        self.running.borrow_mut().insert(id, running);
        Ok(Value::Int(id))
    }

    /// `respond(exchange, response)`: the upstream's answer; false: it can't be reached.
    fn respond(&self, given: &[Value]) -> Said<Value> {
        let response = match given.get(1) {
            Some(Value::Bool(false)) => None,
            given => Some(request::response(Table::of(given, "a response")?)?),
        };
        let running = self.running.borrow();
        let running = running.get(&number(given, 0)).ok_or("no such exchange")?;
        running.door.answer.replace(Some(response));
        Ok(Value::Bool(true))
    }
}

impl Module for Host {
    fn functions(&self) -> &[Box<str>] {
        &self.functions
    }

    fn call(&self, function: usize, arguments: Vec<Value>) -> Called {
        let world = self.world.upgrade();
        match (world, FUNCTIONS.get(function)) {
            (Some(world), Some((_, call))) => call(self, &world, &arguments),
            _ => done(Err("the test is over".into())),
        }
    }
}

/// `step(exchange)`: drives it on until it is done or wants something of the test.
fn step(world: &Rc<World>, id: i64) -> Called {
    let world = world.clone();
    Called::Running(Box::pin(poll_fn(move |cx| {
        if let Some(question) = world.question() {
            return Poll::Ready(Ok(question));
        }
        let Some(host) = world.host.borrow().clone() else { return Poll::Pending };
        // It is out of the list while it runs: nothing else is held on to.
        let Some(mut running) = host.running.borrow_mut().remove(&id) else {
            return Poll::Ready(Err("the exchange is over".into()));
        };
        if let Poll::Ready(result) = running.drive.as_mut().poll(cx) {
            return Poll::Ready(Ok(ended(&world, &running, result)));
        }
        let wanted = running.door.wanted.take();
        let late = world.clock.elapsed() >= running.patience;
        let phase = running.door.phase.get().map_or("request", pilotlight_abi::Phase::name);
        host.running.borrow_mut().insert(id, running);
        if let Some(request) = wanted {
            return Poll::Ready(Ok(map([("kind", "upstream".into()), ("request", request)])));
        }
        match world.question() {
            Some(question) => Poll::Ready(Ok(question)),
            None if late => {
                let waits = format!(
                    "the filter still waits in its phase {phase}, after an hour of the test's clock"
                );
                Poll::Ready(Err(Value::from(&*waits)))
            }
            None => Poll::Pending,
        }
    })))
}

/// An exchange's result, with what was written and fetched meanwhile.
fn ended(world: &World, running: &Running, result: Value) -> Value {
    let since = |all: &[Value], from: usize| Value::List(all.get(from..).unwrap_or(&[]).to_vec());
    map([
        ("kind", "done".into()),
        ("result", result),
        ("logs", since(&world.lines.borrow(), running.lines)),
        ("fetches", since(&world.fetches.borrow(), running.fetches)),
    ])
}

/// `wait(at)`: until so many seconds after the test's beginning, or until something is wanted of it.
/// `wait()` only asks for the time.
fn wait(world: &Rc<World>, given: &[Value]) -> Called {
    let at = match Table::of(given.first(), "").and_then(|table| table.number("at")) {
        Ok(at) => at,
        Err(error) => return done(Err(error)),
    };
    let time = |world: &World| {
        let elapsed = Value::Float(world.clock.elapsed().as_secs_f64());
        let now = Value::Float(world.clock.wall());
        map([("kind", "time".into()), ("elapsed", elapsed), ("now", now)])
    };
    let Some(at) = at else { return done(Ok(time(world))) };
    let Ok(at) = Duration::try_from_secs_f64(at) else {
        return done(Err("time does not go back".into()));
    };
    let (world, sleep) = (world.clone(), world.clock.sleep_until(at));
    Called::Running(Box::pin(poll_fn(move |_| match world.question() {
        Some(question) => Poll::Ready(Ok(question)),
        None if sleep.is_over() => Poll::Ready(Ok(time(&world))),
        None => Poll::Pending,
    })))
}

/// `stand_in(url, response)`: true stands for a function.
fn stand_in(world: &World, given: &[Value]) -> Said<Value> {
    let answer = match given.get(1) {
        Some(Value::Bool(true)) => StandIn::Function,
        given => fetched(given)?,
    };
    world.stand_in(&text(given, 0), answer);
    Ok(Value::Bool(true))
}

/// `answer(question, response)`
fn answer(world: &World, given: &[Value]) -> Said<Value> {
    world.answer(number(given, 0), fetched(given.get(1))?);
    Ok(Value::Bool(true))
}

fn fetched(given: Option<&Value>) -> Said<StandIn> {
    let table = Table::of(given, "a response")?;
    let delay = Duration::try_from_secs_f64(table.number("delay")?.unwrap_or(0.0))
        .map_err(|_| "delay is a number of seconds")?;
    if let Some(error) = table.text("error")? {
        return Ok(StandIn::Response(Err(FetchError(error.into())), delay));
    }
    let fields = table.fields("headers")?;
    let header = |(_, name, value): (_, &[u8], &[u8])| {
        (String::from_utf8_lossy(&name.to_ascii_lowercase()).into_owned(), value.to_vec())
    };
    let fetched = Fetched {
        status: request::status(table)?,
        headers: fields.iter().map(header).collect(),
        body: Bytes::from(table.chunks("body")?.concat()),
        ..Fetched::default()
    };
    Ok(StandIn::Response(Ok(fetched), delay))
}

/// `metric(name, labels)`
fn metric(world: &World, given: &[Value]) -> Said<Value> {
    let labels = Table::of(given.get(1), "labels")?.pairs();
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| (name.to_string(), text(std::slice::from_ref(*value), 0)))
        .collect();
    Ok(map([("value", world.metric(&text(given, 0), &labels))]))
}
