//! Sockets around the core: HTTP/1 over TLS, on one thread. hyper, because it is here already and keeps ten thousand
//! polls that wait at a few kilobytes each; threads would not.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use pilotlight_core::query::pairs;
use pilotlight_fleet::manifest::Fleet;
use pilotlight_fleet::release::Trust;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;

use crate::core::{Answer, Content, Outcome, Request, Settings};
use crate::keeper::{BATCH, Desk, Errand, Keeper};
use crate::store::{Error, Opened};

/// Connections at a time.
const CONNECTIONS: usize = 20_000;
/// The largest body.
const LARGEST: usize = 256 << 10;
/// The longest wait of a poll.
const WAIT: Duration = Duration::from_secs(300);
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEAD: Duration = Duration::from_secs(120);

/// Gets content from wherever releases lie.
pub type Fetch = Arc<dyn Fn(&Content) -> Result<Vec<u8>, String> + Send + Sync>;
/// Opens the store, again and again.
pub type Open = Box<dyn FnMut() -> Result<Opened, Error> + Send>;
/// Time since the start, and seconds since 1970.
pub type Clock = Box<dyn Fn() -> (Duration, i64) + Send>;

/// All that a controller needs from outside.
pub struct Outside {
    /// Where it listens, not yet waited at.
    pub listener: std::net::TcpListener,
    /// Certificates; without them all is in clear text.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Where it is kept.
    pub open: Open,
    /// Whether other controllers may have the same store.
    pub shared: bool,
    /// Where content comes from.
    pub fetch: Fetch,
    /// What time it is.
    pub clock: Clock,
    /// Is told how it goes.
    pub news: Box<dyn Fn(News) + Send>,
    /// What is read anew while it runs. It ends when nobody can send any more.
    pub anew: mpsc::Receiver<Anew>,
}

/// How it goes, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It leads; on a store that is new, with an operator's token.
    Leads(Option<String>),
    /// Another one leads: where, if it says.
    StandsBy(Option<String>),
    /// It does not lead, and why.
    Lost(String),
}

/// What is read anew.
pub enum Anew {
    /// Values and holds.
    Fleet(Fleet),
    /// Whose releases are planned.
    Trust(Trust),
    /// Certificates, for connections that are new.
    Tls(Arc<rustls::ServerConfig>),
}

/// Serves until it is told to stop.
///
/// Errors: for people.
pub fn serve(settings: Settings, outside: Outside) -> Result<(), String> {
    let Outside { listener, tls, open, shared, fetch, clock, news, anew } = outside;
    let keeper = Keeper { settings, open, shared, clock, news };
    let (send, receive) = sync_channel::<Errand>(BATCH * 16);
    let (failed, mut failure) = oneshot::channel();
    let thread = std::thread::Builder::new().name("keeper".into()).spawn(move || {
        let ended = keeper.run(&receive);
        // The receiver waits for it, or has ended by itself.
        let _ = failed.send(());
        ended
    });
    let thread = thread.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .build()
        .map_err(|error| error.to_string())?;
    let (door, shown) = (Arc::new(Door { desk: Desk(send.clone()), fetch }), watch::channel(tls));
    let served = runtime.block_on(async move {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        tokio::select! {
            never = accept(&listener, &shown.1, door, room) => never,
            () = renew(anew, &send, &shown.0) => Ok(()),
            _ = &mut failure => Ok(()),
        }
    });
    // The keeper ends when all its askers have.
    runtime.shutdown_timeout(Duration::from_secs(1));
    let ended = thread.join().map_err(|_| "the keeper has panicked".to_owned())?;
    ended.map_err(|error| error.to_string())?;
    served.map_err(|error| format!("{address}: {error}"))
}

/// Hands on what is read anew, until there is nobody who could read.
async fn renew(
    mut anew: mpsc::Receiver<Anew>,
    desk: &SyncSender<Errand>,
    shown: &watch::Sender<Option<Arc<rustls::ServerConfig>>>,
) {
    while let Some(anew) = anew.recv().await {
        let mut errand = match anew {
            Anew::Tls(config) => {
                shown.send_replace(Some(config));
                continue;
            }
            Anew::Fleet(fleet) => Errand::Fleet(fleet),
            Anew::Trust(trust) => Errand::Trust(trust),
        };
        // A keeper that has much to do has room soon.
        while let Err(TrySendError::Full(back)) = desk.try_send(errand) {
            errand = back;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn chance() -> Result<[u8; 24], String> {
    let mut bytes = [0; 24];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| "the system has no randomness".to_owned()).map(|()| bytes)
}

struct Door {
    desk: Desk,
    fetch: Fetch,
}

async fn accept(
    listener: &TcpListener,
    tls: &watch::Receiver<Option<Arc<rustls::ServerConfig>>>,
    door: Arc<Door>,
    room: Arc<Semaphore>,
) -> std::io::Result<()> {
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return Ok(()) };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of descriptors, most likely: those who leave give some back.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (door, acceptor) = (Arc::clone(&door), tls.borrow().clone().map(TlsAcceptor::from));
        tokio::spawn(async move {
            let _permit = permit;
            drop(stream.set_nodelay(true));
            match acceptor {
                None => connection(TokioIo::new(stream), None, door).await,
                Some(acceptor) => {
                    let shaken = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
                    let Ok(Ok(stream)) = shaken else { return };
                    let certificates = stream.get_ref().1.peer_certificates();
                    let certificate = certificates.and_then(|all| all.first()).cloned();
                    let certificate = certificate.map(CertificateDer::into_owned);
                    connection(TokioIo::new(stream), certificate, door).await;
                }
            }
        });
    }
}

