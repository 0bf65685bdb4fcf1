//! Redis: commands over connections that a VM keeps by the server's name.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use pilotlight_filter::abi::Value;
use pilotlight_filter::abi::limit;
use pilotlight_filter::engine::RedisSpec;
use pilotlight_filter::host::resp::{self, Reader, Reply};
use pilotlight_filter::host::socket::{StartTls, TlsFiles};
use pilotlight_filter::host::{Connect, Names, Remote, Services};

use super::Sockets;
use super::input::Input;
use super::link::{Link, Open};
use super::open::pick;
use super::pool::{Joined, Pools, Seat};
use super::target::Target;
use super::words::{Failure, TIMEOUT};

/// Bytes to ask the system for at a time.
const CHUNK: usize = 16 * 1024;

/// A server, reached from one VM.
pub(crate) struct Redis {
    spec: RedisSpec,
    services: Rc<dyn Services>,
    pools: Rc<Pools>,
    open: Rc<std::cell::Cell<usize>>,
}

/// What was asked for.
pub(crate) enum Ask {
    /// One command: its reply, or the server's refusal.
    One,
    /// So many commands: a list of replies, refusals among them.
    Many(usize),
}

/// A connection that is of no use any more when it is dropped.
struct Used {
    link: Link,
    seat: Seat,
    input: Input,
    reader: Reader,
}

impl Redis {
    pub(crate) fn new(sockets: &Sockets, spec: &RedisSpec, services: Rc<dyn Services>) -> Redis {
        let (pools, open) = (sockets.pools.clone(), sockets.open.clone());
        Redis { spec: spec.clone(), services, pools, open }
    }

    /// Sends commands and waits for their replies. Whatever goes wrong is this call's alone: its
    /// connection goes, the others stay.
    ///
    /// # Errors
    /// A sentence for the script.
    pub(crate) async fn call(self, commands: Vec<u8>, ask: Ask) -> Result<Value, String> {
        let connecting = self.connection();
        let mut used = within(&*self.services, self.spec.connect, connecting).await??;
        let exchange = async {
            used.send(&commands).await?;
            match ask {
                Ask::One => used.reply().await,
                Ask::Many(count) => {
                    let mut replies = Vec::with_capacity(count.min(1024));
                    while replies.len() < count {
                        replies.push(resp::within(used.reply().await?));
                    }
                    Ok(Reply::Value(Value::List(replies)))
                }
            }
        };
        let reply = within(&*self.services, self.spec.reply, exchange).await??;
        if used.input.unread().is_empty() {
            let Used { link, seat, .. } = used;
            let pool = seat.pool().clone();
            pool.put(link, Some(seat), self.spec.idle.as_secs_f64());
        }
        match reply {
            Reply::Value(value) => Ok(value),
            Reply::Refused(message) => Err(message),
        }
    }

    /// One that was idle, or a new one that has signed in.
    async fn connection(&self) -> Result<Used, String> {
        let key = [b"\0redis:", self.spec.name.as_bytes()].concat();
        let pool = self.pools.get_or_make(&key, self.spec.pool.max(1), None);
        let (link, seat) = match pool.join() {
            Joined::Link(link, seat) => return Ok(Used::new(link, seat)),
            Joined::Seat(seat) => (self.connect().await?, seat),
            Joined::Queued(_) | Joined::Full => return Err("too many connections".to_owned()),
        };
        let mut used = Used::new(link, seat);
        self.sign_in(&mut used).await?;
        Ok(used)
    }

    async fn connect(&self) -> Result<Link, String> {
        let spec = &self.spec;
        let open = Open::one_more(&self.open).ok_or("too many open sockets")?;
        let to = match Target::read(&spec.host, spec.port)? {
            Target::Address(address, port) => Remote::Inet(SocketAddr::new(address, port)),
            Target::Unix(path) => Remote::Unix(path),
            Target::Name(name, port) => {
                let addresses = self.services.resolve(&name, Names::System).await?;
                let picked = pick(&*self.services, &addresses);
                let address = picked.ok_or_else(|| format!("{name} has no address"))?;
                Remote::Inet(SocketAddr::new(address, port))
            }
        };
        let connect = Connect { to, from: None, transparent: false };
        let mut socket = self.services.connect(connect).await.map_err(|e| said("connect()", &e))?;
        let mut session = None;
        if spec.tls {
            let tls = StartTls {
                server_name: Some(spec.host.clone()),
                verify: true,
                files: TlsFiles { ca: spec.ca.clone(), ..TlsFiles::default() },
                ..StartTls::default()
            };
            let secured = socket.start_tls(tls).await.map_err(|failure| failure.message)?;
            (socket, session) = (secured.socket, Some(secured.session));
        }
        Ok(Link { socket, name: "".into(), reused: 0, session, open })
    }

    async fn sign_in(&self, used: &mut Used) -> Result<(), String> {
        let spec = &self.spec;
        let (user, password) = (spec.user.as_deref(), spec.password.as_deref());
        for command in resp::sign_in(user, password, spec.database) {
            used.send(&command).await?;
            if let Reply::Refused(message) = used.reply().await? {
                return Err(message);
            }
        }
        Ok(())
    }
}

impl Used {
    fn new(link: Link, seat: Seat) -> Used {
        Used { link, seat, input: Input::default(), reader: Reader::default() }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let socket = &mut self.link.socket;
        let mut sent = 0;
        poll_fn(|cx| {
            while sent < bytes.len() {
                match ready!(socket.poll_write(cx, &bytes[sent..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    taken => sent += taken,
                }
            }
            socket.poll_flush(cx)
        })
        .await
        .map_err(|error| said("send()", &error))
    }

    async fn reply(&mut self) -> Result<Reply, String> {
        loop {
            let (used, reply) = self.reader.read(self.input.unread())?;
            self.input.skip(used);
            if let Some(reply) = reply {
                return Ok(reply);
            }
            if self.input.unread().len() > limit::LUA_SOCKET_BYTES {
                return Err(resp::TOO_LARGE.to_owned());
            }
            let (socket, input) = (&mut self.link.socket, &mut self.input);
            let read = poll_fn(|cx| socket.poll_read(cx, input.room(), CHUNK)).await;
            if read.map_err(|error| said("recv()", &error))? == 0 {
                return Err(super::CLOSED.to_owned());
            }
        }
    }
}

fn said(call: &str, error: &io::Error) -> String {
    Failure::system(call, error, "").why
}

/// Bounds a wait.
async fn within<T>(
    services: &dyn Services,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    let (mut work, mut sleep) = (Box::pin(work), services.sleep(limit));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending => {
            ready!(sleep.as_mut().poll(cx));
            Poll::Ready(Err(TIMEOUT.to_owned()))
        }
    })
    .await
}
