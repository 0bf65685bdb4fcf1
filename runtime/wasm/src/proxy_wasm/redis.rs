//! Redis, as Higress's modules ask for it: a command as it goes over the wire, its reply as it came.
//!
//! ```text
//! proxy_redis_init ─▶ who signs in     proxy_redis_call ─▶ a task ─▶ proxy_on_redis_call_response
//! ```
//! The servers are `[redis.NAME]` of the manifest. Connections are a filter's own on each worker.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use pilotlight_filter::Services;
use pilotlight_filter::engine::RedisSpec;
use pilotlight_filter::host::resp;
use pilotlight_filter::host::socket::{Connect, Names, Remote, Socket, StartTls, TlsFiles};

use super::abi::Status;
use super::calling::{Caller, Event, known_as};
use super::memory;
use crate::host::Host;

/// Bytes of a command, and of a reply.
const BYTES_MAX: usize = 1 << 20;
/// Values of a reply, those within others too.
const VALUES_MAX: u64 = 1 << 16;
/// Bytes that are asked for at a time.
const CHUNK: usize = 16 << 10;
/// Servers that an instance speaks to.
const SERVERS: usize = 16;

/// A server as an instance reaches it, by the name that it was given, without what stands behind a `?`.
#[derive(Clone)]
pub(crate) struct Server {
    name: Box<[u8]>,
    spec: Rc<RedisSpec>,
}

/// Connections that wait for the next command: what they were opened with, and since when they wait.
pub(crate) type Idle = RefCell<Vec<(Rc<RedisSpec>, f64, Box<dyn Socket>)>>;

fn text(bytes: &[u8]) -> Result<Option<String>, Status> {
    let text = std::str::from_utf8(bytes).map_err(|_| Status::BadArgument)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn plain(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b'?').next().unwrap_or_default()
}

/// `NAME?db=1`, in which the name is one of the manifest, or as Istio and Higress have it.
fn find(host: &Host, name: &[u8]) -> Result<RedisSpec, Status> {
    let name = std::str::from_utf8(name).map_err(|_| Status::BadArgument)?;
    let program = host.proxy.program.as_ref().ok_or(Status::BadArgument)?;
    let (name, rest) = name.split_once('?').unwrap_or((name, ""));
    let all = &program.redis;
    let name = known_as(name, |name| all.iter().any(|spec| *spec.name == *name));
    let spec = all.iter().find(|spec| Some(&*spec.name) == name).ok_or(Status::BadArgument)?;
    let mut spec = spec.clone();
    let database = rest.split('&').find_map(|pair| pair.strip_prefix("db="));
    if let Some(database) = database {
        spec.database = database.parse().map_err(|_| Status::BadArgument)?;
    }
    Ok(spec)
}

/// `proxy_redis_init`: server, user, password, milliseconds. What is empty is as the manifest has it.
pub(crate) fn init(mem: &mut [u8], host: &mut Host, args: [u32; 7]) -> Result<(), Status> {
    let [name, nl, user, ul, password, pl, timeout] = args;
    let name = memory::slice(mem, name, nl)?;
    let (user, password) =
        (text(memory::slice(mem, user, ul)?)?, text(memory::slice(mem, password, pl)?)?);
    let mut spec = find(host, name)?;
    spec.user = user.or(spec.user);
    spec.password = password.or(spec.password);
    if timeout > 0 {
        spec.reply = Duration::from_millis(timeout.into());
    }
    let servers = &mut host.proxy.redis;
    let name = plain(name);
    servers.retain(|server| *server.name != *name);
    if servers.len() >= SERVERS {
        return Err(Status::InternalFailure);
    }
    servers.push(Server { name: name.into(), spec: Rc::new(spec) });
    Ok(())
}