async fn connection<I>(io: I, certificate: Option<CertificateDer<'static>>, door: Arc<Door>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(move |request| {
        let (door, certificate) = (Arc::clone(&door), certificate.clone());
        async move { Ok::<_, Infallible>(respond(request, certificate, &door).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(32 << 10);
    // Who breaks off has broken off.
    drop(http.serve_connection(io, service).await);
}

async fn respond(
    request: hyper::Request<Incoming>,
    certificate: Option<CertificateDer<'static>>,
    door: &Door,
) -> Response<Full<Bytes>> {
    let answer = match read(request, certificate).await {
        Ok(request) => answer(request, door).await,
        Err(refusal) => refusal,
    };
    let (status, body) = (answer.status, Full::new(Bytes::from(answer.body)));
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(answer.kind));
    fields.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    if status == 401 {
        // A browser asks its user: the token is the password.
        let asks = header::HeaderValue::from_static("Basic realm=\"fleet\"");
        fields.insert(header::WWW_AUTHENTICATE, asks);
    }
    if status == 503 {
        fields.insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
    }
    response
}

async fn answer(mut request: Request, door: &Door) -> Answer {
    let busy = || Answer::refusal(503, "too much to do");
    let wait = request.query.get("wait").and_then(|wait| wait.parse().ok()).unwrap_or(0);
    let wait = Duration::from_secs(wait).min(WAIT);
    loop {
        match door.desk.ask(request.clone(), wait).await {
            None => return busy(),
            Some(Outcome::Answer(answer)) => return answer,
            Some(Outcome::Wait { .. }) => return Answer::nothing(),
            Some(Outcome::Fetch(content)) if request.fetched.is_none() => {
                let fetch = Arc::clone(&door.fetch);
                let fetched = tokio::task::spawn_blocking(move || fetch(&content)).await;
                request.fetched = Some(fetched.unwrap_or_else(|error| Err(error.to_string())));
            }
            Some(Outcome::Fetch(_)) => return busy(),
        }
    }
}

async fn read(
    request: hyper::Request<Incoming>,
    certificate: Option<CertificateDer<'static>>,
) -> Result<Request, Answer> {
    let (head, body) = request.into_parts();
    let authorization = head.headers.get(header::AUTHORIZATION);
    let token = authorization.and_then(|field| token(field.to_str().ok()?));
    let query = head.uri.query().map(query).unwrap_or_default();
    let body = Limited::new(body, LARGEST).collect();
    let body = match tokio::time::timeout(HEAD, body).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        _ => return Err(Answer::refusal(413, "the body is too long, or does not come")),
    };
    let chance = chance().map_err(|error| Answer::refusal(500, &error))?;
    let (method, path) = (head.method.as_str().into(), head.uri.path().into());
    Ok(Request { method, path, query, token, certificate, body, fetched: None, chance })
}

/// The token in a field: `Bearer`, or the password of `Basic`.
fn token(field: &str) -> Option<String> {
    if let Some(token) = field.strip_prefix("Bearer ") {
        return Some(token.trim().into());
    }
    let bytes = STANDARD.decode(field.strip_prefix("Basic ")?.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(_, token)| token.to_owned())
}

/// A query's values, by their names.
fn query(query: &str) -> BTreeMap<String, String> {
    let text = |bytes: Cow<'_, [u8]>| String::from_utf8_lossy(&bytes).into_owned();
    pairs(query.as_bytes()).map(|(name, value)| (text(name), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_tokens_are_read_as_they_are_written() {
        let asked = query("where=role%20%3D%3D+%22pop%22&wait=5&x");
        assert_eq!(asked["where"], "role == \"pop\"");
        assert_eq!((asked["wait"].as_str(), asked["x"].as_str()), ("5", ""));
        assert_eq!(token("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(token("Basic b3A6czNjcmV0").as_deref(), Some("s3cret"));
        assert_eq!(token("Basic ###"), None);
    }
}
