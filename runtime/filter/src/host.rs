//! What programs may ask of the world. The server answers; tests have an answerer of their own.

pub mod resp;
pub mod socket;

use std::any::Any;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_abi::Value;

use crate::body::Body;
use crate::exchange::{Exchange, Parent, Peer, Request};
use crate::head::ResponseHead;

pub use pilotlight_abi::shared::Shared;
pub use socket::{Connect, Datagram, Names, Remote, Socket};

/// Work for a thread beside the workers, which gives it services of its own.
pub type Job = Box<dyn FnOnce(Rc<dyn Services>) + Send>;

/// A wait. Dropping it cancels what it waits for.
pub type Wait<T> = Pin<Box<dyn Future<Output = T>>>;

/// A worker's services for its programs. By default nothing out there answers: so it is while
/// programs are only checked.
#[allow(unused_variables)]
pub trait Services {
    /// Writes a log line, if the level is on.
    fn log(&self, line: &LogLine<'_>) {}

    /// Whether a level is on: saves building lines that nobody reads.
    fn logs(&self, level: Level) -> bool {
        false
    }

    /// Wall clock, seconds since 1970.
    fn now(&self) -> f64 {
        0.0
    }

    /// Seconds since some start; never goes back.
    fn monotonic(&self) -> f64 {
        0.0
    }

    /// Fills `buffer` with unpredictable bytes.
    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }

    /// This worker's number, from 0, and how many workers there are.
    fn worker(&self) -> (usize, usize) {
        (0, 1)
    }

    /// Waits.
    fn sleep(&self, duration: Duration) -> Wait<()> {
        Box::pin(std::future::ready(()))
    }

    /// Runs a task of the program's own on this worker, beside its exchanges.
    fn spawn(&self, task: Wait<()>) {}

    /// Has a thread of one of the manifest's pools do a job.
    ///
    /// # Errors
    /// There is no such pool, or it takes no more.
    fn aside(&self, pool: &str, job: Job) -> Result<(), &'static str> {
        Err("no such pool of threads")
    }

    /// Writes a body into a file of its own.
    fn spill(&self, body: Bytes) -> Wait<io::Result<Spilled>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    /// Removes a file when what this gives is dropped.
    fn passing(&self, file: PathBuf) -> Box<dyn Any> {
        Box::new(())
    }

    /// The worker does not end before this is dropped, or its time to drain is over.
    fn hold(&self) -> Box<dyn Any> {
        Box::new(())
    }

    /// Sends a request of the program's own.
    fn fetch(&self, request: Fetch) -> Wait<Result<Fetched, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError("nothing can be fetched yet".into()))))
    }

    /// Begins a request of the program's own that passes piece by piece, both ways at once: its head
    /// is sent, and its body when that is [`whole`](Fetch::whole).
    fn talk(&self, request: Fetch) -> Wait<Result<Box<dyn Talk>, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError("nothing can be fetched yet".into()))))
    }

    /// Sends a request through the gateway's own routes, internal ones included, on this worker and
    /// in this generation. Dropping the wait is the client's leaving.
    fn subrequest(&self, request: Subrequest) -> Wait<Result<Subanswer, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError("there are no routes yet".into()))))
    }

    /// Opens a connection of the program's own. The caller bounds the time.
    fn connect(&self, connect: Connect) -> Wait<io::Result<Box<dyn Socket>>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::ConnectionRefused.into())))
    }

    /// A socket for datagrams to and from a peer.
    ///
    /// # Errors
    /// The system's.
    fn datagram(&self, to: &Remote, from: Option<SocketAddr>) -> io::Result<Box<dyn Datagram>> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    /// The addresses of a name, or a sentence that says why there are none.
    fn resolve(&self, name: &str, who: Names) -> Wait<Result<Vec<IpAddr>, String>> {
        let message = format!("no resolver defined to resolve \"{name}\"");
        Box::pin(std::future::ready(Err(message)))
    }

    /// A shared dictionary by its name in the manifest.
    fn shared(&self, name: &str) -> Option<Arc<dyn Shared>> {
        None
    }

    /// A module by its name in the manifest.
    fn module(&self, name: &str) -> Option<Rc<dyn Module>> {
        None
    }

    /// Calls a function that a script offers to modules, by its name; `None` when none does.
    fn exported(&self, name: &str, argument: &[u8]) -> Option<Called> {
        None
    }

    /// A series of the program's own metrics, made when there is none.
    ///
    /// # Errors
    /// A name or a label that can't be one, a name of another kind of metric, too many series.
    fn metric(&self, new: &NewMetric<'_>) -> Result<Arc<dyn Metric>, &'static str> {
        Ok(Arc::new(Uncounted))
    }
}