/// `proxy_redis_call`: server, command, where the token goes.
pub(crate) fn call(mem: &mut [u8], host: &mut Host, args: [u32; 5]) -> Result<(), Status> {
    let [name, nl, command, cl, out] = args;
    memory::slice(mem, out, 4)?;
    let (name, command) = (memory::slice(mem, name, nl)?, memory::slice(mem, command, cl)?);
    // One whole command, as clients write it: the reply to a second one would be taken for another exchange's.
    if !command.starts_with(b"*") || end(command) != Some(Ok(command.len())) {
        return Err(Status::BadArgument);
    }
    if command.len() > BYTES_MAX {
        return Err(Status::BadArgument);
    }
    let name = plain(name);
    let known = host.proxy.redis.iter().find(|server| *server.name == *name);
    let spec = Rc::clone(&known.ok_or(Status::BadArgument)?.spec);
    let (command, idle) = (command.to_vec(), Rc::clone(&host.proxy.idle));
    let (token, caller) = Caller::begin(host)?;
    let services = Rc::clone(&host.services);
    host.services.spawn(Box::pin(async move {
        let limit = spec.connect + spec.reply;
        let asked = ask(&*services, spec, &idle, &command);
        let (mut asked, mut sleep) = (Box::pin(asked), services.sleep(limit));
        let answer = poll_fn(|cx| match asked.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(answer.map_err(|error| error.to_string())),
            Poll::Pending => sleep.as_mut().poll(cx).map(|()| Err("timeout".to_owned())),
        });
        let answer = answer.await;
        drop(asked);
        caller.tell(Event::Redis { token, answer });
    }));
    memory::write_u32(mem, out, token)
}

/// Asks over a connection that was idle, or else over a new one.
async fn ask(
    services: &dyn Services,
    spec: Rc<RedisSpec>,
    idle: &Idle,
    command: &[u8],
) -> io::Result<Bytes> {
    let old = poll_fn(|cx| Poll::Ready(take(idle, &spec, services.monotonic(), cx))).await;
    let mut socket = match old {
        Some(socket) => socket,
        None => connect(services, &spec).await?,
    };
    let reply = exchange(&mut socket, command).await?;
    if !changes(command) {
        keep(idle, spec, services.monotonic(), socket);
    }
    Ok(reply)
}

/// Whether the connection is another one after a command: whoever had it next would be signed in, subscribed, or
/// in a transaction without knowing.
fn changes(command: &[u8]) -> bool {
    const CHANGING: [&[u8]; 14] = [
        b"AUTH",
        b"CLIENT",
        b"HELLO",
        b"MONITOR",
        b"MULTI",
        b"PSUBSCRIBE",
        b"PSYNC",
        b"QUIT",
        b"READONLY",
        b"RESET",
        b"SELECT",
        b"SSUBSCRIBE",
        b"SUBSCRIBE",
        b"WATCH",
    ];
    // `*COUNT`, `$LENGTH`, the first word.
    let word = command.split(|byte| *byte == b'\n').nth(2).unwrap_or_default().trim_ascii();
    CHANGING.iter().any(|changing| word.eq_ignore_ascii_case(changing))
}

/// Those that have waited for long are closed.
pub(crate) fn rest(idle: &Idle, now: f64) {
    idle.borrow_mut().retain(|(spec, since, _)| now - since < spec.idle.as_secs_f64());
}

/// One that the server has not left meanwhile.
fn take(
    idle: &Idle,
    spec: &Rc<RedisSpec>,
    now: f64,
    cx: &mut Context<'_>,
) -> Option<Box<dyn Socket>> {
    rest(idle, now);
    let mut idle = idle.borrow_mut();
    loop {
        let at = idle.iter().rposition(|(known, ..)| known == spec)?;
        let mut socket = idle.swap_remove(at).2;
        if socket.poll_read(cx, &mut Vec::new(), 1).is_pending() {
            return Some(socket);
        }
    }
}

fn keep(idle: &Idle, spec: Rc<RedisSpec>, now: f64, socket: Box<dyn Socket>) {
    let mut idle = idle.borrow_mut();
    if idle.iter().filter(|(known, ..)| *known == spec).count() < spec.pool {
        idle.push((spec, now, socket));
    }
}

