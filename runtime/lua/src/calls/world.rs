//! What the dialects' world asks of the host beside the exchange at hand.

use std::cell::{Cell, RefCell};
use std::os::raw::c_int;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::abi::Value;
use pilotlight_filter::host::{FetchError, Subanswer, Subrequest, Wait};
use pilotlight_filter::{Body, Exchange, Method};
use pilotlight_luajit::lua_State;

use super::Slow;
use super::log::level;
use super::route::HANDED;
use crate::stack::{Kind, Stack};
use crate::value::{refuse, status};
use crate::vm::{shared_vm_of, window_of};
use crate::wait::{Answer, Waiter, read_headers};

pub(crate) fn slow() -> [Slow; 11] {
    [
        Slow("logs", logs),
        Slow("park", park),
        Slow("unpark", unpark),
        Slow("exiting", exiting),
        Slow("task_counts", task_counts),
        Slow("pid", pid),
        Slow("worker_id", worker_id),
        Slow("worker_count", worker_count),
        Slow("subrequest", subrequest),
        Slow("page", status_page),
        Slow("wrecked", wrecked),
    ]
}

/// `logs(level)`: whether lines of that level are written.
unsafe extern "C-unwind" fn logs(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state; the window outlives the VM.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let level = level(stack.number(1).unwrap_or_default());
    stack.push_bool(window.host.services.logs(level));
    1
}

/// `wrecked(message, coroutine)`: it died of that, and whoever called it may, too.
unsafe extern "C-unwind" fn wrecked(state: *mut lua_State) -> c_int {
    // SAFETY: as in `logs`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    if let (Some(message), Some(dead)) = (stack.text(1), stack.thread(2)) {
        window.host.wreck.add(message, &dead.trace());
    }
    0
}

/// A place where a thread waits for another one.
#[derive(Default)]
pub(crate) struct Berth {
    woken: Cell<bool>,
    gone: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// A thread in its berth: true once it is woken, false when its time is over.
struct Parked {
    berth: Rc<Berth>,
    sleep: Wait<()>,
}

impl Waiter for Parked {
    fn poll(&mut self, cx: &mut Context<'_>, _: Option<&mut Exchange>) -> Poll<Answer> {
        if self.berth.woken.get() {
            return Poll::Ready(Answer::Value(Value::Bool(true)));
        }
        if self.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Answer::Value(Value::Bool(false)));
        }
        *self.berth.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.berth.gone.set(true);
    }
}

/// `park(seconds)`: leaves a wait for `unpark`; its number.
unsafe extern "C-unwind" fn park(state: *mut lua_State) -> c_int {
    // SAFETY: as in `logs`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let seconds = stack.number(1).filter(|s| s.is_finite()).unwrap_or_default();
    let berth = Rc::<Berth>::default();
    let sleep = window.host.services.sleep(Duration::from_secs_f64(seconds.clamp(0.0, 1e6)));
    let berths = &mut window.host.berths;
    berths.retain(|(_, berth)| !berth.gone.get());
    window.host.last_berth += 1;
    let number = window.host.last_berth;
    berths.push((number, berth.clone()));
    window.host.pending = Some(Box::new(Parked { berth, sleep }));
    stack.push_number(f64::from(number));
    1
}

/// `unpark(number)`: wakes the thread; false when it waits no more.
unsafe extern "C-unwind" fn unpark(state: *mut lua_State) -> c_int {
    // SAFETY: as in `logs`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let number = stack.number(1).unwrap_or_default() as u32;
    let berths = &mut window.host.berths;
    let found = berths.iter().position(|(known, _)| *known == number);
    let berth = found.map(|at| berths.swap_remove(at).1);
    let berth = berth.filter(|berth| !berth.gone.get());
    if let Some(berth) = &berth {
        berth.woken.set(true);
        if let Some(waker) = berth.waker.take() {
            waker.wake();
        }
    }
    stack.push_bool(berth.is_some());
    1
}

/// `exiting()`: whether this VM's generation or worker ends.
unsafe extern "C-unwind" fn exiting(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let (stack, vm) = unsafe { (Stack::new(state), shared_vm_of(state)) };
    stack.push_bool(vm.is_none_or(|vm| vm.tasks.are_closing()));
    1
}

/// `task_counts()`: tasks whose time has not come, and those that run.
unsafe extern "C-unwind" fn task_counts(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let (stack, vm) = unsafe { (Stack::new(state), shared_vm_of(state)) };
    let (pending, running) = vm.map(|vm| vm.tasks.counts()).unwrap_or_default();
    stack.push_number(pending as f64);
    stack.push_number(running as f64);
    2
}

unsafe extern "C-unwind" fn pid(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    stack.push_number(f64::from(std::process::id()));
    1
}

