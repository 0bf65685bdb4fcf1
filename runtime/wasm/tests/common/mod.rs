//! A gateway in miniature: one worker, its services, and exchanges to feed to filters.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

pub mod wit;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::abi::Phase;
use pilotlight_filter::engine::{LoadError, ModuleSpec, Plan, Signature, Source, Spec};
use pilotlight_filter::exchange::{Origin, Request};
use pilotlight_filter::host::{Connect, Fetch, FetchError, Fetched, Level, LogLine, Socket, Wait};
use pilotlight_filter::{
    Body, Call, Chunk, Engine, Exchange, Fault, Filter, Library, Peer, Realm, Services, Verdict,
};
use pilotlight_wasm::{CompileWith, WasmEngine};

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wasm-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn guest_text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A proxy-wasm guest: the prelude and the named file.
pub fn guest(name: &str) -> Vec<u8> {
    assemble(&format!("(module {}\n{})", guest_text("prelude.wat"), guest_text(name)))
}

/// A module as it stands.
pub fn module(name: &str) -> Vec<u8> {
    assemble(&guest_text(name))
}

pub fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

pub fn spec(file: PathBuf) -> Spec {
    Spec {
        name: Arc::from("guest"),
        program: Source::Native(file),
        config: Vec::new(),
        config_is_json: false,
        cpu: Duration::from_millis(10),
        memory: None,
        fresh: false,
        proxy: Default::default(),
        target: false,
        flow: false,
    }
}

pub fn module_spec(file: PathBuf, functions: Vec<Signature>) -> ModuleSpec {
    ModuleSpec {
        name: Arc::from("imaging"),
        file,
        cpu: Duration::from_secs(2),
        memory: 1 << 20,
        functions,
    }
}

/// Who is at the other end of a connection.
pub type Server = Box<dyn FnMut(Connect) -> Box<dyn Socket>>;

/// What the programs asked of the world.
#[derive(Default)]
pub struct World {
    pub log: RefCell<Vec<(Level, String)>>,
    tasks: RefCell<Vec<Wait<()>>>,
    /// What was fetched and is not answered yet.
    pub asked: RefCell<Vec<(Fetch, Rc<Answer>)>>,
    /// Who answers connections: what was opened, and the other end.
    pub server: RefCell<Option<Server>>,
    /// Seconds of its clock.
    pub clock: Rc<Cell<f64>>,
    /// How long a line of the log keeps its thread waiting.
    pub busy: Cell<Duration>,
}

/// An answer to a fetch, once the test gives it.
pub type Answer = RefCell<Option<Result<Fetched, FetchError>>>;

impl World {
    /// Lets tasks go on until none of them can.
    pub fn turn(&self) {
        for _ in 0..100 {
            let mut tasks = self.tasks.take();
            let mut cx = Context::from_waker(Waker::noop());
            tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
            let new = self.tasks.replace(tasks);
            self.tasks.borrow_mut().extend(new);
        }
    }

    /// Lets the time go on.
    pub fn pass(&self, seconds: f64) {
        self.clock.set(self.clock.get() + seconds);
        self.turn();
    }

    /// Answers the oldest fetch.
    pub fn answer(&self, answer: Result<Fetched, FetchError>) -> Fetch {
        let (fetch, place) = self.asked.borrow_mut().remove(0);
        place.replace(Some(answer));
        self.turn();
        fetch
    }

    pub fn lines(&self) -> Vec<String> {
        self.log.borrow().iter().map(|(_, line)| line.clone()).collect()
    }
}

impl Services for World {
    #[allow(
        clippy::disallowed_methods,
        reason = "a worker that is kept busy is what it stands for"
    )]
    fn log(&self, line: &LogLine<'_>) {
        std::thread::sleep(self.busy.get());
        self.log.borrow_mut().push((line.level, line.message.to_owned()));
    }
    fn logs(&self, level: Level) -> bool {
        level <= Level::Info
    }
    fn now(&self) -> f64 {
        1_700_000_000.25
    }
    fn monotonic(&self) -> f64 {
        5.0 + self.clock.get()
    }
    fn sleep(&self, duration: Duration) -> Wait<()> {
        let (clock, until) = (self.clock.clone(), self.clock.get() + duration.as_secs_f64());
        Box::pin(poll_fn(move |_| match clock.get() >= until {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }))
    }
    fn spawn(&self, task: Wait<()>) {
        self.tasks.borrow_mut().push(task);
    }
    fn fetch(&self, request: Fetch) -> Wait<Result<Fetched, FetchError>> {
        let place = Rc::<Answer>::default();
        self.asked.borrow_mut().push((request, place.clone()));
        Box::pin(poll_fn(move |_| match place.take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }))
    }
    fn connect(&self, connect: Connect) -> Wait<std::io::Result<Box<dyn Socket>>> {
        let socket = self.server.borrow_mut().as_mut().map(|server| server(connect));
        let refused = || std::io::ErrorKind::ConnectionRefused.into();
        Box::pin(async move { socket.ok_or_else(refused) })
    }
    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

