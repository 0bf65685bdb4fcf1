//! A world for filters: time, log, dictionaries and fetches are told, nothing is random.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_core::shared::{Dict, Timed};
use pilotlight_filter::abi::{Phase, Value};
use pilotlight_filter::engine::{
    Engine, Library, LoadError, Plan, Realm, ScriptSpec, Source, Spec,
};
use pilotlight_filter::exchange::{Identity, Request, TlsInfo};
use pilotlight_filter::host::{
    Called, Connect, Datagram, Fetch, FetchError, Fetched, Level, LogLine, Metric, Module, Names,
    NewMetric, Remote, Services, Shared, Socket, Wait,
};
use pilotlight_filter::{Body, Call, Chunk, Exchange, Fault, Filter, Origin, Peer, Verdict};
use pilotlight_lua::LuaEngine;

use crate::net::Net;

#[derive(Default)]
pub struct World {
    pub now: Cell<f64>,
    pub lines: RefCell<Vec<String>>,
    pub fetches: RefCell<Vec<Fetch>>,
    /// Polls that a wait takes before it is over.
    pub delay: Cell<u32>,
    /// Tasks under way beside exchanges.
    pub tasks: RefCell<Vec<Wait<()>>>,
    pub net: Net,
    /// Readings of the clock until one panics; 0: none does.
    pub fuse: Cell<u32>,
    /// Whether lines at the level of details are written.
    pub details: Cell<bool>,
    dictionaries: RefCell<HashMap<String, Arc<dyn Shared>>>,
    /// What was recorded of metrics.
    pub recorded: Arc<Mutex<Vec<String>>>,
}

/// Bytes of a dictionary.
pub const DICTIONARY: u64 = 128 * 1024;

thread_local! {
    /// Seconds, for dictionaries.
    pub static NOW: Cell<f64> = const { Cell::new(0.0) };
}

struct After<T>(u32, Option<T>);

impl<T: Unpin> Future for After<T> {
    type Output = T;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if self.0 > 0 {
            self.0 -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.1.take().unwrap())
    }
}

impl Services for World {
    fn log(&self, line: &LogLine<'_>) {
        assert_ne!(line.message, "panic", "a bug in the log");
        let mut text = format!("{:?} {} {}: {}", line.level, line.filter, line.id, line.message);
        for (name, value) in line.fields {
            text.push_str(&format!(" {name}={value:?}"));
        }
        self.lines.borrow_mut().push(text);
    }

    fn logs(&self, level: Level) -> bool {
        level <= if self.details.get() { Level::Debug } else { Level::Info }
    }

    fn now(&self) -> f64 {
        let fuse = self.fuse.get();
        self.fuse.set(fuse.saturating_sub(1));
        assert_ne!(fuse, 1, "a bug in the clock");
        self.now.get()
    }

    fn monotonic(&self) -> f64 {
        self.now.get()
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }

    fn sleep(&self, duration: Duration) -> Wait<()> {
        self.now.set(self.now.get() + duration.as_secs_f64());
        NOW.set(self.now.get());
        Box::pin(After(self.delay.get(), Some(())))
    }

    fn spawn(&self, task: Wait<()>) {
        self.tasks.borrow_mut().push(task);
    }

    fn fetch(&self, request: Fetch) -> Wait<Result<Fetched, FetchError>> {
        let answer = if request.url.contains("fail") {
            Err(FetchError("connection refused".into()))
        } else {
            Ok(Fetched {
                status: 200,
                headers: vec![
                    ("x-a".into(), b"1".to_vec()),
                    ("x-many".into(), b"1".to_vec()),
                    ("x-many".into(), b"2".to_vec()),
                ],
                body: Bytes::from(format!("{{\"url\":\"{}\"}}", request.url)),
                ..Fetched::default()
            })
        };
        self.fetches.borrow_mut().push(request);
        Box::pin(After(self.delay.get(), Some(answer)))
    }

    fn connect(&self, connect: Connect) -> Wait<io::Result<Box<dyn Socket>>> {
        self.net.connect(&connect)
    }

    fn datagram(&self, to: &Remote, from: Option<SocketAddr>) -> io::Result<Box<dyn Datagram>> {
        self.net.datagram(to, from)
    }

    fn resolve(&self, name: &str, who: Names) -> Wait<Result<Vec<IpAddr>, String>> {
        self.net.resolve(name, who)
    }

