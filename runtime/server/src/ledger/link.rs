//! A connection to a Redis server that has our scripts.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Poll, ready};

use pilotlight_config::manifest::Redis;
use pilotlight_core::allowance::GRANT;
use pilotlight_filter::abi::Value;
use pilotlight_filter::host::resp::{self, Reader, Reply};
use pilotlight_filter::host::socket::{StartTls, TlsFiles};
use pilotlight_filter::host::{Connect, Remote, Socket};

use super::counts::COUNT;
use crate::services::{resolver, socket};
use crate::tls::ProgramTls;

/// Says that a node (ARGV[1]) is there, for so many seconds; how many are.
const NODES: &str = "local t=redis.call('TIME')[1] \
redis.call('ZREMRANGEBYSCORE',KEYS[1],0,t-ARGV[2]) redis.call('ZADD',KEYS[1],t,ARGV[1]) \
redis.call('EXPIRE',KEYS[1],ARGV[2]) return redis.call('ZCARD',KEYS[1])";

/// Bytes to ask the system for at a time.
const CHUNK: usize = 16 * 1024;

/// Our scripts.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    Grant,
    Count,
    Nodes,
}

/// Commands that are sent together: a script each, which the connection knows by a digest.
#[derive(Default)]
pub(crate) struct Commands(Vec<(Script, Vec<Vec<u8>>)>);

impl Commands {
    /// A script with its one key and what it is told.
    pub(crate) fn push<const N: usize>(&mut self, script: Script, key: Vec<u8>, told: [String; N]) {
        let told = told.into_iter().map(String::into_bytes);
        self.0.push((script, std::iter::once(key).chain(told).collect()));
    }

    pub(super) fn nodes(&mut self, node: &str, alive: &str) {
        let key = b"pilotlight:nodes".to_vec();
        self.push(Script::Nodes, key, [node.to_owned(), alive.to_owned()]);
    }
}

pub(super) struct Link {
    socket: Box<dyn Socket>,
    reader: Reader,
    read: Vec<u8>,
    /// Digests, by [`Script`].
    scripts: Vec<Vec<u8>>,
}

impl Link {
    pub(super) async fn open(meant: &Redis, programs: Arc<ProgramTls>) -> Result<Link, String> {
        let failed = |error: io::Error| error.to_string();
        let to = match &meant.unix {
            Some(path) => Remote::Unix(path.clone()),
            None => Remote::Inet(SocketAddr::new(address(&meant.host).await?, meant.port)),
        };
        let connect = Connect { to, from: None, transparent: false };
        let mut socket = socket::connect(connect, programs).await.map_err(failed)?;
        if meant.tls {
            let tls = StartTls {
                server_name: Some(meant.host.clone()),
                verify: true,
                files: TlsFiles { ca: meant.ca.clone(), ..TlsFiles::default() },
                ..StartTls::default()
            };
            socket = socket.start_tls(tls).await.map_err(|failure| failure.message)?.socket;
        }
        let (reader, read) = (Reader::default(), Vec::new());
        let mut link = Link { socket, reader, read, scripts: Vec::new() };
        let (user, password) = (meant.user.as_deref(), meant.password.as_deref());
        let mut steps = resp::sign_in(user, password, meant.database);
        let before = steps.len();
        let scripts = [GRANT, COUNT, NODES];
        steps.extend(scripts.map(|script| resp::words(&["SCRIPT", "LOAD", script])));
        for (at, reply) in link.talk(&steps.concat(), steps.len()).await?.into_iter().enumerate() {
            match reply {
                Reply::Value(Value::Bytes(digest)) if at >= before => link.scripts.push(digest),
                Reply::Value(_) => {}
                Reply::Refused(message) => return Err(message),
            }
        }
        Ok(link)
    }

    /// Sends commands, and reads as many replies.
    pub(super) async fn ask(
        &mut self,
        commands: &Commands,
        replies: usize,
    ) -> Result<Vec<Reply>, String> {
        let mut bytes = Vec::new();
        for (script, parts) in &commands.0 {
            let digest = self.scripts.get(*script as usize).map_or(&[][..], Vec::as_slice);
            let all: Vec<&[u8]> = [&b"EVALSHA"[..], digest, b"1"]
                .into_iter()
                .chain(parts.iter().map(Vec::as_slice))
                .collect();
            resp::command(&mut bytes, all.into_iter());
        }
        self.talk(&bytes, replies).await
    }

    async fn talk(&mut self, bytes: &[u8], replies: usize) -> Result<Vec<Reply>, String> {
        let failed = |error: io::Error| error.to_string();
        let (socket, mut sent) = (&mut self.socket, 0);
        let sending = poll_fn(|cx| {
            while sent < bytes.len() {
                match ready!(socket.poll_write(cx, &bytes[sent..]))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    taken => sent += taken,
                }
            }
            socket.poll_flush(cx)
        });
        sending.await.map_err(failed)?;
        let mut all = Vec::with_capacity(replies);
        while all.len() < replies {
            let (used, reply) = self.reader.read(&self.read)?;
            self.read.drain(..used);
            match reply {
                Some(reply) => all.push(reply),
                None => {
                    let (socket, read) = (&mut self.socket, &mut self.read);
                    let more = poll_fn(|cx| socket.poll_read(cx, read, CHUNK)).await;
                    if more.map_err(failed)? == 0 {
                        return Err("closed".to_owned());
                    }
                }
            }
        }
        Ok(all)
    }
}

async fn address(host: &str) -> Result<IpAddr, String> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found = resolver::by_system(host.to_owned()).await?;
    found.first().copied().ok_or_else(|| format!("{host} has no address"))
}
