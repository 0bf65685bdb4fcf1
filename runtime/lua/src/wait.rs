//! What a script waits for, and how the answer gets onto its stack.

use std::os::raw::c_int;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::abi::{Value, limit};
use pilotlight_filter::host::{Fetch, FetchError, Fetched, Outcome, Subanswer, Wait};
use pilotlight_filter::{Exchange, Fault, FaultKind};

use crate::parcel::Parcel;
use crate::stack::{Kind, Stack};
use crate::value;
use crate::vm::Vm;

/// Operations by number, as `core.lua` has them.
const SLEEP: i32 = 1;
const BODY: i32 = 2;
const FETCH: i32 = 3;
const TAKE: i32 = 4;
const START: i32 = 5;
const ANY: i32 = 6;
const OTHERS: i32 = 7;
const KILL: i32 = 8;
const EXIT: i32 = 9;
const TURN: i32 = 10;
const READ: i32 = 11;
const YIELD: i32 = 12;

/// Bytes of a fetch's headers.
const FETCH_HEADERS: usize = 64 * 1024;
/// The longest sleep, seconds.
const SLEEP_MAX: f64 = 86_400.0;

/// What a thread of a script yields to the host.
pub(crate) enum Op {
    /// A wait for something out there.
    Wait(Pending),
    /// Start a thread: its function and that many arguments are on top.
    Start(c_int),
    /// Wait until one of these threads has ended.
    Any(Vec<u32>),
    /// Wait until no other thread is left.
    Others,
    /// End a thread.
    Kill(u32),
    /// Give the other threads a turn.
    Yield,
    /// End all threads.
    Exit,
}

/// A wait under way.
pub(crate) enum Pending {
    Sleep(Wait<()>),
    Body {
        request: bool,
        max: usize,
        /// The script only wants it to be here.
        unseen: bool,
    },
    Fetch(Wait<Result<Fetched, FetchError>>),
    /// What a call of the host left to be waited for.
    Taken(Box<dyn Waiter>),
    /// The worker's other work comes first; whether it had its turn.
    Turn(bool),
    /// The answer is here already.
    Ready(Answer),
}

/// A wait of any kind: a call of the host leaves it in [`Host::pending`], its script yields `TAKE`.
/// Dropping it gives it up.
///
/// [`Host::pending`]: crate::window::Host::pending
pub(crate) trait Waiter {
    /// The answer, once there is one. `exchange` is `None` in the background.
    fn poll(&mut self, cx: &mut Context<'_>, exchange: Option<&mut Exchange>) -> Poll<Answer>;
}

/// A wait for a value, or for a message that says why there is none.
impl Waiter for Wait<Result<Value, String>> {
    fn poll(&mut self, cx: &mut Context<'_>, _: Option<&mut Exchange>) -> Poll<Answer> {
        Poll::Ready(match ready!(self.as_mut().poll(cx)) {
            Ok(value) => Answer::Value(value),
            Err(message) => Answer::Refused(message),
        })
    }
}

/// The same for a call of a module, whose errors may be values of any kind.
impl Waiter for Wait<Outcome> {
    fn poll(&mut self, cx: &mut Context<'_>, _: Option<&mut Exchange>) -> Poll<Answer> {
        self.as_mut().poll(cx).map(Answer::Called)
    }
}

/// What a wait ends with.
pub(crate) enum Answer {
    Nothing,
    Text(Bytes),
    Value(Value),
    /// What a module gave.
    Called(Outcome),
    /// Several results, in order.
    Values(Vec<Value>),
    Fetched(Fetched),
    /// What came from another VM.
    Parcel(Parcel),
    /// A subrequest's response.
    Subanswer(Box<Subanswer>),
    /// A thread was started: its number, and its place in the registry.
    Started(u32, c_int),
    /// nil and a message.
    Refused(String),
}

impl Op {
    /// Reads the operation on a thread's stack: the mark, the number, its arguments.
    pub(crate) fn read(vm: &Vm, stack: Stack) -> Op {
        let id = |at: c_int| stack.number(at).unwrap_or_default() as u32;
        match stack.number(2).unwrap_or_default() as i32 {
            START => Op::Start((stack.top() - 3).max(0)),
            ANY => Op::Any((3..=stack.top()).map(id).collect()),
            OTHERS => Op::Others,
            KILL => Op::Kill(id(3)),
            YIELD => Op::Yield,
            EXIT => Op::Exit,
            _ => Op::Wait(Pending::read(vm, stack, 2)),
        }
    }
}

impl Pending {
    fn read(vm: &Vm, stack: Stack, at: c_int) -> Pending {
        let refuse = |text: &str| Pending::Ready(Answer::Refused(text.to_owned()));
        match stack.number(at).unwrap_or_default() as i32 {
            SLEEP => {
                let seconds = stack.number(at + 1).unwrap_or_default();
                let seconds = if seconds.is_nan() { 0.0 } else { seconds.clamp(0.0, SLEEP_MAX) };
                Pending::Sleep(vm.services().sleep(Duration::from_secs_f64(seconds)))
            }
            BODY => {
                let most = limit::BODY_COLLECT as f64;
                let max = stack.number(at + 2).unwrap_or(most).clamp(0.0, most) as usize;
                Pending::Body { request: stack.number(at + 1) == Some(0.0), max, unseen: false }
            }
            READ => {
                Pending::Body { request: true, max: limit::BODY_COLLECT as usize, unseen: true }
            }
            FETCH => match read_fetch(stack, at + 1) {
                Ok(fetch) => Pending::Fetch(vm.services().fetch(fetch)),
                Err(error) => refuse(error),
            },
            TAKE => match vm.take_pending() {
                Some(waiter) => Pending::Taken(waiter),
                None => refuse("no call is under way"),
            },
            TURN => Pending::Turn(false),
            _ => refuse("not an operation"),
        }
    }