/// A body in a file.
pub struct Spilled {
    /// The file's path.
    pub path: Box<[u8]>,
    /// The file is there as long as this is.
    pub hold: Box<dyn Any>,
}

/// Which series a program means.
#[derive(Debug, Clone, Copy)]
pub struct NewMetric<'a> {
    /// What it counts.
    pub kind: MetricKind,
    /// The family.
    pub name: &'a str,
    /// Sorted by name.
    pub labels: &'a [(String, String)],
    /// Upper bounds of a histogram's buckets, growing; none for the usual ones of seconds.
    pub bounds: &'a [f64],
}

/// Kinds of metrics, as Prometheus has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// A series. It takes what its kind can and passes over the rest.
#[allow(unused_variables)]
pub trait Metric: Send + Sync {
    /// Adds to a counter or gauge.
    fn add(&self, by: f64) {}

    /// Sets a gauge.
    fn set(&self, to: f64) {}

    /// Counts a value in a histogram.
    fn observe(&self, value: f64) {}

    /// What a counter or gauge has come to.
    fn value(&self) -> f64 {
        0.0
    }
}

/// A series that nobody asks for.
struct Uncounted;

impl Metric for Uncounted {}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// A line for the log.
pub struct LogLine<'a> {
    /// How loud.
    pub level: Level,
    /// The filter that writes it.
    pub filter: &'a str,
    /// The exchange's id; empty outside of one.
    pub id: &'a str,
    /// A sentence.
    pub message: &'a str,
    /// Fields.
    pub fields: &'a [(Box<str>, Value)],
}

/// A request of a program's own.
#[derive(Debug, Clone, Default)]
pub struct Fetch {
    /// GET when empty.
    pub method: String,
    /// Absolute; with `upstream`, its path may stand alone.
    pub url: String,
    /// In order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Empty for none.
    pub body: Bytes,
    /// What follows the body.
    pub trailers: Vec<(String, Vec<u8>)>,
    /// The whole request; a default of 10 s when `None`.
    pub timeout: Option<Duration>,
    /// Goes through this upstream of the manifest, with its pool, balance and TLS.
    pub upstream: Option<String>,
    /// With [`Services::talk`]: `body` and `trailers` are all there is, nothing is sent but these.
    pub whole: bool,
    /// With [`Services::talk`]: bytes that are going to be sent, where that is known.
    pub length: Option<u64>,
    /// With [`Services::talk`]: how long the upstream may keep it waiting; `None`: for ever.
    pub waits: Option<Waits>,
}

/// How long an upstream may keep a request waiting that passes piece by piece; `None`: as its own
/// settings say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Waits {
    /// To connect.
    pub connect: Option<Duration>,
    /// From the request's last byte to the response's head.
    pub first_byte: Option<Duration>,
    /// Between two pieces, read or written.
    pub between_bytes: Option<Duration>,
}

/// Its response, collected (at most [`pilotlight_abi::limit::BODY_COLLECT`] bytes).
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// In order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
    /// What followed it.
    pub trailers: Vec<(String, Vec<u8>)>,
}

/// A request under way whose parts pass as they are made. Dropping it cancels it.
pub trait Talk {
    /// Queues bytes of its body.
    fn send(&mut self, data: Bytes);

    /// Bytes that are queued: who sends more before they are gone is not held up by the upstream.
    fn queued(&self) -> usize;

    /// Its body ends, with these trailers.
    fn finish(&mut self, trailers: &[(String, Vec<u8>)]);

    /// Writes what is queued. After an error the upstream takes nothing more; its answer may go on.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>>;