/// `worker_id()`: from 0.
unsafe extern "C-unwind" fn worker_id(state: *mut lua_State) -> c_int {
    // SAFETY: as in `logs`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    stack.push_number(window.host.services.worker().0 as f64);
    1
}

/// `worker_count()`.
unsafe extern "C-unwind" fn worker_count(state: *mut lua_State) -> c_int {
    // SAFETY: as in `logs`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    stack.push_number(window.host.services.worker().1 as f64);
    1
}

/// A subrequest under way.
struct Asked(Wait<Result<Subanswer, FetchError>>);

impl Waiter for Asked {
    fn poll(&mut self, cx: &mut Context<'_>, _: Option<&mut Exchange>) -> Poll<Answer> {
        Poll::Ready(match ready!(self.0.as_mut().poll(cx)) {
            Ok(answer) => Answer::Subanswer(Box::new(answer)),
            Err(error) => Answer::Refused(error.0),
        })
    }
}

/// `subrequest({ path, query, method, headers, body, keep_body, state })`: leaves a wait for the answer of one
/// of the gateway's own routes. True, or nil and why not.
unsafe extern "C-unwind" fn subrequest(state: *mut lua_State) -> c_int {
    // SAFETY: as in `logs`.
    let (stack, window) = unsafe { (Stack::new(state), window_of(state)) };
    let services = window.host.services.clone();
    let Some(exchange) = window.exchange() else { return refuse(stack, "no request found") };
    let made = ask(stack, exchange);
    window.host.pending = Some(match made {
        Ok(request) => Box::new(Asked(services.subrequest(request))),
        Err(error) => Box::new(Asked(Box::pin(std::future::ready(Err(error))))),
    });
    status(stack, Ok(()))
}

fn ask(stack: Stack, exchange: &mut Exchange) -> Result<Subrequest, FetchError> {
    let wrong = |what: &str| FetchError(format!("unsafe {what}"));
    let mut request = Subrequest::of(exchange);
    let head = &mut request.request.head;
    let text = |key: &str| stack.field(1, key, |stack, at| stack.bytes(at).map(<[u8]>::to_vec));
    let path = text("path").unwrap_or_default();
    match path.first() {
        Some(b'@') => request.route = Some(String::from_utf8_lossy(&path).into()),
        _ => head.set_path(&path).map_err(|_| wrong("uri"))?,
    }
    head.set_query(text("query").as_deref()).map_err(|_| wrong("query"))?;
    head.set_method(&text("method").unwrap_or_default()).map_err(|_| wrong("method"))?;
    let set = stack.field(1, "headers", |stack, at| match stack.kind(at) {
        Kind::Table => read_headers(stack, &mut |name, value| {
            head.fields.set(name, value).map_err(|error| error.to_string())
        }),
        _ => Ok(()),
    });
    set.map_err(FetchError)?;
    let keeps = stack.field(1, "keep_body", Stack::truth);
    let body = match text("body") {
        Some(body) => Bytes::from(body),
        None if keeps => Bytes::copy_from_slice(exchange.request.body.whole().unwrap_or_default()),
        None => Bytes::new(),
    };
    if body.is_empty() && matches!(head.method(), Method::Get | Method::Head) {
        head.fields.remove(b"content-type");
    }
    request.request.body = Body::full(body);
    let number = stack.field(1, "state", Stack::number).unwrap_or_default();
    request.properties.push((HANDED.into(), Value::Int(number as i64)));
    Ok(request)
}

/// `page(status)`: the page of HTML that nginx has for a status.
unsafe extern "C-unwind" fn status_page(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls with a live state.
    let stack = unsafe { Stack::new(state) };
    let status = stack.number(1).unwrap_or_default() as u16;
    stack.push_bytes(page(status).as_bytes());
    1
}

/// The page of HTML that nginx has for a status.
pub(crate) fn page(status: u16) -> String {
    let reason = REASONS.iter().find(|(known, _)| *known == status).map_or("", |(_, text)| *text);
    let title = format!("{status} {reason}");
    let title = title.trim_end();
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n\
         <center><h1>{title}</h1></center>\r\n<hr><center>pilotlight</center>\r\n\
         </body>\r\n</html>\r\n"
    )
}

/// As nginx writes them on its pages.
const REASONS: &[(u16, &str)] = &[
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Authorization Required"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Not Allowed"),
    (406, "Not Acceptable"),
    (408, "Request Time-out"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Request Entity Too Large"),
    (414, "Request-URI Too Large"),
    (415, "Unsupported Media Type"),
    (416, "Requested Range Not Satisfiable"),
    (421, "Misdirected Request"),
    (429, "Too Many Requests"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Temporarily Unavailable"),
    (504, "Gateway Time-out"),
    (505, "HTTP Version Not Supported"),
    (507, "Insufficient Storage"),
];