    /// The answer, once there is one.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: Option<&mut Exchange>,
    ) -> Poll<Answer> {
        Poll::Ready(match self {
            Pending::Sleep(wait) => {
                ready!(wait.as_mut().poll(cx));
                Answer::Nothing
            }
            Pending::Body { request, max, unseen } => {
                let Some(exchange) = exchange else {
                    return Poll::Ready(Answer::Refused("this request has ended".into()));
                };
                let body = match request {
                    true => &mut exchange.request.body,
                    false => &mut exchange.response.body,
                };
                match ready!(body.poll_collect(cx, *max)) {
                    Ok(Some(_)) if *unseen => Answer::Value(Value::Bool(true)),
                    Ok(Some(bytes)) => Answer::Text(bytes),
                    Ok(None) => Answer::Refused("too large".into()),
                    Err(error) => Answer::Refused(error.to_string()),
                }
            }
            Pending::Fetch(wait) => match ready!(wait.as_mut().poll(cx)) {
                Ok(fetched) => Answer::Fetched(fetched),
                Err(error) => Answer::Refused(error.0),
            },
            Pending::Taken(waiter) => ready!(waiter.poll(cx, exchange)),
            Pending::Turn(had) => {
                if !std::mem::replace(had, true) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Answer::Nothing
            }
            Pending::Ready(answer) => std::mem::replace(answer, Answer::Nothing),
        })
    }
}

impl Answer {
    /// Puts the answer on a stack; how many values it is.
    ///
    /// # Errors
    /// When the VM has no room for it.
    pub(crate) fn push(self, vm: &Vm, stack: Stack) -> Result<c_int, Fault> {
        let size = match &self {
            Answer::Text(bytes) => bytes.len(),
            Answer::Fetched(fetched) => fetched.body.len(),
            Answer::Subanswer(answer) => answer.body.len(),
            Answer::Value(value) => text_len(value),
            Answer::Called(Ok(value) | Err(value)) => text_len(value),
            Answer::Parcel(parcel) => parcel.bytes(),
            Answer::Values(values) => values.iter().map(text_len).sum(),
            _ => 0,
        };
        if size > vm.room() {
            return Err(Fault::new(FaultKind::Memory, "no room in the VM for what it waited for"));
        }
        match self {
            Answer::Nothing => return Ok(0),
            Answer::Text(bytes) => stack.push_bytes(&bytes),
            Answer::Value(value) => value::push(stack, &value),
            Answer::Called(Ok(value)) => value::push_full(stack, &value),
            Answer::Called(Err(error)) => {
                stack.push_nil();
                value::push_full(stack, &error);
                return Ok(2);
            }
            Answer::Values(values) => {
                values.iter().for_each(|value| value::push(stack, value));
                return Ok(values.len() as c_int);
            }
            Answer::Parcel(parcel) => return Ok(parcel.unpack(stack)),
            Answer::Started(id, thread) => {
                stack.push_number(f64::from(id));
                stack.push_kept(thread);
                return Ok(2);
            }
            Answer::Fetched(fetched) => {
                let headers = fetched.headers.iter();
                let headers = headers.map(|(name, value)| (name.as_bytes(), value.as_slice()));
                push_response(stack, fetched.status, &fetched.body, b"headers", headers);
            }
            Answer::Subanswer(answer) => {
                let fields = answer.head.fields.iter().map(|(_, name, value)| (name, value));
                push_response(stack, answer.head.status, &answer.body, b"header", fields);
                stack.push_bool(answer.truncated);
                stack.set(-2, b"truncated");
            }
            Answer::Refused(message) => return Ok(value::refuse(stack, &message)),
        }
        Ok(1)
    }
}