    /// Writes what is queued, and gives what comes next; `None` at the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Heard>, FetchError>>;
}

/// A part of the answer.
#[derive(Debug)]
pub enum Heard {
    /// Status and fields, in order, names in lower case.
    Head(u16, Vec<(String, Vec<u8>)>),
    /// Bytes of the body.
    Data(Bytes),
    /// What follows it; nothing comes after.
    Trailers(Vec<(String, Vec<u8>)>),
}

/// A request of an exchange's own to the gateway's routes.
pub struct Subrequest {
    /// The request. Its path is made canonical.
    pub request: Request,
    /// The route's name; `None`: it is looked for by the request's path.
    pub route: Option<Box<str>>,
    /// On whose behalf: the parent's client.
    pub peer: Rc<Peer>,
    /// The parent's request id.
    pub id: Box<str>,
    /// Who asks.
    pub parent: Parent,
    /// The subrequests that are under way for the client's request.
    pub family: Rc<Cell<u32>>,
    /// What [`Exchange::properties`] begins with.
    pub properties: Vec<(Box<str>, Value)>,
}

impl Subrequest {
    /// The same request as the one that `exchange` holds, without its body.
    pub fn of(exchange: &mut Exchange) -> Subrequest {
        let depth = exchange.parent.map_or(0, |parent| parent.depth);
        Subrequest {
            request: Request {
                head: exchange.request.head.clone(),
                body: Body::empty(),
                upgrade: None,
            },
            route: None,
            peer: exchange.peer.clone(),
            id: exchange.id.clone(),
            parent: Parent { serial: exchange.serial, depth: depth.saturating_add(1) },
            family: exchange.family.get_or_insert_default().clone(),
            properties: Vec::new(),
        }
    }
}

/// A subrequest's response, collected (at most [`pilotlight_abi::limit::BODY_COLLECT`] bytes).
#[derive(Debug, Clone, Default)]
pub struct Subanswer {
    /// Status and fields, as the response chain left them.
    pub head: ResponseHead,
    /// The body, as far as it was collected.
    pub body: Bytes,
    /// The body was longer, or broke off.
    pub truncated: bool,
}

/// Why there is none; the text is what scripts get. What goes wrong with an upstream has the name that
/// RFC 9209 section 2.3 gives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Numbers that [`Module::call_plain`] takes, at most.
pub const NUMBERS_MAX: usize = 4;

/// A module whose functions scripts call.
#[allow(unused_variables)]
pub trait Module {
    /// The functions, by name; the index is what [`Module::call`] takes.
    fn functions(&self) -> &[Box<str>];

    /// Calls one. Short calls end at once; longer ones go on beside the worker's other work.
    fn call(&self, function: usize, arguments: Vec<Value>) -> Called;

    /// The same for what scripts pass most: a string in front or none, then at most
    /// [`NUMBERS_MAX`] numbers.
    fn call_plain(&self, function: usize, text: Option<&[u8]>, numbers: &[f64]) -> Called {
        let text = text.map(|text| Value::Bytes(text.to_vec()));
        let numbers = numbers.iter().map(|number| Value::number(*number));
        self.call(function, text.into_iter().chain(numbers).collect())
    }

    /// The same with bytes in front of the arguments that are others', too: a piece of a body.
    fn pass(&self, function: usize, bytes: Bytes, mut arguments: Vec<Value>) -> Called {
        arguments.insert(0, Value::Bytes(bytes.into()));
        self.call(function, arguments)
    }

    /// For a body that passes through `function`, chunk by chunk with so many arguments behind the
    /// chunk: the module with a memory of this body's own, when the function is to be told behind
    /// each chunk whether it is the last. `None`: each call stands for itself.
    fn stream(&self, function: usize, arguments: usize) -> Option<Rc<dyn Module>> {
        None
    }
}

/// What a call gives; or what scripts get beside nil: a message, or an error of the module's own.
pub type Outcome = Result<Value, Value>;

/// A call into a module.
pub enum Called {
    /// It has ended.
    Done(Outcome),
    /// It goes on; poll it.
    Running(Wait<Outcome>),
}