    fn shared(&self, name: &str) -> Option<Arc<dyn Shared>> {
        let mut dictionaries = self.dictionaries.borrow_mut();
        let made =
            || -> Arc<dyn Shared> { Arc::new(Timed::new(Dict::new(DICTIONARY), || NOW.get())) };
        Some(dictionaries.entry(name.to_owned()).or_insert_with(made).clone())
    }

    fn metric(&self, new: &NewMetric<'_>) -> Result<Arc<dyn Metric>, &'static str> {
        if new.name.contains(' ') {
            return Err("not a name");
        }
        let NewMetric { kind, name, labels, bounds } = new;
        let what = format!("{kind:?} {name} {labels:?} {bounds:?}");
        Ok(Arc::new(Recorder(what, self.recorded.clone())))
    }

    fn module(&self, name: &str) -> Option<Rc<dyn Module>> {
        let functions = ["add", "slow", "trap"].map(Box::from).to_vec();
        (name == "calc").then(|| Rc::new(Calc(functions, self.delay.get())) as Rc<dyn Module>)
    }
}

struct Recorder(String, Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, what: &str, value: f64) {
        self.1.lock().unwrap().push(format!("{} {what} {value}", self.0));
    }
}

impl Metric for Recorder {
    fn add(&self, by: f64) {
        self.note("add", by);
    }

    fn set(&self, to: f64) {
        self.note("set", to);
    }

    fn observe(&self, value: f64) {
        self.note("observe", value);
    }
}

struct Calc(Vec<Box<str>>, u32);

impl Module for Calc {
    fn functions(&self) -> &[Box<str>] {
        &self.0
    }

    fn call(&self, function: usize, arguments: Vec<Value>) -> Called {
        match (function, &arguments[..]) {
            (0, [Value::Int(a), Value::Int(b)]) => Called::Done(Ok(Value::Int(a + b))),
            (1, [Value::Bytes(text)]) => {
                let upper = text.to_ascii_uppercase();
                Called::Running(Box::pin(After(self.1 + 1, Some(Ok(Value::Bytes(upper))))))
            }
            (2, _) => Called::Done(Err("it trapped".into())),
            _ => Called::Done(Err(Value::from(&*format!("bad arguments: {arguments:?}")))),
        }
    }
}

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A directory of its own, gone when dropped.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("pilotlight-lua-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn spec(name: &str, file: PathBuf) -> Spec {
    Spec {
        name: Arc::from(name),
        program: Source::Native(file),
        config: Vec::new(),
        config_is_json: false,
        cpu: Duration::from_secs(1),
        memory: None,
        fresh: false,
        proxy: Default::default(),
        target: false,
        flow: false,
    }
}

/// Filters loaded and opened, as a worker has them.
pub struct Rig {
    pub world: Rc<World>,
    pub library: Arc<dyn Library>,
    pub realm: Rc<dyn Realm>,
    pub _dir: Dir,
}

pub fn plan(dir: &Dir) -> Plan {
    Plan {
        env: vec![("SITE".into(), "fra".into())],
        module_names: vec![Arc::from("calc")],
        shared: vec!["sessions".into()],
        script: ScriptSpec {
            path: vec![
                dir.0.join("lua/?.lua").to_string_lossy().into_owned(),
                dir.0.join("lua/?/init.lua").to_string_lossy().into_owned(),
            ],
            memory: 16 << 20,
            ..ScriptSpec::default()
        },
        ..Plan::default()
    }
}

/// Loads scripts after the plan was changed as a test wants it.
pub fn load(scripts: &[&str], change: impl FnOnce(&mut Plan, &Dir)) -> Result<Rig, Vec<LoadError>> {
    let dir = Dir::new();
    let mut plan = plan(&dir);
    for (index, script) in scripts.iter().enumerate() {
        let file = dir.write(&format!("filters/f{index}.lua"), script);
        plan.filters.push(spec(&format!("f{index}"), file));
    }
    change(&mut plan, &dir);
    let library = LuaEngine::new().load(&plan)?;
    let world = Rc::new(World::default());
    let realm = library.open(world.clone());
    Ok(Rig { world, library, realm, _dir: dir })
}

pub fn rig(script: &str) -> Rig {
    load(&[script], |_, _| {}).unwrap_or_else(|errors| panic!("{errors:?}"))
}