fn text_len(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

/// Status, headers (a list where a name repeats) and body, as a table.
fn push_response<'a>(
    stack: Stack,
    status: u16,
    body: &[u8],
    key: &[u8],
    headers: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    stack.push_table(0, 4);
    stack.push_number(f64::from(status));
    stack.set(-2, b"status");
    stack.push_bytes(body);
    stack.set(-2, b"body");
    stack.push_table(0, 16);
    for (name, value) in headers {
        stack.push_bytes(value);
        stack.append(name);
    }
    stack.set(-2, key);
}

fn read_fetch(stack: Stack, at: c_int) -> Result<Fetch, &'static str> {
    let mut fetch = Fetch::default();
    if stack.kind(at) == Kind::Str {
        fetch.url = stack.text(at).unwrap_or_default();
        return Ok(fetch);
    }
    if stack.kind(at) != Kind::Table {
        return Err("fetch takes a URL or a table");
    }
    let text = |key: &str, must: &'static str| {
        stack.field(at, key, |stack, at| match stack.text(at) {
            None if stack.kind(at) != Kind::Nil => Err(must),
            text => Ok(text),
        })
    };
    fetch.url = text("url", "url must be a string")?.ok_or("a url is needed")?;
    fetch.method = text("method", "method must be a string")?.unwrap_or_default();
    fetch.upstream = text("upstream", "upstream must be a string")?;
    fetch.body = stack.field(at, "body", |stack, at| match (stack.bytes(at), stack.kind(at)) {
        (Some(body), _) => Ok(Bytes::copy_from_slice(body)),
        (None, Kind::Nil) => Ok(Bytes::new()),
        _ => Err("body must be a string"),
    })?;
    let seconds = stack.field(at, "timeout", Stack::number);
    let seconds = seconds.filter(|seconds| *seconds > 0.0 && *seconds < SLEEP_MAX);
    fetch.timeout = seconds.map(Duration::from_secs_f64);
    let mut room = FETCH_HEADERS;
    let read = stack.field(at, "headers", |stack, at| match stack.kind(at) {
        Kind::Nil => Ok(()),
        Kind::Table => read_headers(stack, &mut |name, value| {
            let name = String::from_utf8_lossy(name).into_owned();
            room = room.checked_sub(name.len() + value.len()).ok_or_else(String::new)?;
            fetch.headers.push((name, value.to_vec()));
            Ok(())
        }),
        _ => Err("headers must be a table".to_owned()),
    });
    read.map_err(|_| "headers must be a table of strings, not too large")?;
    Ok(fetch)
}

/// Takes a header's name and value, or says what is wrong with them.
type Take<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), String> + 'a;

/// Hands over every name and value of the table on top: values are strings, numbers or lists.
pub(crate) fn read_headers(stack: Stack, take: &mut Take<'_>) -> Result<(), String> {
    let table = stack.top();
    let one = |take: &mut Take<'_>, name: &[u8]| match (stack.bytes(-1), stack.number(-1)) {
        (Some(value), _) => take(name, value),
        (None, Some(number)) => take(name, number.to_string().as_bytes()),
        _ => Err(format!(
            "header \"{}\" must be a string, not a {}",
            String::from_utf8_lossy(name),
            stack.kind_name(-1)
        )),
    };
    stack.push_nil();
    while stack.next(table) {
        let Some(name) = stack.bytes(-2) else {
            stack.pop(2);
            return Err("a header's name must be a string".into());
        };
        let mut result = Ok(());
        if stack.kind(-1) == Kind::Table {
            let list = stack.top();
            // `length` may be any number: the first hole ends the list.
            for index in 1..=stack.length(list) {
                stack.get_at(list, index as c_int);
                result = one(take, name);
                stack.pop(1);
                if result.is_err() {
                    break;
                }
            }
        } else {
            result = one(take, name);
        }
        stack.pop(1);
        if let Err(error) = result {
            stack.pop(1);
            return Err(error);
        }
    }
    Ok(())
}