async fn connect(services: &dyn Services, spec: &RedisSpec) -> io::Result<Box<dyn Socket>> {
    let to = match (spec.host.strip_prefix("unix:"), spec.host.parse::<IpAddr>()) {
        (Some(path), _) => Remote::Unix(path.into()),
        (None, Ok(address)) => Remote::Inet(SocketAddr::new(address, spec.port)),
        (None, Err(_)) => {
            let found = services.resolve(&spec.host, Names::System).await;
            let found = found.map_err(io::Error::other)?;
            let address = found.first().ok_or(io::ErrorKind::NotFound)?;
            Remote::Inet(SocketAddr::new(*address, spec.port))
        }
    };
    let connect = Connect { to, from: None, transparent: false };
    let mut socket = services.connect(connect).await?;
    if spec.tls {
        let files = TlsFiles { ca: spec.ca.clone(), ..TlsFiles::default() };
        let server_name = Some(spec.host.clone());
        let tls = StartTls { server_name, verify: true, files, ..StartTls::default() };
        let secured = socket.start_tls(tls).await;
        socket = secured.map_err(|failure| io::Error::other(failure.message))?.socket;
    }
    let (user, password) = (spec.user.as_deref(), spec.password.as_deref());
    for command in resp::sign_in(user, password, spec.database) {
        let reply = exchange(&mut socket, &command).await?;
        if reply.first() == Some(&b'-') {
            return Err(io::Error::other(String::from_utf8_lossy(&reply).into_owned()));
        }
    }
    Ok(socket)
}

/// Sends a command, and reads its one reply.
async fn exchange(socket: &mut Box<dyn Socket>, command: &[u8]) -> io::Result<Bytes> {
    let mut sent = 0;
    poll_fn(|cx| {
        while sent < command.len() {
            match ready!(socket.poll_write(cx, &command[sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                taken => sent += taken,
            }
        }
        socket.poll_flush(cx)
    })
    .await?;
    let mut reply = Vec::new();
    loop {
        match end(&reply) {
            Some(Ok(end)) if end == reply.len() => return Ok(reply.into()),
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
            None if reply.len() > BYTES_MAX => return Err(io::ErrorKind::FileTooLarge.into()),
            None => {}
        }
        if poll_fn(|cx| socket.poll_read(cx, &mut reply, CHUNK)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Where a reply ends (RESP 2 and 3), or a command; `None` when more must come, an error when it is none.
fn end(reply: &[u8]) -> Option<Result<usize, ()>> {
    let (mut at, mut left) = (0_usize, 1_u64);
    while left > 0 {
        let rest = reply.get(at..)?;
        let line = &rest[..rest.windows(2).position(|pair| pair == b"\r\n")?];
        at += line.len() + 2;
        left -= 1;
        let (kind, number) = line.split_first().unwrap_or((&0, &[]));
        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<i64>().ok());
        let number = number.map(|number| number.max(0).unsigned_abs());
        match (kind, number) {
            (b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(', _) => {}
            // Nothing at all is a text of -1 bytes.
            (b'$' | b'=' | b'!', Some(_)) if line.get(1) == Some(&b'-') => {}
            (b'$' | b'=' | b'!', Some(len)) if len <= BYTES_MAX as u64 => at += len as usize + 2,
            (b'*' | b'~' | b'>', Some(count)) if count <= VALUES_MAX => left += count,
            (b'%', Some(count)) if count <= VALUES_MAX => left += 2 * count,
            _ => return Some(Err(())),
        }
        if left > VALUES_MAX {
            return Some(Err(()));
        }
    }
    (at <= reply.len()).then_some(Ok(at))
}

#[cfg(test)]
mod tests {
    use super::{changes, end};

    #[test]
    fn what_changes_a_connection_is_known() {
        for (command, does) in [
            (&b"*2\r\n$6\r\nselect\r\n$1\r\n1\r\n"[..], true),
            (b"*1\r\n$5\r\nMULTI\r\n", true),
            (b"*2\r\n$3\r\nGET\r\n$6\r\nSELECT\r\n", false),
        ] {
            assert_eq!(changes(command), does, "{command:?}");
        }
    }

    #[test]
    fn a_reply_ends_where_it_does() {
        for whole in [
            &b"+OK\r\n"[..],
            b"-ERR no\r\n",
            b":12\r\n",
            b"$-1\r\n",
            b"$0\r\n\r\n",
            b"$3\r\na\r\n\r\n",
            b"*-1\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            b"%1\r\n+a\r\n:1\r\n",
        ] {
            assert_eq!(end(whole), Some(Ok(whole.len())), "{whole:?}");
            for cut in 0..whole.len() {
                assert_eq!(end(&whole[..cut]), None, "{whole:?} {cut}");
            }
            assert_eq!(end(&[whole, b"+"].concat()), Some(Ok(whole.len())));
        }
        for bad in [&b"HTTP/1.1 400\r\n"[..], b"\r\n", b"$x\r\n", b"$99999999\r\n", b"*99999\r\n"] {
            assert_eq!(end(bad), Some(Err(())), "{bad:?}");
        }
    }
}