pub fn peer() -> Rc<Peer> {
    Rc::new(Peer {
        tls: Some(Box::new(TlsInfo {
            version: "1.3",
            server_name: Some("example.com".into()),
            alpn: Some("h2".into()),
            client: Some(Identity {
                subject: "CN=device".into(),
                san: vec!["device.local".into()],
                fingerprint: "00ff".into(),
                chain: Vec::new(),
            }),
            distrusted: None,
            random: None,
            shown: None,
        })),
        ..Peer::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 4711, "web")
    })
}

/// `GET http://example.com/a/b?x=1` with some headers.
pub fn exchange() -> Exchange {
    let mut request = Request::default();
    let head = &mut request.head;
    head.set_method(b"GET").unwrap();
    head.set_authority(b"example.com:8080").unwrap();
    head.set_path(b"/a/b").unwrap();
    head.set_query(Some(b"x=1&y=a+b%21&x=2&z")).unwrap();
    for (name, value) in [("X-Token", "secret"), ("x-many", "1"), ("X-Many", "2")] {
        head.fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    request.body = Body::empty();
    let mut exchange = Exchange::new(NEXT.fetch_add(1, Ordering::Relaxed), peer(), request);
    exchange.id = "req-1".into();
    exchange.route = Arc::from("main");
    exchange
}

pub fn poll(
    filter: &mut dyn Filter,
    phase: Phase,
    exchange: &mut Exchange,
    chunk: Option<&mut Chunk>,
) -> Poll<Result<Verdict, Fault>> {
    let mut cx = Context::from_waker(Waker::noop());
    if phase.is_response() || phase == Phase::Log {
        // Somebody has answered by then.
        exchange.response.origin.get_or_insert(Origin::Upstream);
    }
    filter.poll(&mut cx, Call { phase, exchange, chunk })
}

/// Polls until the phase has ended.
pub fn run(
    filter: &mut dyn Filter,
    phase: Phase,
    exchange: &mut Exchange,
) -> Result<Verdict, Fault> {
    for _ in 0..10_000 {
        if let Poll::Ready(result) = poll(filter, phase, exchange, None) {
            return result;
        }
    }
    panic!("it never ends");
}

impl Rig {
    /// Polls every task once; how many go on.
    pub fn tick(&self) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        let mut tasks = std::mem::take(&mut *self.world.tasks.borrow_mut());
        tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        let mut all = self.world.tasks.borrow_mut();
        all.splice(0..0, tasks);
        all.len()
    }

    /// The request phase of filter 0 on a fresh exchange.
    pub fn request(&self) -> (Result<Verdict, Fault>, Exchange) {
        self.phase(Phase::Request)
    }

    pub fn phase(&self, phase: Phase) -> (Result<Verdict, Fault>, Exchange) {
        self.phase_of(0, phase)
    }

    pub fn phase_of(&self, index: usize, phase: Phase) -> (Result<Verdict, Fault>, Exchange) {
        let mut exchange = exchange();
        let mut filter = self.realm.start(index);
        let result = run(&mut *filter, phase, &mut exchange);
        (result, exchange)
    }

    pub fn heap(&self) -> u64 {
        let mut bytes = 0;
        self.realm.gauges(&mut |name, _, value| {
            if name == "lua_heap" {
                bytes = value;
            }
        });
        bytes
    }
}

/// Runs the body of a request function, expects an answer, gives its body.
pub fn answer(body: &str) -> String {
    let rig = rig(&format!("local f = {{}}\nfunction f.request(req, ctx)\n{body}\nend\nreturn f"));
    let (result, mut exchange) = rig.request();
    assert_eq!(result.unwrap_or_else(|f| panic!("{f}\n{body}\n{:?}", f.trace)), Verdict::Reply);
    text(&mut exchange.response.body)
}

/// Runs the body of a request function, expects an error, gives its message.
pub fn failure(body: &str) -> Fault {
    let rig = rig(&format!("local f = {{}}\nfunction f.request(req, ctx)\n{body}\nend\nreturn f"));
    let (result, exchange) = rig.request();
    result.err().unwrap_or_else(|| panic!("no error: {body}\n{:?}", exchange.response.head))
}

pub fn text(body: &mut Body) -> String {
    let mut cx = Context::from_waker(Waker::noop());
    match body.poll_collect(&mut cx, 1 << 30) {
        Poll::Ready(Ok(Some(bytes))) => String::from_utf8_lossy(&bytes).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// CPU time of this thread: tests share two cores with others.
pub fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