thread_local! {
    /// Of the last rig: its tasks go on while a phase is waited for.
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// A loaded plan and one worker's side of it.
pub struct Rig {
    pub library: Arc<dyn Library>,
    pub realm: Rc<dyn Realm>,
    pub world: Rc<World>,
    pub engine: WasmEngine,
    pub folder: Folder,
}

pub fn load(
    engine: &WasmEngine,
    folder: &Folder,
    filters: Vec<Spec>,
    modules: Vec<ModuleSpec>,
) -> Result<Arc<dyn Library>, Vec<LoadError>> {
    let cache_dir = folder.0.join("cache");
    let upstreams = vec![Arc::from("app")];
    engine.load(&Plan { filters, modules, cache_dir, upstreams, ..Plan::default() })
}

/// A worker with this guest as its filter.
pub fn rig(guest: &[u8], change: impl FnOnce(&mut Spec)) -> Rig {
    let folder = Folder::new();
    let mut spec = spec(folder.write("guest.wasm", guest));
    change(&mut spec);
    let engine = WasmEngine::new(CompileWith::Here);
    let library = load(&engine, &folder, vec![spec], Vec::new())
        .unwrap_or_else(|errors| panic!("{errors:?}"));
    let world = Rc::new(World::default());
    WORLD.set(Some(world.clone()));
    let realm = library.open(Rc::clone(&world) as _);
    Rig { library, realm, world, engine, folder }
}

/// The mistakes in a plan of one filter.
pub fn refused(guest: &[u8], change: impl FnOnce(&mut Spec)) -> Vec<LoadError> {
    let folder = Folder::new();
    let mut spec = spec(folder.write("guest.wasm", guest));
    change(&mut spec);
    let engine = WasmEngine::new(CompileWith::Here);
    match load(&engine, &folder, vec![spec], Vec::new()) {
        Ok(_) => panic!("it loads"),
        Err(errors) => errors,
    }
}

pub fn exchange(target: &str, fields: &[(&str, &str)]) -> Exchange {
    let peer = Peer {
        local: Some("10.0.0.1:443".parse().unwrap()),
        ..Peer::new(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3)), 4321, "web")
    };
    let mut request = Request::default();
    let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
    request.head.set_method(b"GET").unwrap();
    request.head.set_authority(b"example.com").unwrap();
    request.head.set_path(path.as_bytes()).unwrap();
    request.head.set_query(query.map(str::as_bytes)).unwrap();
    for (name, value) in fields {
        request.head.fields.push_checked(name.as_bytes(), value.as_bytes());
    }
    let mut exchange = Exchange::new(77, Rc::new(peer), request);
    exchange.id = "req-1".into();
    exchange.route = Arc::from("thumbs");
    exchange
}

pub fn respond(exchange: &mut Exchange, status: u16, fields: &[(&str, &str)], body: &[u8]) {
    exchange.response.head.status = status;
    exchange.response.origin = Some(Origin::Upstream);
    exchange.response.body = Body::full(Bytes::copy_from_slice(body));
    for (name, value) in fields {
        exchange.response.head.fields.push_checked(name.as_bytes(), value.as_bytes());
    }
}

pub fn header<'a>(exchange: &'a Exchange, name: &str) -> Option<&'a str> {
    exchange.request.head.fields.get(name.as_bytes()).map(|v| std::str::from_utf8(v).unwrap())
}

/// One poll of a phase without a chunk.
pub fn look(
    filter: &mut dyn Filter,
    phase: Phase,
    exchange: &mut Exchange,
) -> Poll<Result<Verdict, Fault>> {
    let mut cx = Context::from_waker(Waker::noop());
    filter.poll(&mut cx, Call { phase, exchange, chunk: None })
}

/// Polls a phase until it ends; gives the number of polls too.
pub fn polls(
    filter: &mut dyn Filter,
    phase: Phase,
    exchange: &mut Exchange,
    mut chunk: Option<&mut Chunk>,
) -> (u32, Result<Verdict, Fault>) {
    let mut cx = Context::from_waker(Waker::noop());
    for count in 1.. {
        let call = Call { phase, exchange, chunk: chunk.as_deref_mut() };
        if let Poll::Ready(result) = filter.poll(&mut cx, call) {
            return (count, result);
        }
        WORLD.with_borrow(|world| world.as_ref().map(|world| world.turn()));
    }
    unreachable!()
}

pub fn run(
    filter: &mut dyn Filter,
    phase: Phase,
    exchange: &mut Exchange,
) -> Result<Verdict, Fault> {
    polls(filter, phase, exchange, None).1
}

/// Sends a chunk through a body phase: what comes out.
pub fn pass(
    filter: &mut dyn Filter,
    phase: Phase,
    exchange: &mut Exchange,
    data: &[u8],
    last: bool,
) -> Result<Bytes, Fault> {
    let mut chunk = Chunk { data: Bytes::copy_from_slice(data), last };
    polls(filter, phase, exchange, Some(&mut chunk)).1?;
    Ok(chunk.data)
}
